"""NLEEP: LEEP for models without a head, with the components of a Gaussian mixture as source classes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from taskrel.proxies.leep import log_likelihood
from taskrel.rows import Rows, rows
from taskrel.stats import tensor
from taskrel.types import Probe, Score

# Float64 numbers held at once per step: 32 MiB.
_BLOCK = 1 << 22
# Added to every variance, relative to the mean one; scikit-learn adds 1e-6 whatever the scale.
_FLOOR = 1e-6
_LLOYD = 100


def score(
    train: Probe,
    val: Probe | None,
    *,
    seed: int,
    components_per_class: int = 5,
    variance: float = 0.8,
    covariance: str = "diag",
    max_iter: int = 100,
    tolerance: float = 1e-3,
) -> Score:
    """Mean log likelihood of the labels given the posteriors of a Gaussian mixture fitted without them, in nats.

    Args:
        train: n examples.
        val: unused.
        seed: of the mixture's start, on which the value depends (some 2% on iris).
        components_per_class: the mixture has this many components times C, or as many as there are distinct rows.
        variance: share of the variance that the leading principal directions must hold, in (0, 1].
        covariance: "diag" (along the principal directions), or "full" as in public copies. In tens of directions a
            component has fewer examples than directions, a full covariance is then its floor and the mixture is
            k-means; it also takes 30 s at n = 5000, C = 100 where the diagonal one takes 3 s.
        max_iter: steps of expectation maximisation at most.
        tolerance: gain in log likelihood per example below which it stops.

    Returns:
        In [-H(y), 0], whatever the mixture; 0 if every example has a component of its own.
        `detail` says how the mixture came out; `influence` is per training example, the mixture held fixed.

    Raises:
        ValueError: a setting out of range.

    Source:
        Li et al., Ranking neural checkpoints, CVPR 2021. Public copies use scikit-learn's GaussianMixture; this one is
        the same algorithm on any device, and neither the order nor the scale of the examples changes it;
        spec/proxies.md 4.10.
    """
    del val
    _check(components_per_class, variance, covariance, max_iter, tolerance)
    seen = rows(train)
    shares = seen.spectrum.values.cumsum(dim=0)
    kept = int((shares < variance * shares[-1] * (1 - 1e-12)).sum()) + 1 if len(shares) else 0
    order = _order(seen, train, seed)
    x, ids = seen.coordinates(kept)[order], seen.ids[order]
    most = min(components_per_class * len(seen.classes), len(x))
    mixture = fit(x, start(x, most, seed), full=covariance == "full", max_iter=max_iter, tolerance=tolerance)
    targets = torch.nn.functional.one_hot(ids, len(seen.classes)).double()
    value, each = log_likelihood(mixture.posteriors, ids, targets.T @ mixture.posteriors)
    influence = torch.empty_like(each)
    influence[order] = each
    detail = {
        "components": mixture.posteriors.shape[1], "directions": kept,
        "iterations": mixture.iterations, "converged": mixture.converged,
    }  # fmt: skip
    return Score(value, (value,), detail, influence.cpu().numpy())


def _check(components_per_class: int, variance: float, covariance: str, max_iter: int, tolerance: float) -> None:
    if components_per_class < 1:
        raise ValueError(f"components_per_class must be at least 1, got {components_per_class}")
    if not 0 < variance <= 1:
        raise ValueError(f"variance must lie in (0, 1], got {variance}")
    if covariance not in ("full", "diag"):
        raise ValueError(f"covariance must be 'full' or 'diag', got {covariance!r}")
    if max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter}")
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")


def _order(seen: Rows, probe: Probe, seed: int) -> Tensor:
    """[n] the rows by length, so that the seed's draws fall on the same rows in whatever order they come."""
    lengths = seen.centred.square().sum(dim=1)
    rounded = (lengths / lengths.max().clamp_min(1e-300)).cpu().numpy().round(12)
    # Rows of equal length are told apart along one random direction.
    direction = torch.from_numpy(np.random.default_rng(seed).standard_normal(seen.dim)).to(seen.device)
    return torch.from_numpy(np.lexsort(((tensor(probe.features) @ direction).cpu().numpy(), rounded))).to(seen.device)


def start(x: Tensor, most: int, seed: int) -> Tensor:
    """[n] cluster of each row: k-means from centres drawn far apart (k-means++).

    Args:
        x: [n, p] rows.
        most: number of clusters; fewer where there are fewer distinct rows.
        seed: of the draws.
    """
    draws = np.random.default_rng(seed).random(most).tolist()
    squares = x.square().sum(dim=1)
    alike = 1e-20 * float(squares.max())
    centres = [int(draws[0] * len(x))]
    nearest = (x - x[centres[0]]).square().sum(dim=1)
    for draw in draws[1:]:
        if float(nearest.max()) <= alike:
            break
        total = nearest.cumsum(dim=0)
        centres.append(int((total < draw * total[-1]).sum().clamp_max(len(x) - 1)))
        nearest = torch.minimum(nearest, (x - x[centres[-1]]).square().sum(dim=1))
    means, found = x[centres], torch.full((len(x),), -1, device=x.device)
    for _ in range(_LLOYD):
        # |x|² is the same for all centres.
        closest = torch.cat([
            (means.square().sum(dim=1) - 2 * part @ means.T).argmin(dim=1)
            for part in x.split(max(1, _BLOCK // len(means)))
        ])  # fmt: skip
        if bool((closest == found).all()):
            break
        found = closest
        counts = torch.bincount(found, minlength=len(means)).double()[:, None]
        sums = torch.zeros_like(means).index_add_(0, found, x)
        means = torch.where(counts > 0, sums / counts, means)
    return found.unique(return_inverse=True)[1]


class Mixture(NamedTuple):
    """Posteriors [n, K] of the components, and how the fit went."""

    posteriors: Tensor
    log_likelihood: float
    iterations: int
    converged: bool


def fit(x: Tensor, clusters: Tensor, *, full: bool, max_iter: int, tolerance: float) -> Mixture:
    """A Gaussian mixture by expectation maximisation.

    Args:
        x: [n, p] rows around their mean; p may be 0.
        clusters: [n] where they start.
        full: whether covariances have off-diagonal entries.
        max_iter: steps at most.
        tolerance: gain per example below which it stops.
    """
    posteriors = torch.nn.functional.one_hot(clusters).double()
    floor = _FLOOR * float(x.square().mean()) if x.shape[1] else 0.0
    reached = -math.inf
    for step in range(1, max_iter + 1):
        counts = posteriors.sum(dim=0) + 10 * torch.finfo(torch.float64).eps
        means = posteriors.T @ x / counts[:, None]
        densities = (_full if full else _diagonal)(x, posteriors, counts, means, floor)
        logs = densities + (counts / len(x)).log()
        each = logs.logsumexp(dim=1, keepdim=True)
        posteriors = (logs - each).exp()
        before, reached = reached, float(each.mean())
        if abs(reached - before) < tolerance:
            return Mixture(posteriors, reached, step, True)
    return Mixture(posteriors, reached, max_iter, False)


def _diagonal(x: Tensor, posteriors: Tensor, counts: Tensor, means: Tensor, floor: float) -> Tensor:
    """[n, K] log densities under diagonal covariances fitted to the posteriors."""
    variances = (posteriors.T @ x.square() / counts[:, None] - means.square()).clamp_min(0) + floor
    inverse = 1 / variances
    squares = x.square() @ inverse.T - 2 * x @ (means * inverse).T + (means.square() * inverse).sum(dim=1)
    return -0.5 * (squares.clamp_min(0) + (2 * math.pi * variances).log().sum(dim=1))


def _full(x: Tensor, posteriors: Tensor, counts: Tensor, means: Tensor, floor: float) -> Tensor:
    """[n, K] log densities under full covariances fitted to the posteriors, a block of components at a time."""
    n, p = x.shape
    ridge = floor * torch.eye(p, dtype=x.dtype, device=x.device)
    densities = []
    for block in torch.arange(len(means), device=x.device).split(max(1, _BLOCK // (n * max(p, 1)))):
        centred = x - means[block, None]  # [b, n, p]
        weighted = centred * posteriors.T[block, :, None]
        factors = torch.linalg.cholesky(weighted.mT @ centred / counts[block, None, None] + ridge)
        squares = torch.linalg.solve_triangular(factors, centred.mT, upper=False).square().sum(dim=1)
        volume = 2 * factors.diagonal(dim1=1, dim2=2).log().sum(dim=1) + p * math.log(2 * math.pi)
        densities.append(-0.5 * (squares + volume[:, None]))
    return torch.cat(densities).T
