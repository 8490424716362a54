"""Does a proxy rank models as fine-tuning does? Rank and linear correlation per task.

Perfect rank correlation implies zero regret, not the reverse; report both and optimise regret. An
undefined correlation is None with a reason, never NaN. Knows nothing of tables or names.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats, Floats], float]
_BLOCK = 1 << 22  # pairs of models held at once


@dataclass(frozen=True)
class Correlation:
    """A correlation over the models of one task.

    Args:
        value: in [-1, 1], higher means the proxy ranks better; None where undefined.
        models: how many models had both numbers.
        reason: why `value` is None, else None.
    """

    value: float | None
    models: int
    reason: str | None = None


def _pearson(x: Floats, y: Floats) -> float:
    # Scaled first: squares of differences below 1e-154 would vanish.
    with np.errstate(over="ignore", invalid="ignore"):
        x, y = x - x.mean(), y - y.mean()
        return float(np.corrcoef(x / np.abs(x).max(), y / np.abs(y).max())[0, 1])


def _spearman(x: Floats, y: Floats) -> float:
    return _pearson(stats.rankdata(x), stats.rankdata(y))


def _weighted_tau(x: Floats, y: Floats) -> float:
    return float(stats.weightedtau(x, y).statistic)


STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {"pearson": _pearson, "spearman": _spearman, "weighted_tau": _weighted_tau}
)


def correlation(scores: npt.ArrayLike, accuracy: npt.ArrayLike, statistic: str = "weighted_tau") -> Correlation:
    """How well scores agree with accuracies over the models of one task.

    Args:
        scores: [M], higher is better, NaN where missing.
        accuracy: [M], NaN where missing; models with either missing are left out.
        statistic: "pearson"; "spearman" (mid-ranks for ties); "weighted_tau" (Kendall's, weighted
            by 1/(1 + rank) and averaged over both rankings, so that the top counts most).

    Returns:
        The correlation; None for fewer than 2 models or a constant side.

    Raises:
        ValueError: shapes differ, an infinite number, or an unknown statistic.

    Source:
        scipy.stats.weightedtau with its defaults (Vigna 2015); spec/proxies.md section 7.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {sorted(STATISTICS)}, got {statistic!r}")
    x = np.asarray(scores, dtype=np.float64)
    y = np.asarray(accuracy, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"scores and accuracy must be vectors of one length, got shapes {x.shape}, {y.shape}")
    if np.isinf(x).any() or np.isinf(y).any():
        raise ValueError("scores and accuracy must be finite or NaN, got an infinity")
    both = ~(np.isnan(x) | np.isnan(y))
    x, y, models = x[both], y[both], int(both.sum())
    if models < 2:
        return Correlation(None, models, f"needs at least 2 models, got {models}")
    for side, numbers in (("scores", x), ("accuracies", y)):
        if numbers.min() == numbers.max():
            return Correlation(None, models, f"constant {side}")
    found = STATISTICS[statistic](x, y)
    if math.isnan(found):
        return Correlation(None, models, f"{statistic} overflows")
    return Correlation(min(1.0, max(-1.0, found)), models)


def correlations(
    scores: npt.ArrayLike, accuracy: npt.ArrayLike, statistic: str = "weighted_tau"
) -> tuple[Correlation, ...]:
    """`correlation` for each row (task) of two [T, M] arrays."""
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"scores and accuracy must be [task, model] of one shape, got {x.shape}, {y.shape}")
    return tuple(correlation(a, b, statistic) for a, b in zip(x, y, strict=True))


@dataclass(frozen=True)
class NoiseFloor:
    """What a proxy that knows nothing reaches by luck.

    Args:
        models: number of models ranked.
        sd: standard deviation of the statistic.
        high: the value its magnitude exceeds in 5 percent of the draws.
    """

    models: int
    sd: float
    high: float


def noise_floor(
    models: Sequence[int],
    statistic: str = "weighted_tau",
    *,
    samples: int = 2000,
    seed: int = 0,
) -> tuple[NoiseFloor, ...]:
    """Spread of a correlation between independent random scores and accuracies, by simulation.

    Args:
        models: pool sizes, each at least 2.
        statistic: see `correlation`.
        samples: draws per pool size; the standard deviation is then good to 1/sqrt(2 samples).
        seed: non-negative; each pool size has its own stream, whatever the others are.

    Returns:
        One entry per pool size.

    Raises:
        ValueError: a pool below 2 models, fewer than 2 samples, or an unknown statistic.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {sorted(STATISTICS)}, got {statistic!r}")
    if samples < 2:
        raise ValueError(f"samples must be at least 2, got {samples}")
    floors = []
    for size in models:
        if size < 2:
            raise ValueError(f"models must be at least 2, got {size}")
        draws = np.random.default_rng([seed, size]).standard_normal((samples, 2, size))
        found = np.array([STATISTICS[statistic](x, y) for x, y in draws])
        high = float(np.quantile(np.abs(found), 0.95))
        floors.append(NoiseFloor(size, float(found.std(ddof=1)), high))
    return tuple(floors)


@lru_cache(maxsize=256)
def mean_noise_floor(models: tuple[int, ...], samples: int = 2000, seed: int = 0) -> float:
    """What the magnitude of the mean weighted tau of random scores exceeds in 5 percent of the draws.

    Args:
        models: how many models each task ranks, each at least 2; the tasks are independent.
        samples: draws behind the percentile.
        seed: non-negative.

    Returns:
        In [0, 1]; falls with the root of the number of tasks.

    Raises:
        ValueError: no task, or one with fewer than 2 models.
    """
    if not models or min(models) < 2:
        raise ValueError(f"models must hold at least one number, each at least 2, got {models}")
    total = np.zeros(samples)
    for size, tasks in Counter(models).items():
        for task in range(tasks):
            total += _random_taus(size, task, samples, seed)
    return float(np.quantile(np.abs(total / len(models)), 0.95))


@lru_cache(maxsize=512)
def _random_taus(models: int, task: int, samples: int, seed: int) -> Floats:
    """[samples] weighted tau of independent random scores and accuracies."""
    scores, accuracy = np.random.default_rng([seed, models, task]).standard_normal((2, samples, models))
    return weighted_taus(scores, accuracy)


def weighted_taus(scores: npt.ArrayLike, accuracy: npt.ArrayLike) -> Floats:
    """[S] weighted tau of every row of two [S, M] arrays: `correlation` for the many rows of a bootstrap.

    Args:
        scores: [S, M], NaN where missing.
        accuracy: [S, M], NaN where missing; models with either missing are left out of their row.

    Returns:
        In [-1, 1]; NaN where either side is constant or fewer than 2 models are left.

    Source:
        Vigna, A weighted correlation index for rankings with ties, WWW 2015: all pairs at once in place of the sorted
        exchanges of scipy.stats.weightedtau, whose defaults it equals.
    """
    x, y = _rows(scores, accuracy)
    step = max(1, _BLOCK // max(1, x.shape[1] ** 2))
    blocks = [_pairwise_taus(x[start : start + step], y[start : start + step]) for start in range(0, len(x), step)]
    return np.concatenate(blocks) if blocks else np.empty(0)


def _rows(scores: npt.ArrayLike, accuracy: npt.ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"scores and accuracy must be [row, model] of one shape, got {x.shape}, {y.shape}")
    return x, y


def _pairwise_taus(x: Floats, y: Floats) -> Floats:
    there = ~(np.isnan(x) | np.isnan(y))
    both = there[:, :, None] & there[:, None, :]
    above_x, above_y = _signs(x, both), _signs(y, both)  # [S, M, M]: +1 where model i is above model j
    agree = (above_x * above_y).sum(axis=2)
    apart_x, apart_y = (above_x != 0).sum(axis=2), (above_y != 0).sum(axis=2)
    first = np.tri(x.shape[1], k=-1, dtype=bool)  # [i, j]: j stands before i, which decides between equals
    total = np.zeros(len(x))
    for one, other in ((above_x, above_y), (above_y, above_x)):
        ahead = ((one < 0) | ((one == 0) & ((other < 0) | ((other == 0) & first)))) & both
        weight = np.where(there, 1 / (1 + ahead.sum(axis=2)), 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            total += (weight * agree).sum(axis=1) / np.sqrt(
                (weight * apart_x).sum(axis=1) * (weight * apart_y).sum(axis=1)
            )
    return np.clip(total / 2, -1, 1)


def _signs(values: Floats, both: npt.NDArray[np.bool_]) -> npt.NDArray[np.int8]:
    with np.errstate(invalid="ignore"):
        above = values[:, :, None] > values[:, None, :]
    return (above.astype(np.int8) - above.transpose(0, 2, 1).astype(np.int8)) * both


def pearsons(scores: npt.ArrayLike, accuracy: npt.ArrayLike) -> Floats:
    """[S] Pearson correlation of every row of two [S, M] arrays, with the rules of `weighted_taus`."""
    x, y = _rows(scores, accuracy)
    there = ~(np.isnan(x) | np.isnan(y))
    x, y = _standardised(x, there), _standardised(y, there)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip((x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1)), -1, 1)


def _standardised(values: Floats, there: npt.NDArray[np.bool_]) -> Floats:
    """Centred, largest magnitude 1 (squares of tiny differences would vanish); all 0 where constant."""
    count = np.maximum(there.sum(axis=1, keepdims=True), 1)
    low = np.where(there, values, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    moved = np.where(there, values - np.where(np.isinf(low), 0, low), 0)  # a constant row is exactly 0
    moved = np.where(there, moved - moved.sum(axis=1, keepdims=True) / count, 0)
    scale = np.abs(moved).max(axis=1, keepdims=True, initial=0)
    return moved / np.where(scale == 0, 1, scale)
