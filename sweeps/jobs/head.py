"""``head``: a linear head on the frozen features of a model, put in the place of its classifier.

What the linear probe measured, as a model that can be used: where few steps of fine-tuning do not reach it, it is the
better answer, and costs one look at validation and test. Row of ``runs`` with the origin ``head``.
"""

import torch
from torch.nn import functional as F

from sweeps.jobs.context import Context
from sweeps.jobs.embed import embed_job, probes, seen
from sweeps.jobs.finetune import FineTuning, keep_weights, weights_file
from sweeps.jobs.runs import ended, run_row, unfit
from sweeps.types import Job, Point, Row
from sweeps.zoo.load import Loaded
from taskrel.heads import Recipe, train_heads

LOOKED = 16  # examples on which the model must answer as the head does on their features
NEAR = 1e-3  # of the largest logit: the features of a batch differ in the sixth digit


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Fit, judge and keep; a model whose features are not what enters its classifier is a row with the reason."""
    loaded = context.model(job.model, classes=len(job.task.classes), settings=job.settings)
    found = fit(job, context, loaded)
    if isinstance(found, str):
        return {"runs": [run_row(job) | unfit(found)]}
    keep_weights(loaded.module, weights_file(job, context.cache))
    looks = job.settings.get("test", True)
    test = FineTuning(context, loaded, job.task, job.settings).accuracy("test") if looks else None
    return {"runs": [run_row(job) | ended([found], test)]}


def fit(job: Job, context: Context, loaded: Loaded) -> Point | str:
    """Fit a head on the kept features and give it to the model; how well it does on them, or why it does not fit."""
    settings = job.settings
    splits = probes(embed_job(job.model, job.task, settings["embed"]), context)
    features, labels = (torch.as_tensor(part) for part in (splits["train"].features, splits["train"].labels))
    recipe = Recipe((settings["learning_rate"],), repeats=1, steps=settings["steps"], batch=settings["batch"])
    heads = train_heads(features, labels, len(job.task.classes), recipe, seed=settings["seed"])
    if not bool(heads.finite.all()):
        return f"a linear head must end with finite weights, it diverged at {settings['learning_rate']:g}"
    logits = heads.logits(features)[0, 0]
    own = dict(loaded.head.named_parameters()) if loaded.head is not None else {}
    weight, bias = own.get("weight"), own.get("bias")
    if weight is None or bias is None or weight.numel() != heads.weights[0, 0].numel():
        return f"the classifier must be linear with a bias over {features.shape[1]} features, got another"
    with torch.no_grad():
        weight.copy_(heads.weights[0, 0].view_as(weight))
        bias.copy_(heads.biases[0, 0])
    answers = heads.logits(torch.as_tensor(splits["val"].features))[0, 0].argmax(1)
    right = float((answers == torch.as_tensor(splits["val"].labels)).double().mean())
    found = Point(settings["steps"], float(F.cross_entropy(logits, labels.long())), right)
    return _differs(job, context, loaded, logits[:LOOKED]) or found


def _differs(job: Job, context: Context, loaded: Loaded, wanted: torch.Tensor) -> str | None:
    """Why the model does not answer as the head does on its features; None when it does."""
    loaded.module.eval()
    with torch.inference_mode():
        examples = seen(context.examples(job.task, "train", loaded), "train", job.settings["embed"])
        found = loaded.logits(examples[torch.arange(len(wanted))]).cpu()
    off = float((found - wanted.cpu()).abs().max() / wanted.abs().max().clamp_min(1e-12))
    return None if off < NEAR else f"the features must be what enters the classifier, its logits are off by {off:.2g}"
