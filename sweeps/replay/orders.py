"""The name of a strategy -> the column of scores that orders a pool, or why there is none. Computes no formula."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sweeps.errors import ConfigError, did_you_mean
from taskrel import columns
from taskrel.panel import CHANCE
from taskrel.regret import nanmean
from taskrel.static import STATIC
from taskrel.strategies import STRATEGIES, Builder, TaskView
from taskrel.types import Candidate

Floats = npt.NDArray[np.float64]
AGNOSTIC, HYBRID, ORACLE, ELSEWHERE, RANK = "agnostic", "hybrid_", "oracle", "oracle_elsewhere", "static_rank"
ALWAYS = (RANK, ELSEWHERE, ORACLE)
USUAL = "all"
_ASKED_AT_MOST = 100_000  # models on tasks for which a strategy without a column is asked one by one


@dataclass(frozen=True)
class Ground:
    """One pool of a table.

    Args:
        tasks: T names.
        candidates: M models, sorted by name.
        accuracy: [T, M, R] fractions, NaN where missing.
        scores: name -> [T, M].
        numbers: fact -> [M].
    """

    tasks: Sequence[str]
    candidates: Sequence[Candidate]
    accuracy: Floats
    scores: Mapping[str, Floats]
    numbers: Mapping[str, Floats]

    @cached_property
    def means(self) -> Floats:
        """[T, M] mean accuracy over repeats."""
        return nanmean(self.accuracy)

    @cached_property
    def first(self) -> Floats:
        """[M] the task-agnostic order."""
        return columns.agnostic(self.candidates)

    @property
    def rated(self) -> bool:
        """Whether task-agnostic search has anything to go by."""
        return any(known is not None for one in self.candidates
                   for known in (one.upstream_accuracy, one.upstream_size, one.parameters))  # fmt: skip


def usual(ground: Ground) -> list[str]:
    """The strategies that are judged when none is named: what the table and the facts allow, and all baselines."""
    rated = [AGNOSTIC] if ground.rated else []
    hybrids = [HYBRID + name for name in ground.scores] if rated else []
    return [*rated, *ground.scores, *hybrids, *baselines(ground)]


def named(names: Sequence[str], ground: Ground) -> tuple[str, ...]:
    """The strategies that were asked for, with ``all`` and no name at all as the usual ones."""
    return tuple(name for one in names or (USUAL,) for name in (usual(ground) if one == USUAL else (one,)))


def baselines(ground: Ground) -> list[str]:
    """What every strategy must beat, and the references."""
    return [*(name for name in STATIC if name in ground.numbers and name not in ground.scores), *ALWAYS]


def kind(name: str, ground: Ground) -> str:
    """What a strategy is: ``score``, ``hybrid``, ``static``, ``elsewhere``, ``reference``, ``random``."""
    if name == CHANCE:
        return "random"
    if name == ORACLE:
        return "reference"
    if name in (RANK, ELSEWHERE):
        return "elsewhere"
    if name.startswith(HYBRID):
        return "hybrid"
    return "static" if name == AGNOSTIC or (name in ground.numbers and name not in ground.scores) else "score"


def least_budget(name: str) -> int:
    """The smallest budget at which a strategy is defined."""
    return 2 if name.startswith(HYBRID) else 1


def stops(name: str) -> bool:
    """Whether a strategy may use less than its budget."""
    return name in STRATEGIES and STRATEGIES[name].adaptive


def check(names: Sequence[str], ground: Ground) -> None:
    """Refuse unknown strategies, and scores that are called like one.

    Raises:
        ConfigError: with the first.
    """
    for score in ground.scores:
        if score in (AGNOSTIC, CHANCE, USUAL, *ALWAYS) or score.startswith(HYBRID):
            raise ConfigError(f"a score must not have the name of a strategy, got {score!r}; rename it or leave it out")
    parts = _parts(ground)
    for name in names:
        if name not in STRATEGIES and not set(name.removeprefix(HYBRID).split("+")) <= parts:
            raise ConfigError(f"a strategy must be known{did_you_mean(name, {*STRATEGIES, *parts})}")


def _parts(ground: Ground) -> set[str]:
    """What a strategy, a hybrid or a mean rank can be made of."""
    return {*ground.scores, *ground.numbers, RANK, ELSEWHERE}


def column(name: str, ground: Ground, seed: int = 0) -> Floats | str:
    """[T, M] or [M] scores of a strategy, higher is picked first; or the reason why it cannot pick."""
    aware = name.removeprefix(HYBRID)
    if name.startswith(HYBRID) and set(aware.split("+")) <= _parts(ground):
        if not ground.rated:
            return "neither upstream accuracy nor upstream size nor parameters are known of any model"
        found = column(aware, ground, seed)
        if isinstance(found, str):
            return found
        return columns.hybrid(ground.first, np.broadcast_to(found, ground.means.shape), ground.means)
    if name in ground.scores:
        return ground.scores[name]
    if name in ground.numbers:
        return ground.numbers[name]
    if name == AGNOSTIC:
        return ground.first if ground.rated else "nothing is known of any model; give --facts"
    if name == ORACLE:
        return columns.lead_everywhere(ground.means)
    if name in (RANK, ELSEWHERE):
        if len(ground.tasks) < 2:
            return "there is no other task"
        return columns.rank_elsewhere(ground.means) if name == RANK else columns.lead_elsewhere(ground.means)
    if "+" in name and set(name.split("+")) <= _parts(ground):
        each = [column(part, ground, seed) for part in name.split("+")]
        known = [np.broadcast_to(one, ground.means.shape) for one in each if not isinstance(one, str)]
        return columns.mean_rank(known, ground.means) if len(known) == len(each) else "there is no other task"
    return _asked(STRATEGIES[name], ground, seed)


def _asked(builder: Builder, ground: Ground, seed: int) -> Floats | str:
    """The order of a strategy that has no column: asked model by model on every task, and told what came out."""
    if builder.partial:
        return "it needs the learning curves, which a table of accuracies has not"
    if "neighbours" in builder.needs:
        return "it needs distances between tasks, which a table of accuracies has not"
    lacking = [score for score in builder.proxies if score not in ground.scores]
    if lacking:
        return f"no model has a score {', '.join(lacking)}"
    if ground.means.size > _ASKED_AT_MOST:
        return f"the pool has more than {_ASKED_AT_MOST:,} models on tasks, which are asked for one by one"
    found = np.full(ground.means.shape, np.nan)
    for place, task in enumerate(ground.tasks):
        present = np.flatnonzero(~np.isnan(ground.means[place]))
        if len(present) == 0:
            continue
        strategy = builder(view(place, task, present, ground), seed=seed)
        where = {ground.candidates[model].model: model for model in present.tolist()}
        number = 0
        while picks := strategy.ask(1 if builder.adaptive else len(present)):
            for pick in picks:
                found[place, where[pick.model]] = -float(number)
                number += 1
            strategy.tell({pick.model: float(ground.means[place, where[pick.model]]) for pick in picks})
    return found


def view(place: int, task: str, present: npt.NDArray[np.intp], ground: Ground) -> TaskView:
    """What a strategy may see of one task, the models at the places ``present`` as its pool; the oracle's too."""
    names = [candidate.model for candidate in ground.candidates]
    here = tuple(ground.candidates[model] for model in present.tolist())

    def known(row: Floats) -> dict[str, float]:
        return {names[model]: float(row[model]) for model in np.flatnonzero(~np.isnan(row))}

    others = [other for other in range(len(ground.tasks)) if other != place]
    return TaskView(
        task=task, candidates=here,
        scores={name: {model: value for model, value in known(values[place]).items() if model in
                       {candidate.model for candidate in here}} for name, values in ground.scores.items()},
        accuracies=known(nanmean(ground.means.T)),
        elsewhere={ground.tasks[other]: known(ground.means[other]) for other in others},
        scores_elsewhere={ground.tasks[other]: {name: known(values[other]) for name, values in ground.scores.items()}
                          for other in others},
    )  # fmt: skip
