"""What a score changes by when an example's weight does: central differences of a weighted textbook version."""

import numpy as np


def influence(value, n, step=1e-5):
    """[n] n times the derivative of `value(weights)` by each weight, at weights of one."""
    found = []
    for i in range(n):
        up, down = np.ones(n), np.ones(n)
        up[i], down[i] = 1 + step, 1 - step
        found.append(n * (value(up) - value(down)) / (2 * step))
    return np.array(found)
