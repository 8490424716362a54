"""LEEP, EEP and NCE with example weights, by loops over dictionaries."""

from collections import defaultdict
from math import log


def table(probs, labels, weights):
    """P(y|z) as a function; 0 for a source class without mass."""
    joint, mass = defaultdict(float), defaultdict(float)
    for row, y, w in zip(probs, labels, weights, strict=True):
        for z, p in enumerate(row):
            joint[y, z] += w * p
            mass[z] += w * p
    return lambda y, z: joint[y, z] / mass[z] if mass[z] else 0.0


def mean_of(function, probs, labels, weights):
    given = table(probs, labels, weights)
    likelihoods = [sum(given(y, z) * p for z, p in enumerate(row)) for row, y in zip(probs, labels, strict=True)]
    return sum(w * function(p) for w, p in zip(weights, likelihoods, strict=True)) / sum(weights)


def leep(probs, labels, weights):
    return mean_of(log, probs, labels, weights)


def eep(probs, labels, weights):
    return mean_of(float, probs, labels, weights)


def nce(probs, labels, weights):
    hard = [[float(z == max(range(len(row)), key=row.__getitem__)) for z in range(len(row))] for row in probs]
    return leep(hard, labels, weights)
