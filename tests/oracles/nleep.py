"""NLEEP's mixture by scikit-learn: PCA, then a GaussianMixture of given clusters and a given number of steps."""

import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture


def posteriors(features, clusters_of, variance, covariance, steps):
    """[n, K] after that many expectation steps from the clusters that `clusters_of` the coordinates says."""
    x = PCA(variance if variance < 1 else None, svd_solver="full").fit_transform(features)
    floor = 1e-6 * np.mean(x**2)
    members = [x[clusters_of(x) == c] for c in np.unique(clusters_of(x))]
    covariances = [np.cov(m.T, bias=True).reshape(2 * [x.shape[1]]) + floor * np.eye(x.shape[1]) for m in members]
    mixture = GaussianMixture(
        len(members), covariance_type=covariance, tol=0, reg_covar=floor, max_iter=steps - 1,
        weights_init=[len(m) / len(x) for m in members], means_init=[m.mean(axis=0) for m in members],
        precisions_init=[1 / np.diag(c) if covariance == "diag" else np.linalg.inv(c) for c in covariances],
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(x).predict_proba(x)
