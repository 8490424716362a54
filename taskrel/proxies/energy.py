"""Energy: how large the raw features are, as a log-sum-exp per example."""

from __future__ import annotations

import math

from taskrel.stats import tensor
from taskrel.types import Probe, Score


def score(train: Probe, val: Probe | None, *, seed: int, share: float = 1.0) -> Score:
    """Mean over the examples of ln sum_j exp(f_j), or over those where it is lowest.

    Features are used as they are: an offset or a scale changes the score, and so does a different d.

    Args:
        train: n examples; the labels play no part.
        val: unused.
        seed: unused.
        share: which part of the examples counts, those of lowest log-sum-exp, rounded down to whole examples and at
            least one. ETran's code takes 0.005.

    Returns:
        Unbounded, higher is better by ETran's account. `detail["examples"]` is how many counted; `influence` is that of
        a mean of the lowest share.

    Raises:
        ValueError: share is not in (0, 1].

    Source:
        Gholami et al., ETran, ICCV 2023. Their code takes 5 n // 1000 examples, none at all for n < 200;
        spec/proxies.md 4.11.
    """
    del val, seed
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share}")
    energies = tensor(train.features).logsumexp(dim=1)
    # A share such as 0.005 is not a binary fraction: 0.005 n must not fall below the integer it means.
    count = max(1, math.floor(share * len(energies) * (1 + 1e-12)))
    lowest = energies.topk(count, largest=False, sorted=True).values
    value = float(lowest.mean())
    each = -(lowest[-1] - energies).clamp_min(0) * (len(energies) / count)
    return Score(value, (value,), {"share": share, "examples": count}, (each - each.mean()).cpu().numpy())
