"""H-scores as they are written down: dense covariances, a pseudo-inverse, a trace. Weights count examples."""

import numpy as np


def covariances(features, labels, weights=None):
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=float)
    w = w / w.sum()
    mean = w @ features
    x = features - mean
    total, between = (x * w[:, None]).T @ x, np.zeros((x.shape[1],) * 2)
    for c in np.unique(labels):
        share = w[labels == c].sum()
        offset = w[labels == c] @ x[labels == c] / share
        between += share * np.outer(offset, offset)
    return total, between


def hscore(features, labels, weights=None):
    total, between = covariances(features, labels, weights)
    return float(np.trace(np.linalg.pinv(total, rcond=1e-10) @ between))


def shrinkage_hscore(features, labels, intensity, weights=None):
    total, between = covariances(features, labels, weights)
    n, d = features.shape
    shrunk = (1 - intensity) * total + intensity * np.trace(total) / d * np.eye(d)
    return float((1 - intensity) * np.trace(np.linalg.solve(shrunk, between)) * n / (n - 1))
