"""Regret by enumeration in plain Python, and the reference code of model_search.md section 1."""

from itertools import combinations, pairwise, permutations
from statistics import fmean


def rel(hi, lo):
    return 0.0 if lo >= 1 else (hi - lo) / (1 - lo)


def delta(a, b):
    return rel(a, b) if a >= b else -rel(b, a)


def budget_to_zero(score, acc, ties="optimistic"):
    best = [i for i in range(len(acc)) if acc[i] == max(acc)]
    if ties == "optimistic":
        return min(1 + sum(x > score[i] for x in score) for i in best)
    return min(sum(x >= score[i] for x in score) for i in best)


def expected_budget(score, acc):
    """Mean over all orders that sort the scores of the first place a best model is met."""
    orders = [order for order in permutations(range(len(acc))) if all(score[a] >= score[b] for a, b in pairwise(order))]
    return fmean(1 + next(place for place, i in enumerate(order) if acc[i] == max(acc)) for order in orders)


def oracle(cells):
    """cells[model] = list of repeats, None where the model was never measured."""
    return max(fmean(repeats) for repeats in cells if repeats is not None)


def value(cells, picks):
    columns = zip(*(cells[m] for m in picks if cells[m] is not None), strict=True)
    return fmean(max(column) for column in columns)


def random_value(cells, budget):
    """Mean value over every set of `budget` models among those present."""
    present = [m for m, repeats in enumerate(cells) if repeats is not None]
    return fmean(value(cells, s) for s in combinations(present, min(budget, len(present))))


def random_relative_regret(means, budget):
    """Mean relative regret over every set; one accuracy per model."""
    return fmean(delta(max(means), max(s)) for s in combinations(means, budget))
