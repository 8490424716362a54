"""Multinomial logistic regression on the first principal coordinates, each example judged as if left out."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from taskrel.convex import Fit, Head
from taskrel.rows import Rows, rows
from taskrel.types import Probe, Score

# Up to so many weights the whole Hessian of the loss is inverted; beyond, its blocks of one class each.
_WHOLE = 1024
# Numbers held at once: 32 MiB, whatever the number of examples.
_BLOCK = 1 << 22
# Keeps the intercept of a class that nothing holds from being solved by 0.
_TINY = 1e-9


def score(train: Probe, val: Probe | None, *, seed: int, directions: int = 64, penalty: float = 1.0) -> Score:
    """Share of examples whose class is the most probable by a logistic regression approximately fitted without them.

    The centred features in their first principal directions, all divided by one number so that the mean square of the
    coordinates is 1, get an intercept; minimised is the summed cross-entropy + penalty/2 |W|², the intercept free.
    Leaving an example out is one Newton step from the optimum on the loss of the others, directions and scale as they
    are. The one example of a class counts as wrong: without it the class is unknown.

    Args:
        train: n examples.
        val: unused.
        seed: unused; the fit starts from 0.
        directions: principal directions kept, fewer where the features have fewer.
        penalty: lambda; scikit-learn's C is 1/lambda.

    Returns:
        Accuracy in [0, 1], of two equally probable classes the first. `detail["log_probability"]` is the mean log
        probability of the class over the examples not alone in theirs. The influence holds the fits fixed.

    Raises:
        ValueError: directions below 1 or a penalty that is not positive.

    Source:
        Rad and Maleki, A scalable estimate of the out-of-sample prediction error via approximate leave-one-out, JRSS B
        2020. With more than 1024 weights the Hessian is cut to one block per class, in the step and in what the example
        adds to it alike (`detail["hessian"]`): that is a little pessimistic for few classes. Mixing the blocks with
        the example's whole share makes some steps explode.
    """
    del val, seed
    if directions < 1:
        raise ValueError(f"directions must be at least 1, got {directions}")
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}")
    seen = rows(train)
    x = _inputs(seen, directions)
    fit = _fit(x, seen.targets, penalty)
    weights = fit.theta.T
    whole = weights.numel() <= _WHOLE
    logits = (_whole if whole else _blocks)(x, seen.targets, weights, penalty)
    alone = seen.counts[seen.ids] == 1
    right = ((logits.argmax(dim=1) == seen.ids) & ~alone).double()
    value = float(right.mean())
    detail: dict[str, object] = {
        "penalty": float(penalty), "steps": fit.steps, "alone": int(alone.sum()),
        "hessian": "whole" if whole else "blocks",
    }  # fmt: skip
    if not bool(alone.all()):
        own = logits.log_softmax(dim=1).gather(1, seen.ids[:, None]).squeeze(1)
        detail["log_probability"] = float(own[~alone].mean())
    return Score(value, (value,), detail, (right - value).cpu().numpy())


def _inputs(seen: Rows, directions: int) -> Tensor:
    """[n, k + 1] scaled principal coordinates and a column of ones."""
    points = seen.coordinates(directions)
    if points.shape[1]:
        points = points / points.square().mean().sqrt()
    return torch.cat([points, points.new_ones(len(points), 1)], dim=1)


def _penalties(x: Tensor, penalty: float, intercept: float = 0.0) -> Tensor:
    """[k + 1] what each row of weights is penalised by."""
    each = torch.full_like(x[0], penalty)
    each[-1] = intercept
    return each


def _fit(x: Tensor, targets: Tensor, penalty: float) -> Fit:
    """The minimum of the mean cross-entropy and the penalty's share, which is that of their sums."""
    return Head("logistic", x, targets.T.contiguous(), _penalties(x, penalty) / len(x)).fit()


def _whole(x: Tensor, targets: Tensor, weights: Tensor, penalty: float) -> Tensor:
    """[n, C] logits of each example after one Newton step on the loss of the others.

    With H the Hessian, A = (x ⊗ I)ᵀ H^-1 (x ⊗ I) and B = diag(p) - p pᵀ, the example's share of H is B ⊗ x xᵀ, and the
    step moves its logits by A (I - B A)^-1 (p - y).
    """
    k, c = weights.shape
    each = _penalties(x, penalty, _TINY)
    hessian = torch.diag(each.repeat(c))
    # Adding one number to all intercepts changes nothing, so any curvature will do there.
    hessian[k - 1 :: k, k - 1 :: k] += 1
    for part, p, _ in _parts(x, targets, weights, c * k):
        weighted = (p[:, :, None] * part[:, None, :]).flatten(1)  # [b, C k]
        hessian -= weighted.T @ weighted
        own = (weighted.T @ part).view(c, k, k)
        torch.diagonal(hessian.view(c, k, c, k), dim1=0, dim2=2).add_(own.permute(1, 2, 0))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian)).view(c, k, c * k)
    moved = []
    for part, p, off in _parts(x, targets, weights, c * c * k):
        spread = (part @ inverse).view(c, len(part), c, k)
        a = (spread * part[None, :, None, :]).sum(dim=3).transpose(0, 1)  # [b, C, C]
        b = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        solved = torch.linalg.solve(torch.eye(c, dtype=a.dtype, device=a.device) - b @ a, off[:, :, None])
        moved.append((a @ solved).squeeze(2))
    return x @ weights + torch.cat(moved)


def _blocks(x: Tensor, targets: Tensor, weights: Tensor, penalty: float) -> Tensor:
    """[n, C] the same with H and the example's share of it cut to their blocks of one class: each class steps alone."""
    k, c = weights.shape
    hessian = torch.diag(_penalties(x, penalty, _TINY)).repeat(c, 1, 1)
    for part, p, _ in _parts(x, targets, weights, c * k):
        weighted = (p * (1 - p)).T[:, :, None] * part  # [C, b, k]
        hessian += weighted.transpose(1, 2) @ part
    lower = torch.linalg.cholesky(hessian)
    moved = []
    for part, p, off in _parts(x, targets, weights, c * k):
        a = torch.linalg.solve_triangular(lower, part.T.expand(c, -1, -1), upper=False).square().sum(dim=1).T
        moved.append(a * off / (1 - p * (1 - p) * a))
    return x @ weights + torch.cat(moved)


def _parts(x: Tensor, targets: Tensor, weights: Tensor, width: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Blocks of examples, each of at most 32 MiB at `width` numbers an example: rows, probabilities p, and p - y."""
    size = max(1, _BLOCK // width)
    for part, wanted in zip(x.split(size), targets.split(size), strict=True):
        probs = (part @ weights).softmax(dim=1)
        yield part, probs, probs - wanted
