"""Ridge regression on all layers in Gram form: the cheap baseline of the group lasso, without a selection.

Least squares on one-hot labels instead of cross-entropy. With n examples and D features, n << D, everything after one
n x n matrix of products is free of D, and one eigendecomposition serves all penalties. It tells what the target size,
or any subset of layers, is worth by itself. Knows no layers and no folds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


@torch.no_grad()
def ridge(
    gram: Tensor, labels: Tensor, classes: int, penalties: Sequence[float], rows: Tensor, others: Tensor
) -> Tensor:
    """[P, C, m] values that ridge regression with a free bias gives to other examples; the largest is the answer.

    Minimises ``mean |y - W x - b|^2 + penalty * |W|^2`` over the training examples, y one-hot.

    Args:
        gram: [n, n] products of the examples (`Layers.gram`); computed with in float64.
        labels: [n] integers in [0, classes).
        classes: C.
        penalties: [P] positive, in the unit of a squared feature.
        rows: the training examples.
        others: [m] the examples to predict.

    Raises:
        ValueError: a penalty that is not positive, or no training examples.

    Source:
        spec/head2toe.md section 8 (variant `ridge`; the paper trains by cross-entropy).
    """
    if not penalties or min(penalties) <= 0 or not len(rows):
        raise ValueError(f"penalties must be positive and examples at least 1, got {list(penalties)} and {len(rows)}")
    own, across = gram[rows][:, rows].double(), gram[others][:, rows].double()
    # Centred over the training examples, which leaves the bias free.
    means = own.mean(dim=1)
    centred = own - means - means[:, None] + means.mean()
    across = across - across.mean(dim=1, keepdim=True) - means + means.mean()
    target = functional.one_hot(labels[rows].long(), classes).to(centred)  # [n, C]
    share = target.mean(dim=0)
    values, vectors = torch.linalg.eigh(centred)
    turned = vectors.T @ (target - share)
    shrunk = torch.stack([turned / (values.clamp_min(0) + penalty * len(rows))[:, None] for penalty in penalties])
    return (share + across @ vectors @ shrunk).transpose(1, 2)
