"""The components of NCTI by scikit-learn's PCA and discriminant analysis, as the published code puts them together."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis


def components(x, y, keep=64):
    """(shrinkage, seli, ncc, vc before negation)."""
    pca = PCA(keep, svd_solver="full")
    points = pca.fit_transform(x)
    t = max(np.exp(-pca.explained_variance_[:32].sum()), 1e-10)
    shrunk = {"solver": "svd"} if t == 1e-10 else {"solver": "eigen", "shrinkage": t}
    model = LinearDiscriminantAnalysis(**shrunk)
    features, posterior = model.fit_transform(points, y), model.predict_proba(points)
    seli = np.linalg.norm(features - features.mean(axis=0), "nuc")
    vc = np.log(sum(np.linalg.norm(posterior[y == c], "nuc") for c in np.unique(y)))
    return t, seli, posterior[np.arange(len(y)), np.unique(y, return_inverse=True)[1]].mean(), vc
