"""Bayesian linear regression and Gaussian conditioning in the space of the observations, by their textbook formulas."""

import numpy as np


def project(rows_per_task):
    """An orthonormal basis of all rows but for one level per task."""
    blocks = [np.linalg.svd(np.eye(n) - 1 / n)[0][:, : n - 1] for n in rows_per_task]
    out = np.zeros((sum(rows_per_task), sum(rows_per_task) - len(rows_per_task)))
    row = column = 0
    for block in blocks:
        out[row : row + len(block), column : column + block.shape[1]] = block
        row, column = row + len(block), column + block.shape[1]
    return out


def log_evidence(y, design, prior, noise):
    """log N(y; 0, design diag(prior) design' + noise I)."""
    K = design * prior @ design.T + noise * np.eye(len(y))
    return -0.5 * (y @ np.linalg.solve(K, y) + np.linalg.slogdet(K)[1] + len(y) * np.log(2 * np.pi))


def posterior_mean(y, design, prior, noise):
    return prior * (design.T @ np.linalg.solve(design * prior @ design.T + noise * np.eye(len(y)), y))


def expected_gain(mean, deviation, best):
    """E max(0, N(mean, deviation^2) - best), by a fine sum."""
    z = np.linspace(-9, 9, 200_001)
    return np.trapezoid(np.maximum(mean + deviation * z - best, 0) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi), z)
