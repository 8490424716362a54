"""What the learned strategy knows of a model on a task, as standardised numbers; the same for every task.

All of it is relative to the pool on that task, so that proxies of any unit can be compared between tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskrel.strategies.view import Column, TaskView
from taskrel.types import Candidate

Floats = npt.NDArray[np.float64]

# A proxy that failed numerically can be 10 standard deviations off; its rank still says that it leads.
_FAR = 3.0

_FACTS = {
    "parameters": lambda c: _log(c.parameters),
    "dim": lambda c: _log(c.dim),
    "upstream_accuracy": lambda c: c.upstream_accuracy,
    "upstream_size": lambda c: _log(c.upstream_size),
    "released": lambda c: c.released,
}


def _log(count: int | None) -> float | None:
    return None if count is None else math.log1p(count)


@dataclass(frozen=True, eq=False)
class Features:
    """The design of a forecast.

    Args:
        models: [M] names of the pool, sorted.
        tasks: [T] the other tasks on which at least two models of the pool were fine-tuned, sorted.
        groups: [p] what each column describes: a proxy's or a fact's name, which share one prior.
        elsewhere: [T, M, p] columns on the other tasks.
        here: [M, p] columns on the target task.
        accuracy: [T, M] fine-tuned accuracies elsewhere as fractions, NaN where missing.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    groups: tuple[str, ...]
    elsewhere: Floats
    here: Floats
    accuracy: Floats


def features(view: TaskView, proxies: Sequence[str] | None = None) -> Features:
    """The columns of every model of the pool on every task.

    A proxy gives its z-score within the pool, at most 3 from the middle, and its rank; a fact its z-score and, where
    it is known of some models only, whether it is known. What is missing is 0, the middle. Proxies that are not known
    both here and on another task, and facts that are the same for all, give nothing.

    Args:
        view: the task.
        proxies: which scores to use; None for all.

    Raises:
        ValueError: an accuracy outside [0, 1].
    """
    pool = sorted(view.candidates, key=lambda candidate: candidate.model)
    models = tuple(candidate.model for candidate in pool)
    known = {task: _column(column, models) for task, column in sorted((view.elsewhere or {}).items())}
    known = {task: numbers for task, numbers in known.items() if np.isfinite(numbers).sum() > 1}
    accuracy = np.array(list(known.values())).reshape(len(known), len(models))
    wrong = accuracy[~np.isnan(accuracy) & ~((accuracy >= 0) & (accuracy <= 1))]
    if wrong.size:
        raise ValueError(f"elsewhere must hold accuracies in [0, 1], got {wrong[0]:g}")
    scored = [view.scores, *(view.scores_elsewhere.get(task, {}) for task in known)]
    columns, groups = _facts(pool, len(scored))
    for proxy in sorted(view.scores) if proxies is None else proxies:
        numbers = [_column(scores.get(proxy, {}), models) for scores in scored]
        if _spread(numbers[0]) and any(map(_spread, numbers[1:])):
            columns += [np.stack([of(each) for each in numbers]) for of in (_standard, _ranked)]
            groups += [proxy] * 2
    table = np.stack(columns, axis=-1) if columns else np.zeros((len(scored), len(models), 0))
    return Features(models, tuple(known), tuple(groups), table[1:], table[0], accuracy)


def _column(column: Column, models: Sequence[str]) -> Floats:
    """[M] numbers by model, NaN where missing."""
    return np.array([math.nan if (number := column.get(model)) is None else number for model in models])


def _facts(pool: Sequence[Candidate], tasks: int) -> tuple[list[Floats], list[str]]:
    """Columns [tasks, M] of the facts, the same on every task, and their groups."""
    columns: list[Floats] = []
    groups: list[str] = []
    for name, fact in _FACTS.items():
        numbers = _column({c.model: fact(c) for c in pool}, [c.model for c in pool])
        unknown = np.isnan(numbers)
        if _spread(numbers):
            columns, groups = [*columns, _standard(numbers)], [*groups, name]
        if unknown.any() and not unknown.all():
            columns, groups = [*columns, _standard((~unknown).astype(np.float64))], [*groups, name]
    return [np.tile(column, (tasks, 1)) for column in columns], groups


def _spread(numbers: Floats) -> bool:
    """Whether there are two different numbers."""
    there = numbers[~np.isnan(numbers)]
    return bool(there.size and there.min() < there.max())


def _standard(numbers: Floats) -> Floats:
    """Z-scores of the numbers there are, clipped; 0 where missing and where all are equal."""
    if not _spread(numbers):
        return np.zeros_like(numbers)
    # Relative to the largest first: the square of a finite number need not be finite.
    scaled = numbers / np.nanmax(np.abs(numbers))
    centred = scaled - np.nanmean(scaled)
    spread = np.sqrt(np.nanmean(centred**2))
    return np.nan_to_num(np.clip(centred / (spread or 1.0), -_FAR, _FAR))


def _ranked(numbers: Floats) -> Floats:
    """Ranks of the numbers there are, the highest best, as z-scores; 0 where missing."""
    there = ~np.isnan(numbers)
    _, place, counts = np.unique(numbers[there], return_inverse=True, return_counts=True)
    ranks = np.full(len(numbers), math.nan)
    ranks[there] = (counts.cumsum() - (counts - 1) / 2)[place]
    return _standard(ranks)


def total_seconds(view: TaskView, model: str, groups: Mapping[str, object] | Sequence[str]) -> float | None:
    """What the scores behind a forecast of one model took, None where any is unknown; facts are free."""
    known = [view.score_seconds.get(name, {}).get(model) for name in dict.fromkeys(groups) if name in view.scores]
    return None if None in known else sum(seconds for seconds in known if seconds is not None)
