"""The three components of NCTI: how near the features of a task are to neural collapse.

NCTI itself adds them after scaling each over a zoo to [0, 1], which no single model defines; here are its parts, which
share one discriminant analysis per probe. Knows nothing of other models.
"""

from __future__ import annotations

import math
import weakref
from typing import NamedTuple

import torch
from torch import Tensor

from taskrel.proxies import lda
from taskrel.rows import Rows, rows
from taskrel.spectrum import decompose
from taskrel.types import Probe, Score

DIRECTIONS = 64


class Discriminant(NamedTuple):
    """A discriminant analysis of a probe's first principal coordinates.

    Args:
        shrinkage: t in [1e-10, 1].
        components: principal coordinates kept.
        nuclear: sum of the singular values of the centred discriminant features.
        posterior: [n, C] probabilities of the classes.
    """

    shrinkage: float
    components: int
    nuclear: float
    posterior: Tensor

    @property
    def detail(self) -> dict[str, object]:
        """What all three components say of how they came about."""
        return {"shrinkage": self.shrinkage, "components": self.components}


_KEPT: weakref.WeakKeyDictionary[Rows, Discriminant] = weakref.WeakKeyDictionary()


def seli(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """Nuclear norm of the discriminant features: of the rows where the covariance within classes is the identity.

    Args:
        train: n examples.
        val: unused.
        seed: unused.

    Returns:
        At least 0; it grows like sqrt(n), as published. No influence.

    Source:
        Wang et al., NCTI, ICCV 2023, and its code; spec/proxies.md 4.11. Principal coordinates that are null are left
        out: the code keeps them and inflates their rounding (digits: 727.44 with, 727.10 without). Of n examples of C
        classes at most n - C coordinates are kept, 64 as published where there are so many: in more than these some
        direction has no variance within the classes, and the norm is that of rounding.
    """
    del val, seed
    found = _discriminant(rows(train))
    return Score(found.nuclear, (found.nuclear,), found.detail)


def ncc(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """Mean posterior of each example's class under the discriminant analysis.

    Args:
        train: n examples.
        val: unused.
        seed: unused.

    Returns:
        In [0, 1], on the examples it was fitted to. The influence holds the fit fixed.

    Source:
        As `seli`.
    """
    del val, seed
    seen = rows(train)
    found = _discriminant(seen)
    own = found.posterior.gather(1, seen.ids[:, None]).squeeze(1)
    value = min(float(own.mean()), 1.0)
    return Score(value, (value,), found.detail, (own - value).cpu().numpy())


def vc(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """Minus the log of the nuclear norms, summed over classes, of the posteriors of a class's examples.

    Args:
        train: n examples.
        val: unused.
        seed: unused.

    Returns:
        At most 0 and at least -ln(n); the less the posteriors vary within a class the higher. `detail["raw"]` is the
        published number, lower is better. No influence.

    Source:
        As `seli`.
    """
    del val, seed
    seen = rows(train)
    found = _discriminant(seen)
    sizes = [int(size) for size in seen.counts]
    # A class at a time: they are of any size, and squared they would lose half the digits.
    groups = found.posterior[seen.ids.argsort(stable=True)].split(sizes)
    raw = math.log(sum(float(torch.linalg.svdvals(group).sum()) for group in groups))
    return Score(-raw, (-raw,), found.detail | {"raw": raw})


def _discriminant(seen: Rows) -> Discriminant:
    """The analysis all three read, done once per probe."""
    found = _KEPT.get(seen)
    if found is None:
        found = _KEPT[seen] = _analysed(seen)
    return found


def _analysed(seen: Rows) -> Discriminant:
    n, classes = seen.examples, len(seen.counts)
    values = seen.spectrum.values
    components = min(DIRECTIONS, len(values), max(n - classes, 0))
    # The first 32 explained variances, as published: with n - 1, and so on the scale of the features.
    t = max(math.exp(-float(values[:32].sum()) / (n - 1)), lda.SMALLEST)
    points = seen.coordinates(components)
    means, scatter = lda.moments(points, seen.ids, seen.counts)
    posterior = lda.posterior(points, seen.ids, means, scatter, t, max(components, 1)).exp()
    nuclear = _nuclear(points, seen, scatter, t) if components else 0.0
    return Discriminant(t, components, nuclear, posterior)


def _nuclear(points: Tensor, seen: Rows, scatter: Tensor, t: float) -> float:
    """Sum of the singular values of the points in the C - 1 most discriminating directions v with vᵀ S v = 1."""
    k = points.shape[1]
    between = points.T @ points / len(points) - scatter
    if t > lda.SMALLEST:
        # scikit-learn shrinks the total scatter too, and takes the difference.
        eye = torch.eye(k, dtype=points.dtype, device=points.device)
        between = (1 - t) * between + t * between.trace() / k * eye
    lower = lda.factor(points, scatter, t, k)
    half = torch.linalg.solve_triangular(lower, between, upper=False)
    between = torch.linalg.solve_triangular(lower, half.T, upper=False)
    _, vectors = decompose((between + between.T) / 2, max(len(points), k))
    directions = vectors[:, : len(seen.counts) - 1]
    white = torch.linalg.solve_triangular(lower, points.T, upper=False).T
    return float(torch.linalg.svdvals(white @ directions).sum())
