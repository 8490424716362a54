"""PACTran-Gauss with example weights as its formula is printed, in all d directions, by scipy and a dense Hessian."""

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
    wide, ridge = np.hstack([x, np.ones((n, 1))]), np.repeat([1 / (lam * n), 0], [d * classes, classes])

    def objective(theta):
        logs = log_softmax(wide @ theta.reshape(d + 1, classes), axis=1)
        pull = weights[:, None] * (np.exp(logs) - onehot) / n
        value = -np.sum(weights[:, None] * onehot * logs) / n + np.sum(ridge * theta**2) / 2
        return value, (wide.T @ pull).ravel() + ridge * theta, np.exp(logs)

    theta = minimize(lambda t: objective(t)[:2], np.zeros(len(ridge)), jac=True, method="L-BFGS-B").x
    # The trace is first order in what is missing to the optimum, and scipy leaves 1e-6: Newton steps end it.
    for _ in range(6):
        _, gradient, probs = objective(theta)
        middle = np.einsum("i,ij,jk->ijk", weights / n, probs, np.eye(classes))
        middle -= np.einsum("i,ij,ik->ijk", weights / n, probs, probs)
        hessian = np.einsum("ijk,ia,ib->ajbk", middle, wide, wide, optimize=True).reshape(2 * [len(ridge)])
        # Least squares, for a common offset of the biases changes nothing.
        theta = theta - np.linalg.lstsq(hessian + np.diag(ridge), gradient, rcond=1e-12)[0]
    best, gradient, probs = objective(theta)
    assert np.abs(gradient).max() < 1e-12
    spread = weights * np.sum(probs * (1 - probs), axis=1)
    trace = np.sum(np.sum(x**2, axis=1) * spread) + d * classes / (lam * n) + np.sum(spread)
    share = d * classes / (lam * n)
    return best + 0.5 * share * s2 * np.log(trace / share), best, trace
