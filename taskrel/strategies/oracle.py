"""The task-agnostic oracle: the best single order of models in hindsight."""

from __future__ import annotations

from taskrel.strategies.ranking import descending
from taskrel.strategies.view import TaskView
from taskrel.types import Pick


def oracle(view: TaskView, seed: int = 0) -> list[Pick]:
    """The pool by descending mean fine-tuned accuracy over all tasks, the target included.

    An impractical reference: it knows the outcome of every fine-tuning, but must choose one order
    for all tasks.

    Args:
        view: the task; its `accuracies` must be given. Models without one come last.
        seed: unused.

    Returns:
        Every candidate once; the cost is unknown.

    Source:
        "Which Model to Transfer?", CVPR 2022, section 3 and Appendix G.
    """
    del seed
    accuracies = view.accuracies or {}
    return descending(view, accuracies, name="oracle", evidence="mean accuracy", seconds={})
