"""GBC as it is written down: a double loop over classes. Weights count examples."""

import numpy as np


def gbc(features, labels, spherical, weights=None, floor=1e-4):
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=float)
    moments = []
    for c in np.unique(labels):
        x, v = features[labels == c], w[labels == c]
        mean = np.average(x, axis=0, weights=v)
        variance = np.average((x - mean) ** 2, axis=0, weights=v)
        if spherical:
            variance = np.full_like(variance, variance.mean())
        moments.append((mean, np.maximum(variance, floor)))
    total = 0.0
    for i, (m, v) in enumerate(moments):
        for j, (o, u) in enumerate(moments):
            middle = (v + u) / 2
            distance = ((m - o) ** 2 / middle).sum() / 8 + np.log(middle / np.sqrt(v * u)).sum() / 2
            total += np.exp(-distance) if i != j else 0.0
    return -total
