"""Small NASNet and PNASNet: timm's cells, fewer and narrower. Knows nothing about names, weights or training."""

from typing import Any

from timm.layers import ConvNormAct
from timm.models import nasnet, pnasnet
from torch import Tensor, nn
from torch.nn import functional

from .pooled import Pooled, Stage


def _stem(channels: int, in_chans: int) -> Stage:
    """Two plain convolutions down to a quarter: searched cells at full size would take nearly all of the time."""
    first = ConvNormAct(in_chans, channels, 3, stride=2, act_layer=nn.ReLU)
    return nn.Sequential(first, ConvNormAct(channels, channels, 3, stride=2, apply_act=False)), channels, 4


class SmallNASNet(Pooled):
    """NASNet-A: a stem, a reduction cell, a first cell and normal cells.

    Args:
        stem: channels behind the first convolutions.
        filters: of the cells, even. Features: 6 x `filters`.
        repeats: normal cells at the end.

    Source: Zoph et al. 2018, figure 4; the cells are timm's.
    """

    def __init__(self, stem: int, filters: int, repeats: int, **head: Any) -> None:
        f = filters
        cells: list[Stage] = [
            (nasnet.ReductionCell0(stem, f, stem, f), 4 * f, 8),
            (nasnet.FirstCell(stem, f // 2, 4 * f, f), 6 * f, 8),
        ]
        for index in range(repeats):
            cells.append((nasnet.NormalCell((6 if index else 4) * f, f, 6 * f, f), 6 * f, 8))
        super().__init__(_stem(stem, head.get("in_chans", 3)), cells, **head)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map; a cell takes what the two before it gave."""
        before = now = self.stem(x)
        for cell in self.stages:
            before, now = now, cell(now, before)
        return functional.relu(now)


class SmallPNASNet(Pooled):
    """PNASNet-5: a stem, a reduction cell, two cells.

    Args:
        stem: channels behind the first convolutions.
        filters: of the cells. Features: 5 x `filters`.

    Source: Liu et al. 2018, figure 1; the cells are timm's.
    """

    def __init__(self, stem: int, filters: int, **head: Any) -> None:
        f = filters
        cells: list[Stage] = [
            (pnasnet.Cell(stem, f, stem, f, is_reduction=True), 5 * f, 8),
            (pnasnet.Cell(stem, f, 5 * f, f, match_prev_layer_dims=True), 5 * f, 8),
            (pnasnet.Cell(5 * f, f, 5 * f, f), 5 * f, 8),
        ]
        super().__init__(_stem(stem, head.get("in_chans", 3)), cells, **head)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map; a cell takes what the two before it gave."""
        before = now = self.stem(x)
        for cell in self.stages:
            before, now = now, cell(before, now)
        return functional.relu(now)
