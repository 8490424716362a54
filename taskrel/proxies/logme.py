"""LogME: log maximum evidence of Bayesian linear regression from features to labels."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from taskrel.rows import rows
from taskrel.spectrum import Spectrum
from taskrel.stats import Sums
from taskrel.types import Probe, Score

_TOLERANCE, _ROUNDS = 1e-12, 2000
_TINY = 1e-100  # of alpha, where the features say nothing: its square is still a number


def score(train: Probe, val: Probe | None, *, seed: int, eps: float = 1e-5) -> Score:
    """Mean over the targets of the maximum log evidence per example, in nats.

    Targets are one-hot classes, 0/1 columns or real values; regression is without intercept, on the features as they
    are, so an offset of all features changes the score.

    Args:
        train: n examples.
        val: unused.
        seed: unused.
        eps: added to both denominators of the fixed point, as in the authors' code; 0 is the pure evidence and may be
            undefined for n < d.

    Returns:
        Unbounded; `influence` is per training example, by the envelope theorem.

    Source:
        You et al., LogME, ICML 2021, algorithm 1, iterated to convergence. The evidence counts the rank and not d,
        which the authors' code and its copies get wrong for n < d; spec/proxies.md 4.1.
    """
    del val, seed
    seen = rows(train)
    fit = maximise(seen.spectrum, eps)
    left, targets = seen.left, seen.targets
    spectrum = seen.spectrum
    root = 1 / math.sqrt(len(train))
    # Residuals t - F m, and the leverages h of ridge regression with penalty tau.
    inside = left @ (fit.tau[:, None] * fit.along - spectrum.left).T + root * (
        fit.tau * fit.last - spectrum.sums * root
    )
    residuals = targets + inside
    damped = fit.values / (fit.values + fit.tau[:, None])
    bent = root - left @ (fit.border / (fit.values + fit.tau[:, None])).T
    leverages = left.square() @ damped.T + root**2 - fit.tau * bent.square() / fit.schur
    each = 0.5 * (torch.log(fit.beta / (2 * math.pi)) - fit.beta * residuals.square() - leverages)
    influence = each.mean(dim=1) - each.mean()
    value = float(fit.evidence.mean())
    return Score(value, (value,), {"eps": eps}, influence.cpu().numpy())


def logme(sums: Sums, *, eps: float = 1e-5) -> float:
    """The same from sums over the examples."""
    return float(maximise(sums.spectrum, eps).evidence.mean())


class Fit(NamedTuple):
    """Where the evidence of each of T targets is greatest; tau = alpha / beta."""

    evidence: Tensor
    tau: Tensor
    beta: Tensor
    along: Tensor
    last: Tensor
    schur: Tensor
    border: Tensor
    values: Tensor


def maximise(spectrum: Spectrum, eps: float) -> Fit:
    """The fixed point of alpha and beta, all targets at once.

    The features are F = Q M Rᵀ with orthonormal Q = [U, 1/sqrt(n)] and M Mᵀ an arrowhead: the centred eigenvalues,
    bordered by what the mean adds. Every quantity of the iteration is a function of (M Mᵀ + tau)^-1, which for an
    arrowhead is a diagonal plus a rank-one term, written below as sums of positive numbers. So an offset of 1e6 costs
    no digits and nothing is decomposed twice.
    """
    n, z, rest = spectrum.examples, spectrum.mean, spectrum.examples * spectrum.beyond
    values, root = spectrum.values, spectrum.values.sqrt()
    border = math.sqrt(n) * root * z  # [k]
    a, b = spectrum.left, spectrum.sums / math.sqrt(n)  # Qᵀ t: [T, k], [T]
    outside = (spectrum.squares - a.square().sum(dim=1) - b.square()).clamp_min(0)
    tau = torch.ones_like(b)
    settled = torch.zeros_like(b, dtype=torch.bool)
    for _ in range(_ROUNDS):
        inverse = 1 / (values + tau[:, None])
        schur = tau + rest + n * tau * (inverse @ z.square())
        last = (b - (a * inverse) @ border) / schur
        along = (a - last[:, None] * border) * inverse
        residual = tau.square() * (along.square().sum(dim=1) + last.square()) + outside
        weights = (root * along + math.sqrt(n) * last[:, None] * z).square().sum(dim=1) + rest * last.square()
        gamma = inverse @ values + (rest + n * tau.square() * (inverse.square() @ z.square())) / schur
        alpha = (gamma / (weights + eps)).clamp_min(_TINY)
        beta = (n - gamma) / (residual + eps)
        new = alpha / beta
        # A target that has settled stays as it is: no class moves because another one needs longer.
        done = settled | ((new - tau).abs() <= _TOLERANCE * tau)
        if bool(done.all()):
            break
        settled, tau = done, torch.where(done, tau, new)
    # ln det(alpha + beta M Mᵀ), counted over the same k + 1 directions as ln alpha: the null ones cancel.
    volume = (values + tau[:, None]).log().sum(dim=1) + schur.log() + (len(values) + 1) * beta.log()
    evidence = (
        (len(values) + 1) * alpha.log() + n * beta.log() - volume - beta * residual - alpha * weights
        - n * math.log(2 * math.pi)
    ) / (2 * n)  # fmt: skip
    return Fit(evidence, tau, beta, along, last, schur, border, values)
