"""The softmax head with a quadratic penalty, at its optimum: a convex problem, solved to rounding.

Newton's method with conjugate gradients: no Hessian is built, and a dozen steps suffice where first-order methods need
hundreds. Knows nothing of scores.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from taskrel.types import CannotScore

# Half the Newton decrement is how far the objective still is from its optimum; after the step that meets this the
# parameters are good to rounding, for the last steps square the error.
_DECREMENT, _ROUNDS, _PRODUCTS = 1e-14, 100, 5000
# Where rounding may keep the decrement from falling further, and a curvature too small to be more than rounding.
_STALLED, _FLAT = 1e-10, 1e-14


def softmax_product(probs: Tensor, logits: Tensor) -> Tensor:
    """[C, n] (diag(p) - p pᵀ) times each column of logits: the derivative of the softmax."""
    return probs * (logits - (probs * logits).sum(dim=0))


class Fit(NamedTuple):
    """The optimum: [C, k] weights, the objective there, [C, n] probabilities, [n] losses, Newton steps taken."""

    theta: Tensor
    objective: float
    probs: Tensor
    losses: Tensor
    steps: int


class Head:
    """Mean softmax cross-entropy of theta @ x.T plus half the penalised squares of theta; classes come first.

    Args:
        name: of the proxy that asks, for its reasons.
        x: [n, k] inputs, the last column ones.
        targets: [C, n] one-hot.
        penalty: [k] of each column of theta.
    """

    def __init__(self, name: str, x: Tensor, targets: Tensor, penalty: Tensor) -> None:
        self.name, self.x, self.targets, self.penalty = name, x, targets, penalty

    def fit(self) -> Fit:
        """The optimum by Newton's method, each step by conjugate gradients; from zero weights and known class shares.

        Raises:
            CannotScore: it does not converge.
        """
        n = len(self.x)
        theta = self.x.new_zeros(len(self.targets), self.x.shape[1])
        theta[:, -1] = self.targets.mean(dim=1).log()
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
                    raise CannotScore(
                        f"{self.name} needs a head that converges, got stuck at a decrement of {decrement:.1e}"
                    )
            theta = theta + size * step
            objective, probs, losses = new
            if decrement <= _DECREMENT or before / 2 < decrement <= _STALLED:
                return Fit(theta, objective, probs, losses, steps)
            before = decrement
        raise CannotScore(
            f"{self.name} needs a head that converges, got a decrement of {decrement:.1e} in {_ROUNDS} steps"
        )

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
