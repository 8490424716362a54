"""The values that cross taskrel's rim: what a proxy reads, what it returns, what a strategy picks.

A leaf: imports nothing of ours and no torch, so that a planner can name proxies and strategies in a
fraction of a second. Knows nothing about files, jobs or where the features came from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]


class CannotScore(ValueError):
    """A proxy is undefined on this probe; the message is a one-line reason fit for a results table.

    Raised for properties of the data (one class, no validation part, every head diverged), never
    for a wrong setting, which is a plain ``ValueError``.
    """


def _matrix(thing: str, value: object) -> Array:
    """`value` as a finite, non-empty 2-D floating array, without a copy where it already is one."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{thing} must be real numbers, got dtype {array.dtype}")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{thing} must be a non-empty matrix, got shape {array.shape}")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise ValueError(f"{thing} must be finite, got {bad} NaN or infinite entries")
    return array


@dataclass(frozen=True, eq=False)
class Probe:
    """Labelled examples seen through one model.

    Arrays (or CPU tensors: anything `numpy.asarray` takes without copying) are kept as they are
    given, never copied and never written to.

    Args:
        features: [n, d] penultimate-layer features, finite.
        labels: [n] class ids: integers or strings; gaps in the ids do not matter.
        source_probs: [n, Cs] probabilities of the model's own (upstream) head, rows summing to 1,
            or None for a model without one.

    Raises:
        ValueError: a shape, length or value breaks the contract above.
    """

    features: Array
    labels: Array
    source_probs: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", _matrix("features", self.features))
        labels = np.asarray(self.labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iubU":
            raise ValueError(
                "labels must be a vector of integer or string class ids, "
                f"got shape {labels.shape} and dtype {labels.dtype}"
            )
        if len(labels) != len(self.features):
            raise ValueError(f"labels must be as many as features ({len(self.features)}), got {len(labels)}")
        object.__setattr__(self, "labels", labels)
        if self.source_probs is not None:
            self._set_source_probs(_matrix("source_probs", self.source_probs))

    def _set_source_probs(self, probs: Array) -> None:
        if len(probs) != len(self.features):
            raise ValueError(f"source_probs must be as many as features ({len(self.features)}), got {len(probs)}")
        sums = probs.sum(axis=1, dtype=np.float64)
        # Half-precision heads are off by a few 1e-3 in the sum; logits would be off by far more.
        if probs.min() < 0 or np.abs(sums - 1).max() > 1e-2:
            worst = float(sums[np.abs(sums - 1).argmax()])
            raise ValueError(
                "source_probs must be non-negative rows that sum to 1, "
                f"got a row sum of {worst:.6g} and a minimum of {float(probs.min()):.6g}"
            )
        object.__setattr__(self, "source_probs", probs)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def dim(self) -> int:
        """Feature dimension d."""
        return int(self.features.shape[1])

    @property
    def classes(self) -> Array:
        """[C] distinct labels, sorted."""
        return np.unique(self.labels)


@dataclass(frozen=True)
class Score:
    """What a proxy says of one (model, task); higher is better.

    Args:
        value: the score, finite, in the unit and range of its proxy.
        values: one score per repeat, finite; at least one, and exactly one for a proxy without
            randomness.
        detail: small JSON-able facts about how the value came about (chosen learning rate, heads
            that diverged); no number a ranking should use.

    Raises:
        ValueError: a float is not finite, `values` is empty, or `detail` is not JSON.
    """

    value: float
    values: tuple[float, ...]
    detail: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", float(self.value))
        object.__setattr__(self, "values", tuple(float(v) for v in self.values))
        if not self.values:
            raise ValueError("values must hold at least one repeat, got none")
        for thing, number in (("value", self.value), *(("values", v) for v in self.values)):
            if not math.isfinite(number):
                raise ValueError(f"{thing} must be finite, got {number}")
        try:
            json.dumps(dict(self.detail), allow_nan=False)
        except (TypeError, ValueError) as fault:
            raise ValueError(f"detail must be finite JSON, got {dict(self.detail)!r}") from fault
        object.__setattr__(self, "detail", MappingProxyType(dict(self.detail)))

    def __reduce__(self) -> tuple[object, ...]:
        # A mapping proxy does not pickle, and scores travel between processes.
        return Score, (self.value, self.values, dict(self.detail))


def _check(thing: str, number: float | None, low: float, high: float, rule: str) -> None:
    if number is not None and not low <= number <= high:
        raise ValueError(f"{thing} must {rule}, got {number}")


@dataclass(frozen=True)
class Candidate:
    """One model a strategy may pick, with what is known of it before looking at the task.

    Args:
        model: unique name; the last tie-breaker everywhere.
        group: family or pool label ("imagenet", "expert"), for reading only.
        parameters: parameter count without the head, or None.
        dim: feature dimension, or None.
        upstream_accuracy: accuracy on its own pre-training benchmark as a fraction, or None.
        upstream_size: number of examples it was pre-trained on, or None.

    Raises:
        ValueError: an empty name, an accuracy in percent, a negative count.
    """

    model: str
    group: str = ""
    parameters: int | None = None
    dim: int | None = None
    upstream_accuracy: float | None = None
    upstream_size: int | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError(f"model must be a non-empty name, got {self.model!r}")
        _check("upstream_accuracy", self.upstream_accuracy, 0, 1, "lie in [0, 1] (a fraction)")
        _check("parameters", self.parameters, 0, math.inf, "be at least 0")
        _check("dim", self.dim, 1, math.inf, "be at least 1")
        _check("upstream_size", self.upstream_size, 0, math.inf, "be at least 0")


@dataclass(frozen=True)
class Pick:
    """One model a strategy asks to have fine-tuned.

    Args:
        model: the name of a candidate.
        reason: one line, e.g. ``linear #1: 0.745, 3 tied``.
        cost_seconds: seconds it took to know what the strategy knows of this model (0 for
            published facts, the proxy's seconds for a score), or None where unknown.
        tied: how many candidates, this one included, the evidence could not tell apart, so that
            only the name decided (or chance, for a random pick); 1 means no tie.
    """

    model: str
    reason: str
    cost_seconds: float | None = None
    tied: int = 1

    def __post_init__(self) -> None:
        _check("cost_seconds", self.cost_seconds, 0, math.inf, "be at least 0")
        _check("tied", self.tied, 1, math.inf, "be at least 1")
