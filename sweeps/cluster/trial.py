"""What runs in Tune's trial processes. Imports neither torch nor models: such a process must start at once."""

from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError

from sweeps.types import Job, Point


def trainable(config: dict[str, Any]) -> None:
    """Tune's trial: from evaluation to evaluation on the worker that the search gave it."""
    job: Job = config["job"]
    while True:
        try:
            step = ray.get(config["worker"].advance.remote(job, config["attempt"]))
        except RayError as fault:
            tune.report({"fault": fault, "val_accuracy": None})
            return
        accuracy = step.val_accuracy if isinstance(step, Point) else None
        tune.report({"step_result": step, "val_accuracy": accuracy})
        if not isinstance(step, Point):
            return
