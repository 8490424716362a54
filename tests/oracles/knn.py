"""Nearest neighbours by a double loop over exact fractions: the oracle of the knn proxy's ties."""

from collections import Counter
from fractions import Fraction


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
