"""PARC: do examples whose labels differ have features that differ, in the order of all pairs?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from taskrel.rows import Rows, rows
from taskrel.types import CannotScore, Probe, Score

# Distances computed at once: 4 MiB. All n(n - 1)/2 are kept as one vector, since they are ranked: 36 MB at n = 3000.
_BLOCK = 1 << 19


def score(train: Probe, val: Probe | None, *, seed: int, limit: int = 2000, directions: int | None = None) -> Score:
    """100 times the Spearman correlation, over pairs, of feature and label dissimilarity, both 1 - Pearson of rows.

    Feature columns are standardised first, constant ones set to zero; they still count as entries of a row, as in the
    authors' code. A row that does not vary is at distance 1 from every other; so are labels that are all 0 or all 1
    (multi-label), except from the same labels, at distance 0.

    Args:
        train: n examples.
        val: unused.
        seed: of the subsample.
        limit: examples used at most, drawn within each class in proportion; `detail["examples"]` says how many.
        directions: principal directions kept before standardising, each pointing towards its greatest coordinate;
            None takes the features as they are.

    Returns:
        In [-100, 100], and for classes below 100 sqrt(3 p q) with p and q the shares of same- and different-class
        pairs; 0 where all distances are equal. `influence` (classes only) is the first-order term of the U-statistic,
        0 for examples that were not drawn.

    Raises:
        CannotScore: all pairs of examples have the same label dissimilarity.

    Source:
        Bolya et al., PARC, NeurIPS 2021. Ties are ranked as ties: in the authors' code rounding splits the two label
        distances of a one-hot matrix into three or four, and the score depends on the names of the classes.
        spec/proxies.md 4.9.
    """
    del val
    if limit < 3:
        raise ValueError(f"limit must be at least 3, got {limit}")
    if directions is not None and directions < 1:
        raise ValueError(f"directions must be at least 1, got {directions}")
    seen = rows(train)
    used = torch.from_numpy(_drawn(seen, limit, seed)).to(seen.device)
    unit = _unit_rows(seen, used, directions)
    detail = {"examples": len(used)}
    if seen.target == "multilabel":
        labels = _ordered(_distances(_label_rows(seen.targets[used])))
        if len(labels.sizes) < 2:
            raise CannotScore(f"parc needs examples whose labels differ, got {len(used)} at equal label distances")
        value = 100 * _correlation(_ordered(_distances(unit)), labels)
        return Score(value, (value,), detail)
    same = _same(seen.ids[used])
    if not 0 < int(same.sum()) < len(same):
        raise CannotScore(f"parc needs pairs of the same and of different classes, got {len(used)} examples without")
    rho, each = _of_classes(_ordered(_distances(unit)), same)
    value = 100 * rho
    influence = torch.zeros(len(train), dtype=torch.float64, device=same.device)
    # An example is in n - 1 pairs; a pair's weight is the product of two.
    influence[used] = 200 * _means(each, used) * len(train) / len(used)
    return Score(value, (value,), detail, influence.cpu().numpy())


def _drawn(seen: Rows, limit: int, seed: int) -> npt.NDArray[np.intp]:
    """Ascending places of at most `limit` examples, from each class in proportion."""
    n = seen.examples
    if n <= limit:
        return np.arange(n)
    rng = np.random.default_rng(seed)
    ids = seen.ids.cpu().numpy() if seen.target == "classes" else np.zeros(n, dtype=np.intp)
    order = rng.permutation(n)
    order = order[np.argsort(ids[order], kind="stable")]  # by class, shuffled within
    sizes = np.bincount(ids)
    place = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # The r-th of a class comes when the share drawn passes (r + u) / size; u is random so that small classes are drawn
    # as often as their size says, and belongs to an example so that names of classes do not matter.
    u = rng.random(n)[order[np.cumsum(sizes) - sizes]]
    due = (place + np.repeat(u, sizes)) / np.repeat(sizes, sizes)
    return np.sort(order[np.argsort(due, kind="stable")[:limit]])


def _unit_rows(seen: Rows, used: Tensor, directions: int | None) -> Tensor:
    """[m, d] rows whose products are the Pearson correlations of standardised features."""
    if directions is None:
        return _directions(_standardised(seen.centred[used], 1e-14 * seen.mean.abs()))
    return _directions(_standardised(_oriented(seen.coordinates(directions)[used]), 0.0))


def _oriented(x: Tensor) -> Tensor:
    """[n, k] with each column's entry of greatest length positive: Pearson of rows depends on columns' signs."""
    return x * x.gather(0, x.abs().argmax(dim=0, keepdim=True)).sign()


def _standardised(x: Tensor, least: Tensor | float) -> Tensor:
    """[n, d] columns of mean 0 and variance 1; zero where the deviation is not above `least`, rounding."""
    x = x - x.mean(dim=0)
    deviation = x.square().mean(dim=0).sqrt()
    return x.mul_(torch.where(deviation > least, 1 / deviation, 0))


def _directions(x: Tensor) -> Tensor:
    """[n, d] rows less their mean, of length 1, so that products are Pearson correlations; rows that do not vary: 0."""
    least = 1e-12 * torch.linalg.vector_norm(x, dim=1, keepdim=True)
    x = x - x.mean(dim=1, keepdim=True)
    norms = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x.mul_(torch.where(norms > least, 1 / norms, 0))


def _label_rows(labels: Tensor) -> Tensor:
    """[n, L + 2] unit rows; all-0 and all-1 labels, which have no correlation, get a direction each of their own."""
    share = labels.mean(dim=1, keepdim=True)
    return torch.cat([_directions(labels), (share == 0).double(), (share == 1).double()], dim=1)


def _blocks(of: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows at a time, and which [b, n - start] entries from their first on are pairs i < j: all pairs in row order."""
    n = len(of)
    width = max(1, _BLOCK // n)
    for start in range(0, n, width):
        span = slice(start, min(start + width, n))
        yield span, torch.ones(span.stop - start, n - start, dtype=torch.bool, device=of.device).triu_(1)


def _distances(unit: Tensor) -> Tensor:
    """[M] 1 - u_i . u_j of all pairs in whole units of 1e-12: duplicates differ by rounding, integers sort faster."""
    products = torch.cat([(unit[s] @ unit[s.start :].T).masked_select(pairs) for s, pairs in _blocks(unit)])
    return products.sub_(1).mul_(-1e12).round_().long()


def _same(ids: Tensor) -> Tensor:
    """[M] whether a pair is of one class."""
    return torch.cat([(ids[s, None] == ids[s.start :]).masked_select(pairs) for s, pairs in _blocks(ids)])


def _means(each: Tensor, of: Tensor) -> Tensor:
    """[n] mean over the pairs of each example of a number [M] of the pair."""
    totals = each.new_zeros(len(of))
    done = 0
    for span, pairs in _blocks(of):
        count = int(pairs.sum())
        block = each.new_zeros(pairs.shape).masked_scatter_(pairs, each[done : done + count])
        done += count
        totals[span] += block.sum(dim=1)
        totals[span.start :] += block.sum(dim=0)
    return totals / (len(of) - 1)


class _Order(NamedTuple):
    """Pairs by distance: which pair comes [M], in which tie group it is [M], and how large the groups are [G]."""

    order: Tensor
    group: Tensor
    sizes: Tensor


def _ordered(distances: Tensor) -> _Order:
    ascending, order = distances.sort()
    _, group, sizes = torch.unique_consecutive(ascending, return_inverse=True, return_counts=True)
    return _Order(order, group, sizes.double())


def _correlation(a: _Order, b: _Order) -> float:
    """Spearman's rank correlation with mid-ranks for ties; 0 where all of `a` are equal."""
    ranks = []
    for order, group, sizes in (a, b):
        middle = sizes.cumsum(0) - (sizes - 1) / 2
        ranks.append(torch.empty_like(middle[group]).scatter_(0, order, (middle - (len(order) + 1) / 2)[group]))
    lengths = torch.linalg.vector_norm(torch.stack(ranks), dim=1).prod()
    return float((ranks[0] @ ranks[1] / lengths).clamp(-1, 1)) if float(lengths) > 0 else 0.0


def _of_classes(pairs: _Order, same: Tensor) -> tuple[float, Tensor]:
    """Spearman's correlation with a two-valued label distance from one ranking, and each pair's [M] effect on it.

    sqrt(3 p q / (1 - T)) (2 AUC - 1), with T the sum of cubed shares of the tie groups. The effect is the derivative by
    the pair's share of all pairs, the shares of all others shrinking alike.
    """
    m = len(same)
    if len(pairs.sizes) < 2:
        return 0.0, torch.zeros(m, dtype=torch.float64, device=same.device)
    of_same = same[pairs.order]
    alike = torch.zeros_like(pairs.sizes).index_add_(0, pairs.group, of_same.double())
    other = pairs.sizes - alike
    p, q = float(alike.sum()) / m, float(other.sum()) / m
    # Shares of same- and of different-class pairs nearer than a group, half of the ties among them.
    nearer_alike = (alike.cumsum(0) - alike / 2) / (p * m)
    nearer_other = (other.cumsum(0) - other / 2) / (q * m)
    auc = float((other * nearer_alike).sum()) / (q * m)
    shares = pairs.sizes / m
    ties = float((shares**3).sum())
    scale, margin = math.sqrt(3 * p * q / (1 - ties)), 2 * auc - 1
    common = margin * 1.5 * (shares.square() - ties) / (1 - ties)
    balance = margin * (q - p) / (2 * p * q)
    if_same = common + balance * q + 2 * (1 - nearer_other - auc) / p
    if_other = common - balance * p + 2 * (nearer_alike - auc) / q
    effects = torch.cat([if_other, if_same])[pairs.group + of_same * len(pairs.sizes)] * scale
    return min(1.0, max(-1.0, scale * margin)), torch.empty_like(effects).scatter_(0, pairs.order, effects)
