"""Does a proxy rank models as fine-tuning does? Rank and linear correlation per task.

Perfect rank correlation implies zero regret, not the reverse; report both and optimise regret. An
undefined correlation is None with a reason, never NaN. Knows nothing of tables or names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats, Floats], float]


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
