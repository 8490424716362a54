"""Mean silhouette coefficient: how much nearer examples are to their own class than to the next."""

from __future__ import annotations

import torch

from taskrel.pairs import all_pairs
from taskrel.rows import rows
from taskrel.types import Probe, Score


def score(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """Mean of (b - a) / max(a, b), a and b the mean distances to the own class and to the nearest other one.

    Euclidean; a leaves the example itself out. 0 for the only example of a class, and where a = b = 0.

    Args:
        train: n examples.
        val: unused.
        seed: unused.

    Returns:
        In [-1, 1]; `influence` is each example's silhouette less the mean, the others held fixed.

    Source:
        Rousseeuw, Silhouettes, 1987, as in scikit-learn; Meiseles and Rokach, 2020, for its use on source models. Rows
        nearer to each other than a product can tell, about 1e-6 of their length, count as duplicates.
    """
    del val, seed
    seen = rows(train)
    sums = all_pairs(train).distance_sums
    assert sums is not None
    own = seen.ids[None]
    counts = seen.counts[:, None]
    a = sums.gather(0, own).squeeze(0) / (seen.counts[seen.ids] - 1).clamp_min(1)
    b = (sums / counts).scatter_(0, own, torch.inf).amin(dim=0)
    alone = seen.counts[seen.ids] == 1
    each = ((b - a) / torch.maximum(a, b)).nan_to_num(nan=0.0).masked_fill(alone, 0)
    value = float(each.mean())
    return Score(value, (value,), {}, (each - value).cpu().numpy())
