"""How sure a share is: the interval of a proportion from the number of examples alone. Python's arithmetic only."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(right: int, examples: int, level: float = 0.95) -> tuple[float, float]:
    """The interval of the true share of which ``right`` of ``examples`` independent examples are a sample, in [0, 1].

    Args:
        right: how many hit.
        examples: how many there were, at least 1.
        level: share of samples whose interval holds the true share, in (0, 1), nearly.

    Returns:
        Its ends, the observed share between them; never beyond 0 or 1, also for 0 or all right.

    Raises:
        ValueError: counts or level out of range.

    Source:
        Wilson, "Probable inference", JASA 1927; without continuity correction.
    """
    if not 0 <= right <= examples or examples < 1:
        raise ValueError(f"right must lie between 0 and examples (at least 1), got {right} of {examples}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    z, share = NormalDist().inv_cdf((1 + level) / 2), right / examples
    middle = share + z * z / (2 * examples)
    reach = z * math.sqrt(share * (1 - share) / examples + z * z / (4 * examples * examples))
    whole = 1 + z * z / examples
    return max(0.0, min(share, (middle - reach) / whole)), min(1.0, max(share, (middle + reach) / whole))
