"""Small real models for the tests, handed over as a factory function."""

import os
import signal
import time
from collections.abc import Callable

import torch
from torch import nn


class Tiny(nn.Module):
    """A convolution, batch normalisation, pooling and a linear head of ``num_classes`` outputs (0: none)."""

    def __init__(self, width: int, num_classes: int, delay: float) -> None:
        super().__init__()
        self.delay, self.num_classes = delay, num_classes
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU())
        self.fc = nn.Linear(width, num_classes) if num_classes else nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        time.sleep(self.delay)
        return self.fc(self.body(images).mean(dim=(2, 3)))


def _seeded(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """A module with weights of that seed; the stream of random numbers goes on as if it had not been made."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    model = make()
    torch.set_rng_state(state)
    return model


def build(width: int = 4, num_classes: int = 5, delay: float = 0.0) -> nn.Module:
    """Weights from a fixed seed, so that two calls give the same "pre-trained" model."""
    return _seeded(width, lambda: Tiny(width, num_classes, delay))


def headless(width: int = 4, num_classes: int | None = None) -> nn.Module:
    """A model without a head unless one is asked for."""
    return build(width, num_classes or 0)


class _Convolved(Tiny):
    """Its classifier is a convolution of one pixel, as in some mobile networks."""

    def __init__(self, width: int, num_classes: int, kernel: int) -> None:
        super().__init__(width, num_classes, 0.0)
        self.fc = nn.Conv2d(width, num_classes, kernel, padding=kernel // 2)
        self.default_cfg = {"classifier": "fc"}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.body(images).mean(dim=(2, 3), keepdim=True)).flatten(1)


def convolved(width: int = 4, num_classes: int = 5, kernel: int = 1) -> nn.Module:
    """The body of ``build`` under a convolution; with a kernel above 1 it is no linear layer."""
    return _seeded(width, lambda: _Convolved(width, num_classes, kernel))


class _Rectified(Tiny):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).relu()


def rectified(width: int = 4, num_classes: int = 5) -> nn.Module:
    """A ReLU follows the classifier, as in SqueezeNet."""
    return _seeded(width, lambda: _Rectified(width, num_classes, 0.0))


def broken(**_: object) -> nn.Module:
    """A factory with a bug."""
    raise RuntimeError("the weights of this model are of another planet")


class _Hungry(Tiny):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            torch.empty(1 << 50)
        return super().forward(images)


def hungry(num_classes: int = 5) -> nn.Module:
    """Embeds well, and needs a petabyte to train."""
    return _Hungry(4, num_classes, 0.0)


class _Deadly(Tiny):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(images)


def deadly(num_classes: int = 5) -> nn.Module:
    """Embeds well, and kills its process when trained."""
    return _Deadly(4, num_classes, 0.0)


class _Wild(Tiny):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images) * (float("nan") if self.training else 1.0)


def wild(num_classes: int = 5) -> nn.Module:
    """Embeds well; every training loss is NaN."""
    return _Wild(4, num_classes, 0.0)


class _Snug(Tiny):
    """No batch normalisation, so that a batch in pieces has the gradient of the batch."""

    def __init__(self, train: int, look: int, num_classes: int) -> None:
        super().__init__(4, num_classes, 0.0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())
        self.fits = {True: train, False: look}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        counted = self.training or torch.is_inference_mode_enabled()
        if counted and len(images) > self.fits[self.training]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().forward(images)


def snug(train: int = 1000, look: int = 1000, num_classes: int = 5) -> nn.Module:
    """Runs out of memory above so many examples in training, and in evaluation."""
    return _seeded(0, lambda: _Snug(train, look, num_classes))


class _Dropping(Tiny):
    """Draws random numbers in training."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(nn.functional.dropout(self.body(images).mean(dim=(2, 3)), 0.5, self.training))


def dropping(width: int = 4, num_classes: int = 5) -> nn.Module:
    """The body of ``build`` with dropout before the head."""
    return _seeded(width, lambda: _Dropping(width, num_classes, 0.0))


class _Twisted(Tiny):
    """Its logits are not linear in what enters the classifier."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).tanh()


def twisted(width: int = 4, num_classes: int = 5) -> nn.Module:
    """A classifier with something behind it."""
    return _Twisted(width, num_classes, 0.0)
