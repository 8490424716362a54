"""Losses that see labels: all of them, or a tenth beside a pretext of the images themselves."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from .objective import Objective, split
from .pretexts import Pretext
from .views import relit, shifted, to_float

# Of every class, in a set whose labels are hidden from the rest.
TENTH = 10


class Supervised(Objective):
    """Cross-entropy on the upstream labels."""

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        images = relit(to_float(shifted(pixels, rng)), rng, 0.15)
        return functional.cross_entropy(self.body(images), labels)

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """Top-1 accuracy."""
        right = sum(int((self.body(to_float(part)).argmax(1) == truth).sum()) for part, truth in split(pixels, labels))
        return right / len(labels)


def one_in(every: int, labels: Tensor) -> Tensor:
    """Labels [n] with all but one in so many of every class replaced by -1; the first of a class is kept."""
    counts = functional.one_hot(labels).cumsum(0).gather(1, labels[:, None]).squeeze(1) - 1
    return torch.where(counts % every == 0, labels, -1)


class WithLabels(Objective):
    """A pretext, and cross-entropy on the labels that are known, on the same views of the same images.

    Args:
        pretext: makes the views and its own loss.
        every: one label in so many of each class is known; 1 for all.

    Source: Zhai et al. 2019 (S4L), equation 1 with weight 1. Their labelled and unlabelled images come in batches of
        their own; here the labelled ones of a batch are those that fall into it.
    """

    def __init__(self, body: nn.Module, classes: int, *, pretext: Callable[[nn.Module], Pretext], every: int) -> None:
        super().__init__(body)
        self.every = every
        self.pretext = pretext(body)
        self.head = nn.Linear(self.wide, classes)

    def seen(self, labels: Tensor) -> Tensor:
        return one_in(self.every, labels)

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        features, loss = self.pretext.solve(pixels, rng)
        labels = labels.repeat(len(features) // len(labels))
        known = labels >= 0
        wrong = functional.cross_entropy(self.head(features), labels, ignore_index=-1, reduction="sum")
        return loss + wrong / known.sum().clamp(min=1)

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """Top-1 accuracy on upright, whole images."""
        right = sum(
            int((self.head(self.body(to_float(part))).argmax(1) == truth).sum())
            for part, truth in split(pixels, labels)
        )
        return right / len(labels)
