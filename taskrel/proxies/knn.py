"""Nearest-neighbour accuracy of the validation part against the training part.

Distances come from one blocked product in float64; rows where rounding could decide which
neighbours are nearest are settled by direct differences, so that exact ties are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from taskrel.types import Array, CannotScore, Probe, Score

Metric = Literal["euclidean", "cosine"]
_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.intp]

# Distances held at once: 32 MiB, whatever the number of training examples.
_BLOCK = 1 << 22


def score(train: Probe, val: Probe | None, *, seed: int, k: int = 1, metric: Metric = "euclidean") -> Score:
    """Share of validation examples whose k nearest training examples vote for their label.

    A validation class without training examples counts as wrong; `detail["unseen"]` says how many
    examples that concerns.

    Args:
        train: n training examples.
        val: m validation examples.
        seed: unused; part of the signature all proxies share.
        k: number of neighbours. Equal votes go to the smallest label.
        metric: "euclidean", or "cosine" (a zero vector is at distance 1 from everything).

    Returns:
        Accuracy in [0, 1], in steps of 1/m.

    Raises:
        CannotScore: there is no validation part, or k exceeds n.
        ValueError: k below 1 or an unknown metric.

    Source:
        "Which Model to Transfer?", CVPR 2022, section 4 (k = 1, Euclidean); spec/proxies.md 4.4.
    """
    del seed
    if val is None:
        raise CannotScore("knn needs a validation part, got none")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if metric not in ("euclidean", "cosine"):
        raise ValueError(f"metric must be 'euclidean' or 'cosine', got {metric!r}")
    if k > len(train):
        raise CannotScore(f"knn needs at least k={k} training examples, got {len(train)}")
    classes, encoded = np.unique(train.labels, return_inverse=True)
    nearest = neighbours(train.features, val.features, k, metric)
    votes = np.zeros((len(val), len(classes)), dtype=np.int64)
    np.add.at(votes, (np.arange(len(val))[:, None], encoded[nearest]), 1)
    accuracy = float(np.mean(classes[votes.argmax(axis=1)] == val.labels))
    unseen = int(np.sum(~np.isin(val.labels, classes)))
    return Score(accuracy, (accuracy,), {"k": k, "metric": metric, "unseen": unseen})


def neighbours(train: Array, queries: Array, k: int, metric: Metric = "euclidean") -> _Ints:
    """[m, k] indices of the k nearest rows of `train` per query, as a set: in no useful order.

    Args:
        train: [n, d] finite rows.
        queries: [m, d] finite rows.
        k: 1 to n.
        metric: "euclidean" or "cosine".

    Returns:
        Indices into `train`; among equally distant rows the smallest indices.
    """
    rows, asked = train.astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":
        rows, asked = _unit(rows), _unit(asked)
    out = np.empty((len(asked), k), dtype=np.intp)
    for start, approximate, slack in _blocks(rows, asked, metric):
        # Whoever is not clearly farther than the k-th nearest may belong to the k nearest.
        limit = np.partition(approximate, k - 1, axis=1)[:, k - 1 : k] + 2 * slack
        near = approximate <= limit
        for i, mask in enumerate(near):
            found = np.flatnonzero(mask)
            if len(found) > k:
                exact = _exact(rows[found], asked[start + i], metric)
                found = found[np.argsort(exact, kind="stable")[:k]]
            out[start + i] = found
    return out


def _unit(rows: _Floats) -> _Floats:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms == 0, 1, norms)


def _blocks(rows: _Floats, asked: _Floats, metric: Metric) -> Iterator[tuple[int, _Floats, _Floats]]:
    """Per block of queries: its start, [b, n] distances from a product, [b, 1] rounding bounds."""
    if metric == "euclidean":
        # Distances do not change with the origin, rounding does: near the data it is smallest.
        centre = rows.mean(axis=0)
        rows, asked = rows - centre, asked - centre
    row_squares = np.einsum("nd,nd->n", rows, rows)
    asked_squares = np.einsum("nd,nd->n", asked, asked)
    width = max(1, _BLOCK // len(rows))
    unit = 4 * (rows.shape[1] + 8) * np.finfo(np.float64).eps
    for start in range(0, len(asked), width):
        part = slice(start, start + width)
        product = asked[part] @ rows.T
        slack = unit * (asked_squares[part] + row_squares.max())[:, None]
        if metric == "euclidean":
            product *= -2
            product += row_squares
            product += asked_squares[part][:, None]
            yield start, product, slack
        else:
            yield start, 1 - product, slack


def _exact(rows: _Floats, query: _Floats, metric: Metric) -> _Floats:
    """[n] distances summed row by row in one order, so that equal rows get equal distances."""
    if metric == "euclidean":
        distances: _Floats = np.square(rows - query).sum(axis=1)
        return distances
    products: _Floats = 1 - (rows * query).sum(axis=1)
    return products
