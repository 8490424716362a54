"""The reference classifier: a softmax head whose Lipschitz constant is at most tau, for a grid of tau.

The cap is hard: of two rows of the weights the distance is at most tau. The problem is convex, and any head with its
measured constant gives a valid bound, so the solver's accuracy decides how tight a bound is, never whether it holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from taskrel.bound.lipschitz import tau_pair
from taskrel.bound.sample import Floats, Ints, Sample

# The smooth stand-in for the largest distance: a p-norm over the pairs, sharpened once the direction is known.
_POWERS = (16, 64)


@dataclass(frozen=True, eq=False)
class Head:
    """softmax(W z + c): `weights` [K, d], `bias` [K]."""

    weights: Tensor
    bias: Tensor

    def logs(self, z: Tensor) -> Tensor:
        """[n, K] log probabilities."""
        return (z @ self.weights.T + self.bias).log_softmax(dim=1)

    @property
    def tau(self) -> float:
        """Lipschitz constant of its loss: the largest distance between two rows of its weights."""
        return tau_pair(self.weights)

    def class_losses(self, sample: Sample) -> Floats:
        """[K] mean cross-entropy of each class, in nats; NaN for a class without examples."""
        logs = self.logs(sample.features)
        sums = (sample.onehot * -logs).sum(dim=0).cpu().numpy()
        with np.errstate(invalid="ignore"):
            return np.where(sample.counts > 0, sums / np.maximum(sample.counts, 1), np.nan)

    def accuracy(self, sample: Sample) -> float:
        """Share of examples whose class is the most probable."""
        return float(np.mean(self.logs(sample.features).argmax(dim=1).cpu().numpy() == sample.ids))

    def only(self, classes: Ints) -> Head:
        """The head among these classes alone: the others' logits are dropped, which never raises a loss or tau."""
        places = torch.from_numpy(np.asarray(classes)).to(self.bias.device)
        return Head(self.weights[places], self.bias[places])

    def biased_for(self, sample: Sample, weights: Floats) -> Head:
        """The best bias for classes of these weights [K]; the weights of the features, and so tau, stay.

        Newton's method on the K numbers, from where the bias is; convex.
        """
        each = torch.from_numpy(weights / np.maximum(sample.counts, 1)).to(self.bias)
        mass, goal = sample.onehot @ each, torch.from_numpy(weights).to(self.bias)
        scores, bias = sample.features @ self.weights.T, self.bias.clone()

        def loss(c: Tensor) -> tuple[float, Tensor]:
            logs = (scores + c).log_softmax(dim=1)
            return -float((logs * sample.onehot).sum(dim=1) @ mass), logs.exp()

        value, probs = loss(bias)
        for _ in range(50):
            gradient = probs.T @ mass - goal
            hessian = torch.diag(probs.T @ mass) - (probs * mass[:, None]).T @ probs
            step = -torch.linalg.pinv(hessian, hermitian=True) @ gradient  # an offset of all changes nothing
            size = 1.0
            while (new := loss(bias + size * step))[0] > value and size > 1e-6:
                size /= 2
            if new[0] >= value - 1e-14:
                break
            bias, (value, probs) = bias + size * step, new
        return Head(self.weights, bias)


def fit_heads(sample: Sample, taus: Sequence[float], *, rounds: int = 200) -> tuple[Head, ...]:
    """Heads of least cross-entropy whose rows are at most tau apart, one per tau, each started from the one before.

    Args:
        sample: the reference, every class with an example.
        taus: the caps, at least 0, in nats per unit of distance between features.
        rounds: steps of L-BFGS at most per cap.

    Returns:
        One head per tau, in the order given; measured constants at most tau, to rounding.

    Raises:
        ValueError: a negative or infinite tau, or a class without examples.

    Source:
        spec 7.5: convex, a hard cap in place of the authors' penalty on the gradient. Weights are V times
        min(1, tau / size(V)), size a p-norm over pairs of rows, so that every V is feasible; a final scaling uses up
        what the p-norm gave away.
    """
    if not all(math.isfinite(tau) and tau >= 0 for tau in taus):
        raise ValueError(f"tau must be finite and at least 0, got {list(taus)}")
    if (sample.counts == 0).any():
        raise ValueError(f"sample must have an example of every class, got none of {int(sample.counts.argmin())}")
    problem = _Capped(sample)
    found: dict[float, Head] = {}
    start = problem.start()
    for tau in sorted(set(taus)):
        if tau == 0 or sample.classes == 1:
            found[tau] = Head(torch.zeros_like(problem.slope), problem.prior)
            continue
        start = problem.solve(start, tau, rounds)
        found[tau] = Head(*start).biased_for(sample, sample.prior)
    return tuple(found[tau] for tau in taus)


class _Capped:
    """Mean cross-entropy of W z + c with W inside the cap, and its gradient."""

    def __init__(self, sample: Sample) -> None:
        self.z, self.y, self.n = sample.features, sample.onehot, len(sample)
        self.prior = torch.from_numpy(np.log(sample.prior)).to(self.z)
        mean = self.z.mean(dim=0)
        # The steepest descent at W = 0: where a small cap has its optimum.
        self.slope = torch.from_numpy(sample.prior).to(self.z)[:, None] * (sample.means - mean)

    def start(self) -> tuple[Tensor, Tensor]:
        return self.slope, self.prior

    def loss(self, weights: Tensor, bias: Tensor) -> tuple[float, Tensor, Tensor]:
        """The loss, [K, d] and [K] gradients."""
        logs = (self.z @ weights.T + bias).log_softmax(dim=1)
        error = (logs.exp() - self.y) / self.n
        return -float((logs * self.y).sum()) / self.n, error.T @ self.z, error.sum(dim=0)

    def outward(self, weights: Tensor, bias: Tensor) -> bool:
        """Whether larger weights would lower the loss: whether the cap binds."""
        return float((self.loss(weights, bias)[1] * weights).sum()) < 0

    def solve(self, start: tuple[Tensor, Tensor], tau: float, rounds: int) -> tuple[Tensor, Tensor]:
        """Weights and bias: the optimum without a cap where that is within it, else on the cap."""
        weights, bias = start
        largest = tau_pair(weights)
        if largest == 0:  # class means are equal: no direction is better than another
            return torch.zeros_like(weights), self.prior
        if not self.outward(weights * (tau / largest), bias):
            weights, bias = self._minimise(0 * weights, self.prior, 1.0, None, rounds)
            if tau_pair(weights) <= tau:
                return weights, bias
        for power in _POWERS:
            # Outside the cap, so that the scale is never a direction of its own.
            direction = weights * (2 / max(tau_pair(weights), 1e-300))
            weights, bias = self._minimise(direction, bias, tau, power, rounds)
        return weights * (tau / tau_pair(weights)), bias  # what the p-norm gave away

    def _minimise(
        self, direction: Tensor, bias: Tensor, tau: float, power: int | None, rounds: int
    ) -> tuple[Tensor, Tensor]:
        """L-BFGS over V = W / tau, of the order of 1 whatever the cap, and the bias; no cap where power is None."""
        shape = direction.shape

        def capped(v: Tensor) -> tuple[Tensor, float, Tensor]:
            size, slope = (0.0, v) if power is None else _size(v, power)
            return v * (tau / max(1.0, size)), size, slope

        def objective(flat: Floats) -> tuple[float, Floats]:
            both = torch.from_numpy(flat).to(self.z)
            v, c = both[: shape.numel()].view(shape), both[shape.numel() :]
            weights, size, slope = capped(v)
            value, by_weights, by_bias = self.loss(weights, c)
            by_weights = by_weights * tau
            if size > 1:
                by_weights = (by_weights - (by_weights * v).sum() / size * slope) / size
            return value, torch.cat([by_weights.reshape(-1), by_bias]).cpu().numpy()

        flat = torch.cat([direction.reshape(-1), bias]).cpu().numpy()
        found = minimize(
            objective, flat, jac=True, method="L-BFGS-B",
            options={"maxiter": rounds, "maxfun": 2 * rounds, "ftol": 1e-13, "gtol": 1e-9 * min(1.0, tau)},
        )  # fmt: skip
        both = torch.from_numpy(found.x).to(self.z)
        return capped(both[: shape.numel()].view(shape))[0], both[shape.numel() :]


def _size(rows: Tensor, power: int) -> tuple[float, Tensor]:
    """The p-norm of the distances of pairs of rows, at least the largest of them, and its [K, d] gradient."""
    squares = _pair_squares(rows)
    largest = float(squares.max())
    if largest <= 0:
        return 0.0, torch.zeros_like(rows)
    share = (squares / largest) ** (power / 2 - 1)
    total = float((share * (squares / largest)).sum()) / 2
    size = math.sqrt(largest) * total ** (1 / power)
    scale = total ** (1 / power - 1) / math.sqrt(largest)
    return size, (share.sum(dim=1, keepdim=True) * rows - share @ rows) * scale


def smooth_size(rows: Tensor, power: int) -> Tensor:
    """The p-norm of the distances of pairs of rows, differentiable: above the largest distance, and near it."""
    squares = torch.pdist(rows).square()
    largest = squares.max().detach().clamp_min(1e-300)
    return largest.sqrt() * (squares / largest).pow(power / 2).sum() ** (1 / power)


def _pair_squares(rows: Tensor) -> Tensor:
    """[K, K] squared distances by one product: exact enough for a search."""
    centred = rows - rows.mean(dim=0)
    squares = centred.square().sum(dim=1)
    return (squares[:, None] + squares - 2 * centred @ centred.T).clamp_min(0).fill_diagonal_(0)
