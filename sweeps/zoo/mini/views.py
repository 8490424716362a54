"""Random views of a batch of images: what augmentation the pre-training uses. Knows nothing about losses."""

import torch
from torch import Tensor
from torch.nn import functional

SHIFT = 3


def to_float(pixels: Tensor) -> Tensor:
    """uint8 [n, 32, 32, 3] -> float32 [n, 3, 32, 32] in [-1, 1], channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def shifted(pixels: Tensor, rng: torch.Generator) -> Tensor:
    """Each image moved by up to three pixels each way, the border repeated. uint8 in, uint8 out."""
    n, high, wide, _ = pixels.shape
    move = torch.randint(-SHIFT, SHIFT + 1, (2, n, 1), generator=rng)
    rows = (torch.arange(high) + move[0]).clamp_(0, high - 1)
    columns = (torch.arange(wide) + move[1]).clamp_(0, wide - 1)
    return pixels[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def relit(images: Tensor, rng: torch.Generator, strength: float) -> Tensor:
    """Each channel of each image scaled and moved a little. Float [n, 3, h, w] in and out."""
    n = len(images)
    gain = 1 + strength * (2 * torch.rand(n, 3, 1, 1, generator=rng) - 1)
    offset = strength * (2 * torch.rand(n, 3, 1, 1, generator=rng) - 1)
    return images * gain + offset


def strong(images: Tensor, rng: torch.Generator) -> Tensor:
    """One view for instance discrimination: a random crop, scaled back, new light, sometimes grey, some grain."""
    n = len(images)
    scale = 0.6 + 0.45 * torch.rand(n, generator=rng)
    angle = 0.35 * (2 * torch.rand(n, generator=rng) - 1)
    move = 0.25 * (2 * torch.rand(2, n, generator=rng) - 1)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    grid = torch.stack([torch.stack([cos, -sin, move[0]], -1), torch.stack([sin, cos, move[1]], -1)], 1)
    where = functional.affine_grid(grid, list(images.shape), align_corners=False)
    images = functional.grid_sample(images, where, padding_mode="border", align_corners=False)
    images = relit(images, rng, 0.4)
    grey = torch.rand(n, 1, 1, 1, generator=rng) < 0.25
    images = torch.where(grey, images.mean(1, keepdim=True), images)
    return images + 0.05 * torch.randn(images.shape, generator=rng)
