"""Intervals by resampling: how far regret moves with the luck of the fine-tuning runs.

No loop over samples: a resample is a vector of multiplicities, so all of them are one product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskrel.regret import (
    Floats,
    Mask,
    best_per_repeat,
    check_picks,
    check_table,
    nanmean,
    relative_regret,
)


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
    if samples < 1 or not 0 < level < 1:
        raise ValueError(f"samples must be at least 1 and level in (0, 1), got {samples} and {level}")
    tasks, _, repeats = table.shape
    if repeats == 1:
        nothing = np.full((tasks, 2), np.nan)
        return RegretIntervals(nothing, nothing.copy(), np.full(2, np.nan), np.full(2, np.nan))
    rng = np.random.default_rng(seed)
    times = rng.multinomial(repeats, np.full(repeats, 1 / repeats), size=(samples, tasks))
    means = _weighted_mean(times, table)
    best = np.fmax.reduce(means, axis=2)
    reached = _weighted_mean(times, best_per_repeat(table, mask)[:, None, :])[:, :, 0]
    absolute, relative = best - reached, relative_regret(best, reached)
    ends = ((1 - level) / 2, (1 + level) / 2)
    return RegretIntervals(
        absolute=_percentiles(absolute, ends),
        relative=_percentiles(relative, ends),
        mean_absolute=_percentiles(nanmean(absolute)[:, None], ends)[0],
        mean_relative=_percentiles(nanmean(relative)[:, None], ends)[0],
    )


def _weighted_mean(times: npt.NDArray[np.int64], table: Floats) -> Floats:
    """[S, T, M] mean over repeats, repeat r counted times[s, t, r] times, NaN entries never."""
    there = ~np.isnan(table)
    weights = times.astype(np.float64)
    total = np.einsum("str,tmr->stm", weights, np.where(there, table, 0), optimize=True)
    count = np.einsum("str,tmr->stm", weights, there.astype(np.float64), optimize=True)
    # A vectorised sum need not round monotonically: it may leave [0, 1] by an ulp.
    return np.where(count > 0, np.clip(total / np.maximum(count, 1), 0, 1), np.nan)


def _percentiles(samples: Floats, ends: tuple[float, float]) -> Floats:
    """[T, 2] percentiles over the first axis of [S, T], NaN (and no warning) for NaN columns."""
    out = np.full((samples.shape[1], 2), np.nan)
    there = ~np.isnan(samples).all(axis=0)
    out[there] = np.nanquantile(samples[:, there], ends, axis=0).T
    return out
