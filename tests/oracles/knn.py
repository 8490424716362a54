"""Nearest neighbours by a double loop over exact fractions: the oracle of the knn proxy's ties."""

from collections import Counter
from fractions import Fraction

import numpy as np


def accuracy(train, labels, queries, truth, k):
    """Share of queries whose k nearest vote for the truth; ties to the smallest index, label."""
    right = 0
    for query, true in zip(queries.tolist(), truth.tolist(), strict=True):
        distances = [
            sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(row, query, strict=True)) for row in train.tolist()
        ]
        nearest = sorted(range(len(distances)), key=lambda i: (distances[i], i))[:k]
        votes = Counter(labels.tolist()[i] for i in nearest)
        right += max(sorted(votes), key=lambda label: votes[label]) == true
    return right / len(truth)


def leave_one_out(features, labels, k):
    """The same of each example against all others."""
    rest = [[j for j in range(len(labels)) if j != i] for i in range(len(labels))]
    hits = [accuracy(features[r], labels[r], features[[i]], labels[[i]], k) for i, r in enumerate(rest)]
    return sum(hits) / len(hits)


def correlation(features, values, k):
    """Pearson correlation of each value with the mean of the k nearest others', by sorting all distances."""
    means = []
    for i, row in enumerate(features):
        distances = ((features - row) ** 2).sum(axis=1)
        order = sorted((distance, j) for j, distance in enumerate(distances) if j != i)
        means.append(sum(values[j] for _, j in order[:k]) / k)
    return float(np.corrcoef(means, values)[0, 1])
