"""The published algorithms as one writes them down from the papers: what `proxies.py` compares with. Nothing to run.

numpy, scipy and scikit-learn; every function starts from the raw features, as every published score does, and knows
nothing of taskrel. Slow where publications are slow (a decomposition each, loops over classes, n x n matrices), not
slower: what numpy does in one call is one call. They return the numbers taskrel returns, higher is better, so rules
that make a published number another one (stopping early, counting d for the rank, floors) are taskrel's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.special
import scipy.stats
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import RidgeCV
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors


@dataclass(frozen=True, eq=False)
class Task:
    """One model's view of one task: features [n, d], labels [n] = 0 .. C - 1, head probabilities [n, Cs], and val."""

    features: np.ndarray
    labels: np.ndarray
    source_probs: np.ndarray
    val_features: np.ndarray
    val_labels: np.ndarray

    @property
    def classes(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def f(self) -> np.ndarray:
        """[n, d] float64: a copy, made anew by each algorithm."""
        return self.features.astype(np.float64)


def knn(task: Task) -> tuple[float, ...]:
    model = KNeighborsClassifier(1, algorithm="brute").fit(task.features, task.labels)
    return (float(model.score(task.val_features, task.val_labels)),)


def knn_loo(task: Task) -> tuple[float, ...]:
    nearest = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(task.features).kneighbors(return_distance=False)
    votes = (scipy.stats.mode(task.labels[nearest[:, :k]], axis=1).mode for k in (1, 3, 5, 10))
    return (max(float(np.mean(voted == task.labels)) for voted in votes),)


def ridge(task: Task) -> tuple[float, ...]:
    f, targets = task.f, np.eye(task.classes)[task.labels]
    scale = ((f - f.mean(axis=0)) ** 2).sum() / min(f.shape[0] - 1, f.shape[1])
    grid = [scale * 10 ** (half / 2) for half in range(6, -13, -1)]
    model = RidgeCV(grid, scoring="neg_mean_squared_error", store_cv_results=True).fit(f, targets)
    held_out = model.cv_results_[:, :, grid.index(model.alpha_)]
    return (float(np.mean(held_out.argmax(axis=1) == task.labels)),)


def logme(task: Task) -> tuple[float, ...]:
    f, n = task.f, len(task.labels)
    u, s, _ = np.linalg.svd(f, full_matrices=False)
    keep = s > s[0] * max(f.shape) * 2.2e-16
    u, sigma = u[:, keep], s[keep] ** 2
    evidences = []
    for label in range(task.classes):
        t = (task.labels == label).astype(np.float64)
        x2 = (u.T @ t) ** 2
        outside = max(t @ t - x2.sum(), 0.0)
        tau = 1.0
        for _ in range(2000):
            gamma = (sigma / (sigma + tau)).sum()
            m2 = (sigma * x2 / (tau + sigma) ** 2).sum()
            residual = (x2 / (1 + sigma / tau) ** 2).sum() + outside
            alpha, beta = gamma / (m2 + 1e-5), (n - gamma) / (residual + 1e-5)
            before, tau = tau, alpha / beta
            if abs(tau - before) <= 1e-10 * before:
                break
        volume = np.log(alpha + beta * sigma).sum()
        evidence = len(sigma) * math.log(alpha) + n * math.log(beta) - volume - beta * residual - alpha * m2
        evidences.append((evidence - n * math.log(2 * math.pi)) / (2 * n))
    return (float(np.mean(evidences)),)


def _between(f: np.ndarray, task: Task) -> np.ndarray:
    """[n, d] each row replaced by the mean of its class."""
    replaced = np.zeros_like(f)
    for label in range(task.classes):
        replaced[task.labels == label] = f[task.labels == label].mean(axis=0)
    return replaced


def hscore(task: Task) -> tuple[float, ...]:
    f = task.f
    inverse = np.linalg.pinv(np.cov(f, rowvar=False), rcond=1e-15)
    return (float(np.trace(inverse @ np.cov(_between(f, task), rowvar=False))),)


def shrinkage_hscore(task: Task) -> tuple[float, ...]:
    f = task.f
    fitted = LedoitWolf().fit(f)
    inverse = np.linalg.pinv(fitted.covariance_, rcond=1e-15)
    covariance = (1 - fitted.shrinkage_) * np.cov(_between(f, task), rowvar=False)
    return (float(np.trace(inverse @ covariance)),)


def lda(task: Task) -> tuple[float, ...]:
    """Not leave-one-out, as published: a fit for every example would take hours."""
    f = task.f
    shrinkage = ledoit_wolf_shrinkage(f - _between(f, task), assume_centered=True)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(f, task.labels)
    return (float(model.predict_log_proba(f)[np.arange(len(f)), task.labels].mean()),)


def _discriminant(f: np.ndarray, task: Task, shrinkage: float | None) -> tuple[np.ndarray, float]:
    """[n, C] posterior of Fisher's discriminant by the generalised eigenproblem, and the shrinkage."""
    n, d = f.shape
    means = np.stack([f[task.labels == label].mean(axis=0) for label in range(task.classes)])
    shares = np.bincount(task.labels) / n
    centred, mean = f - f.mean(axis=0), f.mean(axis=0)
    total, within = centred.T @ centred / n, np.zeros((d, d))
    for label in range(task.classes):
        off = f[task.labels == label] - means[label]
        within += off.T @ off / n
    if shrinkage is None:
        x = within.sum(axis=1)
        for _ in range(3):
            z = within @ x
            z /= np.linalg.norm(z)
            x = within @ z
            x /= np.linalg.norm(x)
        shrinkage = max(math.exp(-5 * float(x @ within @ z)), 1e-10)
    shrunk = (1 - shrinkage) * within + shrinkage * np.trace(within) / d * np.eye(d)
    _, vectors = scipy.linalg.eigh(total - within, shrunk)
    weights = (means - mean) @ vectors @ vectors.T
    offsets = np.log(shares) - 0.5 * ((means - mean) * weights).sum(axis=1)
    return scipy.special.softmax(centred @ weights.T + offsets, axis=1), shrinkage


def sfda(task: Task) -> tuple[float, ...]:
    f, own = task.f, (np.arange(len(task.labels)), task.labels)
    posterior, shrinkage = _discriminant(f, task, None)
    certainty = scipy.special.softmax(posterior, axis=1)[own][:, None]
    means = np.stack([f[task.labels == label].mean(axis=0) for label in range(task.classes)])
    others = (means.sum(axis=0) - means) / (task.classes - 1)
    mixed = certainty * f + (1 - certainty) * others[task.labels]
    return (float(_discriminant(mixed, task, shrinkage)[0][own].mean()),)


def ncc(task: Task) -> tuple[float, ...]:
    f = task.f
    logits = np.empty((len(f), task.classes))
    for label in range(task.classes):
        members = f[task.labels == label]
        distances = ((f - members.mean(axis=0)) ** 2).sum(axis=1)
        logits[:, label] = math.log(len(members) / len(f)) - distances / 2
    return (float(scipy.special.softmax(logits, axis=1)[np.arange(len(f)), task.labels].mean()),)


def msc(task: Task) -> tuple[float, ...]:
    return (float(silhouette_score(task.features, task.labels)),)


def transrate(task: Task) -> tuple[float, ...]:
    f = task.f
    f -= f.mean(axis=0)

    def rate(z: np.ndarray) -> float:
        return float(np.linalg.slogdet(np.eye(z.shape[1]) + z.T @ z / (len(z) * 1e-4))[1]) / 2

    return (rate(f) - float(np.mean([rate(f[task.labels == label]) for label in range(task.classes)])),)


def gbc(task: Task) -> tuple[float, ...]:
    f = PCA(64, svd_solver="full").fit_transform(task.f)
    means = [f[task.labels == label].mean(axis=0) for label in range(task.classes)]
    variances = [max(float(f[task.labels == label].var(axis=0).mean()), 1e-4) for label in range(task.classes)]
    total = 0.0
    for i in range(task.classes):
        for j in range(task.classes):
            if i != j:
                middle = (variances[i] + variances[j]) / 2
                apart = float(((means[i] - means[j]) ** 2).sum()) / middle / 8
                shapes = f.shape[1] * math.log(middle / math.sqrt(variances[i] * variances[j])) / 2
                total += math.exp(-apart - shapes)
    return (-total,)


def lfc(task: Task) -> tuple[float, ...]:
    f = task.f
    products = f @ f.T
    agreement = np.where(task.labels[:, None] == task.labels, 1.0, -1.0)
    products -= products.mean()
    agreement -= agreement.mean()
    return (float((products * agreement).sum() / math.sqrt((products**2).sum() * (agreement**2).sum())),)


def parc(task: Task) -> tuple[float, ...]:
    """On 2000 rows at most, as many as taskrel ranks; the paper takes 500."""
    rows = np.sort(np.random.default_rng(0).permutation(len(task.labels))[:2000])
    f, labels = task.f[rows], task.labels[rows]
    spread = f.std(axis=0)
    f = (f - f.mean(axis=0)) / np.where(spread > 0, spread, 1)
    pairs = np.triu_indices(len(f), 1)
    distances = (1 - np.corrcoef(f))[pairs].round(12)
    apart = (labels[:, None] != labels)[pairs].astype(np.float64)
    return (100 * float(scipy.stats.spearmanr(distances, apart).statistic),)


def ncti(task: Task) -> tuple[float, ...]:
    pca = PCA(64, svd_solver="full")
    points = pca.fit_transform(task.f)
    t = max(math.exp(-float(pca.explained_variance_[:32].sum())), 1e-10)
    solver = {"solver": "svd"} if t == 1e-10 else {"solver": "eigen", "shrinkage": t}
    model = LinearDiscriminantAnalysis(**solver).fit(points, task.labels)
    z = model.transform(points)
    posterior = model.predict_proba(points)
    seli = float(np.linalg.norm(z - z.mean(axis=0), "nuc"))
    own = float(posterior[np.arange(len(points)), task.labels].mean())
    spread = sum(np.linalg.norm(posterior[task.labels == label], "nuc") for label in range(task.classes))
    return seli, own, -math.log(spread)


def energy(task: Task) -> tuple[float, ...]:
    return (float(scipy.special.logsumexp(task.f, axis=1).mean()),)


def leep(task: Task) -> tuple[float, ...]:
    probs = task.source_probs.astype(np.float64)
    joint = np.stack([probs[task.labels == label].sum(axis=0) for label in range(task.classes)])
    given = joint / joint.sum(axis=0)
    likelihood = (probs @ given.T)[np.arange(len(probs)), task.labels]
    return float(np.log(likelihood).mean()), float(likelihood.mean())


def nce(task: Task) -> tuple[float, ...]:
    decided = task.source_probs.argmax(axis=1)
    n, entropy = len(decided), 0.0
    for source in np.unique(decided):
        counts = np.bincount(task.labels[decided == source])
        counts = counts[counts > 0]
        entropy -= float((counts * np.log(counts / counts.sum())).sum()) / n
    return (-entropy,)


class Plain(NamedTuple):
    """An algorithm, the proxies whose values it returns, how near it comes to taskrel's, and what it is."""

    proxies: tuple[str, ...]
    run: Callable[[Task], tuple[float, ...]]
    tolerance: float
    what: str


PLAIN = (
    Plain(("knn",), knn, 0, "scikit-learn, brute force"),
    Plain(("knn_loo",), knn_loo, 2e-3, "scikit-learn, brute force, float32"),
    Plain(("ridge",), ridge, 2e-2, "scikit-learn RidgeCV; penalty by leave-one-out, ours by GCV"),
    Plain(("logme",), logme, 1e-8, "thin SVD, loop over classes"),
    Plain(("hscore",), hscore, 1e-8, "pinv of the covariance"),
    Plain(("shrinkage_hscore",), shrinkage_hscore, 1e-8, "scikit-learn LedoitWolf, pinv"),
    Plain(("lda",), lda, 1e-8, "scikit-learn lsqr, not leave-one-out"),
    Plain(("sfda",), sfda, 1e-6, "two generalised eigenproblems"),
    Plain(("ncc",), ncc, 1e-8, "loop over classes"),
    Plain(("msc",), msc, 1e-4, "scikit-learn silhouette_score, float32"),
    Plain(("transrate",), transrate, 1e-8, "d x d determinant per class"),
    Plain(("gbc",), gbc, 1e-8, "full PCA, loop over pairs of classes"),
    Plain(("lfc",), lfc, 1e-8, "n x n matrices"),
    Plain(("parc",), parc, 1e-8, "corrcoef, scipy spearmanr, n <= 2000"),
    Plain(("ncti_seli", "ncti_ncc", "ncti_vc"), ncti, 1e-6, "full PCA, scikit-learn LDA, SVDs"),
    Plain(("energy",), energy, 1e-8, "scipy logsumexp"),
    Plain(("leep", "eep"), leep, 1e-6, "loop over classes, rows as they sum in float32"),
    Plain(("nce",), nce, 1e-8, "loop over source classes"),
)
