"""Losses of auto-encoders: the body is the encoder, its features are read, not the code behind them."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from .objective import CHUNK, Objective, frozen
from .views import to_float


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), summed over dimensions: [n] nats, >= 0.

    Source: Kingma and Welling 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def gaussian_nll(target: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Negative log density of the target under N(mean, exp(log_scale)^2), summed over pixels: [n] nats."""
    scaled = (target - mean) * torch.exp(-log_scale)
    return (0.5 * scaled.square() + log_scale + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)


def mmd(one: Tensor, other: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of two samples under a sum of seven inverse multiquadrics: >= 0, 0 if equal.

    Args:
        one, other: [n, d] and [m, d], about as spread as N(0, 1).

    Source: Tolstikhin et al. 2018, section 4 (kernel c / (c + distance^2), c = 2 d s for seven scales s). They leave
        a point's similarity with itself out; with it the estimate is too large by at most 14 / n, and never negative.
    """
    points = torch.cat([one, other])
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    kernel = torch.zeros_like(distance)
    for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0):
        c = 2 * one.shape[1] * scale
        kernel = kernel + c / (c + distance)
    sign = torch.cat([one.new_full((len(one),), 1 / len(one)), other.new_full((len(other),), -1 / len(other))])
    return sign @ kernel @ sign


def mixture_kl(mean: Tensor, log_variance: Tensor, code: Tensor) -> Tensor:
    """Divergence, in nats, of the mean of all posteriors of a batch from N(0, 1), estimated at one code of each.

    On average not below the divergence of the posterior of all images: the mean over a batch is one of its random
    stand-ins, and the divergence is convex.

    Args:
        mean, log_variance, code: [n, d]; code i is drawn from posterior i.

    Source: Rubenstein et al. 2019, equation 4, with the divergence of Kullback and Leibler.
    """
    scaled = (code[:, None] - mean) * torch.exp(-0.5 * log_variance)
    posterior = -0.5 * (scaled.square() + log_variance).sum(2)
    prior = -0.5 * code.square().sum(1)
    return (torch.logsumexp(posterior, 1) - math.log(len(code)) - prior).mean()


class Autoencoder(Objective):
    """Body, code, decoder. `PER_CODE` numbers describe one dimension of the code: its value, or mean and variance."""

    LATENT = 64
    PER_CODE = 2

    def __init__(self, body: nn.Module, classes: int = 0) -> None:
        super().__init__(body)
        self.posterior = nn.Linear(self.wide, self.PER_CODE * self.LATENT)
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

    def code(self, images: Tensor) -> Tensor:
        """The code, or its mean: [n, 64]."""
        return self.posterior(self.body(images))[:, : self.LATENT]

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        """The loss of an image in nats, over its number of pixel channels."""
        images = to_float(pixels)
        return self.loss(images, rng) / images[0].numel()

    @abstractmethod
    def loss(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Nats per image."""

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """Share of the pixels' variance that the reconstruction from the (mean) code explains (0 if below)."""
        images = to_float(pixels)
        error = sum(float((self.decoder(self.code(part)) - part).square().sum()) for part in images.split(CHUNK))
        return max(0.0, 1 - error / float((images - images.mean(0)).square().sum()))


def _upsampled(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()


class Variational(Autoencoder):
    """A posterior N(mean, variance) per image; the likelihood is Gaussian with one learned scale for all pixels.

    With a learned scale (Rybkin et al. 2021) reconstruction and divergence stand in the ratio of the true bound, with
    no weight chosen by hand.
    """

    def loss(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Negative log likelihood plus divergence."""
        mean, log_variance = self.posterior(self.body(images)).chunk(2, 1)
        log_variance = log_variance.clamp(-10, 10)
        code = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=rng)
        nll = gaussian_nll(images, self.decoder(code), self.log_scale)
        return (nll + self.divergence(mean, log_variance, code)).mean()

    @abstractmethod
    def divergence(self, mean: Tensor, log_variance: Tensor, code: Tensor) -> Tensor:
        """Of the posteriors from N(0, 1), in nats: one number or [n]."""


class Vae(Variational):
    """A variational auto-encoder: every image's posterior is drawn to N(0, 1) (Kingma and Welling 2014)."""

    def divergence(self, mean: Tensor, log_variance: Tensor, code: Tensor) -> Tensor:
        """Of each posterior, [n]."""
        return kl_to_standard_normal(mean, log_variance)


class WaeUkl(Variational):
    """Only the mean of all posteriors is drawn to N(0, 1), by an upper bound (Rubenstein et al. 2019)."""

    def divergence(self, mean: Tensor, log_variance: Tensor, code: Tensor) -> Tensor:
        """Of the mean of the batch's posteriors."""
        return mixture_kl(mean, log_variance, code)


class Wasserstein(Autoencoder):
    """Squared error, and a penalty that draws the codes of many images to N(0, 1); the encoder has no noise.

    Source: Tolstikhin et al. 2018.
    """

    PER_CODE = 1
    WEIGHT: float

    def loss(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Squared error per image plus the weighted penalty."""
        code = self.code(images)
        error = (self.decoder(code) - images).square().flatten(1).sum(1).mean()
        return error + self.WEIGHT * self.penalty(code, torch.randn(code.shape, generator=rng))

    @abstractmethod
    def penalty(self, code: Tensor, prior: Tensor) -> Tensor:
        """How far the codes [n, d] are from draws of the prior [n, d]."""


class WaeMmd(Wasserstein):
    """The codes' distance is the maximum mean discrepancy."""

    WEIGHT = 100.0

    def penalty(self, code: Tensor, prior: Tensor) -> Tensor:
        """Squared discrepancy, >= 0."""
        return mmd(code, prior)


class WaeGan(Wasserstein):
    """The codes' distance is what a second network makes of them, which learns to tell them from the prior."""

    WEIGHT = 10.0

    def __init__(self, body: nn.Module, classes: int = 0) -> None:
        super().__init__(body)
        self.critic = nn.Sequential(nn.Linear(self.LATENT, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(),
                                    nn.Linear(128, 1))  # fmt: skip

    def penalty(self, code: Tensor, prior: Tensor) -> Tensor:
        """What the encoder pays for being told apart, plus what the critic pays for not telling apart."""
        with frozen(self.critic):
            fooled = functional.softplus(-self.critic(code)).mean()
        told = functional.softplus(-self.critic(prior)).mean() + functional.softplus(self.critic(code.detach())).mean()
        return fooled + told
