"""``pretrain``: one model of an embedded zoo, from its seed. Writes weights and card below the cache folder."""

from sweeps.jobs.context import Context
from sweeps.types import Job, Row
from sweeps.zoo import mini_text


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Pre-train; the product is files, there are no rows."""
    if job.model.name in mini_text.NAMES:
        from sweeps.zoo.mini_text.pretrain import pretrain
    else:
        from sweeps.zoo.mini.pretrain import pretrain  # type: ignore[assignment]
    pretrain(job.model.name, context.cache / "weights", seed=job.settings["seed"])
    return {}
