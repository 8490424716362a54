"""Which reference class each target class is made from: the start of the fit, by assignment and local search.

For fixed tau the surrogate (mean costs of classes plus the entropy of collisions) is concave in the joint table, so its
minimum has every target class made from a single reference class. Knows nothing of features.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import xlogy

from taskrel.bound.sample import Floats, Ints

Sharing = Literal["needed", "free"]


def surrogate(choice: Ints, costs: Floats, prior: Floats) -> float:
    """Upper bound on the bound at this choice, in nats: mean cost plus the entropy of classes that share a reference.

    Args:
        choice: [K_T] reference class of each target class.
        costs: [K_T, K_R] loss of the reference class plus tau times its distance.
        prior: [K_T].
    """
    weights = np.bincount(choice, weights=prior, minlength=costs.shape[1])
    collisions = xlogy(weights, weights).sum() - xlogy(prior, prior).sum()
    return float(prior @ costs[np.arange(len(prior)), choice] + collisions)


def assign(costs: Floats, prior: Floats, sharing: Sharing = "needed") -> tuple[Ints, ...]:
    """Distinct good choices, best surrogate first.

    Args:
        costs: [K_T, K_R] loss of the reference class plus tau times its distance; infinite where it cannot be used.
        prior: [K_T].
        sharing: "needed": a reference class stands for several target classes only where there are too few of them, and
            for as few as can be (with enough of them: the optimal one-to-one assignment). "free": as many as is
            cheapest. Free sharing often ends with one class for all, whose bound is the trivial value.

    Returns:
        [K_T] choices.

    Raises:
        ValueError: a target class that no reference class can stand for, or an unknown `sharing`.
    """
    if sharing not in ("needed", "free"):
        raise ValueError(f"sharing must be 'needed' or 'free', got {sharing!r}")
    usable = np.isfinite(costs).any(axis=0)
    if not np.isfinite(costs).any(axis=1).all():
        raise ValueError("costs must have a finite entry for every target class, got a row without")
    finite = np.where(np.isfinite(costs), costs, 1e12)
    seats = np.repeat(np.flatnonzero(usable), -(-len(prior) // int(usable.sum())))
    # The prior weighs the rows; a class without mass still takes a class, of the cheapest left.
    seated = seats[linear_sum_assignment(np.maximum(prior, 1e-12)[:, None] * finite[:, seats])[1]]
    starts = [_descend(seated, finite, prior, moves=False)]
    if sharing == "free":
        others = [finite.argmin(axis=1), np.full(len(prior), (prior @ finite).argmin())]
        starts += [*others, *(_descend(c, finite, prior, moves=True) for c in (starts[0], *others))]
    found = {tuple(c.tolist()): c for c in starts}
    return tuple(sorted(found.values(), key=lambda c: surrogate(c, finite, prior)))


def _descend(start: Ints, costs: Floats, prior: Floats, *, moves: bool) -> Ints:
    """The best swap, or single move where those are allowed, again and again, until none helps."""
    choice, rows = start.copy(), np.arange(len(prior))
    for _ in range(10 * len(prior)):
        weights = np.bincount(choice, weights=prior, minlength=costs.shape[1])
        here, mass = costs[rows, choice], prior[:, None]
        left = np.maximum(weights[choice] - prior, 0)
        leaving = xlogy(left, left) - xlogy(weights[choice], weights[choice])
        moved = mass * (costs - here[:, None]) + leaving[:, None]
        moved += xlogy(weights + mass, weights + mass) - xlogy(weights, weights)
        moved[rows, choice] = 0
        moved *= moves
        crossed = costs[:, choice]  # [K_T, K_T]: k at the place of l
        swaps = mass * (crossed - here[:, None]) + prior * (crossed.T - here)
        change = weights[choice][:, None] + prior - mass  # what the place of k holds after the swap
        gains = xlogy(np.maximum(change, 0), np.maximum(change, 0)) - xlogy(weights[choice], weights[choice])[:, None]
        swaps = np.where(choice[:, None] == choice, 0, swaps + gains + gains.T)
        if min(moved.min(), swaps.min()) > -1e-12:
            break
        if moved.min() <= swaps.min():
            k, j = np.unravel_index(moved.argmin(), moved.shape)
            choice[k] = j
        else:
            k, other = np.unravel_index(swaps.argmin(), swaps.shape)
            choice[[k, other]] = choice[[other, k]]
    return choice
