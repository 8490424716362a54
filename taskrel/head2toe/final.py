"""Final heads without a penalty, all together: SGD over examples instead of features.

Weights that start at zero stay in the span of the training examples, so SGD with momentum on them is SGD on one
coefficient per example and class, and the features enter through their Gram matrix alone (`taskrel.heads` has the
argument). One kernel per selection; kernels of one training set and all their learning rates are one batched product.
Knows nothing of layers and selections.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from taskrel.head2toe.recipe import Batches, cosine

# Kernels descended on at once, in bytes: what stays in a processor's cache between two rounds of batches.
_CACHE = 16 << 20


def normalise(gram: Tensor, rows: Tensor) -> tuple[Tensor, float]:
    """The kernel of a head with a bias, and what its features were divided by.

    The features are scaled to a mean square of 1 over the training examples, so that one learning rate suits any number
    of layers; the bias is a feature that is always 1.

    Args:
        gram: [n, n] products of the examples.
        rows: [m] the training examples.

    Returns:
        [n, n] kernel; the mean squared norm (1 where all features are zero).
    """
    scale = float(gram.diagonal()[rows].mean()) or 1.0
    return gram / scale + 1, scale


@torch.no_grad()
def sgd_heads(
    kernels: Tensor,
    labels: Tensor,
    classes: int,
    rates: Sequence[float],
    *,
    steps: int,
    batches: Batches | None = None,
    momentum: float = 0.9,
) -> Tensor:
    """[G, R, C, m] coefficients of softmax heads after SGD with momentum and cosine decay from zero.

    The logits of an example are the coefficients times its kernel with the training examples.

    Args:
        kernels: [G, m, m] of the training examples in the order in which batches are cut, bias included.
        labels: [m] integers in [0, classes).
        classes: C.
        rates: [R] learning rates.
        steps: of SGD.
        batches: 128 examples by default.
        momentum: heavy ball, as in `torch.optim.SGD`.
    """
    batches = batches or Batches()
    target = functional.one_hot(labels.long(), classes).T.to(kernels)
    result = kernels.new_empty(len(kernels), len(rates), classes, len(target[0]))
    together = max(1, _CACHE // max(1, kernels[0].numel() * kernels.element_size()))
    for start in range(0, len(kernels), together):
        part = slice(start, start + together)
        result[part] = _sgd(kernels[part], target, kernels.new_tensor(rates), steps, batches, momentum)
    return result


def _sgd(kernels: Tensor, target: Tensor, rates: Tensor, steps: int, batches: Batches, momentum: float) -> Tensor:
    groups, n = kernels.shape[:2]
    classes = len(target)
    state = kernels.new_zeros(groups, len(rates) * classes, n)
    velocity = torch.zeros_like(state)
    pace = rates.repeat_interleave(classes)[:, None]
    for step, (rows, divisor, _) in enumerate(batches.rounds(n, steps)):
        logits = torch.bmm(state, kernels[:, rows].transpose(1, 2))
        residual = logits.view(groups * len(rates), classes, -1).softmax(dim=1).sub_(target[:, rows])
        velocity.mul_(momentum)
        velocity[:, :, rows].add_(residual.view_as(logits), alpha=1 / divisor)
        state.addcmul_(velocity, pace, value=-cosine(step, steps))
    return state.view(groups, len(rates), classes, n)
