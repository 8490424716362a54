"""The job that pre-trains a language model of the embedded zoo, with a recipe of three steps."""

from dataclasses import replace

from sweeps.jobs.context import Context
from sweeps.types import Job, Row
from sweeps.zoo.mini_text.pretrain import pretrain
from sweeps.zoo.mini_text.recipes import RECIPES


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Weights, tokenizer and card below the cache folder."""
    recipe = replace(RECIPES[job.model.name], steps=3, batch=8, corpus_size=60)
    pretrain(job.model.name, context.cache / "weights", seed=job.settings["seed"], recipe=recipe)
    return {}
