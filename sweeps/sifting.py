"""Halving over chunks of the data: who is looked at on how many examples, and who goes on. Runs nothing.

All models of a task are looked at on the first part of its examples, the better half, by the strategy that picks, on
twice as many, and so on. The few that are left are measured on all, as without halving.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sweeps import picks
from sweeps.config import SweepConfig
from sweeps.costs import forward_seconds, score_seconds
from sweeps.errors import ConfigError
from sweeps.plan import pairs, sift
from sweeps.settings import EARLY
from sweeps.types import Job, Model, Row, Task
from sweeps.zoo.registry import facts
from taskrel.strategies import Doubling, ModelCost
from taskrel.strategies.data_halving import Verdict

LEAST = 4  # models, or two for each that is fine-tuned, are measured on everything


@dataclass(frozen=True)
class Dropped:
    """A model that did not go on: after how many training examples, and what the proxies said on them."""

    model: str
    examples: int
    scores: Mapping[str, float | None]

    @property
    def reason(self) -> str:
        """In one line."""
        said = ", ".join(f"{name} " + ("unknown" if value is None else f"{value:.3f}")
                         for name, value in self.scores.items())  # fmt: skip
        return f"dropped after {self.examples:,} examples: {said}"


def strategy(config: SweepConfig) -> str:
    """Who picks the models that are fine-tuned, and so who sifts."""
    return config.finetune.models if config.finetune is not None else config.regret.answer


def proxies(config: SweepConfig) -> tuple[str, ...]:
    """The proxies that it reads."""
    known = picks.builder(strategy(config), config.proxies).proxies
    return tuple(dict.fromkeys(part for score in known for part in picks.measured(score)))


def check(config: SweepConfig) -> None:
    """What :func:`sweeps.picks.check` does, and refuse a sweep that is to be sifted and cannot be.

    Raises:
        ConfigError: where something reads the features of all models, or the strategy reads no proxy of this task.
    """
    picks.check(config)
    if not config.embed.halving:
        return
    if config.finetune is not None and config.finetune.models == "all":
        raise ConfigError('embed.halving must come with a strategy as finetune.models, got "all"')
    for name in ("bound", "head2toe", "task2vec"):
        if getattr(config, name) is not None:
            raise ConfigError(f"embed.halving must come without [{name}], which looks at all models, got both")
    if why := _unfit(config):
        raise ConfigError(f"embed.halving {why}")


def _unfit(config: SweepConfig) -> str | None:
    """Why the strategy cannot sift; None when it can."""
    read = proxies(config)
    if not read:
        return f"needs a strategy that reads proxies, got {strategy(config)!r}"
    for name in read:
        if name == EARLY or name not in config.proxies or "reference" in config.proxies[name]:
            return f"needs proxies of the features of one task, got {name!r} of the strategy {strategy(config)!r}"
    return None


class Sieve:
    """The rounds of one task. Deterministic: a run that is taken up again finds the same."""

    def __init__(self, config: SweepConfig, models: Sequence[Model], task: Task) -> None:
        """Raises: ConfigError when the first part of the examples would not hold every class."""
        self.config, self.task = config, task
        self.alive, self.plan = _pool(models, task), _doubling(config, models, task)
        self.dropped: list[Dropped] = []
        self._turn = 0
        first = self.plan.rounds[0].stop
        if self.going and first < len(task.classes):
            raise ConfigError(f"embed.halving must look at every class, task {task.name!r} has {len(task.classes)}, "
                              f"and its first part {first} examples")  # fmt: skip

    @property
    def going(self) -> bool:
        """Whether there is a round before all is measured."""
        return self._turn < len(self.plan.rounds) - 1

    def jobs(self) -> list[Job]:
        """The looks of the present round."""
        turn, read = self.plan.rounds[self._turn], proxies(self.config)
        return [sift(self.config, model, self.task, read, turn.stop, turn.first) for model in self.alive]

    def drop(self, rows: Iterable[Row]) -> None:
        """End the round: the better half goes on. A model without a row (failed, or no time) is out.

        Args:
            rows: of ``sifted``, this round's among others.
        """
        here = {job.id: job.model.name for job in self.jobs()}
        told = [row for row in rows if row["job"] in here]
        by_name = {model.name: model for model in self.alive if model.name in {row["model"] for row in told}}
        # Not the facts that were measured: who was embedded before must not decide.
        known = [facts(model) for model in by_name.values()]
        order = picks.chosen(self.config, strategy(self.config), len(known), self.alive, self.task, known, told)
        stop, left = self.plan.rounds[self._turn].stop, self.plan.rounds[self._turn + 1].models
        scores = {model: {row["proxy"]: row["value"] for row in told if row["model"] == model} for model in by_name}
        self.dropped = [Dropped(pick.model, stop, scores[pick.model]) for pick in order[left:]] + self.dropped
        self.alive = [by_name[pick.model] for pick in order[:left]]
        self._turn += 1

    def guess(self) -> None:
        """End the round before it is told, for estimates: models of middling cost go on."""
        left = self.plan.rounds[self._turn + 1].models
        order = sorted(self.alive, key=lambda model: (forward_seconds(self.config, model), model.name))
        first = (len(order) - left) // 2
        self.alive, self._turn = order[first : first + left], self._turn + 1


def _pool(models: Sequence[Model], task: Task) -> list[Model]:
    return [model for model, _ in pairs(models, [task]) if model.group != "scratch"]


def _doubling(config: SweepConfig, models: Sequence[Model], task: Task) -> Doubling:
    """The rounds; two for each model that is fine-tuned are left, or a few."""
    budget = config.finetune.budget if config.finetune is not None else config.regret.answer_budget
    examples = config.embed.sizes(task.sizes)["train"]
    return Doubling(len(_pool(models, task)), examples, max(LEAST, 2 * budget))


def sieves(config: SweepConfig, models: Sequence[Model], tasks: Sequence[Task]) -> list[Sieve]:
    """One for each task that has more models than are measured in the end; none without halving.

    Raises:
        ConfigError: for a task of so few examples that its first part would not hold every class.
    """
    met = [task for task in tasks if config.embed.halving and _pool(models, task)]
    return [sieve for task in met if (sieve := Sieve(config, models, task)).going]


def survivors(jobs: Sequence[Job], found: Sequence[Sieve]) -> list[Job]:
    """Of the jobs known beforehand those of models that were not dropped; of an embedding the rest is to be done."""
    alive = {sieve.task.name: {model.name for model in sieve.alive} for sieve in found}
    left = {sieve.task.name: 1 - sieve.plan.rounds[-1].first / sieve.plan.examples for sieve in found}
    kept = [job for job in jobs if job.task.name not in alive or job.model.name in alive[job.task.name]]
    return [replace(job, cost=job.cost * left.get(job.task.name, 1.0)) if job.kind == "embed" else job for job in kept]


def told(config: SweepConfig, models: Sequence[Model], tasks: Sequence[Task], rows: Iterable[Row],
         statuses: Mapping[str, str] | None = None) -> tuple[list[Sieve], list[Job]]:  # fmt: skip
    """The rounds as far as tables tell them, and guesses beyond; the sieves after all rounds, and every look.

    Args:
        config: of the sweep.
        models: its models.
        tasks: its tasks.
        rows: of ``sifted``.
        statuses: job id -> status of every job that was settled; None when the run is over, in time or not.
    """
    found, jobs, rows = sieves(config, models, tasks), list[Job](), list(rows)
    for sieve in found:
        while sieve.going:
            now = sieve.jobs()
            jobs += now
            if statuses is None or all(job.id in statuses for job in now):
                sieve.drop(rows)
            else:
                sieve.guess()
    return found, jobs


def verdict(config: SweepConfig, models: Sequence[Model], task: Task) -> Verdict:
    """Estimated seconds of looking at one task, with halving and without; the slowest models are taken to stay."""
    plan, every = _doubling(config, models, task), sum(config.embed.sizes(task.sizes).values())
    scored = sum(score_seconds(name, config.proxies[name]) for name in proxies(config))
    # Of a plan in training examples; those of validation come in proportion.
    costs = [ModelCost(0.05 + scored, forward_seconds(config, model) * every / plan.examples, 0.0)
             for model in _pool(models, task)]  # fmt: skip
    return plan.verdict(costs)


def advised(config: SweepConfig, models: Sequence[Model], task: Task, least: int) -> tuple[bool, str]:
    """Whether to halve, and why: it must pay, and its first part hold ``least`` training examples."""
    pool, no = _pool(models, task), "no halving over parts of the data: "
    if why := _unfit(config):
        return False, f"{no}it {why}"
    if not config.embed.reuse or config.embed.layers == "best" or not pool:
        return False, f"{no}nothing embedded is taken up again"
    first, *rest = _doubling(config, models, task).rounds
    if not rest:
        return False, f"{no}{len(pool)} models are few enough"
    if first.stop < max(least, len(task.classes)):
        return False, f"{no}the first would be {first.stop:,} examples, under {least:,}"
    found = verdict(config, models, task)
    return found.pays, f"over parts of the data {found}"


def shown(sieve: Sieve) -> str:
    """The rounds in one line."""
    *first, last = sieve.plan.rounds
    steps = ", ".join(f"{turn.models} on {turn.stop:,}" for turn in first)
    return f"models by examples of {sieve.task.name}: {steps}; then {last.models} are measured on {last.stop:,}"
