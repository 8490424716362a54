"""Intervals by resampling: how far regret moves with the luck of the fine-tuning runs and with the choice of tasks.

No loop over samples: a resample is a vector of multiplicities, so all of them are one product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskrel.regret import Floats, Mask, best_per_repeat, check_picks, check_table, error_removed, nanmean


@dataclass(frozen=True, eq=False)
class Draws:
    """What is drawn again with replacement, S times; the same for all models, strategies and budgets of a task.

    Args:
        repeats: [T, S, R] how often each repeat of a task counts.
        tasks: [T, S] how often each task counts.
        level: share of the samples inside an interval.
    """

    repeats: Floats
    tasks: Floats
    level: float


def draw(tasks: int, repeats: int, *, samples: int = 1000, level: float = 0.95, seed: int = 0) -> Draws:
    """Multiplicities of repeats, task by task, and of tasks.

    Args:
        tasks: T.
        repeats: R.
        samples: number S of bootstrap samples.
        level: share of the samples inside an interval, in (0, 1).
        seed: non-negative.

    Raises:
        ValueError: samples or level out of range.
    """
    if samples < 1 or not 0 < level < 1:
        raise ValueError(f"samples must be at least 1 and level in (0, 1), got {samples} and {level}")
    rng = np.random.default_rng(seed)
    times = rng.multinomial(repeats, np.full(repeats, 1 / repeats), size=(tasks, samples))
    counts = rng.multinomial(tasks, np.full(tasks, 1 / tasks), size=samples)
    return Draws(times.astype(np.float64), np.ascontiguousarray(counts.T, dtype=np.float64), level)


def resampled(rows: Floats, times: Floats) -> Floats:
    """[N, S] mean of each row over repeats, repeat r counted times[s, r] times, NaN entries never.

    Args:
        rows: [N, R] fractions, NaN where missing.
        times: [S, R] of `Draws.repeats`.

    Returns:
        Fractions; NaN where a sample drew none of the repeats that a row has.
    """
    there = ~np.isnan(rows)
    if there.all():
        means = rows @ (times / times.shape[1]).T
    else:
        count = there.astype(np.float64) @ times.T
        total = np.where(there, rows, 0) @ times.T
        means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    # A vectorised sum need not round monotonically: it may leave [0, 1] by an ulp.
    clipped: Floats = np.clip(means, 0, 1, out=means)
    return clipped


def resampled_oracle(cells: Floats, times: Floats) -> Floats:
    """[S] best mean accuracy of one task in each sample.

    Args:
        cells: [M, R] accuracies of the pool on the task, NaN where missing.
        times: [S, R] of `Draws.repeats`.
    """
    whole = cells[~np.isnan(cells).any(axis=1)]
    # A mean lies between the least and the greatest repeat: who never reaches the worst of another is never best.
    floor = whole.min(axis=1).max() if len(whole) else -np.inf
    able = np.fmax.reduce(cells, axis=1) >= floor
    best: Floats = np.fmax.reduce(resampled(cells[able], times), axis=0, initial=np.nan)
    return best


def percentiles(samples: Floats, level: float) -> Floats:
    """[..., 2] the central interval over the last axis, NaN samples left out; NaN (and no warning) where all are.

    Args:
        samples: [..., S].
        level: share of the samples inside, in (0, 1); between two samples the ends are interpolated.
    """
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    missing = np.isnan(samples)
    if missing.any():
        count = (~missing).sum(axis=-1, keepdims=True)
        place = ends * np.maximum(count - 1, 0)
        lower = np.floor(place).astype(np.intp)
        ordered = np.sort(samples, axis=-1)  # NaN last
        low = np.take_along_axis(ordered, lower, axis=-1)
        high = np.take_along_axis(ordered, np.minimum(lower + 1, np.maximum(count - 1, 0)), axis=-1)
    else:
        place = ends * (samples.shape[-1] - 1)
        lower = np.floor(place).astype(np.intp)
        upper = np.minimum(lower + 1, samples.shape[-1] - 1)
        # Four order statistics are all that the interval needs: about half of what np.quantile takes.
        ordered = np.partition(samples, np.unique([lower, upper]), axis=-1)
        low, high = ordered[..., lower], ordered[..., upper]
    interval: Floats = low + (high - low) * (place - lower)
    return interval


@dataclass(frozen=True, eq=False)
class RegretIntervals:
    """Percentile intervals of regret over resampled repeats; last axis (low, high).

    Args:
        absolute: [T, 2] of absolute regret.
        relative: [T, 2] of relative regret.
        mean_absolute: [2] of its mean over tasks.
        mean_relative: [2] of its mean over tasks.
    """

    absolute: Floats
    relative: Floats
    mean_absolute: Floats
    mean_relative: Floats


def bootstrap_regret(
    accuracy: npt.ArrayLike,
    picks: Mask,
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> RegretIntervals:
    """Intervals of regret when the repeats are drawn again with replacement, task by task.

    What they mean: the tasks, the pool and the picks are fixed; only the luck of the fine-tuning
    runs varies, and a repeat is drawn for all models of a task together. With R repeats there are
    only C(2R-1, R) different samples (3 for R = 2, 126 for R = 5) and the spread is too small by
    about sqrt((R-1)/R): with 2 to 5 repeats read an interval as "how far the number moves when the
    same few runs are weighted differently", a lower bound on the uncertainty and not a 95 percent
    coverage. The upward bias of the oracle stays inside. One repeat says nothing: all NaN.

    Args:
        accuracy: [T, M, R] fractions, NaN where missing.
        picks: [T, M] booleans; see `pick_mask`.
        samples: number S of bootstrap samples.
        level: share of the samples inside an interval, in (0, 1).
        seed: non-negative.

    Returns:
        The intervals; NaN for tasks without regret, which the means leave out.

    Raises:
        ValueError: shapes do not fit, or samples or level out of range.
    """
    table = check_table(accuracy)
    mask = check_picks(table, picks)
    tasks, _, repeats = table.shape
    draws = draw(tasks, repeats, samples=samples, level=level, seed=seed)
    if repeats == 1:
        nothing = np.full((tasks, 2), np.nan)
        return RegretIntervals(nothing, nothing.copy(), np.full(2, np.nan), np.full(2, np.nan))
    best = np.stack([resampled_oracle(*each) for each in zip(table, draws.repeats, strict=True)])
    chosen = best_per_repeat(table, mask)[:, None, :]
    reached = np.concatenate([resampled(*each) for each in zip(chosen, draws.repeats, strict=True)])
    absolute, relative = best - reached, error_removed(best, reached)
    return RegretIntervals(
        absolute=percentiles(absolute, level),
        relative=percentiles(relative, level),
        mean_absolute=percentiles(nanmean(absolute.T), level),
        mean_relative=percentiles(nanmean(relative.T), level),
    )
