"""``early``: the early-stopping proxy. A few steps of the fine-tuning itself, judged on validation.

The median over repeats of the better learning rate's validation accuracy after ``steps`` steps at a constant rate, from
a zero-started head, as in the study ("Which Model to Transfer?", CVPR 2022: 10 steps, median of 5). It costs training,
so it is a job of its own and not a function of features.
"""

import json
from statistics import median
from typing import Any

from sweeps.jobs.context import Context
from sweeps.jobs.finetune import Diverged, FineTuning
from sweeps.settings import EARLY as NAME
from sweeps.types import Job, Row


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """One row of ``scores``; null when every run diverges in every repeat."""
    settings = job.settings
    row: Row = {"job": job.id, "model": job.model.name, "task": job.task.name, "proxy": NAME, "seed": settings["seed"],
                "values": [], "replicates": []}  # fmt: skip
    best: list[float] = []
    chosen: dict[float, int] = {}
    for repeat in range(settings["repeats"]):
        reached = {rate: _accuracy(job, context, rate, repeat) for rate in settings["learning_rates"]}
        alive = {rate: accuracy for rate, accuracy in reached.items() if accuracy is not None}
        if alive:
            rate = max(alive, key=lambda one: alive[one])
            chosen[rate] = chosen.get(rate, 0) + 1
            best.append(alive[rate])
    if not best:
        rates = ", ".join(f"{rate:g}" for rate in settings["learning_rates"])
        return {
            "scores": [
                row | {"value": None, "reason": f"{NAME} needs a run that does not diverge, got none at {rates}"}
            ]
        }
    detail: dict[str, Any] = {"learning_rate": max(chosen, key=lambda rate: chosen[rate]), "steps": settings["steps"]}
    return {"scores": [row | {"value": median(best), "values": best, "detail": json.dumps(detail, sort_keys=True)}]}


def _accuracy(job: Job, context: Context, rate: float, repeat: int) -> float | None:
    """Validation accuracy after the steps, or None when the run diverged."""
    settings = dict(job.settings) | {
        "learning_rate": rate, "seed": 1000 * job.settings["seed"] + repeat, "schedule": "constant", "evaluations": 1,
    }  # fmt: skip
    loaded = context.model(job.model, classes=len(job.task.classes), settings=settings)
    try:
        return [point.val_accuracy for point in FineTuning(context, loaded, job.task, settings).points()][-1]
    except Diverged:
        return None
