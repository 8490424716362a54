"""``sift``: a look at the first part of a task's data, to see whether a model is worth a longer one.

Embeds what no earlier look has, and computes the proxies that the picking strategy reads; rows of ``sifted``.
"""

import time
from typing import Any

from sweeps.jobs.context import Context
from sweeps.jobs.embed import embed_job, feature_file, materialise, probes
from sweeps.jobs.score import on_device, proxy
from sweeps.types import Job, Row
from taskrel.types import CannotScore, Probe


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """One row per proxy; ``reused`` counts the examples whose features were there."""
    embedded = embed_job(job.model, job.task, job.settings["embed"])
    there = context.has(feature_file(embedded, context))  # a run that was killed left them
    reused = None if there else materialise(embedded, context)["reused"]
    splits = on_device(probes(embedded, context), context.device)
    row: Row = {"job": job.id, "model": job.model.name, "task": job.task.name, "reused": reused,
                "examples": len(splits["train"].labels)}  # fmt: skip
    return {"sifted": [row | {"proxy": name} | _scored(name, options, splits, job.settings["seed"])
                       for name, options in job.settings["proxies"].items()]}  # fmt: skip


def _scored(name: str, options: dict[str, Any], splits: dict[str, Probe], seed: int) -> Row:
    """What a proxy says, or null with its reason."""
    given, begun = dict(options), time.perf_counter()
    try:
        found = proxy(name, given.pop("function", None)).score(splits["train"], splits["val"], seed=seed, **given)
        row: Row = {"value": found.value, "reason": None}
    except CannotScore as error:
        row = {"value": None, "reason": str(error)}
    return row | {"seconds": time.perf_counter() - begun}
