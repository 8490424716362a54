"""Multinomial logistic regression fitted again without each example, by scikit-learn."""

import numpy as np
from scipy.special import log_softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression


def inputs(x, directions=64):
    """[n, k] principal coordinates of mean square 1."""
    points = PCA(min(directions, np.linalg.matrix_rank(x - x.mean(axis=0))), svd_solver="full").fit_transform(x)
    return points / np.sqrt(np.mean(points**2))


def fitted(points, y, penalty):
    # With two classes scikit-learn has one weight vector w, which is w/2 and -w/2 of ours: half the penalty.
    strength = (2 if len(np.unique(y)) == 2 else 1) / penalty
    return LogisticRegression(C=strength, solver="newton-cg", tol=1e-9, max_iter=1000).fit(points, y)


def held_out(points, y, penalty):
    """[n, C] log probabilities of each example under the fit of all others; classes 0 to C - 1, none alone."""
    rest = [np.arange(len(y)) != i for i in range(len(y))]
    probs = [fitted(points[r], y[r], penalty).predict_log_proba(points[~r])[0] for r in rest]
    return log_softmax(np.stack(probs), axis=1)
