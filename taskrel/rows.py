"""The rows of one probe, centred once and decomposed once, for all proxies that are asked about it.

`rows(probe)` computes nothing by itself; each property does on first use, and stays as long as the probe lives. So a
suite of proxies pays for one decomposition, whatever order they come in. Knows no proxy.
"""

from __future__ import annotations

import threading
import weakref
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from taskrel.spectrum import Spectrum, decompose, gram, outside
from taskrel.stats import tensor
from taskrel.types import Array, CannotScore, Probe

_KEPT: weakref.WeakKeyDictionary[Probe, Rows] = weakref.WeakKeyDictionary()
_LOCK = threading.Lock()


def rows(probe: Probe) -> Rows:
    """The shared view of a probe: the same object for the same probe, for as long as the probe lives."""
    with _LOCK:
        if probe not in _KEPT:
            _KEPT[probe] = Rows(probe)
        return _KEPT[probe]


class Rows:
    """One probe in float64 on the device of its features.

    Args:
        probe: its arrays are read, never written, and copied only as float64 rows.
    """

    def __init__(self, probe: Probe) -> None:
        # No reference to the probe itself: it is the key under which this object is kept.
        self._features, self._source_probs = probe.features, probe.source_probs
        self.labels, self.target, self.dim, self.examples = probe.labels, probe.target, probe.dim, len(probe)

    @cached_property
    def _centring(self) -> tuple[Tensor, Tensor]:
        x = tensor(self._features)
        # Twice: the first mean of large numbers is off by their rounding, the mean of what is left is not.
        first = x.mean(dim=0)
        x -= first
        second = x.mean(dim=0)
        x -= second
        return x, first + second

    @property
    def centred(self) -> Tensor:
        """[n, d] features minus their mean. Not to be written to."""
        return self._centring[0]

    @property
    def mean(self) -> Tensor:
        """[d] mean of the features."""
        return self._centring[1]

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return self.centred.device

    @cached_property
    def _encoded(self) -> tuple[Array, Tensor]:
        if self.target != "classes":
            raise CannotScore(f"needs one class per example, got {self.target} labels")
        classes, ids = np.unique(self.labels, return_inverse=True)
        return classes, torch.from_numpy(ids).to(self.device)

    @property
    def classes(self) -> Array:
        """[C] distinct labels, sorted."""
        return self._encoded[0]

    @property
    def ids(self) -> Tensor:
        """[n] place of each label among the classes."""
        return self._encoded[1]

    @cached_property
    def targets(self) -> Tensor:
        """[n, T] one-hot classes, 0/1 columns, or real values."""
        if self.target == "classes":
            return torch.nn.functional.one_hot(self.ids, len(self.classes)).double()
        return tensor(self.labels.reshape(self.examples, -1)).to(self.device)

    @cached_property
    def counts(self) -> Tensor:
        """[C] examples per class, float64."""
        return torch.bincount(self.ids, minlength=len(self.classes)).double()

    @cached_property
    def _target_sums(self) -> Tensor:
        """[T, d] sum of target times centred features over the examples."""
        if self.target != "classes":
            return self.targets.T @ self.centred
        return self.centred.new_zeros(len(self.counts), self.dim).index_add_(0, self.ids, self.centred)

    @property
    def class_means(self) -> Tensor:
        """[C, d] class means minus the mean of all."""
        return self._target_sums / self.counts[:, None]

    @cached_property
    def within(self) -> Tensor:
        """[n, d] features minus the mean of their class."""
        return self.centred - self.class_means[self.ids]

    @cached_property
    def class_variances(self) -> Tensor:
        """[C, d] population variance of each feature within each class."""
        squares = torch.zeros_like(self.class_means).index_add_(0, self.ids, self.within.square())
        return squares / self.counts[:, None]

    @cached_property
    def source_probs(self) -> Tensor:
        """[n, Cs] source-head probabilities, rows scaled to sum to exactly 1."""
        if self._source_probs is None:
            raise CannotScore("needs source-head probabilities, got none")
        probs = tensor(self._source_probs)
        return probs / probs.sum(dim=1, keepdim=True)

    @cached_property
    def joint(self) -> Tensor:
        """[C, Cs] sum over the examples of a class of the source-head probabilities."""
        probs = self.source_probs
        return probs.new_zeros(len(self.counts), probs.shape[1]).index_add_(0, self.ids.to(probs.device), probs)

    @cached_property
    def joint_hard(self) -> Tensor:
        """[C, Cs] counts of (class, most probable source class); the first of equals."""
        shape = (len(self.counts), self.source_probs.shape[1])
        places = self.ids.to(self.source_probs.device) * shape[1] + self.source_probs.argmax(dim=1)
        return torch.bincount(places, minlength=shape[0] * shape[1]).view(shape).double()

    @cached_property
    def _decomposition(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Eigenvalues, and V [d, k] or U [n, k]: of the smaller of scatter and Gram matrix."""
        x, (n, d) = self.centred, self.centred.shape
        if n > d:
            values, basis = decompose(gram(x), max(n, d))
            return values, basis, None
        values, left = decompose(gram(x.T), max(n, d))
        return values, None, left

    @cached_property
    def basis(self) -> Tensor:
        """[d, k] V: directions in which the features vary, most first."""
        values, basis, left = self._decomposition
        if basis is None:
            assert left is not None
            basis = self.centred.T @ (left / values.sqrt())
        return basis

    @cached_property
    def left(self) -> Tensor:
        """[n, k] U: orthonormal columns, X = U diag(sqrt(values)) Vᵀ."""
        values, basis, left = self._decomposition
        if left is None:
            assert basis is not None
            left = self.centred @ (basis / values.sqrt())
        return left

    def coordinates(self, directions: int | None = None) -> Tensor:
        """[n, k] X V: the centred rows in the first `directions` principal directions, or in all that are not null."""
        values, basis, left = self._decomposition
        keep = slice(directions)
        if directions is None or left is not None or "left" in self.__dict__:
            return self.left[:, keep] * values[keep].sqrt()
        assert basis is not None
        return self.centred @ basis[:, keep]

    @cached_property
    def scatter_within(self) -> Tensor:
        """[k, k] mean outer product of the rows minus the mean of their class, in all principal directions.

        Summed from the differences: as a difference of sums its null directions would not be null.
        """
        points = self.coordinates()
        points -= self.spectrum.offsets[self.ids]
        return gram(points) / self.examples

    def project(self, probe: Probe, directions: int | None = None) -> Tensor:
        """[m, k] another part of the same task in the same coordinates."""
        return (tensor(probe.features).to(self.device) - self.mean) @ self.basis[:, slice(directions)]

    @cached_property
    def spectrum(self) -> Spectrum:
        """The centred features in their own coordinates, and the targets in them."""
        values, basis, left = self._decomposition
        if left is not None:
            root = values.sqrt()
            along = (left.T @ (self.centred @ self.mean)) / root
            cross = (self.targets.T @ left) * root
            rest = float(self.mean @ self.mean - along @ along)
            beyond = rest if rest > float(self.mean @ self.mean) * self.dim * 1e-16 else 0.0
        else:
            assert basis is not None
            along = basis.T @ self.mean
            cross = self._target_sums @ basis
            beyond = outside(self.mean, basis, along)
        return Spectrum(
            examples=self.examples, dim=self.dim, values=values, mean=along, beyond=beyond, cross=cross,
            sums=self.targets.sum(dim=0), squares=self.targets.square().sum(dim=0),
            fourth=float(self.centred.square().sum(dim=1).square().sum()),
        )  # fmt: skip
