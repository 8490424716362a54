"""``embed``: the one forward pass per (model, task), from which every proxy is computed.

Penultimate features are what enters the classifier (a spatial map is averaged), or the model's output when it has
none; the source head's probabilities come from the same pass. Kept as one safetensors file, named by the job.
"""

import os
import uuid
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from sweeps.errors import ModelError
from sweeps.jobs.context import Context
from sweeps.types import Job, Model, Row, Task
from sweeps.versions import EMBED
from sweeps.zoo.load import Loaded
from taskrel.types import Probe

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
    loaded = context.model(job.model, classes=None, image_size=job.settings["image_size"])
    tensors: dict[str, torch.Tensor] = {}
    for split in SPLITS:
        images, labels = context.pixels(job.task, split, loaded.geometry)
        features, probabilities = forward(loaded, images, job.settings["batch"])
        tensors[f"{split}.features"], tensors[f"{split}.labels"] = features, labels
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
        "input_size": loaded.geometry.size,
        "bytes": path.stat().st_size,
    }


def forward(loaded: Loaded, images: torch.Tensor, batch: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Penultimate features float32 [n, d] and source-head probabilities float32 [n, Cs] (None without a head)."""
    features, probabilities = [], []
    seen: list[torch.Tensor] = []

    def remember(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])

    hook = loaded.head.register_forward_pre_hook(remember) if loaded.head is not None else None
    try:
        with torch.inference_mode():
            for start in range(0, len(images), batch):
                output = loaded.module(loaded.normalise(images[start : start + batch]))
                output = output[0] if isinstance(output, (tuple, list)) else output
                features.append(_flat(seen.pop() if hook is not None else output).cpu())
                if hook is not None:
                    probabilities.append(_flat(output).softmax(dim=1).cpu())
                seen.clear()
    finally:
        if hook is not None:
            hook.remove()
    return torch.cat(features), torch.cat(probabilities) if probabilities else None


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """[n, d, h, w] -> mean over the map; [n, tokens, d] -> mean over tokens; [n, d] as it is."""
    if tensor.ndim == 4:
        tensor = tensor.mean(dim=(2, 3))
    elif tensor.ndim == 3:
        tensor = tensor.mean(dim=1)
    return tensor.float()
