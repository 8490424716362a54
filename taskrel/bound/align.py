"""The feature map at which the target's logits are nearest to the reference's: the general map, judged in logits.

Of A^-1 the classifier reads K - 1 directions and no more. Those can be any linear function of the target's features,
so the map is a regression of them on the logits of what they are coupled with. What A does along all other directions
changes no logit: it only has to be invertible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from taskrel.bound.head import Head
from taskrel.bound.maps import Affine, Joint
from taskrel.bound.sample import Floats, Sample
from taskrel.bound.terms import directions, logits
from taskrel.bound.transport import Blocks

_ROUNDS = 4
_RIDGES = np.logspace(-5, 1, 13)  # of the mean square of the features' largest direction
_STEEP = 1e8  # singular values of a map further apart than this have lost half of their digits


@dataclass(frozen=True, eq=False)
class Regression:
    """Ridge regression on one target's features, decomposed once for any number of goals.

    Args:
        mean: [d] of the features, classes in the weights of the prior.
        left, values, right: of the centred features, rows times the roots of their weights: [n, r], [r], [d, r].
        weights: [n] of the examples, sum to 1.
    """

    mean: Tensor
    left: Tensor
    values: Tensor
    right: Tensor
    weights: Tensor

    @classmethod
    def of(cls, target: Sample, prior: Floats) -> Regression:
        """The target's features, each class as heavy as the prior says."""
        weights = torch.from_numpy((prior / np.maximum(target.counts, 1))[target.ids]).to(target.features)
        mean = weights @ target.features
        left, values, right = torch.linalg.svd(weights.sqrt()[:, None] * (target.features - mean), full_matrices=False)
        kept = values > 1e-10 * values[0]
        return cls(mean, left[:, kept], values[kept], right[kept].T, weights)

    def fit(self, goals: Tensor) -> tuple[Tensor, Tensor]:
        """Slope [d, q] and offset [q] for goals [n, q]; the ridge of least leave-one-out error."""
        middle, roots = self.weights @ goals, self.weights.sqrt()[:, None]
        centred = roots * (goals - middle)
        along, squares = self.left.T @ centred, self.values.square()
        best, slope = np.inf, torch.zeros(len(self.mean), goals.shape[1]).to(goals)
        for ridge in _RIDGES * float(squares[0]):
            kept = squares / (squares + ridge)
            leverage = (self.left.square() @ kept + self.weights).clamp_max(1 - 1e-9)
            missed = (centred - self.left @ (kept[:, None] * along)) / (1 - leverage)[:, None]
            if (error := float(missed.square().sum())) < best:
                best, slope = error, self.right @ ((kept / self.values)[:, None] * along)
        return slope, middle - self.mean @ slope


def align(
    head: Head, reference: Sample, target: Sample, joint: Joint, regression: Regression, exact_pairs: int
) -> Affine:
    """The map of the least distance of logits found: coupling and regression in turn; A = I where none is nearer.

    Args:
        head: over the classes of `reference`.
        reference, target, joint: as in `evaluate`.
        regression: on the features of `target`.
        exact_pairs: as in `evaluate`.
    """
    source = reference.features @ head.weights.T
    source = source - source.mean(dim=1, keepdim=True)  # an offset of all logits changes nothing
    one, here, best, least = reference.mapped(source), target.features @ head.weights.T, None, np.inf
    found: tuple[Tensor, Tensor] | None = None
    for _ in range(_ROUNDS + 1):
        coupled = logits(one, target.mapped(here), joint, exact_pairs)
        value = coupled.total(joint.prior)
        if not value < least:
            break
        best, least = found, value
        found = regression.fit(_goals(coupled, source, target))
        here = target.features @ found[0] + found[1]
    try:
        return Affine.identity(reference.features) if best is None else _seen(head, *best)
    except ValueError:  # a map without inverse is none
        return Affine.identity(reference.features)


def _goals(found: Blocks, source: Tensor, target: Sample) -> Tensor:
    """[n, K] mean logits of what each target example is coupled with."""
    goals = torch.zeros(len(target), source.shape[1]).to(source)
    for coupling, givers, takers in zip(found.couplings, found.sources, target.rows, strict=True):
        if coupling is not None:
            plan = torch.from_numpy(coupling.plan.T / coupling.plan.sum(axis=0)[:, None]).to(source)
            goals[torch.from_numpy(takers).to(source.device)] = (
                plan @ source[torch.from_numpy(givers).to(source.device)]
            )
    return goals


def _seen(head: Head, slope: Tensor, offset: Tensor) -> Affine:
    """An invertible map at which the target's logits are these functions of its features, up to an offset of all.

    Args:
        slope, offset: [d, K] and [K].

    Raises:
        ValueError: the slope has fewer directions than the head.
    """
    rows = head.weights - head.weights.mean(dim=0)
    seen = directions(head.weights)  # [d, r]
    back = torch.linalg.pinv(rows @ seen).T  # logits -> coordinates in those directions
    pull, place = slope @ back, offset @ back  # [d, r], [r]: the coordinates as functions of the target's features
    size, rank = seen.shape
    values = torch.linalg.svdvals(pull)
    if len(values) < rank or float(values[-1]) * _STEEP <= float(values[0]):
        raise ValueError("slope must have as many directions as the head, got fewer")
    others = torch.linalg.qr(seen, mode="complete")[0][:, rank:]
    unseen = torch.linalg.qr(pull, mode="complete")[0][:, rank:]
    push = torch.linalg.pinv(pull)  # [r, d]
    linear, inverse = push.T @ seen.T, seen @ pull.T
    if size > rank:
        linear, inverse = linear + unseen @ others.T, inverse + others @ unseen.T
    return Affine(linear, -(place @ push), inverse)
