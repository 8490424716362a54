"""PARC as it is written down: correlations of rows, ranks of all pairs. Weights count examples."""

import numpy as np
from scipy.stats import spearmanr


def distances(features):
    """[n(n-1)/2] 1 - Pearson of standardised rows, ties as ties."""
    deviation = features.std(axis=0)
    z = (features - features.mean(axis=0)) / np.where(deviation == 0, 1, deviation)
    return np.round((1 - np.corrcoef(z))[np.triu_indices(len(z), 1)], 12)


def parc(features, labels):
    differ = (labels[:, None] != labels[None, :])[np.triu_indices(len(labels), 1)]
    return 100 * float(spearmanr(distances(features), differ).statistic)


def weighted(d, labels, weights):
    """The same of distances d, every pair counted as often as the product of its two weights, not only whole times."""
    i, j = np.triu_indices(len(labels), 1)
    w = weights[i] * weights[j] / (weights[i] * weights[j]).sum()
    ranks = np.array([w[d < one].sum() + w[d == one].sum() / 2 for one in d])
    differ = (labels[i] != labels[j]).astype(float)
    (a, b), (_, c) = np.cov(ranks, differ, aweights=w, ddof=0)
    return 100 * float(b / np.sqrt(a * c))
