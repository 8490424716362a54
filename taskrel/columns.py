"""Strategies as dense score columns: what a finished table needs to replay them on all tasks at once.

A ranking strategy is an array [T, M], higher is better, NaN last; equal numbers go by the order of the models, which
callers keep sorted by name, so that a column orders a pool as the strategy of the same name in `taskrel.strategies`
does (a test says so). Knows no names and no tables.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taskrel.regret import Floats, nanmean
from taskrel.strategies import STRATEGIES, TaskView
from taskrel.types import Candidate

_RANKED = 1 << 29  # numbers to sort for the ranks of a table with gaps


def agnostic(candidates: Sequence[Candidate]) -> Floats:
    """[M] minus the place of each model in task-agnostic search over the pool, 1 first.

    One order for all tasks, also those on which a model is missing: what is tied with what is a matter of the pool.

    Args:
        candidates: the pool, distinct names.
    """
    if not candidates:
        return np.empty(0)
    picks = STRATEGIES["agnostic"](TaskView("any", tuple(candidates))).ask(len(candidates))
    place = {pick.model: float(number) for number, pick in enumerate(picks, start=1)}
    return -np.array([place[candidate.model] for candidate in candidates])


def hybrid(first: Floats, aware: Floats, means: Floats) -> Floats:
    """[T, M] the task-agnostic best of the models that are there on a task, then a task-aware column.

    Args:
        first: [M] of `agnostic`.
        aware: [T, M] scores, finite or NaN.
        means: [T, M] accuracies, NaN for models that are not there.

    Source:
        "Which Model to Transfer?", CVPR 2022, section 3; defined for budgets of at least 2.
    """
    column = np.array(aware, dtype=np.float64)
    leading = np.where(np.isnan(means), -np.inf, first).argmax(axis=1)
    column[np.arange(len(column)), leading] = np.inf
    return column


def rank_elsewhere(means: Floats) -> Floats:
    """[T, M] minus the mean rank by accuracy on the other tasks; ties share theirs.

    Ranks are among the models that are there on the task itself and measured on the other: those that can be picked.
    Where that is too much work (see `ranks_by_task`), they are among all models of the pool.

    Args:
        means: [T, M] accuracies of the pool, NaN where missing.

    Returns:
        In [-M, -1], higher is better; NaN for a model measured on no other task, or not there.
    """
    there = ~np.isnan(means)
    if there.all() or not ranks_by_task(means):
        return np.where(there, -_over_others(mid_ranks(-means)), np.nan)
    found = np.full(means.shape, np.nan)
    patterns, place = np.unique(there, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        tasks = np.flatnonzero(place.ravel() == number)
        found[np.ix_(tasks, pattern)] = -_over_others(mid_ranks(-means[:, pattern]))[tasks]
    return found


def ranks_by_task(means: Floats) -> bool:
    """Whether `rank_elsewhere` ranks anew for every set of models that is there on a task."""
    patterns = np.unique(~np.isnan(means), axis=0)
    return len(patterns) == 1 or len(patterns) * means.size <= _RANKED


def lead_elsewhere(means: Floats) -> Floats:
    """[T, M] mean accuracy on the other tasks, each relative to the mean of the models measured on it.

    Relative, so that a model missing on a hard task gains nothing by it; and to those models only that are there on the
    task itself: those that can be picked. Where nothing is missing the order is that of the mean accuracy.

    Args:
        means: [T, M] accuracies of the pool, NaN where missing.

    Returns:
        Higher is better; NaN for a model measured on no other task, or not there.
    """
    there = ~np.isnan(means)
    if there.all():
        return _over_others(means - means.mean(axis=1, keepdims=True))
    known, weight = np.where(there, means, 0), there.astype(np.float64)
    shared = weight @ weight.T  # [target, other] models that are there on both
    middle = np.where(shared > 0, weight @ known.T / np.maximum(shared, 1), 0)
    np.fill_diagonal(middle, 0)
    count = there.sum(axis=0) - there
    total = _over_others(means) * count - middle @ weight
    return np.where(there & (count > 0), total / np.maximum(count, 1), np.nan)


def lead_everywhere(means: Floats) -> Floats:
    """[M] the same over all tasks, the target included: the order of the task-agnostic oracle."""
    return nanmean((means - nanmean(means)[:, None]).T)


def mid_ranks(values: Floats) -> Floats:
    """[T, M] rank of each value in its row, 1 for the smallest, equal ones sharing their mean rank; NaN stays NaN."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    place = np.arange(values.shape[1])
    changes = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((len(values), 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), place, 0), axis=1)
    last = np.where(np.hstack([changes, edge]), place, values.shape[1])
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty_like(ordered)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=1)
    ranks[np.isnan(values)] = np.nan
    return ranks


def _over_others(values: Floats) -> Floats:
    """[T, M] mean over all rows but one, without NaN.

    As sums before and after the row, not as the total less the row: models that are alike elsewhere stay exactly tied.
    """
    there = ~np.isnan(values)
    known = np.where(there, values, 0)
    nothing = np.zeros((1, values.shape[1]))
    before = np.vstack([nothing, np.cumsum(known[:-1], axis=0)])
    after = np.vstack([np.cumsum(known[:0:-1], axis=0)[::-1], nothing])
    count = there.sum(axis=0) - there
    return np.where(count > 0, (before + after) / np.maximum(count, 1), np.nan)


def mean_rank(scores: Sequence[Floats], means: Floats) -> Floats:
    """[T, M] minus the mean rank over several scores, among the models that are there and have all of them.

    Args:
        scores: each [T, M], NaN where missing; at least one.
        means: [T, M] accuracies, NaN for models that are not there.
    """
    there = ~np.isnan(means) & ~np.isnan(np.stack(scores)).any(axis=0)
    return -np.mean([mid_ranks(np.where(there, -column, np.nan)) for column in scores], axis=0)
