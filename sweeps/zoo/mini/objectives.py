"""The four pre-training losses, each a module around a timm body: `forward(pixels, labels, rng) -> loss`.

`held_out(pixels, labels)` is how well the loss's own task is solved on images it never saw, in [0, 1], higher is
better. Knows nothing about optimisers, files or names of models.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .views import relit, shifted, strong, to_float

CHUNK = 250


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), summed over dimensions: [n] nats, >= 0.

    Source: Kingma and Welling 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def gaussian_nll(target: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Negative log density of the target under N(mean, exp(log_scale)^2), summed over pixels: [n] nats."""
    scaled = (target - mean) * torch.exp(-log_scale)
    return (0.5 * scaled.square() + log_scale + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)


def nt_xent(views: Tensor, temperature: float) -> Tensor:
    """Cross-entropy, in nats, of finding each view's twin among all other views of the batch.

    Args:
        views: [2 n, d]; rows i and n + i are two views of image i.
        temperature: divides the cosine similarities.

    Source: Chen et al. 2020, equation 1.
    """
    n = len(views) // 2
    unit = functional.normalize(views, dim=1)
    similarity = unit @ unit.T / temperature
    similarity = similarity.masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    twin = torch.arange(2 * n).roll(n)
    return functional.cross_entropy(similarity, twin)


class Objective(nn.Module, ABC):
    """A body and its loss, `forward(pixels, labels, rng)`; pixels uint8 [n, 32, 32, 3], the loss in nats."""

    body: nn.Module

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    @property
    def wide(self) -> int:
        """Dimension of the body's features."""
        features: Any = self.body.num_features
        return int(features)

    @abstractmethod
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """How well the loss's own task is solved on unseen images, in [0, 1], higher is better."""


class Supervised(Objective):
    """Cross-entropy on the upstream labels."""

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        images = relit(to_float(shifted(pixels, rng)), rng, 0.15)
        return functional.cross_entropy(self.body(images), labels)

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """Top-1 accuracy."""
        right = sum(
            int((self.body(to_float(part)).argmax(1) == truth).sum())
            for part, truth in zip(pixels.split(CHUNK), labels.split(CHUNK), strict=True)
        )
        return right / len(labels)


class Rotation(Objective):
    """Which of four quarter turns an image was given (Gidaris et al. 2018)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__(body)
        self.head = nn.Linear(self.wide, 4)

    def _turned(self, pixels: Tensor, turns: Tensor) -> Tensor:
        every = torch.stack([torch.rot90(pixels, k, (1, 2)) for k in range(4)])
        return every[turns, torch.arange(len(pixels))]

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        turns = torch.randint(0, 4, (len(pixels),), generator=rng)
        images = relit(to_float(shifted(self._turned(pixels, turns), rng)), rng, 0.15)
        return functional.cross_entropy(self.head(self.body(images)), turns)

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """Four-way accuracy, each image once, the turns in rotation."""
        turns = torch.arange(len(pixels)) % 4
        right = sum(
            int((self.head(self.body(to_float(self._turned(part, truth)))).argmax(1) == truth).sum())
            for part, truth in zip(pixels.split(CHUNK), turns.split(CHUNK), strict=True)
        )
        return right / len(turns)


class Vae(Objective):
    """A variational auto-encoder; the body is the encoder.

    Gaussian likelihood with one learned scale for all pixels (Rybkin et al. 2021), so that reconstruction and
    divergence stand in the ratio of the true bound, with no weight chosen by hand.
    """

    LATENT = 64

    def __init__(self, body: nn.Module) -> None:
        super().__init__(body)
        self.posterior = nn.Linear(self.wide, 2 * self.LATENT)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.decoder = nn.Sequential(
            nn.Linear(self.LATENT, 64 * 16),
            nn.Unflatten(1, (64, 4, 4)),
            *_upsampled(64, 48),
            *_upsampled(48, 32),
            nn.Conv2d(32, 12, 3, padding=1),
            # The last doubling rearranges channels: convolving at 32 x 32 would cost more than the encoder.
            nn.PixelShuffle(2),
        )

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.posterior(self.body(images)).chunk(2, 1)
        return mean, log_variance.clamp(-10, 10)

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        """The negative evidence lower bound, nats per image and pixel channel."""
        images = to_float(pixels)
        mean, log_variance = self._encode(images)
        latent = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=rng)
        nll = gaussian_nll(images, self.decoder(latent), self.log_scale)
        return (nll + kl_to_standard_normal(mean, log_variance)).mean() / images[0].numel()

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """Share of the pixels' variance that the reconstruction from the posterior mean explains (0 if below)."""
        images = to_float(pixels)
        error = sum(float((self.decoder(self._encode(part)[0]) - part).square().sum()) for part in images.split(CHUNK))
        return max(0.0, 1 - error / float((images - images.mean(0)).square().sum()))


def _upsampled(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()


class Exemplar(Objective):
    """Every image is its own class: find the other view of the same image (Dosovitskiy et al. 2014, by NT-Xent)."""

    TEMPERATURE = 0.2

    def __init__(self, body: nn.Module) -> None:
        super().__init__(body)
        self.projector = nn.Sequential(nn.Linear(self.wide, self.wide), nn.ReLU(), nn.Linear(self.wide, 64))

    def _views(self, pixels: Tensor, rng: torch.Generator) -> Tensor:
        images = to_float(pixels)
        return self.projector(self.body(torch.cat([strong(images, rng), strong(images, rng)])))

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        return nt_xent(self._views(pixels, rng), self.TEMPERATURE)

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """How often a view's nearest neighbour among those of 250 images is its twin."""
        rng, hits, total = torch.Generator().manual_seed(0), 0, 0
        for part in pixels.split(CHUNK):
            one, two = functional.normalize(self._views(part, rng), dim=1).chunk(2)
            hits += int(((one @ two.T).argmax(1) == torch.arange(len(part))).sum())
            total += len(part)
        return hits / total


OBJECTIVES: Mapping[str, Callable[[nn.Module], Objective]] = MappingProxyType(
    {"supervised": Supervised, "rotation": Rotation, "vae": Vae, "exemplar": Exemplar}
)
