"""LFC, label-feature correlation: do the products of features say which examples share a class?"""

from __future__ import annotations

import torch

from taskrel.rows import rows
from taskrel.stats import Sums
from taskrel.types import Probe, Score


def score(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """Pearson correlation, over all n² pairs, of f_i · f_j with +1 for the same class and -1 for another.

    Args:
        train: n examples.
        val: unused.
        seed: unused.

    Returns:
        In [-1, 1], 0 where all products are the same; `influence` is exact to first order.

    Source:
        Deshpande et al., A linearized framework and a new benchmark for model selection for fine-tuning, 2021. From
        sums; the authors build several n x n matrices and cap n. spec/proxies.md 4.8.
    """
    del val, seed
    seen = rows(train)
    value = lfc(seen)
    spectrum, n = seen.spectrum, seen.examples
    if not value:
        return Score(value, (value,), {}, torch.zeros(n).numpy())
    # All in terms of the pair kernel k(i, j) = f_i · f_j less its mean: x_i · x_j + x_i · m + x_j · m.
    x, m = seen.left * spectrum.values.sqrt(), spectrum.mean
    own, shares = seen.ids, spectrum.sums / n
    covariance = spectrum.values / n
    sums = spectrum.cross / n  # [C, k]
    mean = 2 * float(shares.square().sum()) - 1  # of the label agreement y
    along = x @ m
    products = (x * sums[own]).sum(dim=1) + shares[own] * along + (sums @ m)[own]
    # Means over j of (y - mean) k, k², (y - mean)² for each i; their means over i are what the value is made of.
    joint = 2 * products - (1 + mean) * along
    kernel = x.square() @ covariance + along.square() + 2 * x @ (covariance * m) + covariance @ m.square()
    agreement = 1 - 2 * mean * (2 * shares[own] - 1) + mean**2
    vx, vy = kernel.mean(), agreement.mean()
    influence = 2 * joint / (vx * vy).sqrt() - value * (kernel / vx + agreement / vy)
    return Score(value, (value,), {}, (influence - influence.mean()).cpu().numpy())


def lfc(sums: Sums) -> float:
    """The same from sums over the examples."""
    spectrum, n = sums.spectrum, sums.spectrum.examples
    counts, values, m = spectrum.sums, spectrum.values, spectrum.mean
    # The squared length of the mean cancels from the covariance and from the variance of the products; written
    # without it, an offset of 1e6 costs no digits.
    joint = 2 * spectrum.cross.square().sum() + 4 * counts @ (spectrum.cross @ m)
    products = values.square().sum() + 2 * n * values @ m.square()
    total = float(2 * counts.square().sum() - n**2)
    agreement = n**2 - total**2 / n**2
    if not float(products) > 0:
        return 0.0
    return float((joint / (products * agreement).sqrt()).clamp(-1, 1))
