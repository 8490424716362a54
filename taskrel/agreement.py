"""Does a score order the models, over several tasks: mean correlations with intervals, for tables of any size.

The cheap sibling of `taskrel.evaluation`: one number per cell, and only the tasks are drawn again. Knows no names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from taskrel.bootstrap import percentiles
from taskrel.correlation import STATISTICS, Correlation, correlation, noise_floor


@dataclass(frozen=True)
class Agreement:
    """One score against accuracy, over the tasks on which at least two models have both.

    Args:
        each: statistic -> its correlation on every task, None with a reason where undefined.
        mean: statistic -> mean over tasks; a task whose scores are constant says nothing and counts 0 (see `flat`).
        ends: statistic -> interval of the mean over resampled tasks, None for fewer than two.
        tasks: on how many the mean is.
        flat: on how many of those the scores are constant.
        floor: what the magnitude of the mean weighted tau of random scores exceeds in 5 percent of the draws, by the
            normal law of a mean; None without a task.
    """

    each: dict[str, tuple[Correlation, ...]]
    mean: dict[str, float | None]
    ends: dict[str, tuple[float, float] | None]
    tasks: int
    flat: int
    floor: float | None


def agreement(scores: npt.ArrayLike, accuracy: npt.ArrayLike, *, samples: int = 1000, level: float = 0.95,
              seed: int = 0) -> Agreement:  # fmt: skip
    """How well one score orders the models of several tasks.

    Args:
        scores: [T, M], higher is better, NaN where missing.
        accuracy: [T, M] mean accuracies, NaN where missing.
        samples: resamples of the tasks.
        level: share of them inside an interval, in (0, 1).
        seed: non-negative.

    Raises:
        ValueError: shapes differ, or an infinite number.
    """
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"scores and accuracy must be [task, model] of one shape, got {x.shape} and {y.shape}")
    each = {name: tuple(correlation(a, b, name) for a, b in zip(x, y, strict=True)) for name in STATISTICS}
    constant = np.array([one.reason == "constant scores" for one in each["weighted_tau"]], dtype=bool)
    mean: dict[str, float | None] = {}
    ends: dict[str, tuple[float, float] | None] = {}
    for name, found in each.items():
        values = np.array([np.nan if one.value is None else one.value for one in found])
        known = np.where(constant, 0.0, values)[~np.isnan(values) | constant]
        mean[name] = float(known.mean()) if len(known) else None
        ends[name] = _ends(known, samples, level, seed)
    judged = [one.models for one, flat in zip(each["weighted_tau"], constant, strict=True)
              if one.value is not None or flat]  # fmt: skip
    return Agreement(each, mean, ends, len(judged), int(constant.sum()), _floor(tuple(judged)) if judged else None)


def _ends(values: npt.NDArray[np.float64], samples: int, level: float, seed: int) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(values), size=(samples, len(values)))
    low, high = percentiles(values[drawn].mean(axis=1), level).tolist()
    return low, high


def _floor(models: tuple[int, ...]) -> float:
    """For one task the simulated percentile, for several 1.96 standard deviations of the mean."""
    if len(models) == 1:
        return _simulated(models[0])[1]
    return 1.96 * math.sqrt(sum(_simulated(size)[0] ** 2 for size in models)) / len(models)


@lru_cache(maxsize=4096)
def _simulated(models: int) -> tuple[float, float]:
    # Sizes that differ by a twentieth have floors that differ by a fortieth: one simulation serves them.
    size = models if models < 40 else round(math.exp(round(math.log(models) * 20) / 20))
    (floor,) = noise_floor([size], samples=2000 if size <= 100 else 400 if size <= 2000 else 100)
    return floor.sd, floor.high
