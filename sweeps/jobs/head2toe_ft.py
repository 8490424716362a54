"""``head2toe_ft``: Head2Toe-FT. The features that were selected with the frozen model, then head and model trained.

Gathering and normalising the kept features is part of every step, and batch statistics are those of the batch. A
settings' ``start`` is "fresh" (a head of zeros, as in the paper) or "fitted" (the one that Head2Toe found: few steps
suffice). Row of ``runs`` with the origin ``head2toe``.

Source: `finetune_backbones` of the authors' code; spec/head2toe.md section 2.2.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sweeps.jobs.context import Context
from sweeps.jobs.finetune import FineTuning, measure, to_the_end
from sweeps.jobs.head2toe import Selection, selection
from sweeps.types import Job, Row, Task
from sweeps.versions import HEAD2TOE
from sweeps.zoo.listen import Listener
from sweeps.zoo.load import Examples, Loaded
from sweeps.zoo.taps import Batch
from taskrel.head2toe import plan


def run(job: Job, context: Context) -> dict[str, list[Row]]:
    """Fine-tune to the end; a divergence is a row with null accuracies and the reason."""
    settings = dict(job.settings)
    origin = Job("head2toe", HEAD2TOE, job.model, job.task, settings["head2toe"])
    chosen = selection(origin, context)
    loaded = context.model(job.model, classes=None, settings=settings["head2toe"]["embed"])
    with opened(loaded, chosen, fresh=settings["start"] == "fresh") as whole:
        return to_the_end(measure(job, FineTuning(context, whole, job.task, settings)))


@contextmanager
def opened(loaded: Loaded, chosen: Selection, *, fresh: bool = False) -> Iterator["Opened"]:
    """The model with the head on its kept features in place of its own, while the ``with`` lasts."""
    with _Whole(loaded.body, chosen, fresh).to(loaded.device).listening() as module:
        yield Opened(loaded, module)


@dataclass(frozen=True)
class Opened:
    """Reads examples as ``inner`` does: a :class:`sweeps.jobs.finetune.Trainable`."""

    inner: Loaded
    module: nn.Module
    note = None

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.inner.device

    @property
    def at_once(self) -> int:
        """Examples per forward pass without a gradient."""
        return self.inner.at_once

    def examples(self, task: Task, split: str, cache: Path) -> Examples:
        """A split of a task."""
        return self.inner.examples(task, split, cache)

    def logits(self, inputs: Batch) -> Tensor:
        """float32 [n, classes]."""
        return self.module(inputs)


class _Whole(nn.Module):
    """Logits of a linear head on the kept features of all layers, each layer of unit norm."""

    def __init__(self, body: nn.Module, chosen: Selection, fresh: bool) -> None:
        super().__init__()
        self.body = body
        used = [(tap, inside) for tap, inside in zip(chosen.taps, chosen.split(), strict=True) if len(inside)]
        self.taps = [tap for tap, _ in used]
        self.plans = [[plan(tap.shape, chosen.target)] for tap in self.taps]
        self.inside = [torch.from_numpy(inside) for _, inside in used]
        # As in the fit of the frozen model, all features together have unit norm, so that its learning rates suit.
        self.scale = len(used) ** -0.5
        start = torch.zeros_like if fresh else torch.clone
        self.weights = nn.Parameter(start(chosen.weights / self.scale))
        self.bias = nn.Parameter(start(chosen.bias))

    @contextmanager
    def listening(self) -> Iterator[nn.Module]:
        with Listener(self.body, self.taps, self.plans) as self.listen:
            yield self

    def _apply(self, function: Any, recurse: bool = True) -> "_Whole":
        self.inside = [function(each) for each in self.inside]
        return super()._apply(function, recurse)

    def forward(self, batch: Batch) -> Tensor:
        parts = [pooled[:, inside] for [pooled], inside in zip(self.listen(batch), self.inside, strict=True)]
        unit = [part / torch.linalg.vector_norm(part, dim=1, keepdim=True).clamp_min(1e-6) for part in parts]
        return torch.cat(unit, dim=1).mul(self.scale) @ self.weights.T + self.bias
