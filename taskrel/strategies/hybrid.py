"""Hybrid search: one task-agnostic pick, the rest of the budget by a task-aware ranking."""

from __future__ import annotations

from dataclasses import replace

from taskrel.strategies.agnostic import agnostic
from taskrel.strategies.ranking import Ranking
from taskrel.strategies.view import TaskView
from taskrel.types import Pick


def hybrid(aware: Ranking) -> Ranking:
    """The ranking "top-1 task-agnostic, then task-aware among the remaining models".

    Places and ties of the task-aware picks count among the remaining models: if both rankings
    prefer the same model, the next task-aware one follows it, so that picks stay distinct.

    Args:
        aware: the task-aware ranking.

    Returns:
        A ranking function; defined as the paper's for budgets of at least 2.

    Source:
        "Which Model to Transfer?", CVPR 2022, section 3; the distinct picks are what its
        published bar for Expert/DTD shows (spec/model_search.md section 3).
    """

    def rank(view: TaskView, seed: int = 0) -> list[Pick]:
        first = agnostic(view, seed)[0]
        rest = tuple(c for c in view.candidates if c.model != first.model)
        return [first, *(aware(replace(view, candidates=rest), seed) if rest else ())]

    return rank
