"""Linear heads by SGD: every learning rate x repeat trained together, as if each ran alone.

`train_heads` gives the weights that separate plain runs (`nn.Linear`, `torch.optim.SGD`, mean
cross-entropy) would give on the same batches, up to rounding, for about a tenth of the time:

* The heads of one repeat see the same batches, so one gather and one product serve them all, and
  the repeats go side by side in one batched product.
* Weights that start at zero stay in the row space of the features: ``W = A X`` with one
  coefficient per training example. Momentum is linear, so SGD on W *is* SGD on A with the gradient
  ``G`` of the logits scattered to the rows of the batch, and the logits of a batch are ``A K`` with
  the Gram matrix ``K = X Xᵀ``. That replaces two products of inner size d by one of inner size n:
  cheaper when n < 2d (the "sample" space); otherwise W itself is kept (the "feature" space).
* A bias is one more feature that is always 1: it adds 1 to every entry of K.

Knows nothing of validation, scores or models: proxies choose among the heads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Space = Literal["sample", "feature"]

# Steps whose indices are prepared at once: enough to hide the cost of NumPy and small tensor calls,
# few enough to stay in cache (32 steps x 5 repeats x 512 indices are 0.6 MiB).
_CHUNK = 32


def batch_stream(n: int, batch: int, steps: int, seed: int | Sequence[int]) -> Iterator[npt.NDArray[np.int64]]:
    """The indices of each SGD step: consecutive windows of concatenated random permutations.

    Every example is used once before any is used twice, so a batch that crosses the end of a
    permutation may hold an example twice. Fine-tuning and linear heads draw from the same stream.

    Args:
        n: number of examples.
        batch: examples per step; clipped to n.
        steps: number of steps.
        seed: non-negative integer, or several: (sweep seed, repeat), say.

    Returns:
        Iterator over `steps` arrays of min(batch, n) indices in [0, n).

    Raises:
        ValueError: n or batch below 1, or steps negative.
    """
    for thing, number, least in (("n", n, 1), ("batch", batch, 1), ("steps", steps, 0)):
        if number < least:
            raise ValueError(f"{thing} must be at least {least}, got {number}")
    return _windows(n, min(batch, n), steps, np.random.default_rng(seed))


def _windows(n: int, batch: int, steps: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    stream = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(stream) < batch:
            stream = np.concatenate([stream, rng.permutation(n)])
        yield stream[:batch].copy()
        stream = stream[batch:]


@dataclass(frozen=True)
class Heads:
    """Trained linear heads, one per repeat and learning rate.

    Args:
        learning_rates: [L] the rates, in the order of the second axis below.
        weights: [R, L, C, d] final weights.
        biases: [R, L, C] final biases; zeros when trained without.
        finite: [R, L] whether a head ended with finite weights; False means it diverged and its
            weights hold NaN or infinities. The other heads are not affected.
        space: which unknowns were trained, coefficients of samples or of features.
    """

    learning_rates: tuple[float, ...]
    weights: Tensor
    biases: Tensor
    finite: Tensor
    space: Space

    def logits(self, features: Tensor) -> Tensor:
        """Unnormalised log-probabilities of every head.

        Args:
            features: [m, d].

        Returns:
            [R, L, m, C] in the heads' dtype.
        """
        x = features.to(self.weights)
        return torch.matmul(x, self.weights.transpose(2, 3)).add_(self.biases.unsqueeze(2))


@dataclass(frozen=True)
class Recipe:
    """How a head is trained; the defaults are the protocol of the 46-model study.

    Args:
        learning_rates: [L] rates, each trained on its own.
        repeats: number of batch streams R.
        steps: SGD steps.
        batch: examples per step, clipped to n.
        momentum: heavy-ball momentum as in `torch.optim.SGD` (no dampening, no Nesterov).
        bias: whether to train a bias.
        decay_at: fractions of `steps` after which the rate is divided by 10; (1/3, 2/3) is the VTAB
            schedule, which the study does not mention.

    Raises:
        ValueError: a setting out of range.

    Source:
        "Which Model to Transfer?", CVPR 2022, section 4; spec/model_search.md section 4.
    """

    learning_rates: tuple[float, ...] = (0.1, 0.01)
    repeats: int = 5
    steps: int = 2500
    batch: int = 512
    momentum: float = 0.9
    bias: bool = True
    decay_at: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rates", tuple(float(r) for r in self.learning_rates))
        object.__setattr__(self, "decay_at", tuple(float(f) for f in self.decay_at))
        if not self.learning_rates or not all(0 < r < math.inf for r in self.learning_rates):
            raise ValueError(f"learning_rates must be positive numbers, got {list(self.learning_rates)}")
        for thing, number in (("repeats", self.repeats), ("batch", self.batch)):
            if number < 1:
                raise ValueError(f"{thing} must be at least 1, got {number}")
        if self.steps < 0:
            raise ValueError(f"steps must be at least 0, got {self.steps}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {self.momentum}")
        if not all(0 < f < 1 for f in self.decay_at):
            raise ValueError(f"decay_at must be fractions in (0, 1), got {list(self.decay_at)}")

    def factor(self, step: int) -> float:
        """What the learning rates are multiplied with at `step` (counted from 0)."""
        return float(0.1 ** sum(step >= int(f * self.steps) for f in self.decay_at))


@torch.no_grad()
def train_heads(
    features: Tensor,
    labels: Tensor,
    classes: int,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    space: Space | None = None,
) -> Heads:
    """Linear softmax heads after SGD from zero, one per repeat and learning rate.

    Repeat r draws its batches from ``batch_stream(n, batch, steps, (seed, r))``; all learning
    rates of a repeat share them. Never writes to its inputs; works on the device of `features`.

    Args:
        features: [n, d].
        labels: [n] integers in [0, classes).
        classes: C, at least 2; a class without examples still gets a row.
        recipe: learning rates, steps and so on; the study's protocol by default.
        seed: non-negative seed of all batch streams.
        dtype: precision of the training; the Gram matrix is always summed in float64.
        space: "sample" or "feature" to force a route; by default the one with fewer operations.

    Returns:
        The heads; `Heads.finite` says which of them did not diverge.

    Raises:
        ValueError: shapes or labels do not fit.

    Source:
        spec/model_search.md section 4 (the protocol); the sample space is the representer theorem.
    """
    recipe = recipe or Recipe()
    _validate(features, labels, classes, seed)
    n, d = features.shape
    space = space or _cheaper(n, d + recipe.bias, classes, recipe)
    x = features.to(dtype)
    if recipe.bias:
        x = torch.cat([x, x.new_ones(n, 1)], dim=1)
    lookup = x.contiguous()
    if space == "sample":
        exact = x.double()
        lookup = (exact @ exact.T).to(dtype)
    state = _train(lookup, labels, classes, recipe, seed, scatter=space == "sample")
    weights = torch.matmul(state, x) if space == "sample" else state
    shape = (recipe.repeats, len(recipe.learning_rates), classes)
    weights = weights.reshape(*shape, -1)
    return Heads(
        learning_rates=recipe.learning_rates,
        weights=weights[..., :d],
        biases=weights[..., d] if recipe.bias else weights.new_zeros(shape),
        finite=torch.isfinite(weights).all(dim=3).all(dim=2),
        space=space,
    )


def _validate(features: Tensor, labels: Tensor, classes: int, seed: int) -> None:
    if features.ndim != 2 or features.shape[0] < 1:
        raise ValueError(f"features must be [n, d] with n >= 1, got shape {tuple(features.shape)}")
    if labels.shape != features.shape[:1]:
        raise ValueError(f"labels must be [{features.shape[0]}], got shape {tuple(labels.shape)}")
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ValueError(f"labels must lie in [0, {classes}), got {low}..{high}")
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")


def _cheaper(n: int, d: int, classes: int, recipe: Recipe) -> Space:
    """The route with fewer multiplications: for long runs the sample space where n < 2d."""
    columns = recipe.repeats * len(recipe.learning_rates) * classes
    per_row = recipe.steps * min(recipe.batch, n) * columns
    # The Gram matrix is in double precision, which counts twice; the weights come once at the end.
    sample = per_row * n + 2 * n * n * d + columns * n * d
    return "sample" if sample < per_row * 2 * d else "feature"


def _train(lookup: Tensor, labels: Tensor, classes: int, recipe: Recipe, seed: int, *, scatter: bool) -> Tensor:
    """[R, L*C, k] final unknowns of SGD whose logits on example i are ``state @ lookup[i]``.

    `lookup` is [n, k]: features (k = d) or, with `scatter`, the Gram matrix (k = n). The classes
    come before the batch in memory, so that softmax runs along contiguous examples: 19x faster
    than over a last axis of ten classes.
    """
    rates, repeats = len(recipe.learning_rates), recipe.repeats
    batch, k = min(recipe.batch, len(lookup)), lookup.shape[1]
    state = lookup.new_zeros(repeats, rates * classes, k)
    velocity = torch.zeros_like(state)
    rows = lookup.new_empty(repeats * batch, k)
    stacked = rows.view(repeats, batch, k)
    logits = lookup.new_empty(repeats, rates * classes, batch)
    grad = torch.empty_like(logits)
    by_class = (repeats, rates, classes, batch)
    minus_one = lookup.new_full((repeats * rates * batch,), -1.0)
    # The gradient of the batch mean carries 1/batch; it is cheapest to pay it with the rate.
    rate = lookup.new_tensor(recipe.learning_rates).repeat_interleave(classes)[:, None] / batch
    for step, (index, target) in enumerate(_plan(labels, classes, recipe, seed)):
        torch.index_select(lookup, 0, index.view(-1), out=rows)
        torch.bmm(state, stacked.transpose(1, 2), out=logits)
        torch.softmax(logits.view(by_class), 2, out=grad.view(by_class))
        grad.view(-1).index_add_(0, target, minus_one)
        if scatter:
            velocity.mul_(recipe.momentum)
            velocity.scatter_add_(2, index.unsqueeze(1).expand_as(grad), grad)
        else:
            velocity.baddbmm_(grad, stacked, beta=recipe.momentum)
        state.addcmul_(velocity, rate, value=-recipe.factor(step))
    return state


def _plan(labels: Tensor, classes: int, recipe: Recipe, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Per step: [R, B] example indices and the flat places of the true classes in [R, L, C, B]."""
    n, rates, repeats = len(labels), len(recipe.learning_rates), recipe.repeats
    batch = min(recipe.batch, n)
    labels = labels.long()
    streams = [batch_stream(n, batch, recipe.steps, (seed, r)) for r in range(repeats)]
    head = torch.arange(repeats * rates, device=labels.device).view(1, repeats, rates, 1)
    place = head * (classes * batch) + torch.arange(batch, device=labels.device)
    for start in range(0, recipe.steps, _CHUNK):
        width = min(_CHUNK, recipe.steps - start)
        drawn = np.stack([[next(stream) for stream in streams] for _ in range(width)])
        index = torch.from_numpy(drawn).to(labels.device)
        target = place + labels[index].unsqueeze(2) * batch
        yield from zip(index, target.reshape(width, -1), strict=True)
