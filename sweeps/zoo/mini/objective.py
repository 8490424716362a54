"""What every pre-training loss is: a module around a timm body, `forward(pixels, labels, rng) -> loss`.

Knows nothing about optimisers, files or names of models.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

CHUNK = 250


class Objective(nn.Module, ABC):
    """A body and its loss, `forward(pixels, labels, rng)`; pixels uint8 [n, 32, 32, 3], the loss in nats.

    Args:
        body: a timm model; with a classifier only where the loss is that classifier's.
        classes: of the upstream set; losses without labels do not look at it.
    """

    body: nn.Module

    def __init__(self, body: nn.Module, classes: int = 0) -> None:
        super().__init__()
        self.body = body

    @property
    def wide(self) -> int:
        """Dimension of the body's features."""
        features: Any = self.body.num_features
        return int(features)

    def seen(self, labels: Tensor) -> Tensor:
        """The upstream labels [n] as far as the loss may see them, -1 where it may not."""
        return labels

    @abstractmethod
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """How well the loss's own task is solved on unseen images, in [0, 1], higher is better."""


def split(*several: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of several tensors, 250 at a time."""
    return zip(*(each.split(CHUNK) for each in several), strict=True)


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """What is computed inside sends its gradient through the module, not into its parameters.

    So that two players share one loss and one optimiser: each term reaches one player alone.
    """
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
