"""How fast the loss of a softmax head can change with the features, in closed form.

The gradient of the cross-entropy of B softmax(V z) is V^T (p - q), q the probabilities given the label. Its largest
norm over all probabilities p is attained by two classes. No gradient is ever sampled.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from taskrel.bound.sample import Floats

EXACT = "donot_use_mm_for_euclid_dist"  # of two equal rows the distance is 0, not the root of a rounding error


def contrasts(label: Floats) -> Floats:
    """[K_R, p] the differences of logits that the loss at a target label can follow, each times how closely.

    The loss changes by no more than the largest of these differences changes: a metric in which its constant is 1.

    Args:
        label: [K_R] the label's row of B.

    Source:
        As in `tau_labels`: for the same pair of classes, with the difference itself in place of its largest length.
        The convexity of the loss in the logits makes the supremum of the gradient's product along the way a bound.
    """
    roots = np.sqrt(label)
    j, k = np.triu_indices(len(roots), 1)
    both, apart = roots[j] + roots[k], np.abs(roots[j] - roots[k])
    j, k, share = j[apart > 0], k[apart > 0], apart[apart > 0] / both[apart > 0]
    found = np.zeros((len(roots), len(j)))
    found[j, np.arange(len(j))], found[k, np.arange(len(j))] = share, -share
    return found


def pair_distances(rows: Tensor) -> Tensor:
    """[K, K] distances between the rows of [K, d]."""
    return torch.cdist(rows, rows, compute_mode=EXACT)


def tau_pair(rows: Tensor) -> float:
    """Largest distance between two rows: a Lipschitz constant of the loss for every label and every label map.

    Args:
        rows: [K, d] weights in the coordinates in which distances are measured (`Affine.pull`).
    """
    return float(pair_distances(rows).max())


def tau_labels(rows: Tensor, labels: Floats) -> Floats:
    """[K_T] exact Lipschitz constant of the loss at each target label; at most `tau_pair`.

    Args:
        rows: [K_R, d] weights in the coordinates in which distances are measured.
        labels: [K_T, K_R] B, columns sum to 1.

    Source:
        The supremum over the simplex has two non-zeros, at p_j sqrt(B_yj) = p_k sqrt(B_yk):
        |sqrt B_yj - sqrt B_yk| / (sqrt B_yj + sqrt B_yk) times the distance of the rows.
    """
    distances = pair_distances(rows).cpu().numpy()
    roots = np.sqrt(labels)
    found = np.empty(len(labels))
    for label, root in enumerate(roots):  # [K_R, K_R] at a time: all labels at once would be K_T times as much
        both = root[:, None] + root
        ratio = np.divide(np.abs(root[:, None] - root), both, out=np.zeros_like(both), where=both > 0)
        found[label] = (distances * ratio).max()
    return found
