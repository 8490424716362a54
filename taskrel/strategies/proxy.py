"""Task-aware search: the highest score of any one proxy."""

from __future__ import annotations

from taskrel.strategies.ranking import Ranking, descending
from taskrel.strategies.view import TaskView
from taskrel.types import Pick


def by_proxy(proxy: str) -> Ranking:
    """The ranking of the pool by descending score of one proxy; missing scores come last.

    Args:
        proxy: key of `TaskView.scores`.

    Returns:
        A ranking function; each pick costs what its own score cost.

    Source:
        "Which Model to Transfer?", CVPR 2022, section 3 (task-aware search).
    """

    def rank(view: TaskView, seed: int = 0) -> list[Pick]:
        del seed
        seconds = view.score_seconds.get(proxy, {})
        return descending(view, view.scores[proxy], name=proxy, evidence="", seconds=seconds)

    return rank
