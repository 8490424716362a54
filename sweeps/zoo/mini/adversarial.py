"""A generative adversarial loss in BigGAN's manner; the body is the discriminator."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .objective import CHUNK, Objective, frozen
from .views import to_float

NOISE, LABEL = 48, 32


def hinge(real: Tensor, made: Tensor) -> Tensor:
    """What the discriminator pays: mean of max(0, 1 - real) + max(0, 1 + made), >= 0.

    Source: Lim and Ye 2017, as BigGAN uses it.
    """
    return functional.relu(1 - real).mean() + functional.relu(1 + made).mean()


class ConditionalNorm(nn.Module):
    """Batch norm whose gain and shift are read off a vector per image."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Linear(condition, 2 * channels)
        nn.init.zeros_(self.scale.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        gain, shift = self.scale(condition)[..., None, None].chunk(2, 1)
        return self.norm(x) * (1 + gain) + shift


class Generator(nn.Module):
    """Noise, and a label if there are any, to images in [-1, 1]; both enter again at every norm."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.names = nn.Embedding(classes, LABEL) if classes else None
        condition = NOISE + (LABEL if classes else 0)
        self.start = nn.Linear(condition, 64 * 16)
        widths = (64, 48, 32)
        self.norms = nn.ModuleList([ConditionalNorm(width, condition) for width in widths])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(before, after, 3, padding=1) for before, after in zip(widths, (48, 32, 12), strict=True)]
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        condition = noise if self.names is None else torch.cat([noise, self.names(labels)], 1)
        x = self.start(condition).unflatten(1, (64, 4, 4))
        for index, (norm, convolution) in enumerate(zip(self.norms, self.convolutions, strict=True)):
            x = functional.relu(norm(x, condition))
            if index < 2:
                x = functional.interpolate(x, scale_factor=2)
            x = convolution(x)
        return torch.tanh(functional.pixel_shuffle(x, 2))


class BigGan(Objective):
    """Hinge losses of two players; with classes the generator is told which, and the discriminator judges by it.

    From BigGAN (Brock et al. 2019): the hinge loss, labels and noise at every norm of the generator through one shared
    embedding, and the projection discriminator (Miyato and Koyama 2018). Not from it: spectral norms and attention
    (timm's body keeps its batch norm, real and made images in batches of their own), and one discriminator step per
    generator step, both in one backward pass. Without classes there is no embedding: what remains is unconditional.
    """

    def __init__(self, body: nn.Module, classes: int = 0) -> None:
        super().__init__(body)
        self.generator = Generator(classes)
        self.head = nn.Linear(self.wide, 1)
        self.names = nn.Embedding(classes, self.wide) if classes else None
        if self.names is not None:
            nn.init.normal_(self.names.weight, std=0.02)

    def judge(self, images: Tensor, labels: Tensor) -> Tensor:
        """How real each image of its class looks, [n], any real number."""
        features = self.body(images)
        score = self.head(features).squeeze(1)
        return score if self.names is None else score + (features * self.names(labels)).sum(1)

    def _made(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        noise = torch.randn(len(labels), NOISE, generator=rng)
        return self.generator(noise, labels).contiguous(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        """The discriminator's loss plus the generator's; each reaches its own player alone."""
        made = self._made(labels, rng)
        players = nn.ModuleList([each for each in (self.body, self.head, self.names) if each is not None])
        with frozen(players):
            fooling = -self.judge(made, labels).mean()
        told = hinge(self.judge(to_float(pixels), labels), self.judge(made.detach(), labels))
        return told + fooling

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """Share of unseen real images and of as many made ones that are told for what they are."""
        rng, right = torch.Generator().manual_seed(0), 0
        for part, truth in zip(pixels.split(CHUNK), labels.split(CHUNK), strict=True):
            right += int((self.judge(to_float(part), truth) > 0).sum())
            right += int((self.judge(self._made(truth, rng), truth) < 0).sum())
        return right / (2 * len(pixels))
