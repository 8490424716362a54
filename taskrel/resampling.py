"""How sure a score and a rank are: bootstrap over examples, from each example's influence. Nothing is computed again.

A resample of the examples is a vector of multiplicities, and to first order a score moves by their product with the
influences (`taskrel.types.Score.influence`): all resamples of all models are one matrix product. The same
multiplicities serve all models of a task, which see the same examples, so that replicates are paired and ranks can be
counted in them. Knows no proxy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from taskrel.types import Score

Floats = npt.NDArray[np.float64]


@lru_cache(maxsize=4)
def multiplicities(examples: int, samples: int = 200, seed: int = 0) -> Floats:
    """[S, n] how often each example is in each resample: n draws with replacement. Read-only: callers share it.

    Args:
        examples: n, at least 1.
        samples: S, at least 1.
        seed: non-negative; the same for all models that are to be compared.

    Raises:
        ValueError: examples or samples below 1.
    """
    if examples < 1 or samples < 1:
        raise ValueError(f"examples and samples must be at least 1, got {examples} and {samples}")
    rng = np.random.default_rng((seed, examples))
    times = rng.multinomial(examples, np.full(examples, 1 / examples), size=samples).astype(np.float64)
    times.flags.writeable = False
    return times


def replicates(score: Score, times: Floats, within: tuple[float, float] = (-np.inf, np.inf)) -> Floats | None:
    """[S] the score in each resample, to first order; None for a score without influences.

    Args:
        score: with one influence per example.
        times: [S, n] of `multiplicities`.
        within: (lowest, highest) possible score; a linear step beyond it stops there.

    Raises:
        ValueError: the resamples are of another number of examples.
    """
    if score.influence is None:
        return None
    if times.ndim != 2 or times.shape[1] != len(score.influence):
        raise ValueError(f"times must be [S, {len(score.influence)}], got shape {times.shape}")
    moved = (times - 1) @ np.asarray(score.influence, dtype=np.float64) / times.shape[1]
    return np.clip(score.value + moved, *within)


def interval(replicated: Floats | None, level: float = 0.95) -> tuple[float, float] | None:
    """The central percentile interval of replicates; None where there are none.

    Raises:
        ValueError: level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    if replicated is None:
        return None
    low, high = np.quantile(replicated, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where each of M models stands in a ranking, 1 best, and how sure that is.

    Args:
        rank: [M] by the scores themselves; equal scores share their mean rank.
        low: [M] lower end of the interval of the rank over resamples.
        high: [M] upper end.
        top: [M] share of the resamples in which the model is first, ties shared; sums to 1.
    """

    rank: Floats
    low: Floats
    high: Floats
    top: Floats


def ranks(values: npt.ArrayLike, replicated: npt.ArrayLike, level: float = 0.95) -> Ranks:
    """The ranking of the models of one task, with intervals from paired replicates.

    Args:
        values: [M] scores, finite.
        replicated: [M, S] their replicates under the same resamples.
        level: share of the resamples inside an interval.

    Raises:
        ValueError: shapes do not fit, or level outside (0, 1).
    """
    scores, drawn = np.asarray(values, dtype=np.float64), np.asarray(replicated, dtype=np.float64)
    if scores.ndim != 1 or drawn.ndim != 2 or len(drawn) != len(scores) or not drawn.size:
        raise ValueError(f"values must be [M] and replicated [M, S], got shapes {scores.shape} and {drawn.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    resampled = _mean_ranks(drawn)
    low, high = np.quantile(resampled, ((1 - level) / 2, (1 + level) / 2), axis=1)
    first = drawn == drawn.max(axis=0)
    return Ranks(_mean_ranks(scores[:, None])[:, 0], low, high, (first / first.sum(axis=0)).mean(axis=1))


def _mean_ranks(scores: Floats) -> Floats:
    """[M, S] rank of each model in each column, 1 for the highest, equal ones sharing their mean rank."""
    higher = (scores[None, :, :] > scores[:, None, :]).sum(axis=1)
    equal = (scores[None, :, :] == scores[:, None, :]).sum(axis=1)
    return higher + (equal + 1) / 2
