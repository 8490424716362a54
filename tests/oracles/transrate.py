"""TransRate as it is written down: dense d x d determinants. Weights count examples."""

import numpy as np


def transrate(features, labels, eps, weighting="mean", normalise=False, weights=None):
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=float)
    x = features - w @ features / w.sum()
    if normalise:
        x = x / np.sqrt(w @ (x**2).sum(axis=1) / w.sum())

    def rate(some):
        covariance = (x[some] * w[some][:, None]).T @ x[some] / w[some].sum()
        return np.linalg.slogdet(np.eye(x.shape[1]) + covariance / eps)[1] / 2

    classes = [labels == c for c in np.unique(labels)]
    shares = [1 / len(classes) if weighting == "mean" else w[c].sum() / w.sum() for c in classes]
    return float(rate(labels == labels) - sum(s * rate(c) for s, c in zip(shares, classes, strict=True)))
