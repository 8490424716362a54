"""Sums over examples from which proxies are computed: from batches, merged across workers, exactly.

Everything here is additive: a task of millions of rows needs no feature matrix in memory, and two workers' sums merge
into the sums of both. Sums are kept in float64 around a pivot (the mean of the first batch): with raw sums an offset of
1e6 in the features wipes out the answer. Knows no proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from taskrel.spectrum import Spectrum, decompose, gram, outside
from taskrel.types import CannotScore, Probe


class Sums(Protocol):
    """What an additive proxy may read, whether it comes from batches (`FeatureStats`) or from rows (`Rows`)."""

    @property
    def target(self) -> str | None:
        """What the labels are; see `Probe.target`."""

    @property
    def spectrum(self) -> Spectrum:
        """The centred features in their own coordinates."""

    @property
    def counts(self) -> Tensor:
        """[C] examples per class."""

    @property
    def class_means(self) -> Tensor:
        """[C, d] class means minus the mean of all."""

    @property
    def class_variances(self) -> Tensor:
        """[C, d] population variance of each feature within each class."""

    @property
    def joint(self) -> Tensor:
        """[C, Cs] sum over the examples of a class of the source-head probabilities."""

    @property
    def joint_hard(self) -> Tensor:
        """[C, Cs] counts of (class, most probable source class); the first of equals."""


def tensor(array: Any) -> Tensor:
    """A float64 copy, on the device it is on: never an alias, so that nobody writes into a caller's array."""
    if isinstance(array, Tensor):
        return array.detach().to(torch.float64, copy=True)
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float64)  # torch takes no negative strides


class FeatureStats:
    """Sums of features and labels over any number of batches.

    Args:
        device: where the sums are kept; by default where the first batch is.

    Use: ``stats = FeatureStats(); stats.update(features, labels); ...; stats.merge(other)``, then any additive proxy:
    ``PROXIES["logme"].compute(stats)``. Batches and merge order change the results by rounding only.
    """

    def __init__(self, *, device: str | torch.device | None = None) -> None:
        self.device = None if device is None else torch.device(device)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.examples = 0
        self.target: str | None = None
        self._classes: dict[Any, int] = {}  # label -> row, in order of appearance
        self._sums: dict[str, Tensor] = {}
        self._pivot = torch.empty(0)
        self._source: bool | None = None
        self._forget_derived()

    def _forget_derived(self) -> None:
        for name in ("spectrum", "_order"):
            self.__dict__.pop(name, None)

    def update(self, features: Any, labels: Any, source_probs: Any = None) -> FeatureStats:
        """Add one batch.

        Args:
            features: [b, d], numpy or torch, any floating type.
            labels: [b] class ids; or 0/1 columns, or floating numbers, as in `Probe`.
            source_probs: [b, Cs] source-head probabilities; in every batch or in none.

        Returns:
            Itself.

        Raises:
            ValueError: the batch does not fit the ones before, or breaks the contract of `Probe`.
        """
        probe = Probe(features, labels, source_probs)
        self._fits(probe)
        x = tensor(probe.features)
        x = x if self.device is None else x.to(self.device)
        self.device = x.device
        targets = self._targets(probe)
        if not self.examples:
            self._pivot = x.mean(dim=0)
        x -= self._pivot
        lengths = x.square().sum(dim=1)
        more = {
            "cross": targets.T @ x, "target_sums": targets.sum(dim=0), "target_squares": targets.square().sum(dim=0),
            "sum": x.sum(dim=0), "gram": gram(x), "lengths": lengths.sum(), "fourth": lengths.square().sum(),
            "length_weighted": lengths @ x,
        }  # fmt: skip
        if probe.target == "classes":
            more["squares"] = targets.T @ x.square()
        if source_probs is not None:
            probs = tensor(probe.source_probs).to(x.device)
            probs /= probs.sum(dim=1, keepdim=True)  # single precision misses 1 a little
            hard = torch.zeros_like(probs).scatter_(1, probs.argmax(dim=1, keepdim=True), 1.0)
            more |= {"joint": targets.T @ probs, "joint_hard": targets.T @ hard}
        self._add(more, len(probe))
        self.target, self._source = probe.target, source_probs is not None
        return self

    def _fits(self, probe: Probe) -> None:
        if not self.examples:
            return
        if probe.dim != self.dim:
            raise ValueError(f"a batch must have dimension {self.dim}, got {probe.dim}")
        if probe.target != self.target:
            raise ValueError(f"a batch must have labels of kind {self.target!r}, got {probe.target!r}")
        if (probe.source_probs is not None) != self._source:
            raise ValueError("source_probs must be given in every batch or in none")

    def _targets(self, probe: Probe) -> Tensor:
        """[b, T] one-hot classes in order of appearance, or the targets as they are."""
        if probe.target != "classes":
            return tensor(probe.labels.reshape(len(probe), -1)).to(self.device)
        labels = probe.labels.tolist()
        if self._classes and isinstance(labels[0], str) != isinstance(next(iter(self._classes)), str):
            raise ValueError("labels must be of one kind in all batches, got integers and strings")
        ids = [self._classes.setdefault(label, len(self._classes)) for label in labels]
        self._grow()
        return torch.nn.functional.one_hot(torch.tensor(ids, device=self.device), len(self._classes)).double()

    def _grow(self) -> None:
        """Rows of zeros for classes that appear for the first time."""
        for name in ("cross", "target_sums", "target_squares", "squares", "joint", "joint_hard"):
            if name in self._sums:
                old = self._sums[name]
                self._sums[name] = torch.cat([old, old.new_zeros(len(self._classes) - len(old), *old.shape[1:])])

    def _add(self, more: dict[str, Tensor], examples: int) -> None:
        for name, value in more.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self.examples += examples
        self._forget_derived()

    def merge(self, other: FeatureStats) -> FeatureStats:
        """Add what another object has seen; the other is left as it is.

        Raises:
            ValueError: they do not describe the same features and kind of labels.
        """
        if not other.examples:
            return self
        if not self.examples:
            self.__dict__.update({name: dict(value) if isinstance(value, dict) else value
                                  for name, value in other.__dict__.items()})  # fmt: skip
            return self
        if (self.dim, self.target, self._source) != (other.dim, other.target, other._source):
            raise ValueError("sums must be of the same features and kind of labels to merge")
        for label in other._classes:
            self._classes.setdefault(label, len(self._classes))
        self._grow()
        moved = {name: value.to(self.device) for name, value in _moved(other, self._pivot).items()}
        if self.target == "classes":
            place = torch.tensor([self._classes[label] for label in other._classes], device=self.device)
            for name in ("cross", "target_sums", "target_squares", "squares", "joint", "joint_hard"):
                if name in moved:
                    moved[name] = torch.zeros_like(self._sums[name]).index_add_(0, place, moved[name])
        self._add(moved, other.examples)
        return self

    @property
    def dim(self) -> int:
        """Feature dimension d."""
        return len(self._pivot)

    @property
    def classes(self) -> list[Any]:
        """Distinct labels, sorted."""
        return sorted(self._classes)

    @cached_property
    def _order(self) -> Tensor:
        places = [self._classes[label] for label in self.classes]
        return torch.tensor(places, device=self.device, dtype=torch.long)

    def _sorted(self, name: str) -> Tensor:
        return self._sums[name][self._order] if self.target == "classes" else self._sums[name]

    @property
    def counts(self) -> Tensor:
        """[C] examples per class."""
        return self._sorted("target_sums")

    @property
    def class_means(self) -> Tensor:
        """[C, d] class means minus the mean of all."""
        return self._sorted("cross") / self.counts[:, None] - self._sums["sum"] / self.examples

    @property
    def class_variances(self) -> Tensor:
        """[C, d] population variance of each feature within each class."""
        count = self.counts[:, None]
        return (self._sorted("squares") / count - (self._sorted("cross") / count).square()).clamp_min(0)

    @property
    def joint(self) -> Tensor:
        """[C, Cs] sum over the examples of a class of the source-head probabilities."""
        return self._head("joint")

    @property
    def joint_hard(self) -> Tensor:
        """[C, Cs] counts of (class, most probable source class); the first of equals."""
        return self._head("joint_hard")

    def _head(self, name: str) -> Tensor:
        if name not in self._sums:
            raise CannotScore("needs source-head probabilities, got none")
        return self._sorted(name)

    @cached_property
    def spectrum(self) -> Spectrum:
        """The centred features in their own coordinates, by one d x d eigen-decomposition."""
        sums, n = self._sums, self.examples
        shift = sums["sum"] / n
        scatter = sums["gram"] - torch.outer(sums["sum"], shift)
        values, basis = decompose(scatter, max(n, self.dim))
        mean = self._pivot + shift
        along = basis.T @ mean
        cross = self._sorted("cross") - torch.outer(self._sorted("target_sums"), shift)
        # sum |f' - m|^4 from sums of f' alone, with m the mean in pivoted coordinates
        short = float(shift @ shift)
        fourth = (
            sums["fourth"] + 4 * shift @ sums["gram"] @ shift - 4 * shift @ sums["length_weighted"]
            + 2 * short * sums["lengths"] - 4 * short * (shift @ sums["sum"]) + n * short**2
        )  # fmt: skip
        return Spectrum(
            examples=n, dim=self.dim, values=values, mean=along,
            beyond=outside(mean, basis, along), cross=cross @ basis, sums=self._sorted("target_sums"),
            squares=self._sorted("target_squares"), fourth=float(fourth),
        )  # fmt: skip


def _moved(stats: FeatureStats, pivot: Tensor) -> dict[str, Tensor]:
    """The sums as they would be around another pivot."""
    old, n = stats._sums, stats.examples
    s = (stats._pivot.to(pivot.device) - pivot).to(stats._pivot.device)  # f'' = f' + s
    short = s @ s
    along = old["sum"] @ s
    outer = torch.outer(old["sum"], s)
    new = dict(old)
    new["sum"] = old["sum"] + n * s
    new["gram"] = old["gram"] + outer + outer.T + n * torch.outer(s, s)
    new["cross"] = old["cross"] + torch.outer(old["target_sums"], s)
    if "squares" in old:
        new["squares"] = old["squares"] + 2 * old["cross"] * s + torch.outer(old["target_sums"], s.square())
    # |f' + s|^2 = |f'|^2 + 2 s.f' + |s|^2, and so on
    new["lengths"] = old["lengths"] + 2 * along + n * short
    new["length_weighted"] = (
        old["length_weighted"] + 2 * old["gram"] @ s + short * old["sum"] + new["lengths"] * s
    )  # fmt: skip
    new["fourth"] = (
        old["fourth"] + 4 * s @ old["gram"] @ s + n * short**2
        + 4 * s @ old["length_weighted"] + 2 * short * old["lengths"] + 4 * short * along
    )  # fmt: skip
    return new


def merged(parts: Sequence[FeatureStats]) -> FeatureStats:
    """The sums of several workers as one."""
    whole = FeatureStats()
    for part in parts:
        whole.merge(part)
    return whole
