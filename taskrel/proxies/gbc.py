"""GBC: how much Gaussians fitted to the classes overlap, by the Bhattacharyya coefficient."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from taskrel.rows import rows
from taskrel.stats import Sums
from taskrel.types import CannotScore, Probe, Score

Covariance = Literal["spherical", "diagonal"]

_FLOOR = 1e-4
# Numbers per block of pairs of classes: 32 MiB.
_BLOCK = 1 << 22


def score(
    train: Probe,
    val: Probe | None,
    *,
    seed: int,
    covariance: Covariance = "spherical",
    directions: int | None = 64,
) -> Score:
    """Minus the sum over ordered pairs of classes of exp(-Bhattacharyya distance).

    Args:
        train: n examples.
        val: unused.
        seed: unused.
        covariance: "spherical", one variance per class, the mean over the directions, or "diagonal". No variance is
            taken below 1e-4, so that the score depends on the scale of features as small as that.
        directions: principal directions kept, null ones never; None takes the features as they are, and then constant
            ones thin the spherical variance.

    Returns:
        In [-C(C - 1), 0]; `detail["directions"]` says how many there were. `influence` is exact to first order with
        the directions held fixed.

    Source:
        Pandy et al., CVPR 2022, section 4. Null directions are dropped: the authors' PCA keeps them, which only thins
        the spherical variance. In logarithms, where Model Spider's determinants underflow. spec/proxies.md 4.7.
    """
    del val, seed
    _check(covariance)
    if directions is not None and directions < 1:
        raise ValueError(f"directions must be at least 1, got {directions}")
    seen = rows(train)
    x = seen.centred if directions is None else seen.coordinates(directions)
    counts, own = seen.counts, seen.ids
    detail = {"covariance": covariance, "directions": x.shape[1]}
    means = x.new_zeros(len(counts), x.shape[1]).index_add_(0, own, x) / counts[:, None]
    within = x - means[own]
    squares = within.square()
    variances = torch.zeros_like(means).index_add_(0, own, squares) / counts[:, None]
    overlap = _overlap(means, variances, covariance)
    each = ((within * overlap.by_mean[own]) + (squares - variances[own]) * overlap.by_variance[own]).sum(dim=1)
    influence = -each * len(train) / counts[own]
    return Score(-overlap.value, (-overlap.value,), detail, influence.cpu().numpy())


def gbc(sums: Sums, *, covariance: Covariance = "spherical", directions: int | None = 64) -> float:
    """The same from sums over the examples, for the features as they are: `directions` must be None."""
    _check(covariance)
    if directions is not None:
        raise CannotScore(f"gbc needs the rows for {directions} principal directions, sums suffice for directions=None")
    return -_overlap(sums.class_means, sums.class_variances, covariance).value


def _check(covariance: str) -> None:
    if covariance not in ("spherical", "diagonal"):
        raise ValueError(f"covariance must be 'spherical' or 'diagonal', got {covariance!r}")


class _Overlap(NamedTuple):
    """Sum of the coefficients over ordered pairs, and its gradients [C, k] by class means and variances."""

    value: float
    by_mean: Tensor
    by_variance: Tensor


def _overlap(means: Tensor, variances: Tensor, covariance: Covariance) -> _Overlap:
    classes, k = means.shape
    if not k:
        return _Overlap(float(classes * (classes - 1)), means, variances)
    spherical = covariance == "spherical"
    raw = variances.mean(dim=1, keepdim=True) if spherical else variances
    v = raw.clamp_min(_FLOOR)
    # A spherical class is k directions of one variance: their squared differences add up, their logarithms too.
    times = k if spherical else 1
    total, by_mean, by_variance = 0.0, torch.zeros_like(means), torch.zeros_like(v)
    width = max(1, _BLOCK // (classes * v.shape[1]))
    for start in range(0, classes, width):
        these = slice(start, start + width)
        if spherical:
            apart = torch.cdist(means[these], means, compute_mode="donot_use_mm_for_euclid_dist")
            squares = apart.square()[:, :, None]  # [b, C, 1]
        else:
            squares = (means[these, None] - means).square()  # [b, C, k]
        middle = (v[these, None] + v) / 2
        logs = middle.log() - (v[these, None].log() + v.log()) / 2
        coefficients = (-(squares / middle / 8 + times * logs / 2).sum(dim=2)).exp()  # [b, C]
        coefficients[:, these].fill_diagonal_(0)
        total += float(coefficients.sum())
        # Each pair counts twice, as (i, j) and as (j, i).
        weight = -2 * coefficients[:, :, None]
        pull = weight / middle / 4
        towards = pull.squeeze(2) @ means if spherical else (pull * means).sum(dim=1)
        by_mean[these] = pull.sum(dim=1) * means[these] - towards
        slope = times * (1 / middle - 1 / v[these, None]) / 4 - squares / middle.square() / 16
        by_variance[these] = (weight * slope).sum(dim=1)
    by_variance = torch.where(raw > _FLOOR, by_variance, 0)
    return _Overlap(total, by_mean, (by_variance / k).expand_as(means) if spherical else by_variance)
