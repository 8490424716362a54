"""How many models must be fine-tuned until the best one is among them: rows for replays and reports."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sweeps.types import Row
from taskrel.panel import CHANCE, share_at_zero
from taskrel.regret import Ties, budget_to_zero

Floats = npt.NDArray[np.float64]
TIES: tuple[Ties, ...] = ("optimistic", "expected", "pessimistic")
_EACH = 100  # budgets up to which the share of solved tasks is told for every one


def budgets(pool: str, tasks: Sequence[str], means: Floats, orders: Mapping[str, Floats]) -> list[Row]:
    """A row per strategy and task: the place of the first best model in its order, by where ties put it.

    Args:
        pool: its name.
        tasks: T names.
        means: [T, M] accuracies, NaN for models that are not there.
        orders: strategy -> [T, M] or [M] numbers, the highest is picked first.
    """
    rows = []
    for name, column in orders.items():
        scores = np.broadcast_to(column, means.shape)
        found = [budget_to_zero(scores, means[:, :, None], ties) for ties in TIES]
        for t in np.flatnonzero(_judgeable(scores, means)).tolist():
            each: Row = {ties: float(values[t]) for ties, values in zip(TIES, found, strict=True)}
            rows.append({"pool": pool, "task": tasks[t], "strategy": name} | each)
    return rows


def solved(pool: str, means: Floats, orders: Mapping[str, Floats], least: Mapping[str, int]) -> list[Row]:
    """A row per strategy and budget: the share of tasks on which the first picks hold a best model; random draws last.

    Every budget up to 100, then ever wider steps.

    Args:
        pool: its name.
        means: [T, M] accuracies, NaN for models that are not there.
        orders: as for :func:`budgets`.
        least: strategy -> the smallest budget at which it is defined, if that is not 1.
    """
    size = means.shape[1]
    wide = np.unique(np.geomspace(1, size, 100).round().astype(int))
    takes = np.unique([*range(1, min(size, _EACH) + 1), *wide])
    rows: list[Row] = []
    for name, column in {**orders, CHANCE: np.zeros(size)}.items():
        scores = np.broadcast_to(column, means.shape)
        judged = _judgeable(scores, means)
        curves = {ties: share_at_zero(scores[judged], means[judged], "expected" if name == CHANCE else ties)
                  for ties in TIES}  # fmt: skip
        rows += [{"pool": pool, "strategy": name, "budget": int(budget), "tasks": int(judged.sum()),
                  **{ties: None if np.isnan(curve[budget - 1]) else float(curve[budget - 1])
                     for ties, curve in curves.items()}}
                 for budget in takes if budget >= least.get(name, 1)]  # fmt: skip
    return rows


def _judgeable(scores: Floats, means: Floats) -> npt.NDArray[np.bool_]:
    """[T] whether any model that is there has a score."""
    return np.asarray((~np.isnan(means) & ~np.isnan(scores)).any(axis=1))
