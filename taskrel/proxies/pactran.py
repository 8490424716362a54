"""PACTran-Gauss: a PAC-Bayes bound on the loss of the best linear head, negated."""

from __future__ import annotations

import math

import torch

from taskrel.convex import Head, softmax_product
from taskrel.rows import rows
from taskrel.types import Probe, Score


def score(train: Probe, val: Probe | None, *, seed: int, lam: float = 10.0, s2: float | None = None) -> Score:
    """Minus (cross-entropy of the regularised linear head at its optimum + price of its flatness), in nats.

    The loss is ``min over W, b of mean cross-entropy + |W|²/(2 lam n)`` plus ``DC/(2 lam n) s2 ln(h lam n/(DC))``, with
    h the trace of the Hessian over all DC + C parameters.

    Args:
        train: n examples.
        val: unused.
        seed: unused.
        lam: variance of the prior relative to 1/n, positive; the authors try 10, 1 and 0.1.
        s2: price of the flatness term, at least 0; the authors try 100 lam / d and 10 lam / d. None is 100 / d.

    Returns:
        Unbounded; `detail["raw"]` is the loss, `detail["optimum"]` its first part, `detail["trace"]` h. Comparable over
        models of different d only as far as the bound is. `influence` is per training example, refitting included.

    Raises:
        ValueError: a setting out of range.
        CannotScore: the head did not converge.

    Source:
        Ding et al., PACTran, ECCV 2022, the Gaussian variant. Solved to the optimum, from zero; the authors' code stops
        after 100 steps from a random start; spec/proxies.md 4.11.
    """
    del val, seed
    if not (math.isfinite(lam) and lam > 0):
        raise ValueError(f"lam must be positive, got {lam}")
    if s2 is not None and not (math.isfinite(s2) and s2 >= 0):
        raise ValueError(f"s2 must be at least 0, got {s2}")
    seen = rows(train)
    n, size = seen.examples, seen.dim * len(seen.counts)
    # The penalty keeps W in the span of the rows, and their coordinates keep its length.
    x = torch.cat([seen.coordinates(), seen.centred.new_ones(n, 1)], dim=1)
    penalty = x.new_full((x.shape[1],), 1 / (lam * n))
    penalty[-1] = 0
    head = Head("pactran", x, seen.targets.T.contiguous(), penalty)
    fit = head.fit()

    lengths = x.square().sum(dim=1)
    curvature = (fit.probs * (1 - fit.probs)).sum(dim=0)
    trace = float(lengths @ curvature) + size / (lam * n)
    price = size / (2 * lam * n) * (100 / seen.dim if s2 is None else s2)
    raw = fit.objective + price * math.log(trace * lam * n / size)

    # Each example moves the trace by its own term, by the mean around which lengths are taken, and by the refit.
    slope = softmax_product(fit.probs, (1 - 2 * fit.probs) * lengths) @ x
    back = head.solve(fit.probs, slope, 1e-9)
    refit = ((back @ x.T) * (fit.probs - head.targets)).sum(dim=0)
    shift = 2 * x[:, :-1] @ (curvature @ x[:, :-1])
    each = fit.losses + price / trace * (n * lengths * curvature - shift - refit)
    detail = {"raw": raw, "optimum": fit.objective, "trace": trace, "steps": fit.steps}
    return Score(-raw, (-raw,), detail, (each.mean() - each).cpu().numpy())
