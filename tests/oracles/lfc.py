"""LFC as it is written down: the correlation of two n x n matrices. Weights count examples."""

import numpy as np


def lfc(features, labels, weights=None):
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=float)
    products = features @ features.T
    agreement = np.where(labels[:, None] == labels[None, :], 1.0, -1.0)
    pairs = np.outer(w, w).ravel()
    covariance = np.cov(products.ravel(), agreement.ravel(), aweights=pairs, ddof=0)
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
