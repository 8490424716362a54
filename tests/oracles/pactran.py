"""PACTran-Gauss with example weights as its formula is printed, in all d directions, by scipy's quasi-Newton method."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax


def loss(features, labels, lam, s2, weights=None):
    """(loss, its optimum, trace of the Hessian)."""
    n, d = features.shape
    weights = np.ones(n) if weights is None else weights
    x = features - np.average(features, axis=0, weights=weights)
    onehot = (labels[:, None] == np.unique(labels)) * 1.0
    classes = onehot.shape[1]

    def objective(theta):
        W, b = theta[: d * classes].reshape(d, classes), theta[d * classes :]
        logs = log_softmax(x @ W + b, axis=1)
        pull = weights[:, None] * (np.exp(logs) - onehot) / n
        value = -np.sum(weights[:, None] * onehot * logs) / n + np.sum(W**2) / (2 * lam * n)
        return value, np.concatenate([(x.T @ pull + W / (lam * n)).ravel(), pull.sum(axis=0)]), np.exp(logs)

    start = np.zeros((d + 1) * classes)
    for method in ("L-BFGS-B", "BFGS"):
        options = {"gtol": 1e-12, "maxiter": 20000} | ({"ftol": 0, "maxfun": 50000} if method == "L-BFGS-B" else {})
        start = minimize(lambda t: objective(t)[:2], start, jac=True, method=method, options=options).x
    best, _, probs = objective(start)
    spread = weights * np.sum(probs * (1 - probs), axis=1)
    trace = np.sum(np.sum(x**2, axis=1) * spread) + d * classes / (lam * n) + np.sum(spread)
    share = d * classes / (lam * n)
    return best + 0.5 * share * s2 * np.log(trace / share), best, trace
