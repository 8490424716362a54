"""Transport distances between weighted point clouds: exact, per label, and of all pairs of classes.

A distance here is never below the true one: any feasible plan costs at least as much, so the bound stays a bound. Where
a problem is too large for the exact solver its entropic plan is rounded to feasibility, and `gap` says how far above
the true distance it can be. Knows nothing of heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from taskrel.bound.lipschitz import EXACT
from taskrel.bound.maps import Joint
from taskrel.bound.sample import Floats, Ints, Sample
from taskrel.types import CannotScore

# Pivots of the network simplex; the default of 1e5 stops early from about 2500 points on.
_PIVOTS = 10**8
# Pairs of points above which the plan is entropic: the exact solver then takes minutes.
EXACT_PAIRS = 16_000_000
# Of the squared lengths: below, a squared distance has lost 6 of its 16 digits to them.
_NEAR = 1e-6
_SHARPNESS, _SWEEPS = 200.0, 500


@dataclass(frozen=True, eq=False)
class Transport:
    """A coupling of n and m points: its cost `value`, `plan` [n, m], and how much above the optimum it can be."""

    value: float
    plan: Floats
    gap: float = 0.0


@dataclass(frozen=True, eq=False)
class Blocks:
    """One coupling per target label, None where the label has no mass; `sources` are the rows of the reference."""

    by_label: Floats
    couplings: tuple[Transport | None, ...]
    sources: tuple[Ints, ...]
    gap: float

    def total(self, prior: Floats) -> float:
        """Distance of the whole: blocks weighted by the target's prior."""
        return float(prior @ self.by_label)


def cost(x: Tensor, y: Tensor) -> Tensor:
    """[n, m] Euclidean distances, exactly 0 between equal rows.

    By one product; pairs so near that the difference of squares is mostly rounding are measured one by one.
    """
    middle = y.mean(dim=0)
    x, y = x - middle, y - middle
    sizes = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    squares = sizes - 2 * x @ y.T
    i, j = torch.nonzero(squares <= _NEAR * sizes, as_tuple=True)
    if len(i) > 4 * (len(x) + len(y)):
        return torch.cdist(x, y, compute_mode=EXACT)
    found = squares.clamp_min_(0).sqrt_()
    found[i, j] = (x[i] - y[j]).norm(dim=1)
    return found


def w1(
    x: Tensor,
    y: Tensor,
    a: Floats | None = None,
    b: Floats | None = None,
    *,
    exact_pairs: int = EXACT_PAIRS,
    largest: bool = False,
) -> Transport:
    """1-Wasserstein distance between points x [n, d] of masses a and y [m, d] of masses b.

    Args:
        a, b: masses that sum to the same, uniform where None.
        exact_pairs: pairs of points above which the plan is entropic, rounded, with a stated gap.
        largest: points are as far apart as they are along the axis where that is most, in place of Euclid's distance.

    Raises:
        CannotScore: the solver found no feasible plan.
    """
    n, m = len(x), len(y)
    a = np.full(n, 1 / n) if a is None else a
    b = np.full(m, 1 / m) if b is None else b
    distances = torch.cdist(x, y, p=math.inf) if largest else cost(x, y)
    if n == 1 or m == 1:
        plan = a[:, None] * b / a.sum()
        return Transport(float((plan * distances.cpu().numpy()).sum()), plan)
    if n * m > exact_pairs:
        return entropic(distances, a, b)
    return _simplex(distances.cpu().numpy(), a, b)


def _simplex(distances: Floats, a: Floats, b: Floats) -> Transport:
    from ot.lp import emd  # seconds to import

    found: Any = emd(a, b, distances, numItermax=_PIVOTS, log=True, check_marginals=False, center_dual=False)
    plan, log = found
    if abs(plan.sum() - a.sum()) > 1e-9 * max(1.0, a.sum()):
        raise CannotScore(f"task_relatedness needs a transport problem that can be solved, got {log['warning']}")
    value = float((plan * distances).sum())
    # Stopped early it is dearer than need be, and the bound still a bound.
    gap = _gap(torch.from_numpy(distances), torch.from_numpy(log["v"]), value, a, b) if log["warning"] else 0.0
    return Transport(value, plan, gap)


def _gap(distances: Tensor, g: Tensor, value: float, a: Floats, b: Floats) -> float:
    """How far above the optimum a cost can be: minus the dual value of the potentials made feasible by c-transforms."""
    dual_f = (distances - g).amin(dim=1)
    dual_g = (distances - dual_f[:, None]).amin(dim=0)
    return max(value - float(a @ dual_f.cpu().numpy() + b @ dual_g.cpu().numpy()), 0.0)


def entropic(distances: Tensor, a: Floats, b: Floats) -> Transport:
    """A feasible plan near the optimum, by scaling in the log domain on the device, rounded to the marginals.

    Args:
        distances: [n, m] costs.
        a, b: masses.

    Source:
        Cuturi 2013 for the scaling; Altschuler et al. 2017 for the rounding. The gap is to a dual feasible value: the
        c-transform of the potentials.
    """
    log_a, log_b = (torch.from_numpy(np.log(np.maximum(v, 1e-300))).to(distances) for v in (a, b))
    step = max(float(distances.mean()) / _SHARPNESS, 1e-12)
    f, g = torch.zeros_like(log_a), torch.zeros_like(log_b)
    for sharp in (step * 64, step * 16, step * 4, step):
        for _ in range(_SWEEPS // 4):
            f = sharp * (log_a - torch.logsumexp((g - distances) / sharp, dim=1))
            g = sharp * (log_b - torch.logsumexp((f[:, None] - distances) / sharp, dim=0))
    plan = ((f[:, None] + g - distances) / step).exp()
    mass_a, mass_b = log_a.exp(), log_b.exp()
    plan = plan * (mass_a / plan.sum(dim=1)).clamp_max(1)[:, None]
    plan = plan * (mass_b / plan.sum(dim=0)).clamp_max(1)
    short_a, short_b = mass_a - plan.sum(dim=1), mass_b - plan.sum(dim=0)
    plan = plan + short_a[:, None] * short_b / short_a.sum().clamp_min(1e-300)
    value = float((plan * distances).sum())
    return Transport(value, plan.cpu().numpy(), _gap(distances, g, value, a, b))


def blocks(
    reference: Sample,
    target: Sample,
    joint: Joint,
    *,
    exact_pairs: int = EXACT_PAIRS,
    along: Sequence[Tensor] | None = None,
) -> Blocks:
    """Distance of the relabelled reference to the target, label by label: no mass moves between labels.

    Args:
        reference: features already mapped into the target's coordinates.
        target: every label with mass has an example.
        joint: how the reference's classes become labels; its prior is the target's.
        along: [d, p] per label: points are then as far apart as they are along the column where that is most.

    Raises:
        ValueError: a class that is to give or take mass has no example.
    """
    for table, counts, thing in (
        (joint.prior, target.counts, "target"),
        (joint.weights, reference.counts, "reference"),
    ):
        if bad := np.flatnonzero((table > 0) & (counts == 0)).tolist():
            raise ValueError(f"{thing} must have examples of every class with mass, got none of {bad}")
    by_label = np.zeros(len(joint.table))
    couplings: list[Transport | None] = []
    sources: list[Ints] = []
    for label, row in enumerate(joint.table):
        givers = np.flatnonzero(row > 0)
        if not len(givers):
            couplings.append(None)
            sources.append(np.empty(0, dtype=np.intp))
            continue
        places = np.concatenate([reference.rows[j] for j in givers])
        masses = np.repeat(row[givers] / reference.counts[givers], reference.counts[givers])
        x = reference.features[torch.from_numpy(places).to(reference.features.device)]
        y = target.features[torch.from_numpy(target.rows[label]).to(target.features.device)]
        if along is not None:
            x, y = x @ along[label], y @ along[label]
        found = w1(x, y, masses / masses.sum(), exact_pairs=exact_pairs, largest=along is not None)
        by_label[label] = found.value
        couplings.append(found)
        sources.append(places)
    gap = sum(p * c.gap for p, c in zip(joint.prior, couplings, strict=True) if c is not None)
    return Blocks(by_label, tuple(couplings), tuple(sources), float(gap))


def class_costs(reference: Sample, target: Sample, *, per_class: int = 25, near: int = 12, seed: int = 0) -> Floats:
    """[K_T, K_R] distance of every reference class to every target class; infinite for a class without examples.

    Each is that of at most `per_class` examples of either class. Where there are more than `near` reference classes
    only the nearest by mean and by mean distance are solved; of the others the mean distance stands, never below.
    """
    few_r, few_t = reference.thinned(per_class, seed), target.thinned(per_class, seed)
    pairs = torch.cdist(few_t.features, few_r.features)
    mean = (few_t.onehot.T @ pairs @ few_r.onehot).cpu().numpy()
    sizes = few_t.counts[:, None] * few_r.counts
    with np.errstate(invalid="ignore", divide="ignore"):
        costs = np.where(sizes > 0, mean / sizes, math.inf)
    solve = np.ones(costs.shape, dtype=bool)
    if costs.shape[1] > near:
        apart = torch.cdist(few_t.means, few_r.means).cpu().numpy()
        apart[sizes == 0] = math.inf
        solve[:] = False
        for order in (costs, apart):
            np.put_along_axis(solve, np.argsort(order, axis=1, kind="stable")[:, : near // 2], True, axis=1)
            back = np.argsort(order, axis=0, kind="stable")[:2]
            np.put_along_axis(solve, back, True, axis=0)
    solve &= sizes > 0
    table = pairs.cpu().numpy()
    for k, j in np.argwhere(solve):
        square = np.ascontiguousarray(table[np.ix_(few_t.rows[k], few_r.rows[j])])
        n, m = square.shape
        if n > 1 and m > 1:
            costs[k, j] = _simplex(square, np.full(n, 1 / n), np.full(m, 1 / m)).value
    return costs


def floor(target: Sample, *, seed: int = 0) -> float | None:
    """Distance between two halves of the target itself, label by label: what no transform can be asked to remove.

    None where no class has two examples. Halves are smaller than the samples, so the floor is a little high.
    """
    chance = np.random.default_rng(seed).permutation(len(target))
    values, masses = [], []
    for rows in target.rows:
        if len(rows) < 2:
            continue
        mixed = rows[np.argsort(chance[rows])]
        half = len(mixed) // 2
        device = target.features.device
        one, two = (target.features[torch.from_numpy(part).to(device)] for part in (mixed[:half], mixed[half:]))
        values.append(w1(one, two).value)
        masses.append(len(rows))
    return float(np.average(values, weights=masses)) if values else None
