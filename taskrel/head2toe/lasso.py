"""The group lasso over all features of all layers at its optimum: which features a linear head needs.

Minimises ``mean CE(softmax(U W + b), y) + penalty * sum_i |W_i|`` with one group per feature (a row of W) and a free
bias, along a falling path of penalties. Only a working set of columns is copied and descended on; every optimum is
checked against all D features (the KKT conditions, one streamed pass for all training sets together) and the set is
widened until they hold, so the set changes nothing but the time. Knows no models and no selection.

Source: Beck and Teboulle, "FISTA", 2009, restarted as in O'Donoghue and Candes, 2015; the path and the KKT repair are
those of Tibshirani et al., "Strong rules for discarding predictors", 2012. Their rule itself keeps ten to forty times
more columns than have weights (features of a network are alike: all their gradients are near the penalty), so the
columns that violate most come first instead. The authors of Head2Toe run Adam (`recipe.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from taskrel.head2toe.layers import Indices, Layers

# The penalty falls by this factor from one point of the path to the next. Points that nobody asked for are only starts
# for the next, so a loose optimum will do there, among the columns in use.
_FALL, _LOOSE = 0.5, 0.2
# At least so many columns join the working set at a time; more where more have weights already.
_LEAST = 200
_REPAIRS = 50


@dataclass(frozen=True, eq=False)
class Lasso:
    """The optimum for one training set and one penalty.

    Args:
        penalty: weight of the group norms, in nats.
        kept: [k] columns with weights that are not zero, ascending.
        weights: [C, k] their weights.
        bias: [C], of sum 0.
        gradient: [D] norm of the loss's gradient of each feature, in nats; at most the penalty at the optimum.
        objective: loss plus penalty, in nats.
        violation: largest violation of the optimality conditions over all D features, as a share of the penalty.
        steps: gradient steps since the start of the path.
    """

    penalty: float
    kept: Indices
    weights: Tensor
    bias: Tensor
    gradient: Tensor
    objective: float
    violation: float
    steps: int

    @property
    def strength(self) -> Tensor:
        """[D] norm of each feature's weights over the classes."""
        norms = torch.zeros_like(self.gradient)
        norms[torch.from_numpy(self.kept).to(norms.device)] = torch.linalg.vector_norm(self.weights, dim=0)
        return norms


@torch.no_grad()
def group_lasso(
    layers: Layers,
    labels: Tensor,
    classes: int,
    penalties: Sequence[float],
    *,
    train: Sequence[Tensor] | None = None,
    tolerance: float = 0.02,
    max_steps: int = 5000,
    memory: int = 1 << 30,
) -> list[list[Lasso]]:
    """The optimal heads of every training set and penalty.

    Args:
        layers: pooled layers of all examples; float32 or float64, which is the precision of the products.
        labels: [n] integers in [0, classes).
        classes: C.
        penalties: [P] positive, in nats.
        train: the examples of each of H training sets; all of them, once, by default.
        tolerance: of the optimality conditions, as a share of the penalty.
        max_steps: gradient steps per descent; `Lasso.violation` tells where they did not suffice.
        memory: bytes that the gradients of all features may take at once; the columns in use come on top.

    Returns:
        [H][P] optima, penalties in the order given.

    Raises:
        ValueError: a setting out of range or labels that do not fit.

    Source:
        spec/head2toe.md sections 2 and 8.
    """
    if not penalties or min(penalties) <= 0:
        raise ValueError(f"penalties must be positive, got {list(penalties)}")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must lie in (0, 1), got {tolerance}")
    sets = [torch.arange(layers.examples)] if train is None else list(train)
    folds = [_Fold(layers, labels, classes, rows) for rows in sets]
    gradient = _gradients(layers, folds, memory)
    found: dict[float, list[Lasso]] = {}
    for penalty, wanted in _path(float(gradient.max()), penalties):
        for repair in range(_REPAIRS if wanted else 1):
            if not _descend(layers, folds, gradient, penalty, tolerance if wanted else _LOOSE, max_steps, repair > 0):
                break
            gradient = _gradients(layers, folds, memory)
        if wanted:
            found[penalty] = [fold.optimum(penalty, gradient[h]) for h, fold in enumerate(folds)]
    return [[found[float(penalty)][h] for penalty in penalties] for h in range(len(folds))]


def _descend(layers: Layers, folds: Sequence[_Fold], gradient: Tensor, penalty: float, close: float, max_steps: int,
             repair: bool) -> bool:  # fmt: skip
    """Take in what violates the conditions at this penalty and descend; False when a repair finds nothing to do."""
    missing = [fold.missing(gradient[h], penalty * (1 + close)) for h, fold in enumerate(folds)]
    for fold, new in zip(folds, missing, strict=True):
        if len(new) or not repair:
            fold.widen(layers, new)
            fold.descend(penalty, close / 2, max_steps)
    return not repair or any(len(each) for each in missing)


def largest_penalty(layers: Layers, labels: Tensor, classes: int, rows: Tensor | None = None) -> float:
    """The smallest penalty, in nats, at which every weight is zero: the largest gradient norm at the class shares.

    Args:
        layers: pooled layers of all examples.
        labels: [n] integers in [0, classes).
        classes: C.
        rows: the training examples; all by default.

    Source:
        spec/head2toe.md section 8.
    """
    fold = _Fold(layers, labels, classes, torch.arange(layers.examples) if rows is None else rows)
    return float(_gradients(layers, [fold], 1 << 28).max())


def _path(top: float, penalties: Sequence[float]) -> list[tuple[float, bool]]:
    """Falling (penalty, whether it was asked for)."""
    path: list[tuple[float, bool]] = []
    current = top
    for penalty in sorted({float(each) for each in penalties}, reverse=True):
        while current * _FALL > penalty * 1.2:
            current *= _FALL
            path.append((current, False))
        path.append((penalty, True))
        current = min(current, penalty)
    return path


def _gradients(layers: Layers, folds: Sequence[_Fold], memory: int) -> Tensor:
    """[H, D] norms of the gradients of the losses; one pass over the features for all training sets."""
    residual = layers.scales.new_zeros(len(folds), len(folds[0].target), layers.examples)
    for h, fold in enumerate(folds):
        residual[h].index_copy_(1, fold.rows, fold.residual()[0])
    return layers.gradient_norms(residual, memory)


class _Fold:
    """One training set on its way along the path; classes come first, for products with few columns are slow.

    Columns are centred over the training set. That is a change of the bias alone, which bears no penalty, and it takes
    away the direction that all examples share and with it nearly all of the largest curvature.
    """

    def __init__(self, layers: Layers, labels: Tensor, classes: int, rows: Tensor) -> None:
        own = labels[rows].long()
        if len(labels) != layers.examples or not len(own) or int(own.min()) < 0 or int(own.max()) >= classes:
            raise ValueError(f"labels must be {layers.examples} integers in [0, {classes}), got {len(labels)}, "
                             f"of which {len(own)} to train on")  # fmt: skip
        like = layers.scales
        self.rows = rows.to(like.device)
        self.target = functional.one_hot(own, classes).T.to(like)  # [C, m]
        # A class without examples gets a very small share.
        self.bias = self.target.mean(dim=1).clamp_min(1e-9).log()
        self.bias -= self.bias.mean()
        self.columns = np.empty(0, np.int64)  # [s]
        self.x, self.means = like.new_empty(len(own), 0), like.new_empty(0)  # [m, s] centred, [s]
        self.weights = like.new_empty(classes, 0)  # [C, s]
        self.curvature, self.steps = 1.0, 0
        self.objective = self.inside = math.inf

    def logits(self) -> Tensor:
        """[C, m]."""
        return self.weights @ self.x.T + self.bias[:, None]

    def residual(self) -> tuple[Tensor, Tensor]:
        """[C, m] gradient of the logits less its means, which belong to the bias; and [C] the gradient of the bias."""
        return _apart(_loss(self.logits(), self.target)[1])

    def missing(self, gradient: Tensor, bound: float) -> Indices:
        """Columns not in use whose gradient is above the bound: the largest, at most about as many as have weights."""
        outside = gradient.clone()
        outside[torch.from_numpy(self.columns).to(outside.device)] = 0
        count = min(int((outside > bound).sum()), max(_LEAST, self._used().sum()))
        return torch.topk(outside, int(count)).indices.cpu().numpy().astype(np.int64)

    def _used(self) -> Indices:
        return (self.weights != 0).any(dim=0).cpu().numpy()

    def widen(self, layers: Layers, new: Indices) -> None:
        """Take new columns in at zero weight; those that ended without weights leave when there are too many."""
        used = self._used()
        if used.sum() * 2 < len(used):
            keep = torch.from_numpy(used).to(self.x.device)
            self.columns, self.x, self.means = self.columns[used], self.x[:, keep], self.means[keep]
            self.weights = self.weights[:, keep].contiguous()
        if len(new):
            new = np.sort(new)
            more = layers.columns(new, rows=self.rows)
            means = more.mean(dim=0)
            self.x = torch.cat([self.x, more - means], dim=1).contiguous()
            self.means = torch.cat([self.means, means])
            self.weights = functional.pad(self.weights, (0, len(new)))
            self.columns = np.concatenate([self.columns, new])
        self.curvature = 0.5 * _largest_eigenvalue(self.x)

    def descend(self, penalty: float, tolerance: float, max_steps: int) -> None:
        """Accelerated proximal gradient steps on the columns in use, until their KKT conditions hold."""
        weights, bias, logits = self.weights, self.bias, self.logits()
        ahead, momentum = (weights, bias, logits), 1.0
        # The curvature is a bound that the loss seldom reaches: try longer steps, and take back those that overshoot.
        scale, slack = 1.0, 4 * torch.finfo(logits.dtype).eps
        for step in range(max_steps):
            loss, residual = _loss(ahead[2], self.target)
            residual, slope_bias = _apart(residual)
            slope = residual @ self.x
            if step % 10 == 0 and step and self._violation(penalty, weights, logits) <= tolerance:
                break
            while True:
                rate, rate_bias = 1 / (scale * self.curvature), 2 / scale
                new = _shrink(ahead[0] - rate * slope, rate * penalty)
                new_bias = ahead[1] - rate_bias * slope_bias
                new_logits = new @ self.x.T + new_bias[:, None]
                change, change_bias = new - ahead[0], new_bias - ahead[1]
                linear = float((slope * change).sum() + (slope_bias * change_bias).sum())
                far = float(change.square().sum()) / rate + float(change_bias.square().sum()) / rate_bias
                if _loss(new_logits, self.target)[0] - loss - linear <= far / 2 + slack * loss or scale >= 1:
                    break
                scale = min(1.0, 1.5 * scale)
            self.steps += 1
            # Where the step points against the momentum, the momentum starts anew.
            turned = float((change * (new - weights)).sum()) < 0
            following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
            factor = 0.0 if turned else (momentum - 1) / following
            momentum = 1.0 if turned else following
            ahead = (
                new + factor * (new - weights), new_bias + factor * (new_bias - bias),
                new_logits + factor * (new_logits - logits),
            )  # fmt: skip
            weights, bias, logits = new, new_bias, new_logits
            scale *= 0.9
        self.weights, self.bias = weights, bias
        self.inside = self._violation(penalty, weights, logits)
        groups = float(torch.linalg.vector_norm(weights, dim=0).sum())
        self.objective = _loss(logits, self.target)[0] + penalty * groups

    def _violation(self, penalty: float, weights: Tensor, logits: Tensor) -> float:
        """Largest violation of the optimality conditions among the columns in use, as a share of the penalty."""
        residual, slope_bias = _apart(_loss(logits, self.target)[1])
        slope = residual @ self.x
        norms = torch.linalg.vector_norm(weights, dim=0)
        active = torch.linalg.vector_norm(slope + penalty * weights / norms.clamp_min(1e-30), dim=0)
        idle = (torch.linalg.vector_norm(slope, dim=0) - penalty).clamp_min(0)
        wrong = torch.where(norms > 0, active, idle)
        largest = float(wrong.max()) if len(wrong) else 0.0
        return max(largest, float(torch.linalg.vector_norm(slope_bias))) / penalty

    def optimum(self, penalty: float, gradient: Tensor) -> Lasso:
        """What was found, with columns in their order and the bias for columns that are not centred."""
        kept = np.flatnonzero(self._used())
        kept = kept[np.argsort(self.columns[kept])]
        index = torch.from_numpy(kept).to(self.x.device)
        weights = self.weights[:, index]
        bias = self.bias - weights @ self.means[index]
        outside = gradient.clone()
        outside[torch.from_numpy(self.columns).to(outside.device)] = 0
        beyond = float(outside.max()) / penalty - 1
        return Lasso(penalty, self.columns[kept], weights, bias - bias.mean(), gradient, self.objective,
                     max(beyond, self.inside), self.steps)  # fmt: skip


def _loss(logits: Tensor, target: Tensor) -> tuple[float, Tensor]:
    """Mean cross-entropy, summed in double precision, and its gradient [C, m]."""
    logs = logits.double().log_softmax(dim=0)
    return -float((logs * target).sum()) / logits.shape[1], ((logs.exp() - target) / logits.shape[1]).to(target)


def _apart(residual: Tensor) -> tuple[Tensor, Tensor]:
    """[C, m] the gradient of the logits less its means over examples, and [C] its sums, the gradient of the bias."""
    total = residual.sum(dim=1)
    return residual - total[:, None] / residual.shape[1], total


def _shrink(weights: Tensor, threshold: float) -> Tensor:
    norms = torch.linalg.vector_norm(weights, dim=0)
    return weights * (1 - threshold / norms.clamp_min(threshold))


def _largest_eigenvalue(x: Tensor, rounds: int = 15) -> float:
    """A bound on the largest eigenvalue of x'x / n in practice: the power method from a fixed start, and a tenth."""
    vector = torch.linspace(-1, 1, len(x), dtype=x.dtype, device=x.device).cos()
    vector[::2] *= -1
    size = 0.0
    for _ in range(rounds if x.shape[1] else 0):
        vector = x @ (x.T @ (vector / torch.linalg.vector_norm(vector).clamp_min(1e-30))) / len(x)
        size = float(torch.linalg.vector_norm(vector))
    return max(1.1 * size, 1e-12)
