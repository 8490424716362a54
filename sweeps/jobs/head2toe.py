"""``head2toe``: one (model, task) by a linear head on selected features of all layers, and by one on the last layer.

One forward pass with every layer pooled as it arises. Selection, settings and heads see the training part only; the
validation part scores the model, the test part says what the method is worth.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from sweeps.jobs.context import Context
from sweeps.jobs.embed import embed_job, forward, probes
from sweeps.types import Job, Row
from sweeps.zoo.load import Loaded
from sweeps.zoo.taps import extract, find_taps
from taskrel.head2toe import Data, Head2Toe, Layers, Search, accuracy, fit, head2toe_score

SPLITS = ("train", "val", "test")
Pools = dict[int, Layers]


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """One row of ``head2toe``."""
    settings = job.settings
    search = _search(settings)
    loaded = context.model(job.model, classes=None, settings=settings["embed"])
    began = time.perf_counter()
    pools, labels = _taps(job, context, loaded)
    extracted = time.perf_counter()
    found = head2toe_score(pools["train"], labels["train"], pools["val"], labels["val"],
                           classes=len(job.task.classes), search=search, seed=settings["seed"])  # fmt: skip
    selected = time.perf_counter()
    last = _last_layer(job, context, loaded)
    linear = _linear(last["train"], labels["train"], len(job.task.classes), found.head, search, settings["seed"])
    fitted = time.perf_counter()
    wide, used = pools["test"][found.setting.target], found.setting
    return {"head2toe": [{
        "job": job.id, "model": job.model.name, "task": job.task.name, "seed": settings["seed"],
        "val_accuracy": found.accuracy, "cross_validated": found.cross_validated,
        "test_accuracy": _right(found.head, wide, labels["test"]),
        "linear_val_accuracy": _right(linear, last["val"], labels["val"]),
        "linear_test_accuracy": _right(linear, last["test"], labels["test"]),
        "features": wide.features, "kept": len(found.head.kept), "target": used.target, "penalty": used.penalty,
        "fraction": used.fraction, "rate": used.rate, "steps": used.steps,
        "stored_bytes": found.head.stored_bytes(wide.features),
        "linear_bytes": 4 * (linear.weights.numel() + linear.bias.numel()), "model_bytes": 4 * loaded.parameters,
        "layers": list(found.shares), "shares": list(found.shares.values()),
        "extract_seconds": extracted - began, "select_seconds": selected - extracted,
        "linear_seconds": fitted - selected,
    }]}  # fmt: skip


def _search(settings: Mapping[str, Any]) -> Search:
    return Search(
        penalties=tuple(settings["penalties"]), fractions=tuple(settings["fractions"]), rates=tuple(settings["rates"]),
        steps=tuple(settings["steps"]), folds=settings["folds"],
    )  # fmt: skip


def _taps(job: Job, context: Context, loaded: Loaded) -> tuple[dict[str, Pools], dict[str, torch.Tensor]]:
    """Split -> target size -> pooled layers, and split -> labels."""
    pools: dict[str, Pools] = {}
    labels: dict[str, torch.Tensor] = {}
    batch, taps = job.settings["embed"]["batch"], None
    for split in SPLITS:
        examples = context.examples(job.task, split, loaded)
        taps = taps or find_taps(loaded.module, examples[slice(0, 2)])
        parts = (examples[slice(start, start + batch)] for start in range(0, len(examples), batch))
        with torch.inference_mode():
            pools[split] = extract(loaded.module, parts, tuple(job.settings["sizes"]), taps=taps)
        labels[split] = examples.labels
    return pools, labels


def _last_layer(job: Job, context: Context, loaded: Loaded) -> dict[str, Layers]:
    """Split -> the features that a linear head gets; those of the test part are embedded here."""
    kept = probes(embed_job(job.model, job.task, job.settings["embed"]), context)
    features = {split: torch.as_tensor(part.features) for split, part in kept.items()}
    examples = context.examples(job.task, "test", loaded)
    features["test"], _ = forward(loaded, examples, job.settings["embed"]["batch"])
    return {split: Layers(("last",), (part,)) for split, part in features.items()}


def _linear(layers: Layers, labels: torch.Tensor, classes: int, other: Head2Toe, search: Search, seed: int) -> Head2Toe:
    """A head on all features of the last layer, of unit length and trained as the other one was."""
    # All are kept, so the penalty decides nothing; a large one is solved at once.
    setting = replace(other.setting, target=0, fraction=1.0, penalty=1.0)
    return fit(Data(0, layers, labels, classes), setting, search, seed=seed)


def _right(head: Head2Toe, layers: Layers, labels: torch.Tensor) -> float:
    return accuracy(head.logits(layers).argmax(dim=1), labels)
