"""Search by what was best elsewhere: on the nearest other task (Task2Vec), or on all other tasks."""

from __future__ import annotations

from statistics import fmean

from taskrel.strategies.agnostic import agnostic
from taskrel.strategies.ranking import descending
from taskrel.strategies.view import Column, TaskView
from taskrel.types import Pick


def task2vec(view: TaskView, seed: int = 0) -> list[Pick]:
    """The pool by descending fine-tuned accuracy on the nearest other task.

    Models that were never fine-tuned there follow by the next nearest task that knows any of them, and so on; those
    fine-tuned nowhere come last. Tasks at equal distance are taken by name, and the reason says that they were tied.
    Without any other task this is task-agnostic search, and the reasons say so.

    Args:
        view: the task; its `neighbours` and `elsewhere` must be given.
        seed: unused.

    Returns:
        Every candidate once; each costs `score_seconds["task2vec"]`, unknown where absent.

    Source:
        Achille et al., Task2Vec, ICCV 2019; "Which Model to Transfer?", CVPR 2022, section 5 (leave one task out).
    """
    distances, known = view.neighbours or {}, view.elsewhere or {}
    near = sorted((distance, task) for task, distance in distances.items() if task in known)
    left = {candidate.model for candidate in view.candidates}
    seconds = view.score_seconds.get("task2vec", {})
    picks: list[Pick] = []
    for distance, task in near:
        there = {model: known[task][model] for model in left if known[task].get(model) is not None}
        tied = sum(other == distance for other, _ in near)
        ties = f", {tied} tasks tied" if tied > 1 else ""
        evidence = f"on {task!r} (distance {distance:.3g}{ties})"
        picks += _among(view, there, evidence, seconds, len(picks))
        left -= set(there)
    if not picks:
        return [_instead(pick, "task2vec", "no other task is known") for pick in agnostic(view, seed)]
    return picks + _among(view, dict.fromkeys(left), "accuracy elsewhere", seconds, len(picks))


def _among(view: TaskView, column: Column, evidence: str, seconds: Column, before: int) -> list[Pick]:
    """The candidates of a column by descending number, their places counted on from those before."""
    members = tuple(candidate for candidate in view.candidates if candidate.model in column)
    if not members:
        return []
    part = TaskView(view.task, members)
    return descending(part, column, name="task2vec", evidence=evidence, seconds=seconds, start=before + 1)


def _instead(pick: Pick, name: str, why: str) -> Pick:
    return Pick(pick.model, f"{name}: {why}, so {pick.reason}", pick.cost_seconds, pick.tied)


def oracle_elsewhere(view: TaskView, seed: int = 0) -> list[Pick]:
    """The pool by descending mean fine-tuned accuracy over the other tasks, the target left out.

    The fair variant of the task-agnostic oracle. Accuracies are taken relative to the mean of the pool's models
    measured on each task, so that a model missing on a hard task gains nothing by it; where nothing is missing the
    order is that of the mean accuracy.

    Args:
        view: the task; its `elsewhere` must be given. Models without any accuracy come last.
        seed: unused.

    Returns:
        Every candidate once; the cost is unknown.

    Source:
        spec/model_search.md section 3 (a recommendation of that document).
    """
    del seed
    models = [candidate.model for candidate in view.candidates]
    leads: dict[str, list[float]] = {model: [] for model in models}
    for column in (view.elsewhere or {}).values():
        known = {model: value for model in models if (value := column.get(model)) is not None}
        middle = fmean(known.values()) if known else 0.0
        for model, value in known.items():
            leads[model].append(value - middle)
    means: Column = {model: fmean(own) if own else None for model, own in leads.items()}
    return descending(view, means, name="oracle_elsewhere", evidence="mean lead elsewhere", seconds={})
