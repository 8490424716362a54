"""PACTran-Gauss: a PAC-Bayes bound on the loss of the best linear head, negated."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from taskrel.rows import rows
from taskrel.types import CannotScore, Probe, Score

# Half the Newton decrement is how far the objective still is from its optimum; after the step that meets this the
# parameters are good to rounding, for the last steps square the error.
_DECREMENT, _ROUNDS, _PRODUCTS = 1e-17, 100, 5000
# Where rounding may keep the decrement from falling further, and a curvature too small to be more than rounding.
_STALLED, _FLAT = 1e-10, 1e-14


def score(train: Probe, val: Probe | None, *, seed: int, lam: float = 10.0, s2: float | None = None) -> Score:
    """Minus (cross-entropy of the regularised linear head at its optimum + price of its flatness), in nats.

    The loss is ``min over W, b of mean cross-entropy + |W|²/(2 lam n)`` plus ``DC/(2 lam n) s2 ln(h lam n/(DC))``, with h
    the trace of the Hessian over all DC + C parameters.

    Args:
        train: n examples.
        val: unused.
        seed: unused.
        lam: variance of the prior relative to 1/n, positive; the authors try 10, 1 and 0.1.
        s2: price of the flatness term, at least 0; the authors try 100 lam / d and 10 lam / d. None is 100 / d.

    Returns:
        Unbounded; `detail["raw"]` is the loss, `detail["optimum"]` its first part, `detail["trace"]` h. Comparable over
        models of different d only as far as the bound is. `influence` is per training example, refitting included.

    Raises:
        ValueError: a setting out of range.
        CannotScore: the head did not converge.

    Source:
        Ding et al., PACTran, ECCV 2022, the Gaussian variant. Solved to the optimum, from zero; the authors' code stops
        after 100 steps from a random start; spec/proxies.md 4.11.
    """
    del val, seed
    if not (math.isfinite(lam) and lam > 0):
        raise ValueError(f"lam must be positive, got {lam}")
    if s2 is not None and not (math.isfinite(s2) and s2 >= 0):
        raise ValueError(f"s2 must be at least 0, got {s2}")
    seen = rows(train)
    n, size = seen.examples, seen.dim * len(seen.counts)
    # The penalty keeps W in the span of the rows, and their coordinates keep its length.
    x = torch.cat([seen.coordinates(), seen.centred.new_ones(n, 1)], dim=1)
    penalty = x.new_full((x.shape[1],), 1 / (lam * n))
    penalty[-1] = 0
    head = _Head(x, seen.targets.T.contiguous(), penalty)
    fit = head.fit(torch.log(seen.counts / n))

    lengths = x.square().sum(dim=1)
    curvature = (fit.probs * (1 - fit.probs)).sum(dim=0)
    trace = float(lengths @ curvature) + size / (lam * n)
    price = size / (2 * lam * n) * (100 / seen.dim if s2 is None else s2)
    raw = fit.objective + price * math.log(trace * lam * n / size)

    # Each example moves the trace by its own term, by the mean around which lengths are taken, and by the refit.
    slope = softmax_product(fit.probs, (1 - 2 * fit.probs) * lengths) @ x
    back = head.solve(fit.probs, slope, 1e-9)
    refit = ((back @ x.T) * (fit.probs - head.targets)).sum(dim=0)
    shift = 2 * x[:, :-1] @ (curvature @ x[:, :-1])
    each = fit.losses + price / trace * (n * lengths * curvature - shift - refit)
    detail = {"raw": raw, "optimum": fit.objective, "trace": trace, "steps": fit.steps}
    return Score(-raw, (-raw,), detail, (each.mean() - each).cpu().numpy())


def softmax_product(probs: Tensor, logits: Tensor) -> Tensor:
    """[C, n] (diag(p) - p pᵀ) times each column of logits: the derivative of the softmax."""
    return probs * (logits - (probs * logits).sum(dim=0))


class _Fit(NamedTuple):
    """The head at its optimum: value of the objective, [C, n] probabilities, [n] losses, Newton steps taken."""

    objective: float
    probs: Tensor
    losses: Tensor
    steps: int


class _Head:
    """Mean softmax cross-entropy of theta @ x.T plus half the penalised squares of theta; classes come first.

    Args:
        x: [n, k] inputs, the last column ones.
        targets: [C, n] one-hot.
        penalty: [k] of each column of theta.
    """

    def __init__(self, x: Tensor, targets: Tensor, penalty: Tensor) -> None:
        self.x, self.targets, self.penalty = x, targets, penalty

    def fit(self, log_shares: Tensor) -> _Fit:
        """The optimum by Newton's method, each step by conjugate gradients; from zero weights and known shares."""
        n = len(self.x)
        theta = self.x.new_zeros(len(log_shares), self.x.shape[1])
        theta[:, -1] = log_shares
        objective, probs, losses = self._at(theta)
        before = math.inf
        for steps in range(1, _ROUNDS + 1):
            gradient = (probs - self.targets) @ self.x / n + self.penalty * theta
            step = -self.solve(probs, gradient)
            decrement = -float((gradient * step).sum())
            size = 1.0
            # Beyond rounding no decrease can be seen, and none is asked for.
            while (new := self._at(theta + size * step))[0] > objective - 1e-4 * size * decrement + 1e-13:
                size /= 2
                if size < 1e-10:
                    raise CannotScore(f"pactran needs a head that converges, got stuck at a decrement of {decrement:.1e}")
            theta = theta + size * step
            objective, probs, losses = new
            if decrement <= _DECREMENT or before / 2 < decrement <= _STALLED:
                return _Fit(objective, probs, losses, steps)
            before = decrement
        raise CannotScore(f"pactran needs a head that converges, got a decrement of {decrement:.1e} in {_ROUNDS} steps")

    def _at(self, theta: Tensor) -> tuple[float, Tensor, Tensor]:
        logs = (theta @ self.x.T).log_softmax(dim=0)
        losses = -(logs * self.targets).sum(dim=0)
        return float(losses.mean() + (self.penalty * theta.square()).sum() / 2), logs.exp(), losses

    def solve(self, probs: Tensor, right: Tensor, accuracy: float | None = None) -> Tensor:
        """[C, k] Hessian^-1 right by conjugate gradients, preconditioned by the Hessian's diagonal.

        A common offset of all biases changes nothing, so the Hessian is singular there: biases are kept at a sum of 0,
        or the rounding of `right`, which has no part in that direction, would be blown up without limit.
        """
        n = len(self.x)
        inverse = 1 / ((probs * (1 - probs)) @ self.x.square() / n + self.penalty).clamp_min(_FLAT)

        def scale(residual: Tensor) -> Tensor:
            scaled = residual * inverse
            scaled[:, -1] -= inverse[:, -1] * (scaled[:, -1].sum() / inverse[:, -1].sum())
            return scaled

        solution, residual = torch.zeros_like(right), right
        direction = scale(residual)
        size = float((residual * direction).sum())
        # For a gradient: inexact far from the optimum, ever more exact near it, so that the error falls ever faster.
        goal = size * (min(0.01, math.sqrt(max(size, 0.0))) if accuracy is None else accuracy**2)
        for _ in range(_PRODUCTS):
            if size <= goal:
                break
            product = softmax_product(probs, direction @ self.x.T) @ self.x / n + self.penalty * direction
            curve = float((direction * product).sum())
            if curve <= 0:
                break
            solution = solution + size / curve * direction
            residual = residual - size / curve * product
            scaled = scale(residual)
            size, old = float((residual * scaled).sum()), size
            direction = scaled + size / old * direction
        return solution
