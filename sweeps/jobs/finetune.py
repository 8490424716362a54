"""``finetune``: a new zero-started linear head and the whole model trained, by the recipe of its settings.

Images follow the study's protocol (SGD with momentum), texts the field's (AdamW): :mod:`sweeps.jobs.recipes`. The
same :class:`FineTuning` serves the grid, Tune's trials and the confirmation of what a search found, so the three give
the same number for the same settings. No augmentation, the last step is the one that counts.
"""

import math
import os
import resource
import uuid
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from sweeps.fingerprint import fingerprint
from sweeps.jobs.context import Context
from sweeps.jobs.recipes import learning_rate_at, optimiser
from sweeps.jobs.runs import diverged, ended, evaluation_steps, run_row
from sweeps.types import Job, Model, Point, Row, Task
from taskrel.heads import batch_stream

EVALUATION_BATCH = 256


class Diverged(ArithmeticError):
    """The training loss is no longer finite: an observation about the learning rate, not a fault."""


class FineTuning:
    """One fine-tuning, advanced from evaluation to evaluation so that a search can stop it in between."""

    def __init__(self, context: Context, model: Model, task: Task, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.context, self.task = context, task
        self.loaded = context.model(model, classes=len(task.classes), settings=settings)
        if self.loaded.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()

    def points(self) -> Iterator[Point]:
        """Train; yield after each evaluation, the last one after all steps.

        Raises:
            Diverged: when the loss of a batch is NaN or infinite.
        """
        settings, module, device = self.settings, self.loaded.module, self.loaded.device
        examples = self.context.examples(self.task, "train", self.loaded)
        labels = examples.labels.to(device)
        torch.manual_seed(settings["seed"])
        descent = optimiser(list(module.parameters()), settings)
        looks = set(evaluation_steps(settings["steps"], settings["evaluations"]))
        stream = batch_stream(len(examples), settings["batch"], settings["steps"], settings["seed"])
        module.train()
        for step, index in enumerate(stream):
            chosen = torch.as_tensor(index)
            module.zero_grad(set_to_none=True)
            loss = F.cross_entropy(self.loaded.logits(examples[chosen]), labels[chosen.to(device)])
            loss.backward()
            descent.step(learning_rate_at(step, settings))
            if step + 1 in looks:
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise Diverged(f"the training loss is {value} by step {step + 1}")
                yield Point(step + 1, value, self.accuracy("val"))
                module.train()

    def accuracy(self, split: str) -> float:
        """Share of a split that the model in its present state gets right, in [0, 1]."""
        examples, right = self.context.examples(self.task, split, self.loaded), 0
        self.loaded.module.eval()
        with torch.inference_mode():
            for chosen in examples.batches(EVALUATION_BATCH):
                answers = self.loaded.logits(examples[chosen]).argmax(1).cpu()
                right += int((answers == examples.labels[chosen]).sum())
        return right / len(examples)

    def peak_memory(self) -> int:
        """Bytes: the device's peak during this fine-tuning, or the process's high-water mark on a CPU."""
        if self.loaded.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Fine-tune to the end; a divergence is a row with null accuracies and the reason."""
    stages = advance(job, context)
    while True:
        try:
            next(stages)
        except StopIteration as end:
            return end.value


def advance(job: Job, context: Context) -> Generator[Point, None, dict[str, list[Row]]]:
    """The same in stages: yields a point after each evaluation and returns the rows after the last."""
    points: list[Point] = []
    tuning = FineTuning(context, job.model, job.task, job.settings)
    try:
        for point in tuning.points():
            points.append(point)
            yield point
        if job.kind == "final":
            _keep(tuning, weights_file(job, context.cache))
        measured = ended(points, tuning.accuracy("test"))
    except Diverged as error:
        measured = diverged(points, str(error))
    return {"runs": [run_row(job) | measured | {"peak_memory_bytes": tuning.peak_memory()}]}


def weights_file(job: Job, cache: Path) -> Path:
    """Where the weights of a final run are kept: one name for the run and for its export."""
    return cache / "weights" / f"{fingerprint([job.model.content, job.task.content, dict(job.settings)])}.safetensors"


def _keep(tuning: FineTuning, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    state = tuning.loaded.module.state_dict()
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in state.items()}, temporary)
    os.replace(temporary, path)
