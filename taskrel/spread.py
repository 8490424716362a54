"""The bootstrap of many strategies at many budgets: intervals per task, and of the means over tasks.

One task at a time: all its strategies, budgets and samples are one product that stays in the cache. A further pick that
is best in no repeat changes no value, so that only the budgets that differ from the one before are drawn again, and the
sums over tasks are kept as steps from one budget to the next. Knows no order and no scores.
"""

from __future__ import annotations

import numpy as np

from taskrel.bootstrap import Draws, percentiles, resampled, resampled_oracle
from taskrel.regret import Counts, Floats, Mask, error_removed, order_chances

_CHANCE_LIMIT = 1 << 28  # numbers to sort for a uniform draw over drawn repeats


class Means:
    """Bootstrap samples of means over tasks, one row for each strategy and budget.

    Args:
        strategies: N.
        budgets: B.
        samples: S.
    """

    def __init__(self, strategies: int, budgets: int, samples: int) -> None:
        self._budgets, self._shape = budgets, (strategies, budgets)
        self._drawn, self._stepped = False, True
        self._total, self._weight = np.zeros((2, strategies * budgets, samples))

    def add(self, rows: Counts, samples: Floats, weight: Floats, known: Mask) -> None:
        """Add one task.

        Args:
            rows: [n] the rows that differ from the budget before; the others have its samples.
            samples: [n, S] their samples, NaN where a sample has no value.
            weight: [S] how often the task counts.
            known: [N * B] rows with a value; those of a strategy come first.
        """
        self._drawn = True
        inner = np.flatnonzero(rows % self._budgets != 0)
        # Where a strategy has no further budget, its last step is undone.
        over = np.flatnonzero(~known & np.roll(known, 1) & (np.arange(len(known)) % self._budgets != 0))
        last = np.searchsorted(rows, over) - 1
        missing = np.isnan(samples)
        if missing.any():
            self._step(self._weight, rows, inner, over, last, np.where(missing, 0.0, weight), 1.0)
            samples = np.where(missing, 0, samples)
        else:
            self._weight[rows[rows % self._budgets == 0]] += weight
            self._weight[over] -= weight
        self._step(self._total, rows, inner, over, last, samples, weight)

    @staticmethod
    def _step(into: Floats, rows: Counts, inner: Counts, over: Counts, last: Counts, numbers: Floats,
              weight: Floats | float) -> None:  # fmt: skip
        weighed = numbers * weight
        into[over] -= weighed[last]
        into[rows] += weighed
        into[rows[inner]] -= weighed[inner - 1]

    def add_points(self, points: Floats, weights: Floats) -> None:
        """Add tasks whose samples are all alike; to be used throughout, or not at all.

        Args:
            points: [t, N * B], NaN where there is none.
            weights: [t, S] how often each task counts.
        """
        self._drawn, self._stepped = True, False
        self._total += np.nan_to_num(points).T @ weights
        self._weight += (~np.isnan(points)).T.astype(np.float64) @ weights

    def ends(self, level: float) -> Floats:
        """[N, B, 2] intervals of the means; NaN where nothing was added."""
        if not self._drawn:
            return np.full((*self._shape, 2), np.nan)
        total, weight = (part.reshape(*self._shape, -1) for part in (self._total, self._weight))
        if self._stepped:
            total, weight = total.cumsum(axis=1), weight.cumsum(axis=1)
        # Steps that cancel leave a rounding behind; a true weight is a whole number.
        there = weight > 0.5
        return percentiles(np.where(there, total / np.where(there, weight, 1), np.nan), level)


class Spread:
    """What the samples say of all strategies and budgets; the last strategy is a uniform draw.

    Args:
        strategies: N.
        takes: [B] budgets.
        draws: of the tasks and repeats.
        models: M.
    """

    def __init__(self, strategies: int, takes: Counts, draws: Draws, models: int) -> None:
        self.draws, self.takes = draws, takes
        tasks, samples, self._repeats = draws.repeats.shape
        # Sorting all models again in every sample is too much for a large pool.
        self.chance_runs = self._repeats == 1 or samples * tasks * models <= _CHANCE_LIMIT
        self.absolute_ends = np.full((strategies * len(takes), tasks, 2), np.nan)
        self.relative_ends = self.absolute_ends.copy()
        self.runs, self.relative, self.absolute = (Means(strategies, len(takes), samples) for _ in range(3))

    def add(self, block: slice, table: Floats, oracle: Floats, best: Floats, relative: Floats) -> None:
        """Take in some tasks.

        Args:
            block: which of the tasks.
            table: [t, M, R] accuracies.
            oracle: [t] best mean accuracies.
            best: [N, B, t, R] accuracy of the best pick per repeat.
            relative: [N, B, t] relative regret as measured.
        """
        strategies, budgets, tasks, repeats = best.shape
        rows = best.transpose(2, 0, 1, 3).reshape(tasks, strategies * budgets, repeats)
        points = relative.transpose(2, 0, 1).reshape(tasks, strategies * budgets)
        if repeats > 1:
            for place in np.flatnonzero(~np.isnan(points).all(axis=1)):
                self._task(block.start + int(place), table[place], rows[place], points[place])
        elif len(self.draws.tasks) > 1:
            self.relative.add_points(points, self.draws.tasks[block])
            self.absolute.add_points(oracle[:, None] - rows[:, :, 0], self.draws.tasks[block])

    def _task(self, task: int, cells: Floats, rows: Floats, points: Floats) -> None:
        times, weight = self.draws.repeats[task], self.draws.tasks[task]
        known = ~np.isnan(points)
        fresh = _fresh(rows, known, len(self.takes))
        source = (np.cumsum(fresh) - 1)[known]
        best, reached = resampled_oracle(cells, times), resampled(rows[fresh], times)
        relative = error_removed(np.broadcast_to(best, reached.shape), reached)
        absolute = np.subtract(best, reached, out=reached)
        drawn = np.flatnonzero(fresh) >= len(rows) - len(self.takes)
        # The expected regret of a draw is not the regret of its expected value.
        relative[drawn] = points[fresh][drawn, None]
        if self.chance_runs:
            relative[drawn] = _chance(cells, times, best, self.takes[known[-len(self.takes) :]])
        ends = percentiles(relative, self.draws.level)
        ends[drawn & (not self.chance_runs)] = np.nan
        self.relative_ends[known, task] = ends[source]
        self.absolute_ends[known, task] = percentiles(absolute, self.draws.level)[source]
        at = np.flatnonzero(fresh)
        self.runs.add(at, relative, np.ones_like(weight), known)
        self.relative.add(at, relative, weight, known)
        self.absolute.add(at, absolute, weight, known)


def _fresh(rows: Floats, known: Mask, budgets: int) -> Mask:
    """[N * B] whether a row has a value and differs from the budget before; always for the uniform draw."""
    same = ((rows[1:] == rows[:-1]) | (np.isnan(rows[1:]) & np.isnan(rows[:-1]))).all(axis=1)
    places = np.arange(1, len(rows))
    own = (places % budgets == 0) | (places >= len(rows) - budgets)
    return known & np.concatenate([[True], ~same | own])


def _chance(cells: Floats, times: Floats, best: Floats, takes: Counts) -> Floats:
    """[B, S] expected relative regret of a uniform draw in each sample."""
    means = resampled(cells, times)
    descending = -np.sort(-means, axis=0)
    losses = np.nan_to_num(error_removed(np.broadcast_to(best, means.shape), descending))
    present = (~np.isnan(means)).sum(axis=0)
    if (present == present[0]).all():
        alike: Floats = order_chances(np.full(len(takes), present[0]), takes, len(cells)) @ losses
        return alike
    return np.stack([(order_chances(present, int(budget), len(cells)) * losses.T).sum(axis=1) for budget in takes])
