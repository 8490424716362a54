"""Labelled features as the bound reads them: float64, standardised, classes numbered, at most so many per class.

Every term of a bound is computed on the same sample, and then holds on it exactly. Knows nothing of heads or transport.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from taskrel.stats import tensor
from taskrel.types import CannotScore, Probe

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Standardise = Literal["per_task", "none"]


@dataclass(frozen=True, eq=False)
class Scale:
    """A diagonal affine map of features: minus `mean` [d], over `spread` [d], zero spreads taken as 1."""

    mean: Tensor
    spread: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Scale:
        """Mean and standard deviation of [n, d] features; a feature that is constant to rounding has spread 1."""
        mean = features.mean(dim=0)
        spread = (features - mean).square().mean(dim=0).sqrt()
        dead = spread <= 1e-12 * features.abs().amax(dim=0)
        return cls(mean, torch.where(dead, torch.ones_like(spread), spread))

    def apply(self, features: Tensor) -> Tensor:
        """[n, d] z-scores."""
        return (features - self.mean) / self.spread


@dataclass(frozen=True, eq=False)
class Sample:
    """n examples of one task in feature space.

    Args:
        features: [n, d] float64, on any device, never written to.
        ids: [n] class of each example, in 0 .. classes - 1.
        classes: how many classes there are; some may have no example here.

    Raises:
        ValueError: shapes or ids do not fit, or a feature is not finite.
    """

    features: Tensor
    ids: Ints
    classes: int

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) != len(self.ids) or not len(self.ids):
            raise ValueError(f"features must be [{len(self.ids)}, d] and not empty, got {tuple(self.features.shape)}")
        if not bool(self.features.isfinite().all()):
            raise ValueError("features must be finite, got NaN or infinite entries")
        if self.ids.min() < 0 or self.ids.max() >= self.classes:
            raise ValueError(f"ids must be in 0..{self.classes - 1}, got {self.ids.min()}..{self.ids.max()}")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def counts(self) -> Ints:
        """[K] examples per class."""
        return np.bincount(self.ids, minlength=self.classes)

    @cached_property
    def prior(self) -> Floats:
        """[K] class frequencies."""
        return self.counts / len(self)

    @cached_property
    def rows(self) -> tuple[Ints, ...]:
        """Per class, the places of its examples."""
        return tuple(np.split(np.argsort(self.ids, kind="stable"), np.cumsum(self.counts)[:-1]))

    @cached_property
    def onehot(self) -> Tensor:
        """[n, K]."""
        ids = torch.from_numpy(self.ids).to(self.features.device)
        return torch.nn.functional.one_hot(ids, self.classes).double()

    @cached_property
    def means(self) -> Tensor:
        """[K, d] class means; zero for a class without examples."""
        counts = torch.from_numpy(self.counts).to(self.features).clamp_min(1)
        return self.onehot.T @ self.features / counts[:, None]

    def take(self, places: Ints) -> Sample:
        """The examples at these places, all classes kept."""
        return Sample(self.features[torch.from_numpy(places).to(self.features.device)], self.ids[places], self.classes)

    def only(self, classes: Sequence[int] | Ints) -> Sample:
        """The examples of these classes, renumbered 0.. in the order given."""
        places = np.concatenate([self.rows[c] for c in classes])
        ids = np.repeat(np.arange(len(classes)), [self.counts[c] for c in classes])
        features = self.features[torch.from_numpy(places).to(self.features.device)]
        return Sample(features, ids, len(classes))

    def mapped(self, features: Tensor) -> Sample:
        """The same examples with other features."""
        return Sample(features, self.ids, self.classes)

    def thinned(self, per_class: int | None, seed: int) -> Sample:
        """At most `per_class` examples of each class, drawn by place: of every model the same examples."""
        if per_class is None or self.counts.max() <= per_class:
            return self
        chance = np.random.default_rng(seed).permutation(len(self))
        return self.take(np.sort(np.concatenate([np.sort(r[np.argsort(chance[r])][:per_class]) for r in self.rows])))


def sample(probe: Probe, *, scale: Scale | None = None, classes: npt.NDArray[np.generic] | None = None) -> Sample:
    """A probe as a sample.

    Args:
        probe: one class per example.
        scale: applied to the features, or None to leave them.
        classes: [K] sorted class names, where other than those of the probe itself (a held-out part).

    Raises:
        CannotScore: other kinds of labels.
        ValueError: a label that is not among the classes.
    """
    if probe.target != "classes":
        raise CannotScore(f"task_relatedness needs one class per example, got {probe.target} labels")
    names = probe.classes if classes is None else classes
    ids = np.searchsorted(names, probe.labels)
    if not np.array_equal(names[np.minimum(ids, len(names) - 1)], probe.labels):
        raise ValueError("labels must be among the classes the bound was fitted on, got others")
    features = tensor(probe.features)
    return Sample(features if scale is None else scale.apply(features), ids, len(names))
