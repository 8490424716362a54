"""Rows of the ``runs`` table, and when a fine-tuning looks at validation. No torch: a search's driver uses it too."""

from dataclasses import asdict

from sweeps.types import Job, Point, Row


def evaluation_steps(steps: int, evaluations: int) -> list[int]:
    """After how many steps to look at the validation split: the end, half of it, a quarter, ... in rising order.

    Halvings, because they are the rungs at which successive halving (ASHA, reduction factor 2) compares trials.
    """
    return sorted({steps >> halvings for halvings in range(evaluations)} - {0})


def run_row(job: Job) -> Row:
    """The columns of ``runs`` that the job itself determines."""
    settings = job.settings
    return {
        "job": job.id, "model": job.model.name, "task": job.task.name, "origin": settings["origin"],
        "search": settings.get("search"), "trial": settings.get("trial"), "learning_rate": settings["learning_rate"],
        "repeat": settings["repeat"], "seed": settings["seed"], "batch": settings["batch"], "steps": settings["steps"],
    }  # fmt: skip


def ended(points: list[Point], test_accuracy: float) -> Row:
    """The measured columns of a run that went through."""
    return _measured(points, "ok") | {"val_accuracy": points[-1].val_accuracy, "test_accuracy": test_accuracy}


def stopped(points: list[Point]) -> Row:
    """The measured columns of a run that a search stopped early: its validation accuracy so far, no test accuracy."""
    return _measured(points, "stopped") | {"val_accuracy": points[-1].val_accuracy, "reason": "stopped early by ASHA"}


def diverged(points: list[Point], reason: str) -> Row:
    """The measured columns of a run whose loss is no longer finite."""
    return _measured(points, "diverged") | {"reason": reason}


def _measured(points: list[Point], status: str) -> Row:
    return {
        "status": status,
        "reason": None,
        "val_accuracy": None,
        "test_accuracy": None,
        "steps_done": points[-1].step if points else 0,
        "curve": [asdict(point) for point in points],
    }
