"""Is one strategy better than another on the same tasks, or lucky? Paired tests of per-task regret.

The tasks are what varies: both strategies are compared task by task, so that easy and hard tasks cancel. Knows no
strategy and no table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskrel.bootstrap import percentiles
from taskrel.regret import Counts, Floats

EXACT = 20  # tasks that differ, up to which all sign flips are enumerated
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Paired:
    """K strategies against one reference, over the tasks on which both have a regret.

    Args:
        tasks: [K] number of such tasks.
        wins: [K] tasks on which the strategy has the lower regret.
        losses: [K] tasks on which it has the higher.
        difference: [K] mean difference of regret, strategy - reference: negative is better; NaN without a task.
        ends: [K, 2] interval of it over resampled tasks; NaN for fewer than 2 tasks.
        p_value: [K] two-sided, of a sign-flip permutation test of the mean difference; 1 where nothing differs.
        adjusted: [K] the p-values by Holm's rule for K comparisons at once.
        exact: [K] whether all sign flips were enumerated.
    """

    tasks: Counts
    wins: Counts
    losses: Counts
    difference: Floats
    ends: Floats
    p_value: Floats
    adjusted: Floats
    exact: npt.NDArray[np.bool_]


def paired(regrets: npt.ArrayLike, reference: npt.ArrayLike, *, samples: int = 10_000, level: float = 0.95,
           seed: int = 0) -> Paired:  # fmt: skip
    """Compare strategies with a reference.

    A reference that was chosen because it is the best of these strategies makes all differences look larger than they
    are: choose it beforehand, or read the p-values as descriptions.

    Args:
        regrets: [K, T] regret (relative or absolute) per task, NaN where a strategy has none.
        reference: [T] that of the strategy they are compared with.
        samples: resamples of tasks, and random sign flips where they are not enumerated.
        level: share of the resamples inside an interval, in (0, 1).
        seed: non-negative.

    Raises:
        ValueError: shapes do not fit, or samples or level out of range.
    """
    found, base = np.asarray(regrets, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if found.ndim != 2 or base.shape != found.shape[1:]:
        raise ValueError(f"regrets must be [K, T] and reference [T], got shapes {found.shape} and {base.shape}")
    if samples < 1 or not 0 < level < 1:
        raise ValueError(f"samples must be at least 1 and level in (0, 1), got {samples} and {level}")
    differences = found - base
    there = ~np.isnan(differences)
    known = np.where(there, differences, 0)
    tasks = there.sum(axis=1)
    p_value = sign_flip(differences, samples=samples, seed=seed)
    return Paired(
        tasks=tasks,
        wins=(known < 0).sum(axis=1),
        losses=(known > 0).sum(axis=1),
        difference=np.where(tasks > 0, known.sum(axis=1) / np.maximum(tasks, 1), np.nan),
        ends=_ends(known, there, samples, level, seed),
        p_value=p_value,
        adjusted=holm(p_value),
        exact=(known != 0).sum(axis=1) <= EXACT,
    )


def _ends(known: Floats, there: npt.NDArray[np.bool_], samples: int, level: float, seed: int) -> Floats:
    """[K, 2] interval of the mean over tasks drawn again; all strategies see the same draws."""
    tasks = known.shape[1]
    ends = np.full((len(known), 2), np.nan)
    several = there.sum(axis=1) > 1
    if not several.any():
        return ends
    times = np.random.default_rng(seed).multinomial(tasks, np.full(tasks, 1 / tasks), size=samples).T.astype(np.float64)
    count = there[several].astype(np.float64) @ times
    means = np.where(count > 0, known[several] @ times / np.maximum(count, 1), np.nan)
    ends[several] = percentiles(means, level)
    return ends


def sign_flip(differences: npt.ArrayLike, *, samples: int = 10_000, seed: int = 0) -> Floats:
    """[K] two-sided p-value of the mean of paired differences, if each could as well have had the other sign.

    Up to `EXACT` tasks that differ, all sign flips are enumerated (tasks without a difference change nothing); beyond,
    random flips are drawn and the measured signs counted as one of them, so that p is never 0.

    Args:
        differences: [K, T] or [T], NaN where there is none.
        samples: random flips.
        seed: non-negative.

    Returns:
        In (0, 1]; 1 where nothing differs. The smallest possible is 2 / 2^n for n tasks that differ.

    Source:
        Fisher's randomisation test; Phipson and Smyth 2010 for the random flips.
    """
    rows = np.atleast_2d(np.nan_to_num(np.asarray(differences, dtype=np.float64)))
    out = np.ones(len(rows))
    numbers = (rows != 0).sum(axis=1)
    for number in np.unique(numbers[(numbers > 0) & (numbers <= EXACT)]):
        some = np.flatnonzero(numbers == number)
        for part in np.array_split(some, -(-len(some) * 2 ** (number - 1) // 2**23)):
            out[part] = _exact(rows[part][rows[part] != 0].reshape(len(part), number))
    many = numbers > EXACT
    if many.any():
        signs = np.random.default_rng(seed).integers(0, 2, size=(rows.shape[1], samples)) * 2.0 - 1
        reached = _as_large(np.abs(rows[many] @ signs), rows[many])
        out[many] = (1 + reached) / (1 + samples)
    return out


def _exact(rows: Floats) -> Floats:
    """Share of all sign flips whose sum is as large; the first sign is fixed, as flipping all changes no magnitude."""
    sums = rows[:, :1]
    for column in rows[:, 1:].T:
        sums = np.hstack([sums + column[:, None], sums - column[:, None]])
    shares: Floats = _as_large(np.abs(sums), rows) / sums.shape[1]
    return shares


def _as_large(sums: Floats, rows: Floats) -> Counts:
    """How many sums are at least the one of the rows, up to the rounding of sums taken in another order."""
    measured = np.abs(rows.sum(axis=1)) - _ROUNDING * np.abs(rows).sum(axis=1)
    counts: Counts = (sums >= measured[:, None]).sum(axis=1)
    return counts


def holm(p_values: npt.ArrayLike) -> Floats:
    """P-values of K tests made at once, so that the chance of any false alarm stays below the threshold; NaN stays.

    Args:
        p_values: [K].

    Source:
        Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    values = np.asarray(p_values, dtype=np.float64)
    there = ~np.isnan(values)
    order = np.argsort(values[there], kind="stable")
    ordered = values[there][order] * np.arange(len(order), 0, -1)
    known = np.empty(len(order))
    known[order] = np.minimum(np.maximum.accumulate(ordered), 1)
    out = np.full(len(values), np.nan)
    out[there] = known
    return out
