"""Which classes of a reference task to use: all, some at random, or those nearest to the target's."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from taskrel.bound.fit import Part
from taskrel.bound.sample import Standardise
from taskrel.bound.transport import class_costs
from taskrel.types import Array, Probe

How = Literal["all", "random", "related"]


def choose(
    reference: Probe,
    target: Probe | None = None,
    *,
    how: How = "all",
    count: int | None = None,
    seed: int = 0,
    per_class: int | None = 25,
    standardise: Standardise = "per_task",
) -> Array:
    """Names of the reference's classes to use, sorted.

    Args:
        reference: one class per example.
        target: needed to choose by relatedness; through the same model.
        how: "all"; "random" with the seed, the same for every model; "related": one for each target class so that the
            sum of transport distances is least, then the nearest to any target class. That depends on the model.
        count: how many; as many as the target has classes where None, at most all there are.
        seed: of the choice at random, and of the examples that are compared.
        per_class, standardise: of the comparison, as in `Part.of`.

    Raises:
        ValueError: an unknown way, a count below 1, or no target where one is needed.
    """
    names = reference.classes
    if how not in ("all", "random", "related"):
        raise ValueError(f"how must be 'all', 'random' or 'related', got {how!r}")
    if how == "all":
        return names
    if count is None:
        if target is None:
            raise ValueError("count must be given where there is no target, got None")
        count = len(target.classes)
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if count >= len(names):
        return names
    if how == "random":
        return np.sort(np.random.default_rng(seed).choice(names, count, replace=False))
    if target is None:
        raise ValueError("target must be given to choose related classes, got None")
    one, two = (Part.of(p, per_class=per_class, standardise=standardise, seed=seed) for p in (reference, target))
    costs = class_costs(one.sample, two.sample, seed=seed)
    matched = linear_sum_assignment(costs)
    first = matched[1][np.argsort(costs[matched], kind="stable")]
    nearest = np.argsort(costs.min(axis=0), kind="stable")
    order = np.concatenate([first, nearest[~np.isin(nearest, first)]])
    return np.sort(names[order[:count]])


def restrict(probe: Probe, names: Array) -> Probe:
    """The examples of a probe whose class is among these names.

    Raises:
        ValueError: none is.
    """
    kept = np.flatnonzero(np.isin(probe.labels, names))
    probs = None if probe.source_probs is None else probe.source_probs[kept]
    return Probe(probe.features[kept], probe.labels[kept], probs)
