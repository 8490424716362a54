"""Nearest-neighbour accuracy: of the validation part against the training part, and leave-one-out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from taskrel.pairs import Metric, all_pairs, neighbours
from taskrel.rows import Rows, rows
from taskrel.types import CannotScore, Probe, Score

Ties = Literal["nearest", "label"]


def score(
    train: Probe, val: Probe | None, *, seed: int, k: int = 1, metric: Metric = "euclidean", ties: Ties = "nearest"
) -> Score:
    """Share of validation examples whose k nearest training examples vote for their label.

    A validation class without training examples counts as wrong; `detail["unseen"]` says how many
    examples that concerns.

    Args:
        train: n training examples.
        val: m validation examples.
        seed: unused; part of the signature all proxies share.
        k: number of neighbours; equal distances go to the smallest index.
        metric: "euclidean", or "cosine" (a zero vector is at distance 1 from everything).
        ties: equal votes go to the class of the nearest neighbour among them, which does not depend on the names of
            classes; or to the smallest "label", as in scikit-learn.

    Returns:
        Accuracy in [0, 1], in steps of 1/m; `influence` is per validation example, the training part held fixed.

    Raises:
        CannotScore: there is no validation part, or k exceeds n.
        ValueError: k below 1 or an unknown metric.

    Source:
        "Which Model to Transfer?", CVPR 2022, section 4 (k = 1, Euclidean); spec/proxies.md 4.4.
    """
    del seed
    if val is None:
        raise CannotScore("knn needs a validation part, got none")
    _check([k], metric, ties)
    if k > len(train):
        raise CannotScore(f"knn needs at least k={k} training examples, got {len(train)}")
    classes, ids = np.unique(train.labels, return_inverse=True)
    nearest = neighbours(train.features, val.features, k, metric)
    (voted,) = _votes(torch.from_numpy(ids).to(nearest.device)[nearest], len(classes), [k], ties)
    right = classes[voted.cpu().numpy()] == val.labels
    accuracy = float(np.mean(right))
    unseen = int(np.sum(~np.isin(val.labels, classes)))
    return Score(accuracy, (accuracy,), {"k": k, "metric": metric, "unseen": unseen}, right - accuracy)


def leave_one_out(
    train: Probe, val: Probe | None, *, seed: int,
    k: int | Sequence[int] = (1, 3, 5, 10), metric: Metric = "euclidean", ties: Ties = "nearest",
) -> Score:  # fmt: skip
    """Share of training examples whose k nearest others vote for their label, for the best k of a grid.

    For real-valued labels, the Pearson correlation of the label with the mean label of the k nearest others, averaged
    over the columns.

    Args:
        train: n examples.
        val: unused.
        seed: unused.
        k: number of neighbours, or a grid of them; those not below n are left out. Equal distances go to the smallest
            index, equal scores to the smallest k.
        metric: "euclidean", or "cosine" (a zero vector is at distance 1 from everything).
        ties: see `score`.

    Returns:
        In [0, 1], correlations in [-1, 1]; `detail` has the chosen "k" and the score "by_k". The best of a grid is a
        little optimistic, the same way for every model. `influence` holds the neighbours fixed.

    Raises:
        CannotScore: no k is below n, or real-valued labels or all their predictions are constant.
        ValueError: k below 1 or an unknown metric.

    Source:
        Cover and Hart, 1967; arXiv 2503.18528 for its strength as a proxy; spec/proxies.md 4.4. The example itself is
        left out by name: PARC's code drops the first column after sorting, which duplicates break.
    """
    del val, seed
    grid = sorted({k} if isinstance(k, int) else set(k))
    _check(grid, metric, ties)
    usable = [k for k in grid if k < len(train)]
    if not usable:
        raise CannotScore(f"knn_loo needs more than k={grid[0]} training examples, got {len(train)}")
    seen = rows(train)
    nearest = all_pairs(train, usable[-1], metric).nearest
    labelled = seen.target == "classes"
    found = dict(_hits(seen, nearest, usable, ties) if labelled else _correlations(seen, nearest, usable))
    if not found:
        raise CannotScore("knn_loo needs labels and predictions that vary, got a constant column")
    best = max(found, key=lambda k: (found[k][0], -k))
    value, influence = found[best]
    detail = {"k": best, "metric": metric, "by_k": {str(k): value for k, (value, _) in found.items()}}
    return Score(value, (value,), detail, influence.cpu().numpy())


def _check(grid: Sequence[int], metric: str, ties: str) -> None:
    if not grid:
        raise ValueError("k must be at least one number, got none")
    if grid[0] < 1:
        raise ValueError(f"k must be at least 1, got {grid[0]}")
    if metric not in ("euclidean", "cosine"):
        raise ValueError(f"metric must be 'euclidean' or 'cosine', got {metric!r}")
    if ties not in ("nearest", "label"):
        raise ValueError(f"ties must be 'nearest' or 'label', got {ties!r}")


def _votes(labels: Tensor, classes: int, grid: Sequence[int], ties: Ties) -> Iterator[Tensor]:
    """Per k of the ascending grid: [m] what most of the first k of [m, K] labels, nearest first, say."""
    most = labels.shape[1]
    # A vote weighs more than any place, and of equal votes the class that came first has the most places left.
    votes = torch.zeros(len(labels), classes, dtype=torch.int32, device=labels.device)
    first = torch.zeros_like(votes)
    for last, k in zip([0, *grid], grid, strict=False):
        new = labels[:, last:k]
        votes.scatter_add_(1, new, torch.full_like(new, most + 1, dtype=votes.dtype))
        left = torch.arange(most - last, most - k, -1, dtype=votes.dtype, device=labels.device).expand(len(labels), -1)
        first.scatter_reduce_(1, new, left, "amax")
        yield (votes + first if ties == "nearest" else votes).argmax(dim=1)


def _hits(seen: Rows, nearest: Tensor, grid: Sequence[int], ties: Ties) -> Iterator[tuple[int, tuple[float, Tensor]]]:
    """(k, (accuracy, [n] influence)) for each k of the grid."""
    for k, voted in zip(grid, _votes(seen.ids[nearest], len(seen.counts), grid, ties), strict=True):
        right = (voted == seen.ids).double()
        yield k, (float(right.mean()), right - right.mean())


def _correlations(seen: Rows, nearest: Tensor, grid: Sequence[int]) -> Iterator[tuple[int, tuple[float, Tensor]]]:
    """(k, (mean Pearson correlation, [n] influence)) for each k of the grid whose predictions vary."""
    centred = seen.targets - seen.targets.mean(dim=0)
    labels, varies = _standardised(centred)
    sums = torch.zeros_like(labels)
    for last, k in zip([0, *grid], grid, strict=False):
        for place in range(last, k):
            sums += centred[nearest[:, place]]
        means, vary = _standardised(sums / k)
        if varies and vary:
            r = (means * labels).mean(dim=0)
            each = means * labels - r * (means.square() + labels.square()) / 2
            yield k, (float(r.mean().clamp(-1, 1)), each.mean(dim=1))


def _standardised(columns: Tensor) -> tuple[Tensor, bool]:
    """[n, T] columns of mean 0 and variance 1, and whether all of them vary by more than rounding."""
    spread = columns.std(dim=0, correction=0)
    return (columns - columns.mean(dim=0)) / spread, bool((spread > 1e-13 * columns.abs().amax(dim=0)).all())
