"""``task2vec``: one task as the Fisher information of the probe network, its head fitted freshly to the task.

The head is fitted to the features that the ``embed`` job of (probe, task) has kept; the information is that of the
body's weights at the head's probabilities. Tasks compare because all share probe, method and settings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from sweeps.errors import DataError, ModelError
from sweeps.jobs.context import Context
from sweeps.jobs.embed import embed_job, probes
from sweeps.types import Job, Row
from sweeps.zoo.load import Loaded
from taskrel.task2vec import fisher, fit_head, variational
from taskrel.types import Probe


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """One row of ``embeddings``.

    Raises:
        DataError: for a task of one class: its head is always right, and everything it could tell is zero.
        ModelError: for a probe whose classifier is not a linear layer.
    """
    settings, classes = job.settings, len(job.task.classes)
    splits = probes(embed_job(job.model, job.task, settings["embed"]), context)
    present = len(torch.as_tensor(splits["train"].labels).unique())
    if present < 2:
        raise DataError(f"task {job.task.name!r} must have at least two classes to be embedded, got {present}")
    loaded = context.model(job.model, classes=classes, settings=settings["embed"])
    examples = context.examples(job.task, "train", loaded)
    chosen = _chosen(len(examples), settings["images"], settings["seed"])
    fitted = fit_head(torch.as_tensor(splits["train"].features), torch.as_tensor(splits["train"].labels), classes)
    accuracy = _accuracy(fitted, splits["val"])

    def batches() -> Iterator[tuple[Any, torch.Tensor]]:
        for part in chosen.split(settings["batch"]):
            yield examples[part], examples.labels[part].to(loaded.device)

    with _with_head(job, loaded, fitted) as name:
        if settings["method"] == "montecarlo":
            units = fisher(loaded.module, batches(), head=name, draws=settings["draws"], seed=settings["seed"])
        else:
            units = variational(loaded.module, batches(), head=name, steps=settings["steps"], seed=settings["seed"])
    return {"embeddings": [_row(job, units, len(chosen), accuracy)]}


def _row(job: Job, units: np.ndarray, images: int, accuracy: float) -> Row:
    return {"job": job.id, "task": job.task.name, "probe": job.model.name, "method": job.settings["method"],
            "images": images, "seed": job.settings["seed"], "units": np.asarray(units, dtype=np.float64).tolist(),
            "head_accuracy": accuracy}  # fmt: skip


@contextmanager
def _with_head(job: Job, loaded: Loaded, fitted: nn.Linear) -> Iterator[str]:
    """The probe with the fitted layer in place of its own head, which is put back; the layer's dotted name."""
    own = loaded.head
    name = next((name for name, module in loaded.module.named_modules() if module is own), "")
    pixel = isinstance(own, nn.Conv2d) and own.kernel_size == (1, 1)  # a linear layer too, on a pooled map of one pixel
    if not name or not (pixel or isinstance(own, nn.Linear)):
        raise ModelError(f"probe {job.model.name!r} must end in a linear layer, got {type(own).__name__}")
    fitted = fitted.to(loaded.device)
    parent, _, attribute = name.rpartition(".")
    setattr(loaded.module.get_submodule(parent), attribute, nn.Sequential(nn.Flatten(1), fitted) if pixel else fitted)
    try:
        yield f"{name}.1" if pixel else name
    finally:
        setattr(loaded.module.get_submodule(parent), attribute, own)


@torch.no_grad()
def _accuracy(head: nn.Linear, split: Probe) -> float:
    """Share of a split that the head gets right, in [0, 1]."""
    right = head(torch.as_tensor(split.features)).argmax(1) == torch.as_tensor(split.labels)
    return float(right.double().mean())


def _chosen(examples: int, most: int, seed: int) -> torch.Tensor:
    """The examples looked at: all in their order, or ``most`` drawn from the seed."""
    if examples <= most:
        return torch.arange(examples)
    return torch.randperm(examples, generator=torch.Generator().manual_seed(seed))[:most]
