"""The bound's terms by definition: sums over examples and classes, linear programs, brute force. Slow on purpose."""

import itertools
import math

import numpy as np
from scipy.optimize import linprog


def transport(costs, a, b):
    """Least cost of moving masses a to masses b: the linear program itself."""
    n, m = len(a), len(b)
    rows = np.zeros((n + m, n * m))
    for i, j in itertools.product(range(n), range(m)):
        rows[i, i * m + j] = rows[n + j, i * m + j] = 1
    return linprog(np.ravel(costs), A_eq=rows[:-1], b_eq=np.concatenate([a, b])[:-1], method="highs").fun


def joint_transport(ZR, yR, ZT, yT, Q, far=1e4):
    """Distance of labelled points, a label's change costing `far`: one problem over all labels at once."""
    K, nR = len(Q), np.bincount(yR, minlength=Q.shape[1])
    points = [(ZR[i], k, Q[k, yR[i]] / nR[yR[i]]) for i in range(len(ZR)) for k in range(K) if Q[k, yR[i]] > 0]
    mass = [Q[y].sum() / np.sum(yT == y) for y in yT]
    costs = [[math.dist(z, t) + far * (k != y) for t, y in zip(ZT, yT, strict=True)] for z, k, _ in points]
    return transport(costs, np.array([p for _, _, p in points]), np.array(mass))


def loss(W, c, z, k, B):
    """-log of B softmax(W z + c) at label k."""
    u = [float(np.dot(w, z) + b) for w, b in zip(W, c, strict=True)]
    top = max(u)
    p = [math.exp(v - top) for v in u]
    return -math.log(sum(B[k][j] * p[j] for j in range(len(p))) / sum(p))


def surrogate(choice, costs, prior):
    """Cost of a choice of classes plus, for every shared one, the entropy of who shares it."""
    total = sum(prior[k] * costs[k][j] for k, j in enumerate(choice))
    for j in set(choice):
        shares = [prior[k] for k, chosen in enumerate(choice) if chosen == j]
        total -= sum(p * math.log(p / sum(shares)) for p in shares if p > 0)
    return total


def best_choice(costs, prior, distinct):
    """The cheapest of all choices, or of all that share no class."""
    K_T, K_R = np.shape(costs)
    tried = itertools.permutations(range(K_R), K_T) if distinct else itertools.product(range(K_R), repeat=K_T)
    return min(surrogate(choice, costs, prior) for choice in tried)


def assert_ordered(terms, rounding=1e-9):
    """Each tighter form is at most the looser one, and all are above the loss that they bound."""
    assert terms.total >= terms.total_by_label - rounding
    assert terms.total_by_label >= terms.total_projected - rounding
    assert terms.total_projected >= terms.total_logits - rounding
    assert terms.total_logits >= terms.target_loss - rounding


def left_out(X, y, w, ridge):
    """Weighted squared error of ridge regression on each row from all the others' slope, means and offset kept."""
    w = w / w.sum()
    X, y, total = X - w @ X, y - w @ y, 0.0
    for i in range(len(X)):
        rest = np.delete(np.arange(len(X)), i)
        gram = (X[rest].T * w[rest]) @ X[rest] + ridge * np.eye(X.shape[1])
        total += w[i] * np.sum((y[i] - X[i] @ np.linalg.solve(gram, (X[rest].T * w[rest]) @ y[rest])) ** 2)
    return total
