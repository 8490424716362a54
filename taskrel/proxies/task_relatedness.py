"""Task-relatedness: minus an upper bound on the loss of a linear head, from a reference task transformed to the target.

The bound itself is `taskrel.bound`; here it is a score of a model.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from taskrel.bound.features import Features
from taskrel.bound.fit import Fit, Reference, fit
from taskrel.bound.unlabelled import fit_unlabelled
from taskrel.types import CannotScore, Probe, Score

Form = Literal["total", "by_label", "projected", "logits"]
_FORMS = ("total", "by_label", "projected", "logits")


def score(
    train: Probe,
    val: Probe | None,
    *,
    seed: int,
    reference: Probe | None = None,
    tau: float = 0.02,
    form: Form = "total",
    features: Features = "shift",
    sharing: Literal["needed", "free"] = "needed",
    per_class: int = 100,
    standardise: Literal["per_task", "none"] = "per_task",
) -> Score:
    """Minus the bound, in nats, on the loss of a linear head on the target.

    Compare models at equal `tau`, `per_class` and reference: a transport distance depends on how many examples it is
    between, and the smallest bound over tau is often the trivial one.

    Args:
        train: the target, n examples.
        val: unused.
        seed: draws examples where a class has more than `per_class`, by place, so of every model the same.
        reference: labelled examples of another task through the same model.
        tau: cap on the Lipschitz constant of the reference classifier, nats per unit of standardised distance.
        form: which of four valid bounds: "total" as published; "by_label" with each label's own constant; "projected"
            with distances in the directions the classifier looks at; "logits" with distances of logits, the tightest.
        features: which maps of the reference's features are tried (`taskrel.bound.fit.fit`); "aligned" makes the form
            "logits" small, and no other.
        sharing: whether target classes may share a reference class though there are enough.
        per_class: examples of each class that are used at most.
        standardise: features of either task by its own mean and spread, as the authors do, or not at all.

    Returns:
        In (-inf, 0]. `detail` has the three terms, the trivial value, whether the bound is vacuous, the same-task floor
        and what was measured on the target.

    Raises:
        CannotScore: no reference, or one with fewer than two classes.
        ValueError: a setting out of range, or a reference of another model.

    Source:
        Mehra et al., NeurIPS 2024; the exact design of `taskrel.bound` in place of the authors' training loop.
    """
    del val
    _check("task_relatedness", train, reference, tau, form, features)
    assert reference is not None
    made = Reference.of(reference, taus=(tau,), per_class=per_class, standardise=standardise, seed=seed)
    found = fit(made, train, tau=tau, features=features, sharing=sharing, seed=seed, per_class=per_class,
                standardise=standardise)  # fmt: skip
    return _score(found, form, {})


def unlabelled(
    train: Probe,
    val: Probe | None,
    *,
    seed: int,
    reference: Probe | None = None,
    tau: float = 0.02,
    form: Form = "total",
    features: Features = "shift",
    classes: int | None = None,
    prior: Literal["uniform", "estimated"] | npt.ArrayLike = "uniform",
    start: Literal["clusters", "reference"] = "clusters",
    starts: int = 3,
    per_class: int = 100,
    standardise: Literal["per_task", "none"] = "per_task",
) -> Score:
    """Minus the bound, in nats, on the task that pseudo-labels make of the target's features; its labels are not used.

    Args:
        train: the target; of its labels only the number of classes is read, and not even that where `classes` is given.
        val: unused.
        seed: of the clusters and of the examples drawn.
        reference: labelled examples of another task through the same model.
        tau, form, features, per_class, standardise: as in `score`.
        classes: how many the target has.
        prior: of the target's classes: "uniform", "estimated", or frequencies.
        start: pseudo-labels from "clusters" of the target or from the "reference" classifier.
        starts: of the clusters.

    Returns:
        In (-inf, 0]. `detail` has also how sure the pseudo-labels are.

    Raises:
        CannotScore: no reference, or one with fewer than two classes, or too few of them for `start` "reference".
        ValueError: a setting out of range, or a reference of another model.

    Source:
        Mehra et al., NeurIPS 2024, whose rule for unlabelled targets is not published; `taskrel.bound.unlabelled`.
    """
    del val
    name = "task_relatedness_unlabelled"
    count = len(train.classes) if classes is None else classes
    _check(name, train, reference, tau, form, features)
    assert reference is not None
    made = Reference.of(reference, taus=(tau,), per_class=per_class, standardise=standardise, seed=seed)
    if start == "reference" and count > len(made.part.names):
        raise CannotScore(f"{name} needs at least {count} reference classes, got {len(made.part.names)}")
    if len(train) < count:
        raise CannotScore(f"{name} needs at least {count} examples, got {len(train)}")
    found = fit_unlabelled(made, train.features, classes=count, prior=prior, start=start, tau=tau,
                           map_features=features, starts=starts, per_class=per_class, standardise=standardise,
                           seed=seed)  # fmt: skip
    sure: dict[str, object] = {
        "prior": found.prior, "confidence": found.confidence, "margin": found.margin,
        "spread": float(np.ptp(found.totals)), "rounds": found.rounds,
    }  # fmt: skip
    return _score(found.fit, form, sure)


def _check(name: str, train: Probe, reference: Probe | None, tau: float, form: str, features: str) -> None:
    if reference is None:
        raise CannotScore(f"{name} needs a reference task, got none")
    if not isinstance(reference, Probe):
        raise ValueError(f"reference must be a Probe, got {type(reference).__name__}")
    if reference.target != "classes":
        raise CannotScore(f"{name} needs one class per example of the reference, got {reference.target} labels")
    if len(reference.classes) < 2:
        raise CannotScore(f"{name} needs at least 2 reference classes, got {len(reference.classes)}")
    if reference.dim != train.dim:
        raise ValueError(f"reference features must have dimension {train.dim}, got {reference.dim}")
    if features == "aligned" and form != "logits":
        raise ValueError(f"form must be 'logits' where features is 'aligned', got {form!r}")
    if form not in _FORMS:
        raise ValueError(f"form must be among {[*_FORMS]}, got {form!r}")
    if not (math.isfinite(tau) and tau >= 0):
        raise ValueError(f"tau must be finite and at least 0, got {tau}")


def _score(found: Fit, form: Form, more: dict[str, object]) -> Score:
    terms = found.terms
    totals = {"total": terms.total, "by_label": terms.total_by_label, "projected": terms.total_projected,
              "logits": terms.total_logits}  # fmt: skip
    detail: dict[str, object] = {
        "raw": totals[form], **{f"bound_{name}": value for name, value in totals.items()},
        "reference_loss": terms.reference_loss, "label_mismatch": terms.label_mismatch,
        "distribution_mismatch": terms.distribution_mismatch, "wasserstein": terms.wasserstein, "tau": terms.tau,
        "floor": terms.floor, "trivial": terms.trivial, "vacuous": terms.vacuous, "start": found.start.total,
        "target_loss": terms.target_loss, "target_accuracy": terms.target_accuracy, "gap": terms.gap,
        "examples": terms.examples_target, "reference": terms.examples_reference,
    } | more  # fmt: skip
    value = -max(totals[form], 0.0)
    return Score(value, (value,), detail)
