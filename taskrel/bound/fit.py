"""The bound made small: which classes, which weights, which feature map, in that order; every step checked exactly."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from taskrel.bound.align import Regression, align
from taskrel.bound.assign import Sharing, assign
from taskrel.bound.features import STEPS, Features, Pairs
from taskrel.bound.head import Head, fit_heads
from taskrel.bound.lipschitz import tau_pair
from taskrel.bound.maps import Affine, Joint
from taskrel.bound.sample import Floats, Ints, Sample, Scale, Standardise, sample
from taskrel.bound.terms import evaluate, reweighted
from taskrel.bound.transport import EXACT_PAIRS, Blocks, blocks, class_costs
from taskrel.types import Array, BoundTerms, CannotScore, Probe

_WORTH = 1e-4  # a step must lower the bound by this share of it to be worth another


@dataclass(frozen=True, eq=False)
class Part:
    """One task made ready: `sample` thinned, `prior` [K] of all its examples, its `scale` and class `names`."""

    sample: Sample
    prior: Floats
    scale: Scale | None
    names: Array

    @classmethod
    def of(
        cls, probe: Probe, *, per_class: int | None = 100, standardise: Standardise = "per_task", seed: int = 0
    ) -> Part:
        """A probe made ready.

        Args:
            probe: one class per example.
            per_class: examples of each class kept, or None for all; drawn by place, so of every model the same.
            standardise: z-scores by the task's own mean and spread ("per_task", as the authors do), or "none".
            seed: draws the examples.

        Raises:
            CannotScore: labels of another kind, or fewer than two classes.
            ValueError: a setting out of range.
        """
        if standardise not in ("per_task", "none"):
            raise ValueError(f"standardise must be 'per_task' or 'none', got {standardise!r}")
        if per_class is not None and per_class < 1:
            raise ValueError(f"per_class must be at least 1, got {per_class}")
        whole = sample(probe)
        scale = Scale.of(whole.features) if standardise == "per_task" else None
        kept = whole.thinned(per_class, seed)
        if scale is not None:
            kept = kept.mapped(scale.apply(kept.features))
        return cls(kept, whole.prior, scale, probe.classes)

    @cached_property
    def regression(self) -> Regression:
        """On its features: for any number of references and caps."""
        return Regression.of(self.sample, self.prior)

    def other(self, probe: Probe) -> Sample:
        """Another probe of the same task, scaled and numbered as this one."""
        return sample(probe, scale=self.scale, classes=self.names)


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference task with its classifiers, one per cap: everything that does not depend on the target."""

    part: Part
    heads: Mapping[float, Head]
    seconds: float = 0.0

    @classmethod
    def of(
        cls,
        probe: Probe,
        *,
        taus: Sequence[float] = (0.02,),
        per_class: int | None = 100,
        standardise: Standardise = "per_task",
        seed: int = 0,
    ) -> Reference:
        """Make a reference ready for any number of targets; the classifiers are fitted on what is transported.

        Raises:
            CannotScore: labels of another kind, or fewer than two classes.
        """
        began = time.perf_counter()
        part = Part.of(probe, per_class=per_class, standardise=standardise, seed=seed)
        if len(part.names) < 2:
            raise CannotScore(f"task_relatedness needs at least 2 reference classes, got {len(part.names)}")
        heads = fit_heads(part.sample, taus)
        return cls(part, dict(zip(taus, heads, strict=True)), time.perf_counter() - began)

    def head(self, tau: float) -> Head:
        """The classifier under this cap."""
        if tau not in self.heads:
            raise ValueError(f"tau must be among those the reference was made ready for {[*self.heads]}, got {tau}")
        return self.heads[tau]


@dataclass(frozen=True, eq=False)
class Fit:
    """A bound and the transforms at which it holds.

    Args:
        terms: the bound that was reached.
        start: the bound at A = I, b = 0 for the same classes; its total (of "aligned" maps that of the logits) is never
            below that of `terms`.
        head: the classifier over the used reference classes.
        affine: of features.
        joint: [K_T, used].
        used: [used] which classes of the reference.
        reference, target: what it was computed from.
        tau: the cap that was asked for; `terms.tau` is the constant at the map.
        seconds: it took, without making the reference ready.
    """

    terms: BoundTerms
    start: BoundTerms
    head: Head
    affine: Affine
    joint: Joint
    used: Ints
    reference: Reference
    target: Part
    tau: float
    seconds: float

    @property
    def sources(self) -> dict[str, list[str]]:
        """Per target class, the reference classes it is made of."""
        names = self.reference.part.names[self.used].astype(str)
        labels = self.target.names.astype(str)
        return {str(k): names[row > 0].tolist() for k, row in zip(labels, self.joint.table, strict=True)}

    def held_out(self, reference: Probe, target: Probe, *, floor_seed: int | None = None) -> BoundTerms:
        """All terms on other examples of both tasks, every transform frozen; target classes weighted as there.

        Raises:
            ValueError: a label that was not there in the fit, or a class with mass and no reference example.
        """
        one = self.reference.part.other(reference).only(self.used)
        two = self.target.other(target)
        return evaluate(self.head, self.affine, self.joint.rescaled(two.prior), one, two, floor_seed=floor_seed)


def fit(
    reference: Reference,
    target: Probe | Part,
    *,
    tau: float = 0.02,
    features: Features = "shift",
    sharing: Sharing = "needed",
    rounds: int = 5,
    floor: bool = True,
    seed: int = 0,
    per_class: int | None = 100,
    standardise: Standardise = "per_task",
    exact_pairs: int = EXACT_PAIRS,
) -> Fit:
    """The smallest bound found on the loss of a linear head on the target, and where.

    Classes first: every target class takes one reference class (several may share one, at the price of an entropy). The
    head keeps those classes alone, its bias refitted to their new weights. Then exact transport per label and a step
    of the feature map in turn. A step is kept only if the exact bound falls: it ends no higher than at A = I.

    Args:
        reference: made ready for `tau`.
        target: labelled examples through the same model, or a part made ready.
        tau: cap on the classifier's Lipschitz constant, nats per unit of distance.
        features: which maps are tried; "shift" moves, "scale" also stretches, "rigid" also turns, "general" is any
            invertible map. "aligned" is any invertible map too, but the one of the least `total_logits`, not `total`:
            at it only that form of the bound is small. The richer the map the more it fits the sample: judge those on
            held-out examples.
        sharing: whether target classes may share a reference class though there are enough: "needed" or "free"
            (`assign`). The trivial value is always a bound too, and free sharing often ends there.
        rounds: alternations of transport and step at most.
        floor: whether to compute the same-task floor as well.
        seed: draws examples and the halves of the floor.
        per_class, standardise: of a target given as a probe; as in `Part.of`.
        exact_pairs: pairs of points per label above which the transport is entropic with a stated gap.

    Raises:
        CannotScore: labels of another kind.
        ValueError: a setting out of range, or a reference of another model.

    Source:
        spec 7 (design 'exact'): constraints by construction in place of the authors' penalties.
    """
    began = time.perf_counter()
    if features not in STEPS:
        raise ValueError(f"features must be among {[*STEPS]}, got {features!r}")
    part = Part.of(target, per_class=per_class, standardise=standardise, seed=seed) if isinstance(
        target, Probe) else target  # fmt: skip
    if part.sample.features.shape[1] != reference.part.sample.features.shape[1]:
        raise ValueError(f"reference features must have dimension {part.sample.features.shape[1]}, "
                         f"got {reference.part.sample.features.shape[1]}")  # fmt: skip
    costs = class_costs(reference.part.sample, part.sample, seed=seed)
    return _fit(reference, part, costs, tau=tau, features=features, sharing=sharing, rounds=rounds,
                floor_seed=seed if floor else None, exact_pairs=exact_pairs, began=began)  # fmt: skip


def curve(
    reference: Reference,
    target: Probe | Part,
    *,
    taus: Sequence[float],
    features: Features = "shift",
    sharing: Sharing = "needed",
    rounds: int = 5,
    floor: bool = False,
    seed: int = 0,
    per_class: int | None = 100,
    standardise: Standardise = "per_task",
    exact_pairs: int = EXACT_PAIRS,
) -> tuple[Fit, ...]:
    """One fit per tau; the distances between classes, which do not depend on it, are computed once.

    The smallest of them is a bound too, but often that of tau = 0, which says nothing of the task: compare models at
    equal tau, or at one chosen on other tasks.
    """
    part = Part.of(target, per_class=per_class, standardise=standardise, seed=seed) if isinstance(
        target, Probe) else target  # fmt: skip
    costs = class_costs(reference.part.sample, part.sample, seed=seed)
    return tuple(
        _fit(
            reference,
            part,
            costs,
            tau=tau,
            features=features,
            sharing=sharing,
            rounds=rounds,
            floor_seed=seed if floor else None,
            exact_pairs=exact_pairs,
            began=time.perf_counter(),
        )
        for tau in taus
    )


def fit_all(
    triples: Sequence[tuple[Probe, Probe]], *, tau: float = 0.02, features: Features = "shift",
    sharing: Sharing = "needed", floor: bool = True,
    per_class: int | None = 100, standardise: Standardise = "per_task", seed: int = 0,
) -> tuple[Fit, ...]:  # fmt: skip
    """One fit per (reference, target) seen through one model; what depends on one task alone is computed once."""
    made: dict[int, Reference] = {}
    ready: dict[int, Part] = {}
    fits = []
    for one, two in triples:
        if id(one) not in made:
            made[id(one)] = Reference.of(one, taus=(tau,), per_class=per_class, standardise=standardise, seed=seed)
        if id(two) not in ready:
            ready[id(two)] = Part.of(two, per_class=per_class, standardise=standardise, seed=seed)
        fits.append(
            fit(made[id(one)], ready[id(two)], tau=tau, features=features, sharing=sharing, floor=floor, seed=seed)
        )
    return tuple(fits)


@dataclass(frozen=True, eq=False)
class _State:
    """Where the search is: a choice of classes with its head, a map, the transport there, and what it comes to."""

    used: Ints
    joint: Joint
    head: Head
    source: Sample
    affine: Affine
    transport: Blocks
    value: float

    def at(self, affine: Affine, target: Sample, exact_pairs: int) -> _State:
        """The same classes at another map, the transport solved there."""
        moved = self.source.mapped(affine.apply(self.source.features))
        found = blocks(moved, target, self.joint, exact_pairs=exact_pairs)
        rest = reweighted(self.head, self.source, self.joint.weights) + self.joint.entropy
        value = rest + tau_pair(affine.pull(self.head.weights)) * found.total(self.joint.prior)
        return _State(self.used, self.joint, self.head, self.source, affine, found, value)


def _fit(
    reference: Reference, part: Part, costs: Floats, *, tau: float, features: Features, sharing: Sharing, rounds: int,
    floor_seed: int | None, exact_pairs: int, began: float,
) -> Fit:  # fmt: skip
    whole = reference.head(tau)
    losses = whole.class_losses(reference.part.sample)
    states = [
        _chosen(choice, reference, part, whole, exact_pairs)
        for choice in assign(losses + whole.tau * costs, part.prior, sharing)
    ]
    begin = min(states, key=lambda state: state.value)
    if features == "aligned" and whole.tau > 0:
        affine = align(begin.head, begin.source, part.sample, begin.joint, part.regression, exact_pairs)
        best = begin.at(affine, part.sample, exact_pairs)
    else:
        best = _search(begin, part.sample, features, rounds, exact_pairs)

    def terms(state: _State, seed: int | None) -> BoundTerms:
        return evaluate(state.head, state.affine, state.joint, state.source, part.sample, floor_seed=seed,
                        exact_pairs=exact_pairs, full=state.transport)  # fmt: skip

    reached = terms(best, floor_seed)
    start = reached if best is begin else terms(begin, None)
    return Fit(reached, start, best.head, best.affine, best.joint, best.used, reference, part, tau,
               time.perf_counter() - began)  # fmt: skip


def _chosen(choice: Ints, reference: Reference, part: Part, whole: Head, exact_pairs: int) -> _State:
    """The start for a choice of classes: the head among them alone, its bias refitted, A = I."""
    used, places = np.unique(choice, return_inverse=True)
    joint = Joint.assigned(places, part.prior, len(used))
    source = reference.part.sample.only(used)
    head = whole.only(used).biased_for(source, joint.weights)
    affine = Affine.identity(source.features)
    found = blocks(source, part.sample, joint, exact_pairs=exact_pairs)
    value = reweighted(head, source, joint.weights) + joint.entropy + tau_pair(head.weights) * found.total(joint.prior)
    return _State(used, joint, head, source, affine, found, value)


def _search(start: _State, target: Sample, features: Features, rounds: int, exact_pairs: int) -> _State:
    """Every kind of step in turn until none lowers the exact bound; never above the start."""
    best = start
    if start.head.tau == 0:  # no map changes what is constant
        return best
    for step in STEPS[features]:
        for _ in range(rounds):
            pairs = Pairs.of(best.transport, best.joint.prior, best.source, target)
            try:
                new = best.at(step(pairs, best.affine, best.head), target, exact_pairs)
            except (ValueError, ArithmeticError):  # a map without inverse is no step
                break
            gain = best.value - new.value
            if gain > 0:
                best = new
            if not gain > _WORTH * best.value:
                break
    return best
