"""Distances between rows of features: who is nearest to whom, and how far each example is from each class.

Distances come from blocked products in float64; where rounding could decide who is nearer, they are settled by direct
differences, so that exact ties are exact. All pairs of one probe are seen in a single pass that computes each distance
once, and its results stay as long as the probe lives: nearest neighbours and silhouettes are usually asked together.
Knows no proxy.
"""

from __future__ import annotations

import weakref
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from taskrel.rows import Rows, rows
from taskrel.stats import tensor
from taskrel.types import Probe

Metric = Literal["euclidean", "cosine"]

# Distances held at once: 32 MiB, whatever the number of examples.
_BLOCK = 1 << 22
# Neighbours a pass keeps at least, so that whoever comes first spares the next one a pass of its own.
_USUAL = 10


class Pass(NamedTuple):
    """What one pass over all pairs of a probe's rows leaves.

    Args:
        nearest: [n, k] the other examples, nearest first, among equals the smallest index.
        distance_sums: [C, n] sum of the Euclidean distances from each example to those of each class, or None where
            the labels are no classes.
    """

    nearest: Tensor
    distance_sums: Tensor | None


class _Side(NamedTuple):
    """Rows ready for products: half a distance is ``half[i] + half[j] - x[i] @ x[j]``; `source` is what is exact."""

    x: Tensor
    half: Tensor
    source: Any
    metric: Metric


_KEPT: weakref.WeakKeyDictionary[Rows, Pass] = weakref.WeakKeyDictionary()


def all_pairs(probe: Probe, k: int = 1, metric: Metric = "euclidean") -> Pass:
    """One pass over the pairs of a probe's rows, k (1 to n - 1) nearest others or more.

    A Euclidean pass is kept with the probe and serves everyone who asks for as many neighbours or fewer.
    """
    seen = rows(probe)
    k = max(k, min(_USUAL, len(probe) - 1))
    if metric == "cosine":
        return _pass(_side(probe.features, metric), k, None, 0)
    kept = _KEPT.get(seen)
    if kept is None or kept.nearest.shape[1] < k:
        side = _Side(seen.centred, seen.centred.square().sum(dim=1) / 2, probe.features, metric)
        ids, classes = (seen.ids, len(seen.counts)) if seen.target == "classes" else (None, 0)
        kept = _KEPT[seen] = _pass(side, k, ids, classes)
    return kept


def neighbours(train: Any, queries: Any, k: int, metric: Metric = "euclidean") -> Tensor:
    """[m, k] indices of the k rows of `train` nearest to each query, nearest first.

    Args:
        train: [n, d] finite rows, numpy or torch.
        queries: [m, d] finite rows.
        k: 1 to n.
        metric: "euclidean", or "cosine" (a zero vector is at distance 1 from everything).

    Returns:
        Indices into `train`; among equally distant rows the smallest index first.
    """
    # One centre for both: distances do not change with the origin, rounding does, and near the data it is smallest.
    centre = tensor(train).mean(dim=0)
    side, asked = _side(train, metric, centre), _side(queries, metric, centre)
    m, wanted, width = len(asked.x), min(k + 1, len(side.x)), max(1, _BLOCK // len(side.x))
    values, index = asked.x.new_empty(m, wanted), torch.empty(m, wanted, dtype=torch.long, device=asked.x.device)
    # One block for all: what is freed and wanted again by turns leaves holes that add up to many blocks.
    block = asked.x.new_empty(min(width, m), len(side.x))
    for start in range(0, m, width):
        these = slice(start, start + width)
        halves = _halves(asked, these, side, slice(None), out=block[: m - start])
        values[these], index[these] = halves.topk(wanted, dim=1, largest=False)
    return _settled(values, index, k, asked, side, others=False)


def _side(features: Any, metric: Metric, centre: Tensor | None = None) -> _Side:
    x = tensor(features)
    if metric == "cosine":
        norms = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        x /= torch.where(norms == 0, 1, norms)
        return _Side(x, x.new_full((len(x),), 0.5), x, metric)
    assert centre is not None
    x = x.to(centre.device) - centre
    return _Side(x, x.square().sum(dim=1) / 2, features, metric)


def _halves(asked: _Side, these: slice | Tensor, side: _Side, those: slice, out: Tensor | None = None) -> Tensor:
    """[a, b] half distances from one product, in ``out`` if it is given; for cosine, distances."""
    halves = torch.addmm(side.half[those], asked.x[these], side.x[those].T, alpha=-1, out=out)
    halves += asked.half[these][:, None]
    return halves


def _slack(asked: _Side, side: _Side) -> Tensor:
    """[m] bound on the rounding error of any half distance of each query."""
    # |fl(a.b) - a.b| <= d u |a||b| in any order of summation, and |a||b| <= (|a|^2 + |b|^2) / 2; the rest is for the
    # centring, the squares and the two sums.
    unit = 4 * (side.x.shape[1] + 8) * torch.finfo(torch.float64).eps
    return unit * (asked.half + side.half.max())


def _pass(side: _Side, k: int, ids: Tensor | None, classes: int) -> Pass:
    n = len(side.x)
    values = side.x.new_full((n, k + 1), torch.inf)
    index = torch.zeros(n, k + 1, dtype=torch.long, device=side.x.device)
    sums = None if ids is None else side.x.new_zeros(classes, n)
    slack = _slack(side, side)
    width = max(1, int(_BLOCK**0.5))
    spans = [slice(start, min(start + width, n)) for start in range(0, n, width)]
    for i, these in enumerate(spans):
        for those in spans[i:]:
            halves = _halves(side, these, side, those)
            if these == those:
                # Infinite, not dropped after sorting: a duplicate may come before the example itself.
                halves.fill_diagonal_(torch.inf)
            _keep(values, index, these, those.start, halves)
            if these != those:
                _keep(values, index, those, these.start, halves.T)
            if sums is None or ids is None:
                continue
            # Duplicates are at distance 0 and not at the root of a rounding error, nor is anybody from himself.
            halves[halves <= slack[these][:, None]] = 0
            if these == those:
                halves.fill_diagonal_(0)
            distances = halves.mul_(2).sqrt_()
            sums[:, those].index_add_(0, ids[these], distances)
            if these != those:
                sums[:, these].index_add_(0, ids[those], distances.T)
    return Pass(_settled(values, index, k, side, side, others=True), sums)


def _keep(values: Tensor, index: Tensor, these: slice, offset: int, halves: Tensor) -> None:
    """Merge a block into the smallest so far of the rows it belongs to."""
    wanted = values.shape[1]
    found = halves.topk(min(wanted, halves.shape[1]), dim=1, largest=False)
    both = torch.cat([values[these], found.values], dim=1)
    best = both.topk(wanted, dim=1, largest=False)
    values[these] = best.values
    index[these] = torch.cat([index[these], found.indices + offset], dim=1).gather(1, best.indices)


def _settled(values: Tensor, index: Tensor, k: int, asked: _Side, side: _Side, *, others: bool) -> Tensor:
    """[m, k] indices in the order of exact distances, given the k + 1 smallest approximate ones, ascending.

    Args:
        values: [m, k + 1] approximate half distances; k columns where there are no more rows.
        index: whose they are.
        k: how many are wanted.
        asked: the queries.
        side: the rows.
        others: queries are the rows themselves, and nobody is his own neighbour.
    """
    slack = _slack(asked, side)
    nearest = index[:, :k].clone()
    open_ = ((values[:, 1:] - values[:, :-1]) <= 2 * slack[:, None]).any(dim=1).nonzero().squeeze(1)
    if not len(open_):
        return nearest
    n, twins = len(side.x), _twins(side)
    for queries in open_.split(max(1, _BLOCK // n)):
        halves = _halves(asked, queries, side, slice(None))
        if others:
            halves.scatter_(1, queries[:, None], torch.inf)
        # The k-th smallest is wrong by one slack at most, and so is every other distance.
        which, found = (halves <= (values[queries, k - 1] + 2 * slack[queries])[:, None]).nonzero(as_tuple=True)
        # Duplicates are what ties come from, and their distances the same.
        distinct, back = (which * n + twins[found]).unique(return_inverse=True)
        exact = _exact(asked, queries[distinct // n], side, distinct % n)[back]
        # By query, then distance, then index: `nonzero` gives queries and indices in order, and both sorts are stable.
        order = exact.argsort(stable=True)
        order = order[which[order].argsort(stable=True)]
        counts = torch.bincount(which, minlength=len(queries))
        place = torch.arange(len(which), device=which.device) - (counts.cumsum(0) - counts)[which[order]]
        wanted = place < k
        nearest[queries[which[order][wanted]], place[wanted]] = found[order][wanted]
    return nearest


def _twins(side: _Side) -> Tensor:
    """[n] of each row, one that is equal to it; the same one for duplicates, but for coincidences of the mixture."""
    given = _taken(side, torch.arange(len(side.x)))
    mixed = given * torch.arange(1.0, given.shape[1] + 1, dtype=given.dtype, device=given.device).sqrt()
    order = mixed.sum(dim=1).argsort(stable=True)  # equal rows next to each other, the first of them first
    new = torch.ones_like(order, dtype=torch.bool)
    new[1:] = (given[order[1:]] != given[order[:-1]]).any(dim=1)
    return torch.empty_like(order).scatter_(0, order, order[new][new.cumsum(0) - 1])


def _exact(asked: _Side, queries: Tensor, side: _Side, found: Tensor) -> Tensor:
    """[p] distances of pairs, each summed in the same order, so that equal rows get equal distances."""
    pieces = []
    width = max(1, _BLOCK // (16 * side.x.shape[1]))
    for these, those in zip(queries.split(width), found.split(width), strict=True):
        a, b = _taken(asked, these), _taken(side, those)
        pieces.append(1 - (a * b).sum(dim=1) if side.metric == "cosine" else (a - b).square().sum(dim=1))
    return torch.cat(pieces)


def _taken(side: _Side, index: Tensor) -> Tensor:
    """Some rows as they were given, before centring rounded them, in float64."""
    if isinstance(side.source, Tensor):
        return side.source[index.to(side.source.device)].to(side.x.device, torch.float64)
    return tensor(side.source[index.cpu().numpy()]).to(side.x.device)
