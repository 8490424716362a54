"""``finetune``: the study's protocol. A new zero-started linear head, the whole model trained by SGD with momentum.

The same :class:`FineTuning` serves the grid, Tune's trials and the confirmation of what a search found, so the three
give the same number for the same settings. No augmentation, no weight decay, the last step is the one that counts.
"""

import math
import resource
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import torch
from torch.nn import functional as F

from sweeps.jobs.context import Context
from sweeps.jobs.runs import diverged, ended, evaluation_steps, run_row
from sweeps.types import Job, Model, Point, Row, Task
from taskrel.heads import batch_stream

EVALUATION_BATCH = 256


class Diverged(ArithmeticError):
    """The training loss is no longer finite: an observation about the learning rate, not a fault."""


def learning_rate_at(step: int, settings: Mapping[str, Any]) -> float:
    """The rate of step ``step`` (from 0): constant, or a tenth after one third and a hundredth after two thirds."""
    if settings["schedule"] == "constant":
        return float(settings["learning_rate"])
    return float(settings["learning_rate"] * 0.1 ** min(2, 3 * step // settings["steps"]))


class MomentumSGD:
    """``torch.optim.SGD(momentum=...)``, bit for bit. Making the first torch optimiser of a process imports the
    compiler, 5 s of every worker's start; these few lines do not.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], momentum: float) -> None:
        self.parameters, self.momentum = parameters, momentum
        self.velocities: list[torch.Tensor | None] = [None] * len(parameters)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """v <- momentum v + gradient (at first: the gradient), p <- p - learning_rate v."""
        for index, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                continue
            velocity = self.velocities[index]
            if velocity is None:
                velocity = self.velocities[index] = parameter.grad.clone()
            else:
                velocity.mul_(self.momentum).add_(parameter.grad)
            parameter.add_(velocity, alpha=-learning_rate)


class FineTuning:
    """One fine-tuning, advanced from evaluation to evaluation so that a search can stop it in between."""

    def __init__(self, context: Context, model: Model, task: Task, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.context, self.task = context, task
        self.loaded = context.model(model, classes=len(task.classes), image_size=settings["image_size"])
        if self.loaded.mean.is_cuda:
            torch.cuda.reset_peak_memory_stats()

    def points(self) -> Iterator[Point]:
        """Train; yield after each evaluation, the last one after all steps.

        Raises:
            Diverged: when the loss of a batch is NaN or infinite.
        """
        settings, module = self.settings, self.loaded.module
        images, labels = self.context.pixels(self.task, "train", self.loaded.geometry)
        device = self.loaded.mean.device
        labels = labels.to(device)
        torch.manual_seed(settings["seed"])
        optimiser = MomentumSGD(list(module.parameters()), settings["momentum"])
        looks = set(evaluation_steps(settings["steps"], settings["evaluations"]))
        stream = batch_stream(len(images), settings["batch"], settings["steps"], settings["seed"])
        module.train()
        for step, index in enumerate(stream):
            chosen = torch.as_tensor(index)
            module.zero_grad(set_to_none=True)
            logits = module(self.loaded.normalise(images[chosen]))
            loss = F.cross_entropy(logits.flatten(1), labels[chosen.to(device)])
            loss.backward()
            optimiser.step(learning_rate_at(step, settings))
            if step + 1 in looks:
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise Diverged(f"the training loss is {value} by step {step + 1}")
                yield Point(step + 1, value, self.accuracy("val"))
                module.train()

    def accuracy(self, split: str) -> float:
        """Share of a split that the model in its present state gets right, in [0, 1]."""
        images, labels = self.context.pixels(self.task, split, self.loaded.geometry)
        module, right = self.loaded.module, 0
        module.eval()
        with torch.inference_mode():
            for start in range(0, len(images), EVALUATION_BATCH):
                logits = module(self.loaded.normalise(images[start : start + EVALUATION_BATCH])).flatten(1)
                right += int((logits.argmax(1).cpu() == labels[start : start + EVALUATION_BATCH]).sum())
        return right / len(images)

    def peak_memory(self) -> int:
        """Bytes: the device's peak during this fine-tuning, or the process's high-water mark on a CPU."""
        if self.loaded.mean.is_cuda:
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
        measured = ended(points, tuning.accuracy("test"))
    except Diverged as error:
        measured = diverged(points, str(error))
    return {"runs": [run_row(job) | measured | {"peak_memory_bytes": tuning.peak_memory()}]}
