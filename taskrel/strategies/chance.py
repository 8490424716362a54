"""Random search: the floor every other strategy must beat."""

from __future__ import annotations

import zlib

import numpy as np

from taskrel.strategies.view import TaskView
from taskrel.types import Pick


def chance(view: TaskView, seed: int = 0) -> list[Pick]:
    """The pool in uniformly random order, fixed by the seed and the task's name.

    The expectation over all orders needs no draw: `taskrel.regret.random_value`.

    Args:
        view: the task; the order its candidates are listed in does not matter.
        seed: non-negative; tasks with different names get independent orders.

    Returns:
        Every candidate once. Cost 0; `tied` is the whole pool, which nothing tells apart.
    """
    names = sorted(c.model for c in view.candidates)
    rng = np.random.default_rng([seed, zlib.crc32(view.task.encode())])
    return [
        Pick(names[i], f"random #{place}: seed {seed}", 0.0, len(names))
        for place, i in enumerate(rng.permutation(len(names)), start=1)
    ]
