"""The two transforms of a reference task: of its features (an invertible affine map), of its labels (a joint table)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.special import xlogy
from torch import Tensor

from taskrel.bound.sample import Floats, Ints


@dataclass(frozen=True, eq=False)
class Affine:
    """The feature map z -> A z + b with its exact inverse.

    Args:
        linear: A, a [d, d] matrix, or a positive number for that multiple of the identity.
        shift: [d] b.
        back: A^-1 where it is known, else it is computed.

    Raises:
        ValueError: A has no inverse.
    """

    linear: Tensor | float
    shift: Tensor
    back: Tensor | None = None

    @classmethod
    def identity(cls, like: Tensor) -> Affine:
        """z -> z, for the device and dimension of [n, d] `like`."""
        return cls(1.0, torch.zeros_like(like[0]))

    @cached_property
    def inverse(self) -> Tensor | float:
        """A^-1, matrix or number as A is."""
        if isinstance(self.linear, float):
            if self.linear == 0:
                raise ValueError("linear must be invertible, got 0")
            return 1 / self.linear
        if self.back is not None:
            return self.back
        try:
            return torch.linalg.inv(self.linear)
        except RuntimeError as fault:
            raise ValueError(f"linear must be invertible, got {fault}") from fault

    def apply(self, z: Tensor) -> Tensor:
        """[n, d] A z + b."""
        return (self.linear * z if isinstance(self.linear, float) else z @ self.linear.T) + self.shift

    def undo(self, z: Tensor) -> Tensor:
        """[n, d] A^-1 (z - b)."""
        return self.pull(z - self.shift, transposed=True)

    def pull(self, rows: Tensor, transposed: bool = False) -> Tensor:
        """[K, d] rows times A^-1: a head's weights in the coordinates of A z + b."""
        inverse = self.inverse
        if not isinstance(inverse, Tensor):
            return rows * inverse
        return rows @ (inverse.T if transposed else inverse)

    @property
    def residual(self) -> float:
        """Frobenius norm of A A^-1 - I."""
        if isinstance(self.linear, float):
            return abs(self.linear * float(self.inverse) - 1)
        product = self.linear @ torch.as_tensor(self.inverse)
        return float((product - torch.eye(len(product), dtype=product.dtype, device=product.device)).norm())

    @property
    def gains(self) -> tuple[float, float]:
        """Smallest and largest singular value of A."""
        if isinstance(self.linear, float):
            return abs(self.linear), abs(self.linear)
        values = torch.linalg.svdvals(self.linear)
        return float(values[-1]), float(values[0])


@dataclass(frozen=True, eq=False)
class Joint:
    """How the reference's classes become the target's: `table` [K_T, K_R], the probability of both, sums to 1.

    Its row sums are the target's prior and its column sums the reference's new prior, exactly: B D = P_T by
    construction.

    Raises:
        ValueError: a negative or non-finite entry, or a sum other than 1.
    """

    table: Floats

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or not np.isfinite(self.table).all() or self.table.min() < 0:
            raise ValueError(f"table must be non-negative, got {self.table.shape} with minimum {self.table.min()}")
        if abs(self.table.sum() - 1) > 1e-9:
            raise ValueError(f"table must sum to 1, got {self.table.sum()}")

    @classmethod
    def assigned(cls, choice: Ints, prior: Floats, references: int) -> Joint:
        """Target class k is made of reference class choice[k] alone."""
        table = np.zeros((len(prior), references))
        table[np.arange(len(prior)), choice] = prior
        return cls(table)

    @classmethod
    def product(cls, labels: Floats, weights: Floats) -> Joint:
        """From B [K_T, K_R], columns that sum to 1, and D [K_R]."""
        return cls(labels * weights)

    @property
    def prior(self) -> Floats:
        """[K_T] of the target."""
        return self.table.sum(axis=1)

    @property
    def weights(self) -> Floats:
        """[K_R] D, the reference's new prior."""
        return self.table.sum(axis=0)

    @property
    def labels(self) -> Floats:
        """[K_T, K_R] B, the target's class given the reference's; an unused column is the target's prior."""
        used = self.weights > 0
        share = self.table / np.where(used, self.weights, 1.0)
        return np.where(used, share, self.prior[:, None])

    @property
    def entropy(self) -> float:
        """Conditional entropy of the target's class given the reference's, in nats; 0 if every class has one image."""
        return float(-xlogy(self.table, self.labels).sum()) + 0.0

    def rescaled(self, prior: Floats) -> Joint:
        """The same rows for another prior of the target, as of a held-out part.

        Raises:
            ValueError: a class that had no mass before has some now.
        """
        old = self.prior
        if ((old == 0) & (prior > 0)).any():
            raise ValueError("prior must be zero where it was when the bound was fitted")
        return Joint(self.table * (prior / np.where(old > 0, old, 1.0))[:, None])
