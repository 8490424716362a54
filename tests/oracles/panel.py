"""A panel by loops over tasks, strategies, budgets and samples, with the published definitions only."""

import numpy as np
from oracles.regret import delta


def order(scores, present):
    """The models that are there, best score first, unscored last, equal ones by index."""
    key = [-np.inf if np.isnan(s) else s for s in scores]
    return sorted((m for m in range(len(key)) if present[m]), key=lambda m: (-key[m], m))


def regret(cells, picks):
    """(absolute, relative) of one task, cells [M, R] complete: max of means against mean of maxima."""
    best, reached = cells.mean(axis=1).max(), cells[picks].max(axis=0).mean()
    return best - reached, delta(best, reached)


def samples(table, picks, repeats, tasks):
    """Per sample: relative regret of every task, and its mean over tasks drawn again ([T, S, R], [T, S] how often)."""
    each = np.array(
        [
            [
                regret(np.repeat(cells, times.astype(int), axis=1), chosen)[1]
                for cells, chosen, times in zip(table, picks, repeats[:, s], strict=True)
            ]
            for s in range(tasks.shape[1])
        ]
    )
    return each, (each * tasks.T).sum(axis=1) / tasks.sum(axis=0)
