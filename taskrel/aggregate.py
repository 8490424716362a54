"""Scores that only exist within a zoo: combinations of proxies over all models of one task.

A new model in the zoo changes the score of every other one; compare nothing across zoos or tasks. Knows no features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Column = Sequence[float | None]
Columns = Mapping[str, Column]

# Different views of a task, all cheap, with no hyper-parameter to tune and comparable over models of different d:
# evidence, covariance, neighbours, regression and generative posterior. None is part of another.
DIVERSE = ("logme", "shrinkage_hscore", "knn_loo", "ridge", "lda")


@dataclass(frozen=True)
class Combined:
    """A score of models from several proxies' scores of all models of one task; higher is better.

    Args:
        name: key in tables and configurations.
        parts: names of the proxies it reads, or of those read where the caller names none.
        combine: from a column of scores per part, one entry per model, to one score per model; None where a part is
            missing.
        citation: where it comes from.
        summary: one line on what the number is.
    """

    name: str
    parts: tuple[str, ...]
    combine: Callable[[Columns], list[float | None]]
    citation: str
    summary: str


def combine(name: str, columns: Columns) -> list[float | None]:
    """The combined score of every model of one task.

    Args:
        name: a key of `COMBINED`.
        columns: proxy -> scores of the models, in one order, higher is better, None where missing. Others than the
            parts are ignored.

    Returns:
        One score per model, None for a model without all parts; the others are scored as if it were not in the zoo.

    Raises:
        ValueError: an unknown name, a part without a column, columns of different lengths, a number that is not finite.
    """
    if name not in COMBINED:
        raise ValueError(f"name must be one of {', '.join(COMBINED)}, got {name!r}")
    entry = COMBINED[name]
    absent = [part for part in entry.parts if part not in columns]
    if absent:
        raise ValueError(f"{name} needs the scores of {', '.join(entry.parts)}, got none of {', '.join(absent)}")
    return entry.combine({part: columns[part] for part in entry.parts})


def rank_mean(columns: Columns) -> list[float | None]:
    """Minus the mean rank of each model over proxies, 1 for the best.

    Equal scores share the mean of their ranks; so a proxy that cannot tell models apart does not move them.

    Args:
        columns: proxy -> scores of the models; at least one proxy.

    Returns:
        In [-M, -1] for M models with all parts; None for the others.
    """
    return _over_complete(columns, lambda table: -np.mean([_ranks(-column) for column in table], axis=0))


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, smallest first; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: Floats = (last - (counts - 1) / 2)[place]
    return ranks


def _scaled_sum(**weights: float) -> Callable[[Columns], list[float | None]]:
    """Weighted sum of columns scaled to [0, 1] over the zoo; a constant column adds 0 to every model."""

    def summed(table: Floats) -> Floats:
        low, high = table.min(axis=1, keepdims=True), table.max(axis=1, keepdims=True)
        # Halves first: the range of finite numbers need not be finite.
        spread = high / 2 - low / 2
        scaled = (table / 2 - low / 2) / np.where(spread > 0, spread, 1.0)
        found: Floats = np.array(list(weights.values())) @ scaled
        return found

    return lambda columns: _over_complete({part: columns[part] for part in weights}, summed)


def _over_complete(columns: Columns, of: Callable[[Floats], Floats]) -> list[float | None]:
    """Apply `of` ([proxies, models] -> [models]) to the models without a gap; None for the others."""
    if not columns:
        raise ValueError("columns must hold at least one proxy, got none")
    if len({len(column) for column in columns.values()}) > 1:
        lengths = {name: len(column) for name, column in columns.items()}
        raise ValueError(f"columns must be of one length, one entry per model, got {lengths}")
    table = np.array([[np.nan if v is None else v for v in column] for column in columns.values()], dtype=np.float64)
    given = np.array([[v is not None for v in column] for column in columns.values()], dtype=bool)
    if not np.isfinite(table[given]).all():
        raise ValueError("columns must be finite, with None where a score is missing, got NaN or infinite entries")
    complete = given.all(axis=0)
    scores: list[float | None] = [None] * table.shape[1]
    if complete.any():
        for model, value in zip(np.flatnonzero(complete).tolist(), of(table[:, complete]).tolist(), strict=True):
            scores[model] = value
    return scores


_TABLE = (
    Combined(
        name="ncti",
        parts=("ncti_ncc", "ncti_seli", "ncti_vc"),
        # ncti_vc is already negated, so that all three are better when higher.
        combine=_scaled_sum(ncti_ncc=1.0, ncti_seli=1.0, ncti_vc=1.0),
        citation="Wang et al., How far pre-trained models are from neural collapse (NCTI), ICCV 2023",
        summary="sum of the three neural-collapse terms, each scaled to [0, 1] over the zoo",
    ),
    Combined(
        name="etran",
        parts=("energy", "ncc"),
        combine=_scaled_sum(energy=0.15, ncc=0.85),
        citation="Gholami et al., ETran, ICCV 2023 (whose code takes the energy with share 0.005)",
        summary="0.15 energy + 0.85 nearest-centre posterior, each scaled to [0, 1] over the zoo",
    ),
    Combined(
        name="rank_mean",
        parts=DIVERSE,
        combine=rank_mean,
        citation="Borda's rule",
        summary="minus the mean rank over five proxies that look at a task differently",
    ),
)

COMBINED: Mapping[str, Combined] = MappingProxyType({entry.name: entry for entry in _TABLE})
