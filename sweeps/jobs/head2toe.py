"""``head2toe``: one (model, task) by a linear head on selected features of all layers, and by one on the last layer.

One forward pass with every layer pooled as it arises. Selection, settings and heads see the training part only; the
validation part scores the model, the test part says what the method is worth.
"""

import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sweeps.jobs.context import Context
from sweeps.jobs.embed import batch, embed_job, forward, probes
from sweeps.types import Job, Row
from sweeps.zoo.listen import extract
from sweeps.zoo.load import Loaded
from sweeps.zoo.taps import Tap, find_taps
from taskrel.head2toe import Data, Head2Toe, Layers, Search, accuracy, fit, head2toe_score, plan
from taskrel.head2toe.layers import Indices, divided

Pools = dict[int, Layers]


@dataclass(frozen=True)
class Selection:
    """What was chosen for one (model, task): the columns kept of all taps at a target size, and the head on them.

    Args:
        taps: [L] all of them.
        target: about how many values every tap was pooled to.
        kept: [k] columns, ascending.
        weights: [C, k] on features normalised per layer over what is kept.
        bias: [C].
    """

    taps: list[Tap]
    target: int
    kept: Tensor
    weights: Tensor
    bias: Tensor

    def split(self) -> list[Indices]:
        """[L] positions of the kept features within each tap."""
        return divided(self.kept.numpy(), [plan(tap.shape, self.target).size for tap in self.taps])


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """One row of ``head2toe``; the head stays below the cache folder."""
    settings, loaded = job.settings, _loaded(job, context)
    taps, began = places(job, context, loaded), time.perf_counter()
    pools = {split: _pools(job, context, loaded, taps, split) for split in ("train", "val")}
    labels = {split: context.examples(job.task, split, loaded).labels for split in ("train", "val", "test")}
    extracted = time.perf_counter()
    found = head2toe_score(pools["train"], labels["train"], pools["val"], labels["val"],
                           classes=len(job.task.classes), search=_search(settings), seed=settings["seed"])  # fmt: skip
    selected = time.perf_counter()
    last = _last_layer(job, context, loaded)
    linear = _linear(last["train"], labels["train"], len(job.task.classes), found.head, settings)
    fitted = time.perf_counter()
    _keep(found.head, _file(job, context))
    wide, used = pools["train"][found.setting.target], found.setting
    return {"head2toe": [{
        "job": job.id, "model": job.model.name, "task": job.task.name, "seed": settings["seed"],
        "val_accuracy": found.accuracy, "cross_validated": found.cross_validated,
        "test_accuracy": accuracy(_answers(found.head, job, context, loaded, taps), labels["test"]),
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


def selection(job: Job, context: Context) -> Selection:
    """What a ``head2toe`` job chose, computed first when the cache does not hold it."""
    if not _file(job, context).exists():
        run(job, context)
    found = load_file(_file(job, context))
    taps = places(job, context, _loaded(job, context))
    return Selection(taps, int(found["target"]), found["kept"], found["weights"], found["bias"])


def _loaded(job: Job, context: Context) -> Loaded:
    return context.model(job.model, classes=None, settings=job.settings["embed"])


def _file(job: Job, context: Context) -> Path:
    return context.cache / "layers" / f"{job.id}.safetensors"


def _keep(head: Head2Toe, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    save_file({"kept": torch.from_numpy(head.kept), "weights": head.weights.contiguous(), "bias": head.bias,
               "target": torch.tensor(head.setting.target)}, temporary)  # fmt: skip
    os.replace(temporary, path)


def _search(settings: Mapping[str, Any]) -> Search:
    return Search(
        penalties=tuple(settings["penalties"]), fractions=tuple(settings["fractions"]), rates=tuple(settings["rates"]),
        steps=tuple(settings["steps"]), folds=settings["folds"],
    )  # fmt: skip


def places(job: Job, context: Context, loaded: Loaded) -> list[Tap]:
    """Where the model is listened to on a task: the same in every split."""
    splits = [context.examples(job.task, split, loaded) for split in ("train", "val", "test")]
    lengths = [examples.longest for examples in splits if examples.longest is not None]
    return find_taps(loaded.body, splits[0][slice(0, 2)], tokens=max(lengths, default=None))


def _pools(job: Job, context: Context, loaded: Loaded, taps: list[Tap], split: str) -> Pools:
    """Target size -> pooled layers of a split."""
    examples = context.examples(job.task, split, loaded)
    order = list(examples.batches(batch(loaded, job.settings["embed"])))
    found = extract(loaded.body, (examples[chosen] for chosen in order), tuple(job.settings["sizes"]), taps=taps)
    return {size: layers.rows(_back(order, len(examples))) if isinstance(order[0], Tensor) else layers
            for size, layers in found.items()}  # fmt: skip


def _answers(head: Head2Toe, job: Job, context: Context, loaded: Loaded, taps: list[Tap]) -> Tensor:
    """[n] classes of the test part, batch by batch: its features are never held all at once."""
    examples, target = context.examples(job.task, "test", loaded), head.setting.target
    answers = torch.empty(len(examples), dtype=torch.long)
    for chosen in examples.batches(batch(loaded, job.settings["embed"])):
        layers = extract(loaded.body, [examples[chosen]], (target,), taps=taps)[target]
        answers[chosen] = head.logits(layers).argmax(dim=1)
    return answers


def _back(order: list[Any], n: int) -> Tensor:
    """Where each example of the split is among the batches."""
    return torch.empty(n, dtype=torch.long).index_copy_(0, torch.cat(order), torch.arange(n))


def _last_layer(job: Job, context: Context, loaded: Loaded) -> dict[str, Layers]:
    """Split -> the features that a linear head gets; those of the test part are embedded here."""
    kept = probes(embed_job(job.model, job.task, job.settings["embed"]), context)
    features = {split: torch.as_tensor(part.features) for split, part in kept.items()}
    examples = context.examples(job.task, "test", loaded)
    features["test"], _ = forward(loaded, examples, batch(loaded, job.settings["embed"]))
    return {split: Layers(("last",), (part,)) for split, part in features.items()}


def _linear(layers: Layers, labels: Tensor, classes: int, other: Head2Toe, settings: Mapping[str, Any]) -> Head2Toe:
    """A head on all features of the last layer, of unit length and trained as the other one was."""
    # All are kept, so the penalty decides nothing; a large one is solved at once.
    setting = replace(other.setting, target=0, fraction=1.0, penalty=1.0)
    return fit(Data(0, layers, labels, classes), setting, _search(settings), seed=settings["seed"])


def _right(head: Head2Toe, layers: Layers, labels: Tensor) -> float:
    return accuracy(head.logits(layers).argmax(dim=1), labels)
