"""Rows of the ``runs`` table. No torch: a search's driver uses it too."""

from dataclasses import asdict

from sweeps.types import Job, Point, Row


def run_row(job: Job) -> Row:
    """The columns of ``runs`` that the job itself determines."""
    settings = job.settings
    return {
        "job": job.id, "model": job.model.name, "task": job.task.name, "origin": settings["origin"],
        "search": settings.get("search"), "trial": settings.get("trial"), "learning_rate": settings["learning_rate"],
        "repeat": settings["repeat"], "seed": settings["seed"], "batch": settings["batch"], "steps": settings["steps"],
    }  # fmt: skip


def ended(points: list[Point], test_accuracy: float | None) -> Row:
    """The measured columns of a run that went through; without a test accuracy where its checkpoint is judged."""
    return _measured(points, "ok") | {"val_accuracy": points[-1].val_accuracy, "test_accuracy": test_accuracy}


def reached(points: list[Point], steps: int, note: str | None) -> Row:
    """The measured columns of a run that stands at its last point: no test accuracy, whether or not there is more."""
    done = points[-1].step >= steps
    reason = note or (None if done else f"halving: {points[-1].step} of {steps} steps so far")
    return _measured(points, "ok" if done else "stopped") | {"val_accuracy": points[-1].val_accuracy, "reason": reason}


def stopped(points: list[Point]) -> Row:
    """The measured columns of a run that a search stopped early: its validation accuracy so far, no test accuracy."""
    return _measured(points, "stopped") | {"val_accuracy": points[-1].val_accuracy, "reason": "stopped early by ASHA"}


def unfit(reason: str) -> Row:
    """The measured columns of a head that does not fit its model."""
    return _measured([], "unfit") | {"reason": reason}


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
