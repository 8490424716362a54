"""``embed``: the one forward pass per (model, task), from which every proxy is computed.

Penultimate features are what enters the classifier of an image model (a spatial map is averaged), or its output when
it has none, and the pooled tokens of a text; the source head's probabilities come from the same pass. Kept as one
safetensors file, named by the job.
"""

import math
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sweeps.errors import ModelError
from sweeps.jobs.context import Context
from sweeps.types import Job, Model, Row, Task
from sweeps.versions import EMBED
from sweeps.zoo.load import Examples, Loaded
from taskrel.proxies import PROXIES
from taskrel.types import CannotScore, Probe

SPLITS = ("train", "val")  # proxies never see the test split


def embed_job(model: Model, task: Task, settings: dict[str, Any], cost: float = 1.0) -> Job:
    """The job that embeds ``task`` with ``model``."""
    return Job("embed", EMBED, model, task, settings, cost=cost)


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Embed, keep the features, and report what was measured about the model."""
    meta = materialise(job, context)
    row = {"job": job.id, "model": job.model.name, "task": job.task.name, **meta}
    return {"features": [row]}


def probes(job: Job, context: Context) -> dict[str, Probe]:
    """The embedded splits of an ``embed`` job, computed first when the cache does not hold them."""
    path = feature_file(job, context)
    if not path.exists():
        materialise(job, context)
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        return {
            split: Probe(
                features=file.get_tensor(f"{split}.features"),
                labels=file.get_tensor(f"{split}.labels"),
                source_probs=file.get_tensor(f"{split}.source_probs") if f"{split}.source_probs" in names else None,
            )
            for split in SPLITS
        }


def feature_file(job: Job, context: Context) -> Path:
    """Where the features of an ``embed`` job are kept."""
    return context.cache / "features" / f"{job.id}.safetensors"


def materialise(job: Job, context: Context) -> Row:
    """Run the forward pass over the splits and write the feature file, whole or not at all."""
    loaded = context.model(job.model, classes=None, settings=job.settings)
    tensors: dict[str, torch.Tensor] = {}
    layer: int | None = None
    for split in SPLITS:
        examples = context.examples(job.task, split, loaded)
        features, probabilities = forward(loaded, examples, job.settings["batch"])
        if loaded.layers > 1:
            parts = features.chunk(loaded.layers, dim=1)
            layer = best_layer(parts, examples.labels) if layer is None else layer  # the training split comes first
            features = parts[layer].contiguous()
        tensors[f"{split}.features"], tensors[f"{split}.labels"] = features, examples.labels
        if probabilities is not None:
            tensors[f"{split}.source_probs"] = probabilities
        if not bool(torch.isfinite(features).all()):
            raise ModelError(f"model {job.model.name!r} must give finite features, got NaN or infinity on {split}")
    path = feature_file(job, context)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    save_file(tensors, temporary)
    os.replace(temporary, path)
    probabilities = tensors.get("train.source_probs")
    return {
        "dim": tensors["train.features"].shape[1],
        "parameters": loaded.parameters,
        "head_classes": None if probabilities is None else probabilities.shape[1],
        "train": len(tensors["train.labels"]),
        "val": len(tensors["val.labels"]),
        "input_size": loaded.input_size,
        "layer": None if layer is None else layer + 1,
        "bytes": path.stat().st_size,
    }


def best_layer(layers: Sequence[torch.Tensor], labels: torch.Tensor) -> int:
    """The place, from 0, of the features [n, d] with the highest LogME: the evidence of a linear model of the labels.

    It is asked of the training split alone, so that neither validation nor test has a say; the later layer wins a tie,
    and the last when LogME can judge none.
    """
    scores = []
    for features in layers:
        try:
            scores.append(PROXIES["logme"].score(Probe(features=features, labels=labels.numpy()), None, seed=0).value)
        except CannotScore:
            scores.append(-math.inf)
    return max(range(len(scores)), key=lambda place: (scores[place], place))


def forward(loaded: Loaded, examples: Examples, batch: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Penultimate features float32 [n, d] and source-head probabilities float32 [n, Cs] (None without a head)."""
    found: list[torch.Tensor | None] = [None, None]
    with torch.inference_mode():
        for chosen in examples.batches(batch):
            for place, part in enumerate(loaded.embed(examples[chosen])):
                if part is not None:
                    rows = found[place]
                    if rows is None:
                        rows = found[place] = torch.empty((len(examples), part.shape[1]), dtype=part.dtype)
                    rows[chosen] = part.cpu()
    features, probabilities = found
    assert features is not None
    return features, probabilities
