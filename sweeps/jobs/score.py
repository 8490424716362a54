"""``score``: one proxy on the cached features of one (model, task). No forward pass."""

import json
from typing import Any

from sweeps.jobs.context import Context
from sweeps.jobs.embed import embed_job, probes
from sweeps.types import Job, Row
from taskrel.proxies import PROXIES, Proxy
from taskrel.types import CannotScore


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Score; a proxy that cannot be computed here gives null with its reason."""
    settings = dict(job.settings)
    name, seed = settings["proxy"], settings["seed"]
    embedded = embed_job(job.model, job.task, settings["embed"])
    splits = context.keep(embedded.id, lambda: probes(embedded, context))
    row: Row = {"job": job.id, "model": job.model.name, "task": job.task.name, "proxy": name, "seed": seed}
    try:
        score = proxy(name, settings["function"]).score(
            splits["train"], splits["val"], seed=seed, **settings["options"]
        )
        row |= {"value": score.value, "values": list(score.values), "detail": _json(score.detail)}
    except CannotScore as error:
        row |= {"value": None, "values": [], "reason": str(error)}
    return {"scores": [row]}


def proxy(name: str, function: str | None) -> Proxy:
    """The proxy of the table, or the user's own ``module:function``."""
    if function is None:
        return PROXIES[name]
    return Proxy(name=name, function=function, version=1, needs=frozenset({"features", "labels"}),
                 range=(float("-inf"), float("inf")), cost="product", citation="", summary=function)  # fmt: skip


def _json(detail: Any) -> str:
    return json.dumps(dict(detail), sort_keys=True, default=float)
