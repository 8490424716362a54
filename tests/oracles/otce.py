"""Entropy of the target's class given the reference's under the best matching, by trying every permutation."""

from collections import Counter
from itertools import permutations
from math import log


def entropy_and_distance(source, source_labels, target, target_labels):
    """(nats, mean squared distance) for equally many examples on both sides."""
    n = len(source)

    def cost(order):
        return sum(sum((a - b) ** 2 for a, b in zip(source[i], target[j], strict=True)) for i, j in enumerate(order))

    order = min(permutations(range(n)), key=cost)
    pairs = Counter((source_labels[i], target_labels[j]) for i, j in enumerate(order))
    ours = Counter(source_labels)
    return -sum(c / n * log(c / ours[r]) for (r, _), c in pairs.items()), cost(order) / n
