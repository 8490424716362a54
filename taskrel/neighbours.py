"""How far apart two embedded tasks are, and which are nearest. NumPy alone: a report reads embeddings without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def distance(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Normalised cosine distance of two tasks: ``1 - cos(a / (a + b), b / (a + b))``.

    Coordinates are compared relative to each other, so that layers of large and small information count alike; ones
    that are 0 in both say nothing and are left out.

    Args:
        first: [units] embedding a, non-negative.
        second: [units] embedding b.

    Returns:
        In [0, 1], symmetric, 0 for proportional embeddings, 1 where no coordinate is shared.

    Raises:
        ValueError: different shapes, or a number that is negative or not finite.

    Source:
        Achille et al. 2019, section 4 (symmetric distance).
    """
    a, b = (_embedding(thing, vector) for thing, vector in (("first", first), ("second", second)))
    if a.shape != b.shape:
        raise ValueError(f"embeddings must be of one length, got {len(a)} and {len(b)}")
    # Halves, as the sum of two numbers need not be finite.
    total = a / 2 + b / 2
    there = total > 0
    if not there.any():
        return 0.0
    one, other = (vector[there] / 2 / total[there] for vector in (a, b))
    if not (one.any() and other.any()):
        return 1.0
    one, other = one / one.max(), other / other.max()  # squares of tiny shares would vanish
    cosine = one @ other / np.sqrt((one @ one) * (other @ other))
    return float(min(max(1 - cosine, 0.0), 1.0))


def _embedding(thing: str, vector: npt.ArrayLike) -> Floats:
    array = np.asarray(vector, dtype=np.float64)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(f"{thing} must be a vector of finite, non-negative numbers, got {array!r}")
    return array


def nearest(
    vectors: Mapping[str, npt.ArrayLike], between: Callable[[npt.ArrayLike, npt.ArrayLike], float] = distance
) -> dict[str, dict[str, float]]:
    """For every task the others with their distances, nearest first, equal ones by name.

    Args:
        vectors: task -> embedding; all by one probe.
        between: a symmetric distance.

    Returns:
        task -> other task -> distance: what `TaskView.neighbours` takes.
    """
    apart = {(one, other): between(vectors[one], vectors[other]) for one in vectors for other in vectors if one < other}
    return {
        one: dict(
            sorted(((o, apart[min(one, o), max(one, o)]) for o in vectors if o != one), key=lambda p: (p[1], p[0]))
        )
        for one in vectors
    }
