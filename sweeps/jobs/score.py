"""``score``: one proxy on the cached features of one (model, task). No forward pass.

The worker keeps the features it looked at last, and with them what the proxies before this one have computed.
"""

import json
import math
from typing import Any

import numpy as np
import torch

from sweeps.jobs.context import Context
from sweeps.jobs.embed import embed_job, probes
from sweeps.types import Job, Row, Task
from taskrel.proxies import PROXIES, Proxy
from taskrel.resampling import interval, multiplicities, replicates
from taskrel.types import CannotScore, Probe, Score

SAMPLES = 200  # resamples of the examples behind an interval


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Score; a proxy that cannot be computed here gives null with its reason."""
    name, seed = job.settings["proxy"], job.settings["seed"]
    row: Row = {"job": job.id, "model": job.model.name, "task": job.task.name, "proxy": name, "seed": seed,
                "values": [], "replicates": []}  # fmt: skip
    chosen, options = proxy(name, job.settings["function"]), dict(job.settings["options"])
    try:
        splits = _splits(job, job.task, context)
        if job.reference is not None:
            if job.reference.name == job.task.name:
                raise CannotScore(f"{name} needs another task as reference, got {job.task.name} itself")
            options["reference"] = _splits(job, job.reference, context)["train"]
        row |= measured(chosen.score(splits["train"], splits["val"], seed=seed, **options), chosen, seed)
    except CannotScore as error:
        row |= {"value": None, "reason": str(error)}
    return {"scores": [row]}


def measured(score: Score, chosen: Proxy, seed: int) -> Row:
    """The columns of a score, with its interval over resampled examples where it has one."""
    row: Row = {"value": score.value, "values": list(score.values), "detail": _json(score.detail)}
    if score.influence is not None:
        drawn = replicates(score, multiplicities(len(score.influence), SAMPLES, seed), chosen.range)
        low, high = interval(drawn) or (None, None)
        row |= {"low": low, "high": high, "replicates": np.asarray(drawn, dtype=np.float32).tolist()}
    return row


def _splits(job: Job, task: Task, context: Context) -> dict[str, Probe]:
    embedded = embed_job(job.model, task, job.settings["embed"])
    return context.keep(job.model, embedded.id, lambda: on_device(probes(embedded, context), context.device))


def on_device(splits: dict[str, Probe], device: str) -> dict[str, Probe]:
    """The same features where they are scored: moved once for all proxies."""
    if device == "cpu":
        return splits
    return {
        name: Probe(torch.as_tensor(part.features).to(device), part.labels,
                    None if part.source_probs is None else torch.as_tensor(part.source_probs).to(device))
        for name, part in splits.items()
    }  # fmt: skip


def proxy(name: str, function: str | None) -> Proxy:
    """The proxy of the table, or the user's own ``module:function``."""
    if function is None:
        return PROXIES[name]
    return Proxy(name=name, function=function, version=1, needs=frozenset({"features", "labels"}),
                 range=(-math.inf, math.inf), cost="product", citation="", summary=function)  # fmt: skip


def _json(detail: Any) -> str:
    return json.dumps(dict(detail), sort_keys=True, default=float)
