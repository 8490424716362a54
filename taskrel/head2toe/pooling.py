"""How large each layer becomes: average pooling of maps and token sequences to about a target number of values.

Channels are never pooled, only space or tokens. Several targets are served by one reading of the layer wherever the
windows nest, on the layer's own device, so that raw layers need not be kept. Knows no models.

Source: Evci et al., "Head2Toe", ICML 2022, and `flatten_and_concat` of the authors' code; spec/head2toe.md section 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

ZeroPool = Literal["one", "as_released", "raise"]


@dataclass(frozen=True)
class Plan:
    """How one layer is pooled.

    Args:
        size: numbers per example afterwards.
        window: of the average over rows and columns of a map, or over (tokens,); None is the mean over all of them,
            and () leaves a layer that is a vector already as it is.
        dropped: rows and columns, or tokens, at the end that no window reaches.
    """

    size: int
    window: tuple[int, ...] | None
    dropped: tuple[int, ...]


def plan(shape: Sequence[int], target: int, *, zero_pool: ZeroPool = "one") -> Plan:
    """How a layer is pooled to about `target` numbers.

    Args:
        shape: of one example: (channels,), (tokens, channels) with the class token first, or
            (channels, height, width).
        target: wanted numbers per example of this layer; the result may be above or below.
        zero_pool: what happens where the target asks for more cells than there are: "one" keeps every cell,
            "as_released" averages over all of them as the authors' code does, "raise" refuses.

    Returns:
        The plan; maps that are not square have a window per side (our extension).

    Raises:
        ValueError: a shape of another rank, a target below 1, or a zero window under "raise".

    Source:
        spec/head2toe.md section 4.
    """
    if target < 1:
        raise ValueError(f"target must be at least 1, got {target}")
    if len(shape) not in (1, 2, 3) or min(shape) < 1:
        raise ValueError(f"shape must be (c,), (tokens, c) or (c, h, w), got {tuple(shape)}")
    if len(shape) == 1:
        return Plan(shape[0], (), ())
    channels, sides = (shape[1], (shape[0],)) if len(shape) == 2 else (shape[0], tuple(shape[1:]))
    if channels >= target:
        return Plan(channels, None, (0,) * len(sides))
    if len(sides) == 1:
        window: tuple[int, ...] = (int(sides[0] / (target / channels)),)
    else:
        window = tuple(side // math.isqrt(target // channels) for side in sides)
    if 0 in window:
        if zero_pool == "raise":
            raise ValueError(f"target must be at most the layer's {math.prod(shape)} values, got {target}")
        if zero_pool == "as_released":
            return Plan(channels, None, (0,) * len(sides))
        window = tuple(max(each, 1) for each in window)
    cells = [side // each for side, each in zip(sides, window, strict=True)]
    dropped = tuple(side % each for side, each in zip(sides, window, strict=True))
    return Plan(channels * math.prod(cells), window, dropped)


def pool(layer: Tensor, plans: Sequence[Plan], mask: Tensor | None = None) -> list[Tensor]:
    """The layer pooled by each plan, all from as few readings of it as the windows allow.

    Args:
        layer: [n, c], [n, tokens, c] or [n, c, h, w] of any floating type.
        plans: made by `plan` from the shape of one example.
        mask: [n, tokens] which tokens are text and not padding; averages are over those of a window, and a window
            without any gives zeros. Only for token sequences (our extension).

    Returns:
        [n, size] of each plan, float32, on the device of the layer; maps in (row, column, channel) order and tokens in
        (window, channel) order, as the authors' channels-last arrays flatten.

    Raises:
        ValueError: a mask for a layer that is not a token sequence of its length.
    """
    if mask is not None:
        return _pool_masked(layer, plans, mask)
    if layer.ndim == 2:
        # A row of zero strides (an expanded tensor) would be shared by later writers.
        return [layer.float()] * len(plans)
    if layer.ndim == 3:
        layer = layer.transpose(1, 2).unsqueeze(2)
    known: dict[tuple[int, int], Tensor] = {}
    sides = (layer.shape[2], layer.shape[3])
    wanted = [_two(each, sides) for each in plans]
    for window in sorted(set(wanted)):
        known[window] = _average(layer, window, known)
    flat = {window: cells.permute(0, 2, 3, 1).flatten(1) for window, cells in known.items()}
    return [flat[window] for window in wanted]


def _two(each: Plan, sides: tuple[int, int]) -> tuple[int, int]:
    """The window as (rows, columns); tokens lie along the columns of a map of one row."""
    if each.window is None:
        return sides
    return (1, each.window[0]) if len(each.window) == 1 else (each.window[0], each.window[1])


def _average(layer: Tensor, window: tuple[int, int], known: dict[tuple[int, int], Tensor]) -> Tensor:
    """[n, c, rows, columns] averages, float32; from finer averages where their windows tile these."""
    rows, columns = window
    height, width = layer.shape[2], layer.shape[3]
    if window == (1, 1):
        return layer.float()
    # Coarse windows that are whole multiples of fine ones reach only cells that the fine ones have too.
    for (fine_rows, fine_columns), fine in sorted(known.items(), reverse=True, key=lambda item: item[0]):
        if (fine_rows, fine_columns) != (1, 1) and rows % fine_rows == 0 and columns % fine_columns == 0:
            return _average(fine, (rows // fine_rows, columns // fine_columns), {})
    if (rows, columns) == (height, width):
        return layer.mean(dim=(2, 3), keepdim=True, dtype=torch.float32)
    return functional.avg_pool2d(layer.float(), window)


def _pool_masked(layer: Tensor, plans: Sequence[Plan], mask: Tensor) -> list[Tensor]:
    if layer.ndim == 2:
        return [layer.float()] * len(plans)
    if layer.ndim != 3 or mask.shape != layer.shape[:2]:
        raise ValueError(f"mask must be [n, tokens] of a layer [n, tokens, c], got {tuple(mask.shape)} "
                         f"for {tuple(layer.shape)}")  # fmt: skip
    valid = mask.to(torch.float32).unsqueeze(2)
    summed, pooled = layer.float() * valid, []
    for each in plans:
        width = each.window[0] if each.window else layer.shape[1]
        cells = layer.shape[1] // width
        total = summed[:, : cells * width].unflatten(1, (cells, width)).sum(dim=2)
        count = valid[:, : cells * width].unflatten(1, (cells, width)).sum(dim=2)
        pooled.append((total / count.clamp_min(1)).flatten(1))
    return pooled
