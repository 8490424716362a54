"""Shrunk linear discriminant analysis: how well one Gaussian per class, all of the same shape, tells the labels."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from taskrel.rows import Rows, rows
from taskrel.spectrum import gram
from taskrel.types import CannotScore, Probe, Score

Shrinkage = float | Literal["lw", "sfda"]
Measure = Literal["log_probability", "probability", "accuracy"]

# Below this share of the mean variance the published code does not go (SFDA).
SMALLEST = 1e-10
_EPS = torch.finfo(torch.float64).eps


def score(
    train: Probe, val: Probe | None, *, seed: int,
    shrinkage: Shrinkage = "lw", held_out: bool = True, measure: Measure = "log_probability",
) -> Score:  # fmt: skip
    """Mean log posterior (nats) of each example's class under the discriminant fitted without that example.

    The classes' common covariance is S = (1 - s) S_w + r I, with S_w the scatter within the classes over n and
    r = s tr(S_w)/d; priors are class frequencies. Leaving an example out changes the means, S_w and the priors; s and r
    stay those of all examples. An example that is alone in its class has none left without it: the mean is over the
    others, and `detail["alone"]` counts what it leaves out.

    Args:
        train: n examples.
        val: unused.
        seed: unused.
        shrinkage: s in [0, 1]; "lw" is the intensity of Ledoit and Wolf for the rows minus their class means, pooled
            and taken to have mean zero; "sfda" that of `sfda`. scikit-learn's "auto" estimates one per class after
            standardising the features, which depends on their axes and is wild for classes of a few examples.
        held_out: False fits on all examples and scores the same ones, which tends to its maximum for n near d.
        measure: what is averaged: "log_probability", "probability" of the class, or "accuracy" (of two equally probable
            classes the first). All are in the detail.

    Returns:
        At most 0 and unbounded below for "log_probability", else in [0, 1]. The influence holds the fits fixed; it is 0
        for the examples left out.

    Raises:
        CannotScore: held out, and every example is alone in its class.
        ValueError: a setting out of its range.

    Source:
        Fisher; Ledoit and Wolf, 2004; stage 1 of Shao et al. (SFDA), ECCV 2022, which scores the examples it was fitted
        on; spec/proxies.md 4.3.
    """
    del val, seed
    _check(shrinkage, measure)
    seen = rows(train)
    points = seen.coordinates()
    s = _intensity(seen, points, shrinkage) if isinstance(shrinkage, str) else float(shrinkage)
    scored = torch.ones_like(seen.ids, dtype=torch.bool)
    if held_out:
        scored = seen.counts[seen.ids] > 1
        if not bool(scored.any()):
            raise CannotScore(f"lda needs a class of 2 examples or more, got {len(train)} classes of one")
        log_posterior = _left_out(points, seen, s)
    else:
        log_posterior = posterior(points, seen.ids, seen.spectrum.offsets, seen.scatter_within, s, seen.dim)
    own = log_posterior.gather(1, seen.ids[:, None]).squeeze(1)
    terms = {
        "log_probability": own, "probability": own.exp(), "accuracy": (log_posterior.argmax(dim=1) == seen.ids).double()
    }  # fmt: skip
    detail: dict[str, object] = {name: float(term[scored].mean()) for name, term in terms.items()}
    value = float(terms[measure][scored].mean())
    influence = (terms[measure] - value) * scored * (len(scored) / int(scored.sum()))
    detail |= {"shrinkage": s, "alone": int((~scored).sum())}
    return Score(value, (value,), detail, influence.cpu().numpy())


def sfda(train: Probe, val: Probe | None, *, seed: int, softmax_twice: bool = True, stages: Literal[1, 2] = 2) -> Score:
    """Mean posterior of the classes after each example is drawn, the less certain the further, towards other classes.

    Stage 1 is a shrunk discriminant with s = exp(-5 l), l an estimate of the largest eigenvalue of S_w. Stage 2 moves
    each example towards the mean of the other classes' means by one minus its certainty, and fits again with that s.

    Args:
        train: n examples.
        val: unused.
        seed: unused.
        softmax_twice: certainty is a softmax of the posterior, as in the published code; False takes the posterior.
        stages: 1 stops at the discriminant.

    Returns:
        In [0, 1]; it tends to 1 for n near d, and depends on the scale of the features through s. The influence holds
        the fits fixed.

    Source:
        Shao et al., Not all models are equal, ECCV 2022, and its code; spec/proxies.md 4.3. The eigenvectors of the
        code are all kept, so their outer product is the inverse of S, and nothing is decomposed here.
    """
    del val, seed
    if stages not in (1, 2):
        raise ValueError(f"stages must be 1 or 2, got {stages!r}")
    seen = rows(train)
    points, ids = seen.coordinates(), seen.ids
    s = _intensity(seen, points, "sfda")
    means = seen.spectrum.offsets
    probs = posterior(points, ids, means, seen.scatter_within, s, seen.dim).exp()
    if stages == 2:
        certainty = (probs.softmax(dim=1) if softmax_twice else probs).gather(1, ids[:, None])
        others = (means.sum(dim=0) - means) / (len(means) - 1)
        mixed = certainty * points + (1 - certainty) * others[ids]
        probs = posterior(mixed, ids, *moments(mixed, ids, seen.counts), s, seen.dim).exp()
    own = probs.gather(1, ids[:, None]).squeeze(1)
    value = min(float(own.mean()), 1.0)
    accuracy = float((probs.argmax(dim=1) == ids).double().mean())
    return Score(value, (value,), {"shrinkage": s, "accuracy": accuracy}, (own - value).cpu().numpy())


def posterior(points: Tensor, ids: Tensor, means: Tensor, scatter: Tensor, shrinkage: float, dim: int) -> Tensor:
    """[n, C] log posterior of every class under the shrunk discriminant with these moments.

    Args:
        points: [n, k] rows, in any orthonormal coordinates and around any origin near them.
        ids: [n] classes; each of the C has an example.
        means: [C, k] of the classes.
        scatter: [k, k] S_w.
        shrinkage: s in [0, 1].
        dim: d by which the trace is divided: at least k.
    """
    lower = factor(points, scatter, shrinkage, dim)
    counts = torch.bincount(ids, minlength=len(means)).double()
    white = torch.linalg.solve_triangular(lower, means.T, upper=False)  # [k, C]
    weights = torch.linalg.solve_triangular(lower.T, white, upper=True)
    logits = points @ weights - 0.5 * white.square().sum(dim=0) + (counts / len(points)).log()
    return logits.log_softmax(dim=1)


def _left_out(points: Tensor, seen: Rows, shrinkage: float) -> Tensor:
    """[n, C] log posterior for each row under the fit without it; of no meaning where it was alone in its class.

    Without an example at distance e from the mean of its class, of m examples, n S_w loses m/(m-1) e eᵀ and that mean
    moves by -e/(m-1). In coordinates where B = (1-s) n/(n-1) S_w + r I is the identity and e is t, the new inverse is
    I + g t tᵀ/(1 - g|t|²) with g = (1-s) m/((m-1)(n-1)) (Sherman and Morrison).
    """
    n, ids = len(points), seen.ids
    means = seen.spectrum.offsets
    lower = factor(points, seen.scatter_within, shrinkage, seen.dim, times=n / (n - 1))
    white = torch.linalg.solve_triangular(lower, points.T, upper=False).T
    centres = torch.linalg.solve_triangular(lower, means.T, upper=False).T
    size = seen.counts[ids].clamp_min(2)
    off = white - centres[ids]
    square = off.square().sum(dim=1)
    g = (1 - shrinkage) * size / ((size - 1) * (n - 1))
    left = (1 - g * square).clamp_min(_EPS)
    # e·(x - m_c) for all classes, and |x - m_c|² in the new metric
    products = centres @ centres.T
    along = white @ centres.T
    towards = (off * white).sum(dim=1, keepdim=True) - along + products[ids]
    distances = white.square().sum(dim=1, keepdim=True) - 2 * along + products.diagonal()
    distances += (g / left)[:, None] * towards.square()
    own = (size / (size - 1)).square() * square / left
    distances.scatter_(1, ids[:, None], own[:, None])
    prior = (seen.counts / (n - 1)).log().expand(n, -1).scatter(1, ids[:, None], ((size - 1) / (n - 1)).log()[:, None])
    return (prior - 0.5 * distances).log_softmax(dim=1)


def moments(points: Tensor, ids: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Class means [C, k] and S_w [k, k] of points other than the rows' own coordinates."""
    means = points.new_zeros(len(counts), points.shape[1]).index_add_(0, ids, points) / counts[:, None]
    within = points - means[ids]
    return means, gram(within) / len(points)


def factor(points: Tensor, scatter: Tensor, shrinkage: float, dim: int, *, times: float = 1.0) -> Tensor:
    """[k, k] lower L with L Lᵀ = times (1 - s) S_w + r I and r = s tr(S_w)/d.

    r is no less than the rounding of S_w, so that there is an L for every s, and for classes that are single points.
    """
    n, k = points.shape
    largest = float(points.square().sum(dim=0).max()) / n if k else 0.0
    ridge = max(shrinkage * float(scatter.trace()) / dim, max(n, dim) * _EPS * largest)
    eye = torch.eye(k, dtype=points.dtype, device=points.device)
    return torch.linalg.cholesky(times * (1 - shrinkage) * scatter + ridge * eye)


def _intensity(seen: Rows, points: Tensor, rule: str) -> float:
    """s by the rule of that name, from the rows minus their class means."""
    scatter = seen.scatter_within
    if rule == "sfda":
        return _adaptive(seen, points, scatter)
    within = points - seen.spectrum.offsets[seen.ids]
    n, d = seen.examples, seen.dim
    square, trace = float(scatter.square().sum()), float(scatter.trace())
    noise = (float(within.square().sum(dim=1).square().mean()) - square) / (n * d)
    spread = (square - trace**2 / d) / d
    return min(max(noise, 0.0), spread) / spread if spread > 1e-14 * square / d else 0.0


def _adaptive(seen: Rows, points: Tensor, scatter: Tensor) -> float:
    """s of SFDA: max(exp(-5 l), 1e-10), l after seven products with S_w, from all ones in the original features."""
    trace = float(scatter.trace()) if len(scatter) else 0.0
    if not trace:
        return 1.0
    ones = points.T @ seen.centred.sum(dim=1) / points.square().sum(dim=0)  # V^T 1 without V
    x = scatter @ ones
    if float(x.norm()) < 1e-12 * trace * math.sqrt(seen.dim):
        # Features with a constant sum, after a layer norm say: what is left of all ones is rounding. What is meant is
        # the largest eigenvalue, so begin where the features vary most.
        x = scatter[scatter.diagonal().argmax()]
    for _ in range(3):
        t = scatter @ x
        z = t / t.norm()
        t = scatter @ z
        x = t / t.norm()
    return max(math.exp(-5 * float(x @ scatter @ z)), SMALLEST)


def _check(shrinkage: Shrinkage, measure: str) -> None:
    if isinstance(shrinkage, str):
        if shrinkage not in ("lw", "sfda"):
            raise ValueError(f"shrinkage must be 'lw', 'sfda' or a number, got {shrinkage!r}")
    elif not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage must lie in [0, 1], got {shrinkage}")
    if measure not in ("log_probability", "probability", "accuracy"):
        raise ValueError(f"measure must be 'log_probability', 'probability' or 'accuracy', got {measure!r}")
