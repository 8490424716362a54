"""What a sweep will take: seconds on one worker and bytes on disk, guessed and then scaled by what was measured."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sweeps.config import SweepConfig
from sweeps.settings import VIEWS
from sweeps.types import Job, Model, Row, Task

EVALUATED = 3  # training one example costs about as much as this many forward passes


def forward_seconds(config: SweepConfig, model: Model) -> float:
    """A guess at the seconds of one example's forward pass on one core, within a factor of about three."""
    return _FORWARD[model.modality](config, model)


def _image_seconds(config: SweepConfig, model: Model) -> float:
    side = config.embed.image_size or model.input_size or 224
    return max(1.5e-4, (model.parameters or 5_000_000) * (side / 224) ** 2 * 5e-9)


def _text_seconds(config: SweepConfig, model: Model) -> float:
    tokens = min(32, config.embed.max_tokens or 32)  # a sentence
    return max(1.5e-4, (model.parameters or 100_000_000) * tokens * 3e-11)


_FORWARD = {"image": _image_seconds, "text": _text_seconds}


def embed_seconds(config: SweepConfig, model: Model, task: Task) -> float:
    """Estimated seconds of an embedding."""
    return forward_seconds(config, model) * sum(config.embed.sizes(task.sizes).values()) + 0.05


def score_seconds(name: str, options: Mapping[str, Any]) -> float:
    """Estimated seconds of a proxy on features that are there."""
    return 0.02 + 8e-4 * (options.get("steps", 2500) if name == "linear" else 0)


def steps(tuning: Mapping[str, Any], task: Task) -> int:
    """How long a fine-tuning is: so many steps, or so many epochs where they are given."""
    if tuning.get("epochs") is None:
        return int(tuning["steps"])
    return int(tuning["epochs"] * math.ceil(task.sizes["train"] / tuning["batch"]))


def finetune_seconds(config: SweepConfig, model: Model, task: Task) -> float:
    """Estimated seconds of one fine-tuning."""
    assert config.finetune is not None
    tuning = config.finetune.recipe(task.modality).settings
    examples = EVALUATED * steps(tuning, task) * min(tuning["batch"], task.sizes["train"])
    examples += tuning["evaluations"] * task.sizes["val"] + task.sizes["test"]
    return forward_seconds(config, model) * examples + 0.05


def rung_seconds(config: SweepConfig, model: Model, task: Task, begun: int, until: int) -> float:
    """Estimated seconds of a part of a fine-tuning, with one look at validation and none at test."""
    assert config.finetune is not None
    batch = config.finetune.recipe(task.modality).settings["batch"]
    examples = EVALUATED * (until - begun) * min(batch, task.sizes["train"]) + task.sizes["val"]
    return forward_seconds(config, model) * examples + 0.05


def calibrated(jobs: Iterable[Job], measured: Iterable[Row], known: Iterable[Job] = ()) -> dict[str, float]:
    """Job id -> seconds: what the same kind of job of that model took before; else the guess, scaled.

    Where the guesses at both are known, what it took is scaled by them: parts of a fine-tuning are not of one length.
    A guess is scaled by how far the guess at the model's forward pass was off, and that by how far the guesses at the
    other jobs of its kind were off beyond this.

    Args:
        jobs: to be estimated.
        measured: rows of the ``jobs`` table with status ok.
        known: the jobs behind some of these rows, for their guesses.
    """
    took: dict[tuple[str, str], list[tuple[float, float | None]]] = defaultdict(list)
    guesses = {job.id: job.cost for job in known}
    passes: dict[str, list[float]] = defaultdict(list)
    rows = list(measured)
    for row in rows:
        took[_like(row["kind"]), row["model"]].append((row["seconds"], guesses.get(row["job"])))
        if row["kind"] in ("embed", "sift") and row["job"] in guesses:
            passes[row["model"]].append(row["seconds"] / guesses[row["job"]])
    pace = {model: sum(ratios) / len(ratios) for model, ratios in passes.items()}
    usual = sum(pace.values()) / len(pace) if pace else 1.0
    off: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["job"] in guesses:
            scale = 1.0 if row["kind"] in _FEATURES else pace.get(row["model"], usual)
            off[_like(row["kind"])].append(row["seconds"] / (guesses[row["job"]] * scale))
    found = {}
    for job in jobs:
        same, beyond = took.get((_like(job.kind), job.model.name)), off[_like(job.kind)]
        scale = 1.0 if job.kind in _FEATURES else pace.get(job.model.name, usual)
        if beyond and job.kind not in ("embed", "sift"):
            scale *= sum(beyond) / len(beyond)
        if same:
            found[job.id] = sum(each * job.cost / guess if guess else each for each, guess in same) / len(same)
        else:
            found[job.id] = job.cost * scale
    return found


_FEATURES = frozenset({"score", "bound"})  # kinds that make no forward pass


def _like(kind: str) -> str:
    return "finetune" if kind in ("confirm", "final", "rung") else kind


def feature_bytes(config: SweepConfig, models: Iterable[Model], tasks: Sequence[Task]) -> int:
    """Estimated size of the feature cache: float32 features of train and validation."""
    return sum(4 * sum(config.embed.sizes(task.sizes).values()) * (model.dim or 1280)
               for model in models for task in tasks if model.modality == task.modality)  # fmt: skip


def pixel_bytes(config: SweepConfig, models: Iterable[Model], tasks: Sequence[Task]) -> int:
    """Estimated size of the decoded images: three bytes a pixel, once per input size."""
    decoded = {(config.embed.image_size or model.input_size or 224, task.name): sum(task.sizes.values())
               for model in models for task in tasks
               if model.modality == task.modality and "image_size" in VIEWS[task.modality]}  # fmt: skip
    return sum(3 * side * side * images for (side, _), images in decoded.items())
