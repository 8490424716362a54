"""TransRate: the coding rate of all features less that of each class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from taskrel.rows import Rows, rows
from taskrel.types import Probe, Score

# Padded rows and Gram matrices held at once: 32 MiB, or one class.
_BLOCK = 1 << 22


def score(
    train: Probe,
    val: Probe | None,
    *,
    seed: int,
    eps: float = 1e-4,
    weighting: Literal["mean", "prior"] = "mean",
    normalise: bool = False,
) -> Score:
    """R(all) - sum_c w_c R(class c), with R = 1/2 ln det(I + ZᵀZ / (rows eps)), in nats.

    All features are centred once, by the mean of all. The score depends on the scale of the features: on digits it
    falls from 50 to 30 when they are divided by 16, so that zoos whose features differ in scale want `normalise`.

    Args:
        train: n examples.
        val: unused.
        seed: unused.
        eps: distortion, in squared units of the features.
        weighting: w_c is 1/C ("mean", the paper's listing) or the share of the class ("prior").
        normalise: divide the centred features by the root of their mean squared length first, so that scale drops out.

    Returns:
        Unbounded, usually positive; `influence` is exact to first order, the moving mean and scale included.

    Source:
        Huang et al., TransRate, ICML 2022, section 4. The authors' repository divides both rates by the rank, takes
        prior weights and tunes eps per data set; the paper, and this, do not. spec/proxies.md 4.6.
    """
    del val, seed
    if not eps > 0:
        raise ValueError(f"eps must be above 0, got {eps}")
    if weighting not in ("mean", "prior"):
        raise ValueError(f"weighting must be 'mean' or 'prior', got {weighting!r}")
    seen = rows(train)
    n, values = seen.examples, seen.spectrum.values
    detail = {"eps": eps, "weighting": weighting, "normalise": normalise}
    if not len(values):
        return Score(0.0, (0.0,), detail, torch.zeros(n).numpy())
    size = float(values.sum()) / n  # mean squared length
    distortion = eps * size if normalise else eps
    counts = seen.counts
    weights = torch.full_like(counts, 1 / len(counts)) if weighting == "mean" else counts / n
    parts = _class_rates(seen, distortion, weights)
    value = float((values / (n * distortion)).log1p().sum() / 2 - weights @ parts.rates)
    damped = values / (values + n * distortion)
    traces = torch.zeros_like(counts).index_add_(0, seen.ids, parts.leverages)
    influence = _influence(seen, damped, parts, traces, weights)
    if weighting == "prior":
        influence -= parts.rates[seen.ids] - weights @ parts.rates
    if normalise:
        lengths = seen.centred.square().sum(dim=1) / size - 1
        influence -= lengths * (damped.sum() - weights @ traces) / 2
    return Score(value, (value,), detail, influence.cpu().numpy())


class _Parts(NamedTuple):
    """Of the classes: rates [C], each example's leverage xᵀ (n_c eps + X_cᵀ X_c)^-1 x in its own [n], and [n] `along`,
    sum_c w_c m_cᵀ (eps + S_c)^-1 x."""

    rates: Tensor
    leverages: Tensor
    along: Tensor


def _influence(seen: Rows, damped: Tensor, parts: _Parts, traces: Tensor, weights: Tensor) -> Tensor:
    """[n] first-order effect of each example on R(all) - sum_c w_c R(c), the w_c and the scale held fixed.

    With T = eps + S and S the covariance, x moves 1/2 ln det T by 1/2 (xᵀ T^-1 x - tr T^-1 S), and n times its leverage
    is the first term. A class rate also moves because the mean of all does: by - m_cᵀ T_c^-1 x.
    """
    n, counts, own = seen.examples, seen.counts, seen.ids
    whole = (n * (seen.left.square() @ damped) - damped.sum()) / 2
    inside = (counts[own] * parts.leverages - traces[own]) / 2
    return whole - (weights * n / counts)[own] * inside + parts.along


def _class_rates(seen: Rows, eps: float, weights: Tensor) -> _Parts:
    # With few examples the coordinates are the shorter rows.
    x = seen.coordinates() if seen.examples <= seen.dim else seen.centred
    width = x.shape[1]
    rates, leverages, towards = torch.zeros_like(weights), x.new_zeros(len(x)), x.new_zeros(width)
    for some, members, real in _batches(seen, width):
        z = x[members] * real[:, :, None]  # rows of zeros add nothing to a determinant
        scale = seen.counts[some] * eps
        small = z.shape[1] <= width
        gram = (z @ z.mT if small else z.mT @ z) / scale[:, None, None]
        gram.diagonal(dim1=-2, dim2=-1).add_(1)
        volume, inverse = _inverted(gram)
        rates[some] = volume / 2
        if small:
            each = 1 - inverse.diagonal(dim1=-2, dim2=-1)
            pull = (real.to(z.dtype)[:, None] @ inverse) @ z
        else:
            each = ((z @ inverse) * z).sum(dim=2) / scale[:, None]
            pull = z.sum(dim=1, keepdim=True) @ inverse
        leverages[members[real]] = each[real]
        towards += (weights[some] / scale) @ pull.squeeze(1)
    return _Parts(rates, leverages, x @ towards)


def _batches(seen: Rows, width: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Classes of similar size at a time: which [b], their members' places [b, m], and which of these are no padding."""
    sizes = seen.counts.long()
    order = sizes.argsort(descending=True, stable=True)
    grouped = seen.ids.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    descending = sizes[order].tolist()
    first = 0
    while first < len(descending):
        most = descending[first]
        room = max(1, _BLOCK // (most * width + min(most, width) ** 2))
        last = first + 1
        while last < len(descending) and last - first < room and 2 * descending[last] > most:
            last += 1
        some = order[first:last]
        places = torch.arange(most, device=sizes.device)
        real = places < sizes[some][:, None]
        yield some, grouped[(starts[some][:, None] + places * real)], real
        first = last


def _inverted(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """ln det [b] and inverse [b, m, m] of matrices that are at least the identity."""
    factors, failed = torch.linalg.cholesky_ex(matrices)
    if not bool(failed.any()):
        return 2 * factors.diagonal(dim1=-2, dim2=-1).log().sum(dim=1), torch.cholesky_inverse(factors)
    # Features so large that rounding eats the identity.
    values, vectors = torch.linalg.eigh(matrices)
    values = values.clamp_min(1)
    return values.log().sum(dim=1), (vectors / values[:, None]) @ vectors.mT
