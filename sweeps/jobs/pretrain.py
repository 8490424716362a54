"""``pretrain``: one model of the embedded zoo, from its seed. Writes weights and card below the cache folder."""

from sweeps.jobs.context import Context
from sweeps.types import Job, Row
from sweeps.zoo.mini.pretrain import pretrain


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Pre-train; the product is two files, there are no rows."""
    pretrain(job.model.name, context.cache / "weights", seed=job.settings["seed"])
    return {}
