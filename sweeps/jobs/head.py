"""``head``: a linear head on the frozen features of a model, put in the place of its classifier.

What the linear probe measured, as a model that can be used: where few steps of fine-tuning do not reach it, it is the
better answer, and costs one look at validation and test. Row of ``runs`` with the origin ``head``.
"""

import torch
from torch.nn import functional as F

from sweeps.jobs.context import Context
from sweeps.jobs.embed import embed_job, probes
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
    loss, reason = fit(job, context, loaded)
    if reason is not None:
        return {"runs": [run_row(job) | unfit(reason)]}
    tuning = FineTuning(context, loaded, job.task, job.settings)
    point = Point(job.settings["steps"], loss, tuning.accuracy("val"))
    keep_weights(loaded.module, weights_file(job, context.cache))
    return {"runs": [run_row(job) | ended([point], tuning.accuracy("test"))]}


def fit(job: Job, context: Context, loaded: Loaded) -> tuple[float, str | None]:
    """Fit a head on the kept features and give it to the model; the training loss in nats, and why it does not fit."""
    settings = job.settings
    train = probes(embed_job(job.model, job.task, settings["embed"]), context)["train"]
    features, labels = torch.as_tensor(train.features), torch.as_tensor(train.labels)
    recipe = Recipe((settings["learning_rate"],), repeats=1, steps=settings["steps"], batch=settings["batch"])
    heads = train_heads(features, labels, len(job.task.classes), recipe, seed=settings["seed"])
    if not bool(heads.finite.all()):
        return float("nan"), f"a linear head must end with finite weights, it diverged at {settings['learning_rate']:g}"
    logits = heads.logits(features)[0, 0]
    own = dict(loaded.head.named_parameters()) if loaded.head is not None else {}
    weight, bias = own.get("weight"), own.get("bias")
    if weight is None or bias is None or weight.numel() != heads.weights[0, 0].numel():
        return float("nan"), f"the classifier must be linear with a bias over {features.shape[1]} features, got another"
    with torch.no_grad():
        weight.copy_(heads.weights[0, 0].view_as(weight))
        bias.copy_(heads.biases[0, 0])
    return float(F.cross_entropy(logits, labels.long())), _differs(job, context, loaded, logits[:LOOKED])


def _differs(job: Job, context: Context, loaded: Loaded, wanted: torch.Tensor) -> str | None:
    """Why the model does not answer as the head does on its features; None when it does."""
    loaded.module.eval()
    with torch.inference_mode():
        found = loaded.logits(context.examples(job.task, "train", loaded)[torch.arange(len(wanted))]).cpu()
    off = float((found - wanted.cpu()).abs().max() / wanted.abs().max().clamp_min(1e-12))
    return None if off < NEAR else f"the features must be what enters the classifier, its logits are off by {off:.2g}"
