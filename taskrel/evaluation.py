"""Which proxy to trust: how well its scores order the models of several tasks, and what choosing by them loses.

One number per cell, the study's median over fine-tuning repeats, as everywhere in a report. An interval moves
everything that luck moves: the tasks are drawn again with replacement, the repeats behind every accuracy (one draw for
all models of a task), and the examples behind the scores (one replicate for all models of a task, so that what all
models share cancels). Knows no proxy, no names and no tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from taskrel.correlation import mean_noise_floor, pearsons, weighted_taus
from taskrel.regret import Floats, check_table, nanmean, relative_regret

MISSING_LAST = -np.inf


@dataclass(frozen=True)
class Estimate:
    """A mean over tasks with its percentile interval; None where undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """How one proxy does on several tasks.

    Args:
        tasks: on how many it has a score at all; the means are over these.
        weighted_tau: mean weighted tau with accuracy; a task on which it is undefined counts 0 (see `flat`).
        pearson: mean Pearson correlation with accuracy, likewise.
        relative_regret: budget -> mean relative regret of fine-tuning the best-scored models.
        tau_floor: what the magnitude of the mean weighted tau of random scores exceeds in 5 percent of the draws.
        missing: (task, model) cells with an accuracy and without a score.
        flat: tasks on which the scores are constant or fewer than two, so that they order nothing.
    """

    tasks: int
    weighted_tau: Estimate
    pearson: Estimate
    relative_regret: Mapping[int, Estimate]
    tau_floor: float | None
    missing: int
    flat: int


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What fine-tuning came to, drawn again: the side of the comparison that all proxies share.

    Args:
        accuracy: [T, 1 + S, M] median over repeats; row 0 of a task as measured, the rows after it over repeats drawn
            again with replacement, the same draw for all models of the task. NaN where missing.
        tasks: [T, S] which tasks each bootstrap sample is of.
        replicate: [S] which replicate of the scores each bootstrap sample reads, in [0, 1) of their number.
        level: share of the samples inside an interval.
        certain: whether nothing was drawn: one task and one repeat.
    """

    accuracy: Floats
    tasks: npt.NDArray[np.intp]
    replicate: Floats
    level: float
    certain: bool


def outcomes(accuracy: npt.ArrayLike, *, samples: int = 1000, level: float = 0.95, seed: int = 0) -> Outcomes:
    """Draw tasks and repeats again.

    Args:
        accuracy: [T, M, R] fractions, NaN where missing; a task may have fewer than R repeats.
        samples: number S of bootstrap samples.
        level: share of the samples inside an interval, in (0, 1).
        seed: non-negative.

    Raises:
        ValueError: not three axes, a value outside [0, 1], or samples or level out of range.
    """
    table = check_table(accuracy)
    if samples < 1 or not 0 < level < 1:
        raise ValueError(f"samples must be at least 1 and level in (0, 1), got {samples} and {level}")
    rng = np.random.default_rng(seed)
    drawn = np.stack([_redrawn(task, samples, rng) for task in table])
    tasks, repeats = len(table), int((~np.isnan(table)).any(axis=1).sum(axis=1).max())
    return Outcomes(drawn, rng.integers(tasks, size=(tasks, samples)), rng.random(samples), level,
                    tasks == 1 and repeats < 2)  # fmt: skip


def _redrawn(table: Floats, samples: int, rng: np.random.Generator) -> Floats:
    """[1 + S, M] medians over the repeats of one task [M, R], as they are and drawn again."""
    table = table[:, ~np.isnan(table).all(axis=0)]
    repeats = table.shape[1]
    if repeats == 0:
        return np.full((1 + samples, len(table)), np.nan)
    draws = np.vstack([np.arange(repeats), rng.integers(repeats, size=(samples, repeats))])
    values = np.sort(table[:, draws], axis=2)  # [M, 1 + S, R], NaN last
    count = (~np.isnan(values)).sum(axis=2, keepdims=True)
    lower, upper = (np.take_along_axis(values, place, axis=2)[:, :, 0]
                    for place in (np.maximum(count - 1, 0) // 2, count // 2))  # fmt: skip
    return ((lower + upper) / 2).T  # where nothing is there, both are NaN


def evaluate(scores: npt.ArrayLike, found: Outcomes, *, replicates: npt.ArrayLike | None = None,
             budgets: Sequence[int] = (1, 2)) -> Evaluation:  # fmt: skip
    """How well one proxy orders the models, and what choosing by it loses.

    Args:
        scores: [T, M], higher is better, NaN where missing.
        found: `outcomes` of the same tasks and models.
        replicates: [T, M, K] the scores over examples drawn again, paired over the models of a task; NaN where there
            is none, where the score itself stands in.
        budgets: numbers of models to fine-tune: the best-scored, models without a score last. Between equal scores
            the expectation over their order counts: a strategy must take one, but which is no merit of the proxy. A
            task with fewer models than the budget is left out.

    Raises:
        ValueError: shapes do not fit.
    """
    values = np.asarray(scores, dtype=np.float64)
    tasks, rows, models = found.accuracy.shape
    if values.shape != (tasks, models):
        raise ValueError(f"scores must be of shape {(tasks, models)}, got {values.shape}")
    drawn = _replicated(values, replicates, found.replicate)
    known = ~np.isnan(found.accuracy[:, 0])
    scored = known & ~np.isnan(values)
    judged = scored.any(axis=1)
    statistics = np.full((2 + len(budgets), tasks, rows), np.nan)
    flat = 0
    for task in np.flatnonzero(judged):
        score, truth = drawn[task][:, known[task]], found.accuracy[task][:, known[task]]
        says_something = _varied(truth)
        for place, statistic in enumerate((weighted_taus, pearsons)):
            numbers = statistic(score, truth)
            statistics[place, task] = np.where(says_something & np.isnan(numbers), 0, numbers)
        flat += int(says_something[0] and not _varied(np.where(np.isnan(truth[:1]), np.nan, score[:1]))[0])
        for place, budget in enumerate(budgets, start=2):
            if budget <= score.shape[1]:
                statistics[place, task] = _regret(score, truth, budget)
    tau, pearson, *regrets = (_estimate(numbers, found, replicates is not None) for numbers in statistics)
    ranked = tuple(sorted(int(count) for count in scored.sum(axis=1) if count > 1))
    return Evaluation(
        tasks=int(judged.sum()), weighted_tau=tau, pearson=pearson,
        relative_regret=dict(zip(budgets, regrets, strict=True)),
        tau_floor=mean_noise_floor(ranked) if ranked else None, missing=int((known & ~scored).sum()), flat=flat,
    )  # fmt: skip


def chance(found: Outcomes, *, budgets: Sequence[int] = (1, 2)) -> Evaluation:
    """The same of scores that know nothing, in expectation: correlations of 0, the exact regret of a uniform draw."""
    known = ~np.isnan(found.accuracy[:, 0])
    alike = evaluate(np.where(known, 0.0, np.nan), found, budgets=budgets)  # what equal scores do is a uniform draw
    ranked = tuple(sorted(int(count) for count in known.sum(axis=1) if count > 1))
    return replace(alike, weighted_tau=Estimate(0.0), pearson=Estimate(0.0), flat=0,
                   tau_floor=mean_noise_floor(ranked) if ranked else None)  # fmt: skip


def _replicated(values: Floats, replicates: npt.ArrayLike | None, places: Floats) -> Floats:
    """[T, 1 + S, M] the scores, then the replicate of each bootstrap sample."""
    if replicates is None:
        return np.repeat(values[:, None], 1 + len(places), axis=1)
    drawn = np.asarray(replicates, dtype=np.float64)
    if drawn.ndim != 3 or drawn.shape[:2] != values.shape or drawn.shape[2] == 0:
        raise ValueError(f"replicates must be of shape {(*values.shape, 'K')}, got {drawn.shape}")
    drawn = np.where(np.isnan(drawn), values[:, :, None], drawn)
    chosen = drawn[:, :, (places * drawn.shape[2]).astype(np.intp)]
    return np.concatenate([values[:, None], np.where(np.isnan(values)[:, None], np.nan, chosen.transpose(0, 2, 1))], 1)


def _varied(numbers: Floats) -> npt.NDArray[np.bool_]:
    """[S] whether a row holds two different numbers."""
    least = np.fmin.reduce(numbers, axis=1)
    most = np.fmax.reduce(numbers, axis=1)
    varied: npt.NDArray[np.bool_] = most > least
    return varied


def _regret(scores: Floats, accuracy: Floats, budget: int) -> Floats:
    """[S] expected relative regret of the best-scored models over the orders of equal scores.

    Above the last score that is picked the picks are certain; of the g models that share it k are drawn, and the best
    of them is the j-th best, j from 0, with probability C(g-1-j, k-1) / C(g, k). Scores that are all equal are a
    uniform draw. A model without an accuracy in a sample is not there.
    """
    there = ~np.isnan(accuracy)
    values = np.where(there, np.where(np.isnan(scores), MISSING_LAST, scores), np.nan)
    last = np.clip(np.minimum(budget, there.sum(axis=1)) - 1, 0, None)
    threshold = np.take_along_axis(-np.sort(-values, axis=1), last[:, None], axis=1)
    certain, tied = values > threshold, values == threshold
    drawn, group = last + 1 - certain.sum(axis=1), tied.sum(axis=1)
    descending = -np.sort(-np.where(tied, accuracy, np.nan), axis=1)
    place = np.arange(1, accuracy.shape[1])
    ratio = (group[:, None] - place - drawn[:, None] + 1) / np.maximum(group[:, None] - place, 1)
    ratio = np.where(place < group[:, None], np.clip(ratio, 0, None), 0)
    chances = np.cumprod(np.column_stack([drawn / np.maximum(group, 1), ratio]), axis=1)
    reached = np.fmax(np.where(certain, accuracy, -np.inf).max(axis=1)[:, None], descending)
    best = np.fmax.reduce(accuracy, axis=1)
    each = np.nan_to_num(relative_regret(best[:, None], np.where(np.isnan(descending), np.nan, reached)))
    return np.where(np.isnan(best), np.nan, (each * chances).sum(axis=1))


def _estimate(numbers: Floats, found: Outcomes, replicated: bool) -> Estimate:
    """The mean over tasks of [T, 1 + S] numbers, the tasks drawn again in every sample."""
    if np.isnan(numbers[:, 0]).all():
        return Estimate(None)
    value = float(nanmean(numbers[:, 0]))
    samples = nanmean(np.take_along_axis(numbers[:, 1:], found.tasks, axis=0).T)
    if (found.certain and not replicated) or np.isnan(samples).all():
        return Estimate(value)
    low, high = np.nanquantile(samples, ((1 - found.level) / 2, (1 + found.level) / 2))
    return Estimate(value, float(low), float(high))
