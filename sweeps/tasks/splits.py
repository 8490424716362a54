"""The names of the splits, and how examples that come without are split. Knows nothing about what they are."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from sweeps.errors import DataError

SPLITS = ("train", "val", "test")
SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}  # of examples that come without splits
ALIASES = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}

Rows = npt.NDArray[np.int64]


def shares(name: str, rows: Rows, labels: Rows, classes: tuple[str, ...], parts: Mapping[str, float], *, seed: int,
           what: str) -> dict[str, Rows]:  # fmt: skip
    """Split every class by the same shares, at least one example each, in an order drawn from the seed.

    Args:
        name: of the task, for messages.
        rows: [n] the examples, rising.
        labels: of all examples there are; ``rows`` index it.
        classes: their names in label order.
        parts: split -> share, train among them.
        seed: of the order.
        what: the examples are called, in messages.

    Raises:
        DataError: for a class of fewer examples than splits.
    """
    chosen: dict[str, list[int]] = {split: [] for split in parts}
    for label, class_name in enumerate(classes):
        there = rows[labels[rows] == label]
        if len(there) < len(parts):
            raise DataError(f"task {name!r}: a class must hold at least {len(parts)} {what} to be split, "
                            f"got {len(there)} in {class_name!r}")  # fmt: skip
        order = np.random.default_rng([seed, label]).permutation(there).tolist()
        counts = {split: max(1, int(share * len(there))) for split, share in parts.items() if split != "train"}
        start = 0
        for split, count in [*counts.items(), ("train", len(there) - sum(counts.values()))]:
            chosen[split] += order[start : start + count]
            start += count
    return {split: np.array(sorted(found), dtype=np.int64) for split, found in chosen.items()}


def leading(labels: Rows, count: int, seed: int, split: str) -> Rows:
    """The first ``count`` examples of a drawn order in which every class comes as often as it is large, all along.

    Smaller counts give a part of what larger ones give. The first places of all classes come before the rest, so that
    as many examples as there are classes hold every class.

    Args:
        labels: int64 [n] of all examples of the split.
        count: how many are wanted, at most n.
        seed: of the order.
        split: one of ``SPLITS``.

    Returns:
        int64 [count] indices, rising.
    """
    drawn = np.random.default_rng([seed, SPLITS.index(split)]).permutation(len(labels))
    sizes, by_class = np.bincount(labels), np.argsort(labels[drawn], kind="stable")
    place = np.empty(len(labels))
    place[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    order = np.argsort(place / sizes[labels[drawn]], kind="stable")
    return np.sort(drawn[order[:count]])
