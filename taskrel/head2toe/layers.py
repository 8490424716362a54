"""The pooled layers of one network on the same examples, read as one wide matrix whose layers have unit norm.

The matrix ``U = [A_1 / |A_1|, ..., A_L / |A_L|]`` (norms per example and layer) is never built: dividing rows commutes
with products from the right, so every product streams over the raw blocks and only scales [n, K] results. Raw values
are kept because the kept features of a layer are normalised anew. Knows no models, labels or penalties.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layers:
    """Raw pooled layers.

    Args:
        names: of the L layers.
        blocks: [n, d_l] of each layer, float; fastest when features lie along rows in memory (``x.T`` of a contiguous
            [d_l, n]), for then a selection reads only what it keeps.

    Raises:
        ValueError: no layers, other numbers of names than blocks, of examples, or values that are not finite.
    """

    names: tuple[str, ...]
    blocks: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        if not self.blocks or len(self.names) != len(self.blocks):
            raise ValueError(f"blocks must be one per name and at least one, got {len(self.blocks)} blocks "
                             f"and {len(self.names)} names")  # fmt: skip
        rows = {tuple(block.shape[:-1]) for block in self.blocks}
        if len(rows) != 1 or any(block.ndim != 2 for block in self.blocks):
            raise ValueError(f"blocks must be [n, d] with one n, got {[tuple(b.shape) for b in self.blocks]}")
        bad = [n for n, norm in zip(self.names, self.norms.T, strict=True) if not bool(torch.isfinite(norm).all())]
        if bad:
            raise ValueError(f"blocks must be finite, got NaN or infinity in {', '.join(bad)}")

    @property
    def examples(self) -> int:
        """n."""
        return len(self.blocks[0])

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """[L] numbers of features."""
        return tuple(block.shape[1] for block in self.blocks)

    @cached_property
    def offsets(self) -> Indices:
        """[L + 1] where each layer begins in the wide matrix."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    @property
    def features(self) -> int:
        """D, the width of the matrix."""
        return int(self.offsets[-1])

    @cached_property
    def norms(self) -> Tensor:
        """[n, L] norm of each example in each layer."""
        return torch.stack([_row_norms(block) for block in self.blocks], dim=1)

    @cached_property
    def scales(self) -> Tensor:
        """[n, L] one over the norms; 0 where a layer is zero, which keeps a zero vector zero."""
        return torch.where(self.norms > 0, 1 / self.norms, 0.0)

    def rows(self, index: Tensor) -> Layers:
        """The same layers on some of the examples."""
        return Layers(self.names, tuple(block.T.index_select(1, index).T for block in self.blocks))

    def split(self, kept: Indices) -> list[Indices]:
        """[L] positions within each layer of features given by their column in the wide matrix, in ascending order."""
        return divided(kept, self.sizes)

    def columns(self, kept: Indices, *, rows: Tensor | None = None, renormalise: bool = False) -> Tensor:
        """[m, k] the kept columns in ascending order, of unit-norm layers.

        Args:
            kept: [k] columns of the wide matrix.
            rows: [m] examples; all by default.
            renormalise: False divides by the norm of the whole layer (what the selection saw), True by the norm of the
                kept features of the layer (what the final head sees).
        """
        parts = []
        for layer, inside in enumerate(self.split(kept)):
            if len(inside):
                part = self._gather(layer, inside)
                part = unit_rows(part) if renormalise else part * self.scales[:, layer : layer + 1]
                parts.append(part if rows is None else part[rows])
        return torch.cat(parts, dim=1)

    def _gather(self, layer: int, inside: Indices) -> Tensor:
        block = self.blocks[layer]
        if len(inside) == block.shape[1]:
            return block
        return block.T.index_select(0, torch.from_numpy(inside).to(block.device)).T

    def gram(self, kept: Indices, memory: int) -> Tensor:
        """[n, n] products of the examples over the kept features, each layer normalised anew on them.

        Args:
            kept: [k] columns of the wide matrix.
            memory: bytes that the copies of columns may take at once.
        """
        total = self.scales.new_zeros(self.examples, self.examples)
        step = max(1, memory // (2 * self.examples * total.element_size()))
        for layer, inside in enumerate(self.split(kept)):
            if not len(inside):
                continue
            raw = torch.zeros_like(total)
            for start in range(0, len(inside), step):
                part = self._gather(layer, inside[start : start + step])
                raw.addmm_(part, part.T)
            # The diagonal holds the squared norms of the kept part.
            squares = raw.diagonal()
            scale = torch.where(squares > 0, squares.clamp_min(torch.finfo(raw.dtype).tiny).rsqrt(), 0.0)
            total.addcmul_(raw.mul_(scale), scale.unsqueeze(1))
        return total

    def product(self, weights: Tensor) -> Tensor:
        """[K, n] weights [K, D] times the transposed wide matrix, streamed over the layers."""
        total = weights.new_zeros(len(weights), self.examples)
        for layer, (block, part) in enumerate(zip(self.blocks, weights.split(self.sizes, dim=1), strict=True)):
            total.addcmul_(part @ block.to(weights).T, self.scales[:, layer].to(weights))
        return total

    def gradient_norms(self, residual: Tensor, memory: int) -> Tensor:
        """[H, D] norm over classes of each residual times the wide matrix, streamed over the layers.

        Args:
            residual: [H, C, n]; zero for examples that a head does not see.
            memory: bytes that the gradients may take at once.
        """
        heads, classes, n = residual.shape
        flat = residual.reshape(heads * classes, n)
        step = max(1, memory // (heads * classes * flat.element_size()))
        norms = flat.new_empty(heads, self.features)
        for layer, block in enumerate(self.blocks):
            scaled = flat * self.scales[:, layer].to(flat)
            for start, stop in _chunks(block.shape[1], step):
                gradient = (scaled @ block[:, start:stop].to(flat)).view(heads, classes, stop - start)
                first = int(self.offsets[layer]) + start
                norms[:, first : first + stop - start] = torch.linalg.vector_norm(gradient, dim=1)
        return norms


def divided(kept: Indices, sizes: Sequence[int]) -> list[Indices]:
    """[L] positions within each layer, ascending, of features given by their column in the wide matrix."""
    kept, offsets = np.sort(kept), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    edges = np.searchsorted(kept, offsets)
    return [kept[a:b] - start for a, b, start in zip(edges, edges[1:], offsets, strict=False)]


def _chunks(length: int, step: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, step):
        yield start, min(start + step, length)


def _row_norms(block: Tensor) -> Tensor:
    """[n] norms of the rows [n, d], summed over pieces of columns: 50x faster than a norm along strided memory."""
    squares = [block[:, a:b].T.square().sum(dim=0) for a, b in _chunks(block.shape[1], 4096)]
    return torch.stack(squares).sum(dim=0).sqrt()


def unit_rows(block: Tensor) -> Tensor:
    """[n, d] rows divided by their norm; a zero row stays zero."""
    norms = _row_norms(block).unsqueeze(1)
    return block / torch.where(norms > 0, norms, 1.0)


def share_per_layer(layers: Layers, kept: Sequence[Indices] | Indices) -> npt.NDArray[np.float64]:
    """[L] share of each layer's own features that was kept, in [0, 1].

    Args:
        layers: the layers that were selected from.
        kept: columns of the wide matrix, or several selections (folds), whose shares are averaged.
    """
    several = [kept] if isinstance(kept, np.ndarray) else list(kept)
    counts = [[len(inside) for inside in layers.split(each)] for each in several]
    return np.mean(counts, axis=0) / np.array(layers.sizes)
