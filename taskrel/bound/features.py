"""Steps of the feature map: for a fixed coupling, a map at which tau times the coupling's cost is no larger.

A coupling found at one map costs, at another, at least as much as the best coupling there: a step that lowers the cost
of the old coupling lowers the bound. Every step is checked by the caller, on the exact distance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from taskrel.bound.head import Head, smooth_size
from taskrel.bound.maps import Affine
from taskrel.bound.sample import Floats, Sample
from taskrel.bound.transport import Blocks

Features = Literal["identity", "shift", "scale", "rigid", "general", "aligned"]

_ROUNDS, _GENERAL_ROUNDS, _SHARP = 30, 40, 64
# How far the scale may go: beyond, the classifier is constant on the target, and the bound blind to it.
_SCALES = (0.25, 4.0)


@dataclass(frozen=True, eq=False)
class Pairs:
    """What a coupling moves where: `source` [p, d] before the map, `goal` [p, d], `mass` [p] that sums to 1."""

    source: Tensor
    goal: Tensor
    mass: Tensor

    @classmethod
    def of(cls, found: Blocks, prior: Floats, reference: Sample, target: Sample) -> Pairs:
        """The pairs with mass of all labels' couplings: at most one fewer per label than it has points."""
        sources, goals, masses = [], [], []
        for label, coupling in enumerate(found.couplings):
            if coupling is not None:
                i, j = np.nonzero(coupling.plan)
                sources.append(found.sources[label][i])
                goals.append(target.rows[label][j])
                masses.append(prior[label] * coupling.plan[i, j])
        device = target.features.device
        one, two = (torch.from_numpy(np.concatenate(places)).to(device) for places in (sources, goals))
        return cls(reference.features[one], target.features[two], torch.from_numpy(np.concatenate(masses)).to(device))

    def cost(self, affine: Affine) -> float:
        """Mean distance of what is moved, at this map."""
        return float(self.mass @ (affine.apply(self.source) - self.goal).norm(dim=1))

    def weights(self, residual: Tensor) -> Tensor:
        """[p] masses over distances: least squares with these weights has the minimum of the distances."""
        lengths = residual.norm(dim=1)
        return self.mass / lengths.clamp_min(1e-9 * max(float(lengths.mean()), 1e-300))


def shift(pairs: Pairs, affine: Affine, head: Head) -> Affine:
    """The best b for A as it is: the geometric median of what is left (Weiszfeld)."""
    del head
    bare = pairs.goal - (affine.apply(pairs.source) - affine.shift)
    b = affine.shift
    for _ in range(_ROUNDS):
        w = pairs.weights(bare - b)
        b = w @ bare / w.sum()
    return Affine(affine.linear, b, affine.back)


def scale(pairs: Pairs, affine: Affine, head: Head) -> Affine:
    """The best multiple of the present A, and b.

    With u = 1/s and v = u b the objective tau |s A z + b - t| is proportional to |A z + v - u t|: convex in (u, v).
    """
    del head
    bare = affine.apply(pairs.source) - affine.shift
    u, v = 1.0, affine.shift
    for _ in range(_ROUNDS):
        w = pairs.weights(bare + v - u * pairs.goal)
        w = w / w.sum()
        source, goal = bare - w @ bare, pairs.goal - w @ pairs.goal
        spread = float(w @ goal.square().sum(dim=1))
        if spread <= 0:
            break
        u = float(w @ (source * goal).sum(dim=1)) / spread
        u = min(max(u, 1 / _SCALES[1]), 1 / _SCALES[0])
        v = w @ (u * pairs.goal - bare)
    back = affine.inverse
    return Affine(affine.linear / u, v / u, None if isinstance(back, float) else back * u)


def rigid(pairs: Pairs, affine: Affine, head: Head) -> Affine:
    """The best rotation or reflection after the present A, and b; tau stays as it is (weighted Procrustes)."""
    del head
    bare = affine.apply(pairs.source) - affine.shift
    turn = torch.eye(bare.shape[1], dtype=bare.dtype, device=bare.device)
    b = affine.shift
    for _ in range(_ROUNDS // 6):
        w = pairs.weights(bare @ turn.T + b - pairs.goal)
        w = w / w.sum()
        middle, goal = w @ bare, w @ pairs.goal
        left, _, right = torch.linalg.svd(((pairs.goal - goal) * w[:, None]).T @ (bare - middle))
        turn = left @ right
        b = goal - turn @ middle
    if isinstance(affine.linear, float):
        return Affine(turn * affine.linear, b, turn.T / affine.linear)
    return Affine(turn @ affine.linear, b, torch.as_tensor(affine.inverse) @ turn.T)


def general(pairs: Pairs, affine: Affine, head: Head) -> Affine:
    """Any invertible A and b, by descent on tau(A) times the coupling's cost; O(d^3) per step."""
    d = pairs.source.shape[1]
    eye = torch.eye(d, dtype=pairs.source.dtype, device=pairs.source.device)
    start = affine.linear * eye if isinstance(affine.linear, float) else affine.linear

    def objective(flat: Floats) -> tuple[float, Floats]:
        both = torch.from_numpy(flat).to(pairs.source).requires_grad_()
        a, b = both[: d * d].view(d, d), both[d * d :]
        rows = torch.linalg.solve(a.T, head.weights.T).T
        squares = (pairs.source @ a.T + b - pairs.goal).square().sum(dim=1)
        value = (pairs.mass @ (squares + 1e-18).sqrt()).log() + smooth_size(rows, _SHARP).log()
        value.backward()
        assert both.grad is not None
        return float(value.detach()), both.grad.cpu().numpy()

    flat = torch.cat([start.reshape(-1), affine.shift]).cpu().numpy()
    found = minimize(objective, flat, jac=True, method="L-BFGS-B", options={"maxiter": _GENERAL_ROUNDS})
    both = torch.from_numpy(found.x).to(pairs.source)
    return Affine(both[: d * d].view(d, d).clone(), both[d * d :].clone())


Step = Callable[[Pairs, Affine, Head], Affine]

# Each kind of map contains those before it in its row, and starts from them; "aligned" is made elsewhere (`align`).
STEPS: Mapping[str, tuple[Step, ...]] = MappingProxyType({
    "identity": (), "shift": (shift,), "scale": (shift, scale), "rigid": (shift, rigid),
    "general": (shift, scale, general), "aligned": (),
})  # fmt: skip
