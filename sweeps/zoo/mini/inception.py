"""Small Inception networks: the four kinds of block of the family, on timm's convolutions.

timm's own Inception classes write their channels down as numbers; a small member has to be put together from the same
parts. Knows nothing about names, weights or training.
"""

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import ConvNormAct
from torch import Tensor, nn

from .pooled import Pooled, Stage

# What a block's branches are made of: per branch its (kernel, channels), or a pool before a 1 x 1.
Kernel = int | tuple[int, int]


def _conv(before: int, after: int, kernel: Kernel, stride: int = 1, *, act: bool = True) -> ConvNormAct:
    high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
    return ConvNormAct(
        before, after, kernel, stride=stride, padding=(high // 2, wide // 2), apply_act=act, act_layer=nn.ReLU
    )


def _chain(before: int, *steps: tuple[Kernel, int]) -> nn.Sequential:
    layers = []
    for kernel, after in steps:
        layers.append(_conv(before, after, kernel))
        before = after
    return nn.Sequential(*layers)


def _branches(version: str, before: int, narrow: int, wide: int) -> list[nn.Module]:
    """The branches of one block, each of `wide` channels behind a bottleneck of `narrow`."""
    pool = nn.MaxPool2d(3, 1, 1) if version == "v1" else nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    # Szegedy et al. 2015 (5 x 5), Ioffe and Szegedy 2015 (two 3 x 3 for it), Szegedy et al. 2016 (1 x n and n x 1).
    steps: dict[str, tuple[list[tuple[Kernel, int]], list[tuple[Kernel, int]]]] = {
        "v1": ([(3, wide)], [(5, wide)]),
        "v2": ([(3, wide)], [(3, wide), (3, wide)]),
        "v3": ([((1, 5), narrow), ((5, 1), wide)], [(3, wide), (3, wide)]),
    }
    middle, last = steps[version]
    return [
        _conv(before, wide, 1),
        _chain(before, (1, narrow), *middle),
        _chain(before, (1, narrow), *last),
        nn.Sequential(pool, _conv(before, wide, 1)),
    ]


class Mixed(nn.Module):
    """Branches beside each other, their channels joined."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class MixedResidual(nn.Module):
    """Inception-ResNet's block: the joined branches, brought to x's channels, scaled down and added to it.

    Source: Szegedy et al. 2017, section 3.3 (the scale keeps training stable).
    """

    SCALE = 0.3

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.mixed = Mixed(
            [
                _conv(channels, narrow, 1),
                _chain(channels, (1, narrow), (3, narrow)),
                _chain(channels, (1, narrow), (3, narrow), (3, narrow)),
            ]
        )
        self.up = nn.Conv2d(3 * narrow, channels, 1)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.SCALE * self.up(self.mixed(x)))


def _reduction(before: int, grown: int) -> Mixed:
    """Halves the image; adds 2 x `grown` channels."""
    deep = nn.Sequential(_conv(before, grown, 1), _conv(grown, grown, 3, 2))
    return Mixed([nn.MaxPool2d(3, 2, 1), _conv(before, grown, 3, 2), deep])


class SmallInception(Pooled):
    """An Inception network for 32 x 32 images.

    Args:
        version: "v1", "v2", "v3" or "resnet_v2".
        stem: channels behind the first convolution.
        widths: per stage, the channels of a block's bottlenecks and of its branches; a stage halves the image. With
            "resnet_v2": of a block's branches, and how many channels a stage adds twice.
        blocks: per stage, how many.
    """

    def __init__(
        self, version: str, stem: int, widths: Sequence[tuple[int, int]], blocks: Sequence[int], **head: Any
    ) -> None:
        channels = stem
        stages: list[Stage] = []
        for (narrow, wide), count in zip(widths, blocks, strict=True):
            residual = version == "resnet_v2"
            layers: list[nn.Module] = [_reduction(channels, wide if residual else narrow)]
            channels += 2 * (wide if residual else narrow)
            for _ in range(count):
                if residual:
                    layers.append(MixedResidual(channels, narrow))
                else:
                    layers.append(Mixed(_branches(version, channels, narrow, wide)))
                    channels = 4 * wide
            stages.append((nn.Sequential(*layers), channels, 4 * 2 ** len(stages)))
        super().__init__((_conv(head.get("in_chans", 3), stem, 3, 2), stem, 2), stages, **head)
