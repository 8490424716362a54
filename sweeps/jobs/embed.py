"""``embed``: the one forward pass per (model, task), from which every proxy is computed.

Penultimate features are what enters the classifier of an image model (a spatial map is averaged), or its output when
it has none, and the pooled tokens of a text; the source head's probabilities come from the same pass. Kept as one
safetensors file, named by the job.
"""

import math
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sweeps.errors import ModelError
from sweeps.fingerprint import fingerprint
from sweeps.jobs.context import Context
from sweeps.settings import looked
from sweeps.tasks.splits import leading
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
    row = {"job": job.id, "model": job.model.name, "task": job.task.name, **materialise(job, context)}
    return {"features": [row]}


def probes(job: Job, context: Context) -> dict[str, Probe]:
    """The embedded splits of an ``embed`` job, computed first when the cache does not hold them."""
    path = feature_file(job, context)
    if not context.has(path):
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
    path = feature_file(job, context)
    # What was kept of a model of which one layer is chosen task by task may be another layer.
    known = Known(path, job) if job.settings.get("reuse") and loaded.layers == 1 else None
    tensors: dict[str, torch.Tensor] = {}
    layer: int | None = None
    for split in SPLITS:
        examples = seen(context.examples(job.task, split, loaded), split, job.settings)
        if known is None:
            features, probabilities = forward(loaded, examples, batch(loaded, job.settings))
        else:
            tensors[f"{split}.digests"] = digests = examples.digests()
            features, probabilities = known.completed(loaded, examples, digests, batch(loaded, job.settings))
        if loaded.layers > 1:
            parts = features.chunk(loaded.layers, dim=1)
            layer = best_layer(parts, examples.labels) if layer is None else layer  # the training split comes first
            features = parts[layer].contiguous()
        tensors[f"{split}.features"], tensors[f"{split}.labels"] = features, examples.labels
        if probabilities is not None:
            tensors[f"{split}.source_probs"] = probabilities
        if not bool(torch.isfinite(features).all()):
            raise ModelError(f"model {job.model.name!r} must give finite features, got NaN or infinity on {split}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    save_file(tensors, temporary)
    if known is not None:
        known.remember()  # before the file is there: a kill in between must not change what is reused
    os.replace(temporary, path)
    context.share(path)
    probabilities = tensors.get("train.source_probs")
    return {
        "dim": tensors["train.features"].shape[1],
        "parameters": loaded.parameters,
        "head_classes": None if probabilities is None else probabilities.shape[1],
        "train": len(tensors["train.labels"]),
        "val": len(tensors["val.labels"]),
        "reused": 0 if known is None else known.reused,
        "input_size": loaded.input_size,
        "layer": None if layer is None else layer + 1,
        "bytes": path.stat().st_size,
    }


@dataclass(frozen=True)
class Part:
    """Some examples of a split, as if there were no others: :class:`sweeps.zoo.load.Examples`.

    ``rows`` are their places in the whole, rising.
    """

    whole: Examples
    rows: torch.Tensor

    @property
    def labels(self) -> torch.Tensor:
        """int64 [n], on the CPU."""
        return self.whole.labels[self.rows]

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text of the whole; None for images."""
        return self.whole.longest

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | torch.Tensor) -> Any:
        return self.whole[self.rows[chosen]]

    def digests(self, rows: torch.Tensor | None = None) -> torch.Tensor:
        """uint8 [n, 16]: each example's content."""
        return self.whole.digests(self.rows if rows is None else self.rows[rows])

    def batches(self, size: int) -> Iterator[torch.Tensor]:
        """In the order in which a forward pass over the whole meets them."""
        place = torch.full((len(self.whole),), -1)
        place[self.rows] = torch.arange(len(self.rows))
        return (place[chosen] for chosen in _only(self.whole, size, place >= 0))


def seen(examples: Examples, split: str, settings: Mapping[str, Any]) -> Examples:
    """What an embedding with these settings looks at: the whole split, or the first of a drawn order."""
    count = looked(split, settings.get("examples"), len(examples))
    if count == len(examples):
        return examples
    return Part(examples, torch.from_numpy(leading(examples.labels.numpy(), count, settings["seed"], split)))


def batch(loaded: Loaded, settings: Mapping[str, Any]) -> int:
    """Examples per forward pass of an embedding with these settings; at most 64 where they say none."""
    return settings["batch"] or min(64, loaded.at_once)


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


def forward(loaded: Loaded, examples: Examples, batch: int, only: torch.Tensor | None = None,
            ) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
    """Penultimate features float32 [n, d] and source-head probabilities float32 [n, Cs] (None without a head).

    With ``only``, booleans [n], the other rows are left as they are: anything.
    """
    found: list[torch.Tensor | None] = [None, None]
    with torch.inference_mode():
        for chosen in examples.batches(batch) if only is None else _only(examples, batch, only):
            for place, part in enumerate(loaded.embed(examples[chosen])):
                if part is not None:
                    rows = found[place]
                    if rows is None:
                        rows = found[place] = torch.empty((len(examples), part.shape[1]), dtype=part.dtype)
                    rows[chosen] = part.cpu()
    features, probabilities = found
    assert features is not None
    return features, probabilities


def _only(examples: Examples, batch: int, only: torch.Tensor) -> Iterator[torch.Tensor]:
    """Some of the examples in the order in which a forward pass over all would meet them."""
    every = torch.arange(len(examples))
    order = torch.cat([every[chosen] for chosen in examples.batches(batch)])
    return iter(order[only[order]].split(batch))


class Known:
    """The features that a model has given of examples before, in any task, found by what the examples hold.

    Feature files of one model, preprocessing included, are listed in a folder of their own, by empty files. Of how many
    examples they are is no matter: each example's features are its own.
    """

    def __init__(self, path: Path, job: Job) -> None:
        settings = {key: value for key, value in job.settings.items() if key not in ("examples", "seed")}
        eye = fingerprint([job.version, job.model.content, settings])
        self.path, self.folder, self.reused = path, path.parent / "by_model" / eye, 0
        self._rows: dict[bytes, tuple[int, int]] = {}
        self._features: list[torch.Tensor] = []
        self._probabilities: list[torch.Tensor | None] = []
        for note in sorted(self.folder.glob("*")) if self.folder.is_dir() else ():
            file = path.with_name(f"{note.name}.safetensors")
            if file.exists() and file != path:
                self._read(file)

    def _read(self, path: Path) -> None:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            for split in SPLITS:
                where = len(self._features)
                self._features.append(file.get_tensor(f"{split}.features"))
                head = f"{split}.source_probs"
                self._probabilities.append(file.get_tensor(head) if head in names else None)
                digests = file.get_tensor(f"{split}.digests").numpy()
                self._rows |= {digest.tobytes(): (where, row) for row, digest in enumerate(digests)}

    @torch.inference_mode()
    def completed(self, loaded: Loaded, examples: Examples, digests: torch.Tensor,
                  batch: int) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
        """What :func:`forward` gives, the forward pass only over the examples that are new."""
        places = [self._rows.get(digest.tobytes()) for digest in digests.numpy()]
        new = torch.tensor([place is None for place in places])
        self.reused += int((~new).sum())
        if bool(new.all()):
            return forward(loaded, examples, batch)
        if bool(new.any()):
            features, probabilities = forward(loaded, examples, batch, new)
        else:
            features = torch.empty((len(places), self._features[0].shape[1]))
            head = self._probabilities[0]
            probabilities = None if head is None else torch.empty((len(places), head.shape[1]))
        for file in {place[0] for place in places if place is not None}:
            here = [(row, place[1]) for row, place in enumerate(places) if place is not None and place[0] == file]
            into, rows = (list(each) for each in zip(*here, strict=True))
            features[into] = self._features[file][rows]
            head = self._probabilities[file]
            if probabilities is not None and head is not None:
                probabilities[into] = head[rows]
        return features, probabilities

    def remember(self) -> None:
        """List the file for the embeddings to come."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / self.path.stem).touch()
