"""Proxies as a user would write them."""

import numpy as np

from taskrel.types import CannotScore, Probe, Score


def spread(train: Probe, val: Probe | None, *, seed: int, scale: float = 1.0) -> Score:
    """Mean standard deviation of the features."""
    value = float(np.asarray(train.features).std(axis=0).mean()) * scale
    return Score(value=value, values=(value,), detail={"scale": scale})


def refuses(train: Probe, val: Probe | None, *, seed: int) -> Score:
    """Cannot be computed on anything."""
    raise CannotScore("no two examples are alike")
