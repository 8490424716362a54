"""Dense evidence of Bayesian linear regression, maximised by its fixed point on the d x d matrix. Sharing nothing."""

import numpy as np


def evidence(features, target, eps=1e-5, weights=None):
    """Log evidence per example of one target; weights count an example as so many."""
    w = np.ones(len(features)) if weights is None else np.asarray(weights, dtype=float)
    x, t, n, d = features * np.sqrt(w)[:, None], target * np.sqrt(w), w.sum(), features.shape[1]
    gram, cross, alpha, beta = x.T @ x, x.T @ t, 1.0, 1.0
    for _ in range(3000):
        m = beta * np.linalg.solve(alpha * np.eye(d) + beta * gram, cross)
        gamma = np.trace(beta * gram @ np.linalg.inv(alpha * np.eye(d) + beta * gram))
        alpha, beta = gamma / (m @ m + eps), (n - gamma) / (np.sum((x @ m - t) ** 2) + eps)
    a = alpha * np.eye(d) + beta * gram
    m = beta * np.linalg.solve(a, cross)
    fit = beta * np.sum((x @ m - t) ** 2) + alpha * m @ m + np.linalg.slogdet(a)[1]
    return 0.5 * (d * np.log(alpha) + n * np.log(beta) - fit - n * np.log(2 * np.pi)) / n


def logme(features, onehot, eps=1e-5, weights=None):
    """Mean evidence over the columns."""
    return float(np.mean([evidence(features, column, eps, weights) for column in onehot.T]))
