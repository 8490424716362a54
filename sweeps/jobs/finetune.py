"""``finetune``: a new zero-started linear head and the whole model trained, by the recipe of its settings.

Images follow the study's protocol (SGD with momentum), texts the field's (AdamW): :mod:`sweeps.jobs.recipes`. The
same :class:`FineTuning` serves the grid, Tune's trials and the confirmation of what a search found, so the three give
the same number for the same settings. No augmentation, the last step is the one that counts.
"""

import contextlib
import math
import os
import resource
import uuid
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from sweeps.errors import ModelError
from sweeps.fingerprint import fingerprint
from sweeps.jobs import halfway
from sweeps.jobs.context import Context
from sweeps.jobs.recipes import Optimiser, learning_rate_at, optimiser
from sweeps.jobs.runs import diverged, ended, run_row
from sweeps.tuning import evaluation_steps
from sweeps.types import Job, Point, Row, Task
from sweeps.zoo.load import Examples
from taskrel.heads import batch_stream


class Diverged(ArithmeticError):
    """The training loss is no longer finite: an observation about the learning rate, not a fault."""


class Trainable(Protocol):
    """What is trained: a :class:`sweeps.zoo.load.Loaded`, or one with another head on it."""

    @property
    def module(self) -> torch.nn.Module: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def at_once(self) -> int: ...
    @property
    def note(self) -> str | None: ...
    def examples(self, task: Task, split: str, cache: Path) -> Examples: ...
    def logits(self, inputs: Any) -> torch.Tensor: ...


class FineTuning:
    """One fine-tuning, advanced from evaluation to evaluation so that a search can stop it in between."""

    def __init__(self, context: Context, loaded: Trainable, task: Task, settings: Mapping[str, Any]) -> None:
        self.context, self.loaded, self.task, self.settings = context, loaded, task, settings
        self.piece, self.looked = settings["batch"], loaded.at_once  # examples at a time: halved until they fit
        self.past: list[Point] = []  # of an earlier part of the same run
        self.kept: Path | None = None
        self.descent: Optimiser | None = None
        if self.loaded.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def points(self) -> Iterator[Point]:
        """Train on from where the run stands; yield after each evaluation, the last one after all steps.

        Raises:
            Diverged: when the loss of a batch is NaN or infinite.
        """
        settings, module, device = self.settings, self.loaded.module, self.loaded.device
        examples = self.loaded.examples(self.task, "train", self.context.cache)
        labels = examples.labels.to(device)
        torch.manual_seed(settings["seed"])
        descent = self.descent = optimiser(list(module.parameters()), settings)
        begun = 0 if self.kept is None else halfway.load(self.kept, module, descent)
        looks = set(evaluation_steps(settings["steps"], settings["evaluations"]))
        stream = batch_stream(len(examples), settings["batch"], settings["steps"], settings["seed"])
        module.train()
        for step, index in enumerate(stream):
            if step < begun:
                continue
            loss = self._descend(examples, labels, torch.as_tensor(index))
            descent.step(learning_rate_at(step, settings))
            if step + 1 in looks:
                value = float(loss)
                if not math.isfinite(value):
                    raise Diverged(f"the training loss is {value} by step {step + 1}")
                yield Point(step + 1, value, self.accuracy("val"))
                module.train()

    def go_on(self, folder: Path) -> None:
        """Begin where an earlier part of the same run ended, if one left its state in the folder."""
        self.kept, self.past = halfway.latest(folder)

    def _descend(self, examples: Examples, labels: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Leave the gradient of a batch's mean loss in the parameters, taken in pieces that fit; the loss in nats."""
        while True:
            self.loaded.module.zero_grad(set_to_none=True)
            with contextlib.suppress(torch.OutOfMemoryError):
                total = torch.zeros((), device=labels.device)
                for piece in chosen.split(self.piece):
                    loss = F.cross_entropy(self.loaded.logits(examples[piece]), labels[piece.to(labels.device)])
                    loss = loss * (len(piece) / len(chosen))
                    loss.backward()
                    total += loss.detach()
                return total
            self.piece = self._half(self.piece)

    def accuracy(self, split: str) -> float:
        """Share of a split that the model in its present state gets right, in [0, 1]."""
        examples = self.loaded.examples(self.task, split, self.context.cache)
        self.loaded.module.eval()
        while True:
            with torch.inference_mode(), contextlib.suppress(torch.OutOfMemoryError):
                right = 0
                for chosen in examples.batches(self.looked):
                    answers = self.loaded.logits(examples[chosen]).argmax(1).cpu()
                    right += int((answers == examples.labels[chosen]).sum())
                return right / len(examples)
            self.looked = self._half(self.looked)

    def _half(self, size: int) -> int:
        """Half as many examples at a time, the device's memory swept.

        Raises:
            ModelError: when not even one example fits.
        """
        if size == 1:
            raise ModelError("a fine-tuning must fit into the device's memory, it runs out of memory at one example; "
                             "lower embed.image_size or use a larger device")  # fmt: skip
        self.loaded.module.zero_grad(set_to_none=True)
        if self.loaded.device.type == "cuda":
            torch.cuda.empty_cache()
        return (size + 1) // 2

    @property
    def note(self) -> str | None:
        """What is to be said of how the number came about; None when all went as asked."""
        if self.piece == self.settings["batch"]:
            return self.loaded.note
        pieces = (f"out of memory at {self.settings['batch']} examples: the gradient of each batch was added up over "
                  f"pieces of {self.piece}; batch norm saw the pieces")  # fmt: skip
        return "; ".join(filter(None, (self.loaded.note, pieces)))

    def peak_memory(self) -> int:
        """Bytes: the device's peak during this fine-tuning, or the process's high-water mark on a CPU."""
        if self.loaded.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Fine-tune to the end; a divergence is a row with null accuracies and the reason."""
    return to_the_end(advance(job, context))


def to_the_end(stages: Generator[Point, None, dict[str, list[Row]]]) -> dict[str, list[Row]]:
    """What the last stage returns."""
    while True:
        try:
            next(stages)
        except StopIteration as end:
            return end.value


def advance(job: Job, context: Context) -> Generator[Point, None, dict[str, list[Row]]]:
    """The same in stages: yields a point after each evaluation and returns the rows after the last."""
    loaded = context.model(job.model, classes=len(job.task.classes), settings=job.settings)
    tuning = FineTuning(context, loaded, job.task, job.settings)
    if job.kind == "final":
        tuning.go_on(halfway.folder(job, context.cache))
    return (yield from measure(job, tuning))


def measure(job: Job, tuning: FineTuning) -> Generator[Point, None, dict[str, list[Row]]]:
    """The stages of a fine-tuning and its row."""
    points = tuning.past
    try:
        for point in tuning.points():
            points.append(point)
            yield point
        if job.kind == "final":
            keep_weights(tuning.loaded.module, weights_file(job, tuning.context.cache))
        test = tuning.accuracy("test") if job.settings.get("test", True) else None
        measured = ended(points, test) | {"reason": tuning.note}
    except Diverged as error:
        measured = diverged(points, str(error))
    return {"runs": [run_row(job) | measured | {"peak_memory_bytes": tuning.peak_memory()}]}


def weights_file(job: Job, cache: Path) -> Path:
    """Where the weights of a final run are kept: one name for the run and for its export."""
    return cache / "weights" / f"{fingerprint([job.model.content, job.task.content, dict(job.settings)])}.safetensors"


def keep_weights(module: torch.nn.Module, path: Path) -> None:
    """Write the weights of a run that is over, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    state = module.state_dict()
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in state.items()}, temporary)
    os.replace(temporary, path)
