"""Nearest class centre: how surely an example is nearer to the mean of its class than to other means."""

from __future__ import annotations

from taskrel.rows import rows
from taskrel.types import Probe, Score


def score(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """Mean posterior of each example's class under unit Gaussians around the class means.

    That is the softmax over classes of -|f - m_c|²/2 + ln(n_c/n).

    Args:
        train: n examples.
        val: unused.
        seed: unused.

    Returns:
        In [0, 1]; it depends on the scale of the features, whose square is the temperature. `detail["accuracy"]` is the
        share of examples whose class is the most probable. The influence holds the means fixed.

    Source:
        Gholami et al., ETran, ICCV 2023: their code means a discriminant analysis, but decomposes a matrix that is not
        symmetric as if it were, and this is what comes out; spec/proxies.md 4.3 and 4.11. Each example helps to make
        the mean it is compared with, as there.
    """
    del val, seed
    seen = rows(train)
    means = seen.class_means
    # Around the mean of all: -|f - m_c|²/2 plus what is the same for every class.
    logits = seen.centred @ means.T
    logits += (seen.counts / len(train)).log() - 0.5 * means.square().sum(dim=1)
    accuracy = float((logits.argmax(dim=1) == seen.ids).double().mean())
    own = logits.softmax(dim=1).gather(1, seen.ids[:, None]).squeeze(1)
    value = min(float(own.mean()), 1.0)
    return Score(value, (value,), {"accuracy": accuracy}, (own - value).cpu().numpy())
