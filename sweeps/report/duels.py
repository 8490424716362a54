"""Is one strategy better than another, or lucky on these tasks? Rows of ``comparisons``; computes no formula itself.

All strategies are compared with the one that the answer follows, which is named before anything is measured; with a
budget too small for it, with the score that it reads.
"""

from collections.abc import Sequence

import numpy as np

from sweeps.report.regrets import CHANCE
from sweeps.report.selection import Views
from sweeps.types import Row
from taskrel.paired import Paired, paired
from taskrel.regret import delta


def comparisons(regret: Sequence[Row], views: Views, answer: str, *, samples: int, seed: int) -> list[Row]:
    """A row for each pool, budget and strategy that shares tasks with the reference.

    Args:
        regret: rows of ``regret``.
        views: what strategies read, and from which budget on they are defined.
        answer: the strategy of the answer.
        samples: resamples of tasks, and sign flips where they are too many to enumerate.
        seed: of both.
    """
    rows: list[Row] = []
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in regret:
        groups.setdefault((row["pool"], row["budget"]), []).append(row)
    for (pool, budget), found in groups.items():
        tasks = list(dict.fromkeys(row["task"] for row in found))
        cells = {(row["strategy"], row["task"]): row for row in found}
        names = list(dict.fromkeys(row["strategy"] for row in found if row["strategy"] != CHANCE))
        versus = next((name for name in (answer, *views.reads(answer)) if name in names), None)
        others = [name for name in names if name != versus]
        if versus is None or not others:
            continue
        columns = {name: np.array([_number(cells.get((name, task))) for task in tasks]) for name in names}
        judged = paired([columns[name] for name in others], columns[versus], samples=samples, seed=seed)
        rows += [_row(pool, budget, name, versus, judged, place, [cells.get((name, task)) for task in tasks],
                      [cells.get((versus, task)) for task in tasks])
                 for place, name in enumerate(others) if judged.tasks[place]]  # fmt: skip
    return rows


def _row(pool: str, budget: int, name: str, versus: str, found: Paired, place: int, own: Sequence[Row | None],
         other: Sequence[Row | None]) -> Row:  # fmt: skip
    both = [(one, two) for one, two in zip(own, other, strict=True) if one and two]
    leads = delta([one["value"] for one, _ in both], [two["value"] for _, two in both])
    gaps = [one["relative_regret"] - two["relative_regret"] for one, two in both]
    low, high = (None if np.isnan(end) else float(end) for end in found.ends[place])
    return {
        "pool": pool, "budget": budget, "strategy": name, "versus": versus, "tasks": int(found.tasks[place]),
        "difference": float(found.difference[place]), "low": low, "high": high, "mean_delta": float(leads.mean()),
        "wins": int(found.wins[place]), "losses": int(found.losses[place]),
        "p_value": float(found.p_value[place]), "p_holm": float(found.adjusted[place]),
        "on": [one["task"] for one, _ in both], "differences": gaps,
    }  # fmt: skip


def _number(row: Row | None) -> float:
    return np.nan if row is None or row["relative_regret"] is None else row["relative_regret"]
