"""Head2Toe the slow way: pooling by loops, the group lasso by plain proximal gradient steps on dense matrices."""

import numpy as np


def pooled(values, window):
    """[n, rows, columns, c] averaged over whole windows of (rows, columns) in turn, flattened as they come."""
    n, height, width, _ = values.shape
    rows, columns = window
    return np.stack([
        np.concatenate([values[i, a : a + rows, b : b + columns].mean(axis=(0, 1))
                        for a in range(0, height - rows + 1, rows) for b in range(0, width - columns + 1, columns)])
        for i in range(n)
    ])  # fmt: skip


def group_lasso(x, onehot, penalty, steps=20000):
    """(weights [D, C], bias [C], objective) of mean cross-entropy plus penalty times the sum of row norms."""
    n = len(x)
    weights, bias = np.zeros((x.shape[1], onehot.shape[1])), np.zeros(onehot.shape[1])
    rate = 1 / (0.5 * np.linalg.eigvalsh(np.c_[x, np.ones(n)].T @ np.c_[x, np.ones(n)] / n)[-1])
    for _ in range(steps):
        probs = np.exp(x @ weights + bias)
        probs /= probs.sum(axis=1, keepdims=True)
        weights = weights - rate * x.T @ (probs - onehot) / n
        bias = bias - rate * (probs - onehot).mean(axis=0)
        norms = np.linalg.norm(weights, axis=1, keepdims=True)
        weights = weights * np.maximum(1 - rate * penalty / np.maximum(norms, 1e-300), 0)
    logs = x @ weights + bias
    logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return weights, bias, -(logs * onehot).sum() / n + penalty * np.linalg.norm(weights, axis=1).sum()


def kept_logits(blocks, kept, weights, bias):
    """[n, C] logits on the kept columns of all blocks, each block of unit length over what is kept of it."""
    wide, owner = np.concatenate(blocks, axis=1), np.repeat(np.arange(len(blocks)), [b.shape[1] for b in blocks])
    rows = []
    for x in wide:
        parts = [x[[c for c in kept if owner[c] == layer]] for layer in range(len(blocks))]
        rows.append(np.concatenate([part / np.linalg.norm(part) for part in parts if len(part)]) @ weights.T + bias)
    return np.array(rows)


def ridge(x, onehot, penalty, others):
    """[m, C] of least squares with a free bias, by its normal equations on the features."""
    mean, share = x.mean(axis=0), onehot.mean(axis=0)
    centred = x - mean
    weights = np.linalg.solve(centred.T @ centred / len(x) + penalty * np.eye(x.shape[1]),
                              centred.T @ (onehot - share) / len(x))  # fmt: skip
    return (others - mean) @ weights + share
