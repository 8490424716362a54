"""Linear heads by Adam, as the authors of Head2Toe train them: selection with the group penalty, final head without.

The reference: every step costs a product with all features and four passes over all weights, so `lasso.py` and
`final.py` are what a sweep uses. Heads that see the same batches are trained together. Knows no folds.

Source: `finetune.py` and `finetune_fs.py` of the authors' code; spec/head2toe.md section 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-7  # Keras's defaults


@dataclass(frozen=True)
class Batches:
    """Fixed batches: the examples in one order, cut in pieces of `size`, over and over.

    Args:
        size: examples per batch; the last piece of a round holds what is left.
        short: what a shorter piece is divided by: "mean" by its own length; "as_released" by `size`, loss and penalty
            alike, as in the authors' code.

    Raises:
        ValueError: a size below 1.
    """

    size: int = 128
    short: str = "mean"

    def __post_init__(self) -> None:
        if self.size < 1 or self.short not in ("mean", "as_released"):
            raise ValueError(f"batches must have a size of at least 1 and short 'mean' or 'as_released', got {self}")

    def rounds(self, n: int, steps: int) -> Iterator[tuple[slice, int, float]]:
        """Per step: which examples, what sums over them are divided by, and the factor of the penalty."""
        starts = range(0, n, self.size)
        for step in range(steps):
            start = starts[step % len(starts)]
            length = min(self.size, n - start)
            divisor = self.size if self.short == "as_released" else length
            yield slice(start, start + length), divisor, length / divisor


def cosine(step: int, steps: int) -> float:
    """The share of the learning rate at a step counted from 0: from 1 down to 0 along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.no_grad()
def adam_heads(
    x: Tensor,
    labels: Tensor,
    classes: int,
    settings: Sequence[tuple[float, float]],
    *,
    steps: int,
    batches: Batches | None = None,
    seed: int = 0,
    memory: int = 1 << 30,
) -> tuple[Tensor, Tensor]:
    """Weights [H, C, D] and biases [H, C] of softmax heads after Adam with cosine decay.

    Args:
        x: [n, D] in the order in which batches are cut.
        labels: [n] integers in [0, classes).
        classes: C.
        settings: [H] (learning rate, penalty of the sum over features of the norm of their weights).
        steps: of Adam.
        batches: 128 examples by default.
        seed: of the first weights (Glorot uniform), the same for all heads.
        memory: bytes for weights, moments and gradients; heads take turns where all together need more.

    Raises:
        ValueError: one head needs more memory than that.

    Source:
        spec/head2toe.md section 2.1; the norm of a row of zeros has gradient 0 here, where the authors' has none.
    """
    batches = batches or Batches()
    features = x.shape[1]
    each = 5 * classes * features * x.element_size()
    together = memory // each
    if not together:
        raise ValueError(f"memory must be at least {each} bytes for {features} features, got {memory}")
    draw = torch.Generator().manual_seed(seed)
    limit = math.sqrt(6 / (features + classes))
    first = torch.empty(classes, features).uniform_(-limit, limit, generator=draw).to(x)
    target = functional.one_hot(labels.long(), classes).T.to(x)
    weights, biases = x.new_empty(len(settings), classes, features), x.new_empty(len(settings), classes)
    for start in range(0, len(settings), together):
        part = slice(start, start + together)
        weights[part], biases[part] = _adam(x, target, first, settings[part], steps, batches)
    return weights, biases


def _adam(x: Tensor, target: Tensor, first: Tensor, settings: Sequence[tuple[float, float]], steps: int,
          batches: Batches) -> tuple[Tensor, Tensor]:  # fmt: skip
    heads, classes = len(settings), len(target)
    rates, penalties = x.new_tensor(settings).T
    weights = first.repeat(heads, 1, 1)
    biases = x.new_zeros(heads, classes)
    moments = [torch.zeros_like(value) for value in (weights, weights, biases, biases)]
    for step, (rows, divisor, share) in enumerate(batches.rounds(len(x), steps)):
        batch = x[rows]
        logits = (weights.view(heads * classes, -1) @ batch.T).view(heads, classes, -1) + biases[:, :, None]
        residual = logits.softmax(dim=1).sub_(target[:, rows]).div_(divisor)
        slope = (residual.view(heads * classes, -1) @ batch).view_as(weights)
        if float(penalties.max()) > 0:
            norms = torch.linalg.vector_norm(weights, dim=1, keepdim=True)
            slope.addcmul_(weights, torch.where(norms > 0, share * penalties[:, None, None] / norms, 0.0))
        size = cosine(step, steps) * math.sqrt(1 - _SECOND ** (step + 1)) / (1 - _FIRST ** (step + 1))
        _move(weights, slope, moments[0], moments[1], rates[:, None, None] * size)
        _move(biases, residual.sum(dim=2), moments[2], moments[3], rates[:, None] * size)
    return weights, biases


def _move(value: Tensor, slope: Tensor, first: Tensor, second: Tensor, rate: Tensor) -> None:
    first.lerp_(slope, 1 - _FIRST)
    second.mul_(_SECOND).addcmul_(slope, slope, value=1 - _SECOND)
    value.sub_(first.mul(rate).div_(second.sqrt().add_(_EPSILON)))
