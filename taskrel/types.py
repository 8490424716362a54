"""The values that cross taskrel's rim: what a proxy reads, what it returns, what a strategy picks.

A leaf: imports nothing of ours and no torch, so that a planner can name proxies and strategies in a
fraction of a second. Knows nothing about files, jobs or where the features came from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Target = Literal["classes", "multilabel", "values"]


class CannotScore(ValueError):
    """A proxy is undefined on this probe; the message is a one-line reason fit for a results table.

    Raised for properties of the data (one class, no validation part, every head diverged), never
    for a wrong setting, which is a plain ``ValueError``.
    """


def _matrix(thing: str, value: Any) -> Any:
    """`value` as a finite, non-empty 2-D floating array, without a copy where it already is one.

    A tensor on an accelerator stays there, as the tensor it is.
    """
    if hasattr(value, "detach"):
        value = value.detach()
        if value.device.type != "cpu":
            if value.ndim != 2 or 0 in value.shape or not value.is_floating_point():
                raise ValueError(f"{thing} must be a non-empty floating matrix, got {value.dtype} {tuple(value.shape)}")
            if not bool(value.isfinite().all()):
                raise ValueError(f"{thing} must be finite, got NaN or infinite entries")
            return value
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
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


def _targets(value: Any, examples: int) -> Array:
    """Labels as a vector of class ids, a 0/1 matrix, or real values; on the CPU."""
    labels = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if labels.dtype.kind == "O" and labels.ndim == 1 and all(isinstance(label, str) for label in labels):
        labels = labels.astype(np.str_)  # what a column of a data frame holds
    if labels.dtype.kind not in "iubUf" or labels.ndim not in (1, 2) or (labels.ndim == 2 and labels.dtype.kind == "U"):
        raise ValueError(
            "labels must be a vector of integer or string class ids, a 0/1 matrix or real values, "
            f"got shape {labels.shape} and dtype {labels.dtype}"
        )
    if len(labels) != examples:
        raise ValueError(f"labels must be as many as features ({examples}), got {len(labels)}")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise ValueError("labels must be finite, got NaN or infinite entries")
    elif labels.ndim == 2 and (labels.shape[1] == 0 or not np.isin(labels, (0, 1)).all()):
        raise ValueError("labels of several columns must be 0 or 1 (multi-label), got other integers")
    return labels


@dataclass(frozen=True, eq=False)
class Probe:
    """Labelled examples seen through one model.

    Arrays (or tensors) are kept as they are given, never copied and never written to. Tensors on an accelerator stay
    there, and the proxies are then computed there.

    Args:
        features: [n, d] penultimate-layer features, finite.
        labels: [n] class ids, integers or strings, gaps in the ids do not matter; or [n, L] of 0 and 1, one column
            per label (multi-label); or [n] or [n, T] floating numbers (regression).
        source_probs: [n, Cs] probabilities of the model's own (upstream) head, rows summing to 1,
            or None for a model without one.

    Raises:
        ValueError: a shape, length or value breaks the contract above.
    """

    features: Any
    labels: Array
    source_probs: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", _matrix("features", self.features))
        object.__setattr__(self, "labels", _targets(self.labels, len(self.features)))
        if self.source_probs is not None:
            self._set_source_probs(_matrix("source_probs", self.source_probs))

    def _set_source_probs(self, probs: Any) -> None:
        if len(probs) != len(self.features):
            raise ValueError(f"source_probs must be as many as features ({len(self.features)}), got {len(probs)}")
        if probs.shape[1] < 2:
            raise ValueError(f"source_probs must have at least 2 columns, got {probs.shape[1]}")
        # Half-precision heads are off by a few 1e-3 in the sum; logits would be off by far more.
        sums = probs.double().sum(1) if hasattr(probs, "detach") else probs.sum(axis=1, dtype=np.float64)
        worst = float(sums[int(abs(sums - 1).argmax())])
        if probs.min() < 0 or abs(worst - 1) > 1e-2:
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
    def target(self) -> Target:
        """What the labels are: "classes", "multilabel" (0/1 columns) or "values" (regression)."""
        if self.labels.dtype.kind == "f":
            return "values"
        return "classes" if self.labels.ndim == 1 else "multilabel"

    @cached_property
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
            that diverged, ``raw`` where the literature orients or scales the number otherwise); no number a
            ranking should use.
        influence: [m] first-order effect of each scored example, or None where there is none to give: with example
            weights w of mean 1 the score is about ``value + mean((w - 1) * influence)``. Intervals come from it
            (`taskrel.resampling`) without computing anything again.

    Raises:
        ValueError: a float is not finite, `values` is empty, or `detail` is not JSON.
    """

    value: float
    values: tuple[float, ...]
    detail: Mapping[str, object] = field(default_factory=dict)
    influence: Array | None = field(default=None, compare=False, repr=False)

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
        if self.influence is not None:
            influence = np.asarray(self.influence, dtype=np.float64)
            if influence.ndim != 1 or not np.isfinite(influence).all():
                raise ValueError("influence must be a finite vector, one number per example")
            object.__setattr__(self, "influence", influence)

    def __reduce__(self) -> tuple[object, ...]:
        # A mapping proxy does not pickle, and scores travel between processes.
        return Score, (self.value, self.values, dict(self.detail), self.influence)


def _check(thing: str, number: float | None, low: float, high: float, rule: str) -> None:
    if number is not None and not low <= number <= high:
        raise ValueError(f"{thing} must {rule}, got {number}")


@dataclass(frozen=True)
class BoundTerms:
    """An upper bound, in nats, on the loss of a transformed reference classifier on a target task, term by term.

    The inequality is exact on the examples it was computed from; it says nothing of unseen ones.

    Args:
        reference_loss: mean cross-entropy of the reference classifier over its classes in their new weights.
        label_mismatch: entropy of the target's class given the reference's, at least 0.
        wasserstein: distance between the transformed reference and the target, mass staying within its label.
        tau: Lipschitz constant of the loss, the largest over all labels and label maps.
        prior: [K_T] of the target.
        wasserstein_by_label: [K_T] of which `wasserstein` is the mean under the prior.
        tau_by_label: [K_T] exact constants, at most `tau`.
        projected_by_label: [K_T] distances within the directions that the classifier looks at; at most those above.
        logits_by_label: [K_T] distances of the logits in nats, examples being as far apart as the loss at that label
            can tell. Its Lipschitz constant is 1 there; at most a label's tau times its projected distance.
        target_loss: of the transformed classifier on the target, what is bounded; None without labels.
        target_accuracy: of the same; None without labels.
        floor: distance between two halves of the target, the part of `wasserstein` that no transform is to blame for;
            None where no class has two examples, or where it was not asked for.
        gap: how far above the true distance `wasserstein` can be; 0 where it is exact.
        residual_prior: norm of B D - P_T; 0 to rounding unless a transform breaks the theorem's assumption.
        residual_inverse: norm of A A^-1 - I.
        examples_reference: how many examples were transported.
        examples_target: to how many.
    """

    reference_loss: float
    label_mismatch: float
    wasserstein: float
    tau: float
    prior: tuple[float, ...]
    wasserstein_by_label: tuple[float, ...]
    tau_by_label: tuple[float, ...]
    projected_by_label: tuple[float, ...]
    logits_by_label: tuple[float, ...]
    target_loss: float | None
    target_accuracy: float | None
    floor: float | None
    gap: float
    residual_prior: float
    residual_inverse: float
    examples_reference: int
    examples_target: int

    @property
    def distribution_mismatch(self) -> float:
        """tau times the transport distance."""
        return self.tau * self.wasserstein

    @property
    def total(self) -> float:
        """The bound of the paper: the three terms."""
        return self.reference_loss + self.label_mismatch + self.distribution_mismatch

    @property
    def total_by_label(self) -> float:
        """The same with each label's own Lipschitz constant; at most `total`."""
        return self.reference_loss + self.label_mismatch + self._summed(self.wasserstein_by_label)

    @property
    def total_projected(self) -> float:
        """The same with distances in the directions the classifier looks at; at most `total_by_label`.

        The loss does not change along the others, so mass may be moved there at no cost.
        """
        return self.reference_loss + self.label_mismatch + self._summed(self.projected_by_label)

    @property
    def total_logits(self) -> float:
        """The same with the distances of logits, the tightest; at most `total_projected`.

        The loss at a label follows differences of logits and nothing else, and no more than the largest of them.
        """
        return self.reference_loss + self.label_mismatch + self.logits_mismatch

    @property
    def logits_mismatch(self) -> float:
        """The third term of `total_logits`."""
        return math.fsum(p * w for p, w in zip(self.prior, self.logits_by_label, strict=True))

    def _summed(self, distances: tuple[float, ...]) -> float:
        return math.fsum(p * t * w for p, t, w in zip(self.prior, self.tau_by_label, distances, strict=True))

    @property
    def trivial(self) -> float:
        """Entropy of the target's prior: the loss of a classifier that looks at nothing."""
        return -math.fsum(p * math.log(p) for p in self.prior if p > 0)

    @property
    def vacuous(self) -> bool:
        """Whether `total` says no more than the trivial value, to rounding."""
        return self.total >= self.trivial - 1e-9

    @property
    def floor_mismatch(self) -> float | None:
        """tau times the floor: what the third term would be between two halves of the target."""
        return None if self.floor is None else self.tau * self.floor


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
        released: year its design was published, as in 2016 or 2016.5, or None.

    Raises:
        ValueError: an empty name, an accuracy in percent, a negative count.
    """

    model: str
    group: str = ""
    parameters: int | None = None
    dim: int | None = None
    upstream_accuracy: float | None = None
    upstream_size: int | None = None
    released: float | None = None

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
        share: how much of a full fine-tuning the model should have had after this pick, in (0, 1]; less than 1
            where a strategy looks first and asks for the rest later, if at all.
    """

    model: str
    reason: str
    cost_seconds: float | None = None
    tied: int = 1
    share: float = 1.0

    def __post_init__(self) -> None:
        _check("cost_seconds", self.cost_seconds, 0, math.inf, "be at least 0")
        _check("tied", self.tied, 1, math.inf, "be at least 1")
        _check("share", self.share, math.ulp(0), 1, "lie in (0, 1]")
