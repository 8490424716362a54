"""Which setting of a score to use on a task: the one that loses least on the *other* tasks. Knows no setting."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from taskrel.regret import Counts, Floats, error_removed, nanmean


def elsewhere(scores: npt.ArrayLike, means: npt.ArrayLike) -> Counts:
    """[T] number of the setting whose best-scored models lose least on the other tasks; of equals the first.

    Args:
        scores: [S, T, M] of S settings, higher is better, NaN where there is none.
        means: [T, M] accuracies as fractions, NaN where there is none.

    Returns:
        0 to S - 1, or -1 where no other task has both.

    Raises:
        ValueError: shapes do not fit.
    """
    table, reached = np.asarray(scores, dtype=np.float64), np.asarray(means, dtype=np.float64)
    if table.ndim != 3 or reached.shape != table.shape[1:]:
        raise ValueError(f"scores must be [S, T, M] and means [T, M], got shapes {table.shape} and {reached.shape}")
    losses = lost(table, reached)
    known = ~np.isnan(losses)
    sums, counts = np.where(known, losses, 0).sum(axis=1, keepdims=True), known.sum(axis=1, keepdims=True)
    others = counts - known
    rest = np.where(others > 0, (sums - np.where(known, losses, 0)) / np.maximum(others, 1), np.inf)
    # Sums of the same numbers in another order are not the same numbers.
    rest = np.round(rest, 12)
    return np.where(np.isfinite(rest).any(axis=0), rest.argmin(axis=0), -1)


def lost(scores: npt.ArrayLike, means: npt.ArrayLike) -> Floats:
    """[..., T] relative regret of fine-tuning the best-scored model; the mean over models of equal score.

    Args:
        scores: [..., T, M] higher is better, NaN where there is none.
        means: [T, M] accuracies, NaN where there is none: such models are left out.

    Returns:
        NaN where no model has both.
    """
    table, reached = np.broadcast_arrays(np.asarray(scores, dtype=np.float64), np.asarray(means, dtype=np.float64))
    both = ~np.isnan(table) & ~np.isnan(reached)
    keys = np.where(both, table, -np.inf)
    top = both & (keys == keys.max(axis=-1, keepdims=True))
    best = np.where(np.isnan(reached), -np.inf, reached).max(axis=-1, keepdims=True)
    losses = error_removed(np.broadcast_to(np.where(np.isinf(best), np.nan, best), reached.shape), reached)
    return nanmean(np.where(top, losses, np.nan))
