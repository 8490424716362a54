"""Which reference class each target class is made from: the start of the fit, by assignment and local search.

For fixed tau the surrogate (mean costs of classes plus the entropy of collisions) is concave in the joint table, so its
minimum has every target class made from a single reference class. Knows nothing of features.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import xlogy

from taskrel.bound.sample import Floats, Ints


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


def assign(costs: Floats, prior: Floats) -> tuple[Ints, ...]:
    """Distinct good choices, best surrogate first.

    Args:
        costs: [K_T, K_R] loss of the reference class plus tau times its distance; infinite where it cannot be used.
        prior: [K_T].

    Returns:
        [K_T] choices: the optimal one-to-one assignment where there are enough reference classes, the cheapest class of
        each, one class for all, and the best that single moves and swaps make of them.

    Raises:
        ValueError: a target class that no reference class can stand for.
    """
    if not np.isfinite(costs).any(axis=1).all():
        raise ValueError("costs must have a finite entry for every target class, got a row without")
    usable = np.where(np.isfinite(costs), costs, 1e12)
    rows = np.arange(len(prior))
    starts = [usable.argmin(axis=1), np.full(len(prior), (prior @ usable).argmin())]
    if usable.shape[1] >= usable.shape[0]:
        # The prior weighs the rows; a class without mass still takes a class, of the cheapest left.
        starts.insert(0, linear_sum_assignment(np.maximum(prior, 1e-12)[:, None] * usable)[1])
    found = {tuple(c.tolist()): c for start in starts for c in (start, _descend(start, usable, prior))}
    kept = [c for c in found.values() if np.isfinite(costs[rows, c]).all()]
    return tuple(sorted(kept, key=lambda c: surrogate(c, costs, prior)))


def _descend(start: Ints, costs: Floats, prior: Floats) -> Ints:
    """The best single move or swap, again and again, until none helps."""
    choice, rows = start.copy(), np.arange(len(prior))
    for _ in range(10 * len(prior)):
        weights = np.bincount(choice, weights=prior, minlength=costs.shape[1])
        here, mass = costs[rows, choice], prior[:, None]
        left = np.maximum(weights[choice] - prior, 0)
        leaving = xlogy(left, left) - xlogy(weights[choice], weights[choice])
        moves = mass * (costs - here[:, None]) + leaving[:, None]
        moves += xlogy(weights + mass, weights + mass) - xlogy(weights, weights)
        moves[rows, choice] = 0
        crossed = costs[:, choice]  # [K_T, K_T]: k at the place of l
        swaps = mass * (crossed - here[:, None]) + prior * (crossed.T - here)
        change = weights[choice][:, None] + prior - mass  # what the place of k holds after the swap
        gains = xlogy(np.maximum(change, 0), np.maximum(change, 0)) - xlogy(weights[choice], weights[choice])[:, None]
        swaps = np.where(choice[:, None] == choice, 0, swaps + gains + gains.T)
        if min(moves.min(), swaps.min()) > -1e-12:
            break
        if moves.min() <= swaps.min():
            k, j = np.unravel_index(moves.argmin(), moves.shape)
            choice[k] = j
        else:
            k, other = np.unravel_index(swaps.argmin(), swaps.shape)
            choice[[k, other]] = choice[[other, k]]
    return choice
