"""Which features are kept: one order over all layers jointly, of which every fraction is a prefix."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from taskrel.head2toe.layers import Indices


def rank(strength: Tensor, gradient: Tensor | None = None) -> Indices:
    """[D] features from most to least wanted: by strength, then by gradient, then by their column.

    Args:
        strength: [D] norm of each feature's weights.
        gradient: [D] norm of the loss's gradient of each feature: how near a feature without weights is to having some.
    """
    keys = [np.arange(len(strength)), -strength.double().cpu().numpy()]
    if gradient is not None:
        keys.insert(1, -gradient.double().cpu().numpy())
    return np.lexsort(keys).astype(np.int64)


def select(order: Indices, fraction: float) -> Indices:
    """[int(fraction * D)] the first columns of the order, ascending.

    Args:
        order: [D] of `rank`.
        fraction: in (0, 1]; the product is truncated, as in the authors' code.

    Raises:
        ValueError: a fraction out of range, or one that keeps nothing.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must lie in (0, 1], got {fraction}")
    count = int(fraction * len(order))
    if not count:
        raise ValueError(f"fraction must keep at least one of {len(order)} features, got {fraction}")
    return np.sort(order[:count])
