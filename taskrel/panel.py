"""Many strategies at many budgets on many tasks at once, judged in one pool: regret in every unit, with intervals.

A strategy is a column of scores (`taskrel.columns`); its picks at all budgets are the heads of one order, so that
their values are running maxima. Draws are the same for all strategies and budgets, and for all pools given the same
seed: differences between them are paired. Knows no names of models or tasks and no tables.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskrel.bootstrap import Draws, draw
from taskrel.regret import (
    Counts,
    Floats,
    Mask,
    check_table,
    error_removed,
    first_best,
    log_odds_delta,
    nanmean,
    order_chances,
)
from taskrel.spread import Spread

CHANCE = "random"
ZERO = 1e-12  # relative regret up to which a task counts as solved
_BLOCK = 1 << 24  # numbers held at once


@dataclass(frozen=True, eq=False)
class Panel:
    """Regret of N strategies at B budgets on T tasks in one pool. NaN where a strategy cannot be judged.

    That is where the pool has fewer models with a value on the task than the budget, and where the strategy has no
    score for any of them.

    Args:
        strategies: N names, as given; "random" last.
        budgets: B numbers of models to fine-tune.
        oracle: [T] best mean accuracy.
        winner: [T] index of the first best model, -1 for a task without any value.
        models: [T] models with a value.
        picks: [N, T, P] indices in order, P the largest budget; -1 where there is none, and for "random".
        tied: [N, B, T] models with the score of the last pick where the budget does not take all of them, so that only
            their order in the table decided; else 1. 0 where nothing is picked.
        value: [N, B, T] what the picks are worth.
        absolute: [N, B, T] oracle - value.
        relative: [N, B, T] share of the remaining error that a perfect choice would have removed.
        log_odds: [N, B, T] difference of logits, nats.
        clipped: [N, B, T] whether the log odds needed clipping.
        absolute_ends: [N, B, T, 2] interval over the repeats; NaN for a single repeat.
        relative_ends: [N, B, T, 2] likewise.
        runs_ends: [N, B, 2] of the mean relative regret with the tasks fixed, over the repeats.
        mean_ends: [N, B, 2] of the mean relative regret over repeats and tasks.
        mean_absolute_ends: [N, B, 2] of the mean absolute regret over repeats and tasks.
        chance_runs: whether the intervals of "random" are over repeats too; not where that is too many numbers.
    """

    strategies: tuple[str, ...]
    budgets: tuple[int, ...]
    oracle: Floats
    winner: Counts
    models: Counts
    picks: Counts
    tied: Counts
    value: Floats
    absolute: Floats
    relative: Floats
    log_odds: Floats
    clipped: Mask
    absolute_ends: Floats
    relative_ends: Floats
    runs_ends: Floats
    mean_ends: Floats
    mean_absolute_ends: Floats
    chance_runs: bool

    @property
    def judged(self) -> Counts:
        """[N, B] number of tasks behind the means."""
        return (~np.isnan(self.relative)).sum(axis=2)

    @property
    def mean_relative(self) -> Floats:
        """[N, B] mean relative regret over the tasks."""
        return nanmean(self.relative)

    @property
    def mean_absolute(self) -> Floats:
        """[N, B] mean absolute regret over the tasks."""
        return nanmean(self.absolute)

    @property
    def mean_log_odds(self) -> Floats:
        """[N, B] mean log-odds regret over the tasks, nats."""
        return nanmean(self.log_odds)

    @property
    def at_zero(self) -> Counts:
        """[N, B] tasks without relative regret (for "random": in expectation)."""
        return (self.relative <= ZERO).sum(axis=2)

    @property
    def above_quarter(self) -> Counts:
        """[N, B] tasks with a relative regret above .25."""
        return (self.relative > 0.25).sum(axis=2)


def judge(accuracy: npt.ArrayLike, scores: Mapping[str, npt.ArrayLike], *, budgets: Sequence[int] = (1, 2),
          draws: Draws | None = None, test_size: int | None = None,
          stopping: Collection[str] = ()) -> Panel:  # fmt: skip
    """The regret of every strategy at every budget, and of a uniform draw.

    Args:
        accuracy: [T, M, R] fractions of one pool, NaN where missing.
        scores: strategy -> [T, M] or [M] scores, higher is picked first, equal ones by index, NaN after all others.
        budgets: numbers of models to fine-tune, 1 to M.
        draws: `taskrel.bootstrap.draw` of as many tasks and repeats, to share between pools; 1000 samples by default.
        test_size: test examples behind each accuracy, if known; only clips the log odds.
        stopping: strategies that never pick a model without a score, and so may use less than the budget.

    Raises:
        ValueError: shapes do not fit, an accuracy outside [0, 1], a budget outside 1..M, a strategy called "random".
    """
    table = check_table(accuracy)
    tasks, models, repeats = table.shape
    columns = [_column(name, column, (tasks, models)) for name, column in scores.items()]
    if CHANCE in scores or not budgets or not all(1 <= budget <= models for budget in budgets):
        raise ValueError(f"budgets must be 1 to {models} (the pool) and no strategy called {CHANCE!r}, "
                         f"got budgets {list(budgets)} and strategies {list(scores)}")  # fmt: skip
    takes = np.array(budgets, dtype=np.intp)
    draws = draw(tasks, repeats) if draws is None else draws
    if (draws.repeats.shape[0], draws.repeats.shape[2]) != (tasks, repeats):
        raise ValueError(f"draws must be of {tasks} tasks and {repeats} repeats, got shape {draws.repeats.shape}")
    step = max(1, _BLOCK // (max(1, len(columns)) * models * repeats))
    spread = Spread(len(columns) + 1, takes, draws, models)
    parts = []
    for start in range(0, tasks, step):
        block = slice(start, min(start + step, tasks))
        part = _Block.of(table[block], [column[block] for column in columns], takes, [n in stopping for n in scores])
        spread.add(block, table[block], part.oracle, part.best, part.relative)
        parts.append(part)
    return _panel((*scores, CHANCE), takes, parts, spread, test_size)


def _column(name: str, column: npt.ArrayLike, shape: tuple[int, int]) -> Floats:
    array = np.asarray(column, dtype=np.float64)
    if array.shape not in (shape, shape[1:]):
        raise ValueError(f"scores of {name!r} must be of shape {shape} or {shape[1:]}, got {array.shape}")
    return np.broadcast_to(array, shape)


@dataclass(frozen=True, eq=False)
class _Block:
    """The point estimates of some tasks; N - 1 strategies and, last, a uniform draw. See `Panel`."""

    oracle: Floats
    winner: Counts
    models: Counts
    picks: Counts
    tied: Counts
    best: Floats  # [N, B, t, R] accuracy of the best pick per repeat, NaN in repeats that cannot be compared
    relative: Floats

    @classmethod
    def of(cls, table: Floats, columns: Sequence[Floats], takes: Counts, stopping: Sequence[bool]) -> _Block:
        means = nanmean(table)
        present = ~np.isnan(means)
        count = present.sum(axis=1)
        filled = np.where(present, means, -np.inf)
        top = filled.max(axis=1)
        oracle = np.where(count > 0, top, np.nan)
        deepest = int(takes.max())
        picks = np.full((len(columns) + 1, len(table), deepest), -1, dtype=np.intp)
        tied = np.zeros((len(columns) + 1, len(takes), len(table)), dtype=np.intp)
        best = np.full((len(columns) + 1, len(takes), len(table), table.shape[2]), np.nan)
        for place, column in enumerate(columns):
            picks[place], keys = _heads(column, present, deepest, stopping[place])
            tied[place] = _tied(keys, picks[place], takes)
            best[place] = _running_best(table, picks[place])[:, takes - 1].transpose(1, 0, 2)
        best[-1], chance = _chance(table, means, takes)
        tied[-1] = np.where(takes[:, None] <= count, count, 0)
        best[:, takes[:, None] > count] = np.nan
        value = nanmean(best)
        relative = error_removed(np.broadcast_to(oracle, value.shape), value)
        relative[-1] = np.where(np.isnan(value[-1]), np.nan, chance)
        return cls(oracle, np.where(count > 0, filled.argmax(axis=1), -1), count, picks, tied, best, relative)


def _heads(column: Floats, present: Mask, deepest: int, stopping: bool) -> tuple[Counts, Floats]:
    """The first picks [t, P] of an order, -1 where there are fewer; and the keys [t, M] it is sorted by, NaN absent."""
    keys = np.where(present, np.where(np.isnan(column), -np.inf, column), np.nan)
    scored: Mask = present & ~np.isnan(column)
    heads = np.argsort(-keys, axis=1, kind="stable")[:, :deepest]
    there = np.take_along_axis(scored if stopping else present, heads, axis=1) & scored.any(axis=1, keepdims=True)
    return np.where(there, heads, -1), keys


def _tied(keys: Floats, picks: Counts, takes: Counts) -> Counts:
    """[B, t] size of the tie group that a budget cuts through, else 1; 0 where nothing is picked."""
    out = np.zeros((len(takes), len(keys)), dtype=np.intp)
    for place, budget in enumerate(takes):
        last = picks[:, budget - 1]
        key = np.take_along_axis(keys, np.maximum(last, 0)[:, None], axis=1)
        level = (keys == key).sum(axis=1)
        cut = (keys > key).sum(axis=1) + level > budget
        out[place] = np.where(last < 0, 0, np.where(cut, level, 1))
    return out


def _running_best(table: Floats, picks: Counts) -> Floats:
    """[t, P, R] best accuracy per repeat of the first 1, 2, ... picks, in the repeats that most of them have.

    Where there is no further pick the value stays; `judge` leaves out budgets that a pool cannot meet.
    """
    rows = np.arange(len(table))[:, None]
    picked = np.where((picks >= 0)[:, :, None], table[rows, picks], np.nan)
    count = (~np.isnan(picked)).cumsum(axis=1)
    complete = (count == count.max(axis=2, keepdims=True)) & (count > 0)
    return np.where(complete, np.fmax.accumulate(picked, axis=1), np.nan)


def _chance(table: Floats, means: Floats, takes: Counts) -> tuple[Floats, Floats]:
    """Of a uniform draw: expected best accuracy per repeat [B, t, R], and expected relative regret [B, t].

    `taskrel.regret.random_value` and `random_relative_regret` for all budgets, with one sort.
    """
    there = ~np.isnan(table)
    whole = there.sum(axis=1)
    complete = (whole == whole.max(axis=1, keepdims=True)) & (whole > 0)
    ordered = -np.sort(-table, axis=1)
    descending = -np.sort(-means, axis=1)
    losses = np.nan_to_num(error_removed(np.broadcast_to(descending[:, :1], descending.shape), descending))
    best = np.empty((len(takes), len(table), table.shape[2]))
    relative = np.empty((len(takes), len(table)))
    for place, budget in enumerate(takes):
        chances = order_chances(whole.max(axis=1), int(budget), table.shape[1])
        expected = np.einsum("tmr,tm->tr", np.nan_to_num(ordered), chances)
        best[place] = np.where(complete, np.fmin(expected, ordered[:, 0]), np.nan)
        chances = order_chances((~np.isnan(means)).sum(axis=1), int(budget), table.shape[1])
        relative[place] = (losses * chances).sum(axis=1)
    return best, relative


def _panel(names: tuple[str, ...], takes: Counts, parts: Sequence[_Block], spread: Spread,
           test_size: int | None) -> Panel:  # fmt: skip
    oracle = np.concatenate([part.oracle for part in parts])
    value = nanmean(np.concatenate([part.best for part in parts], axis=2))
    nats, clipped = log_odds_delta(np.broadcast_to(oracle, value.shape), value, test_size)
    shape = (len(names), len(takes), len(oracle), 2)
    return Panel(
        strategies=names,
        budgets=tuple(int(budget) for budget in takes),
        oracle=oracle,
        winner=np.concatenate([part.winner for part in parts]),
        models=np.concatenate([part.models for part in parts]),
        picks=np.concatenate([part.picks for part in parts], axis=1),
        tied=np.concatenate([part.tied for part in parts], axis=2),
        value=value,
        absolute=oracle - value,
        relative=np.concatenate([part.relative for part in parts], axis=2),
        log_odds=nats,
        clipped=clipped,
        absolute_ends=spread.absolute_ends.reshape(shape),
        relative_ends=spread.relative_ends.reshape(shape),
        runs_ends=spread.runs.ends(spread.draws.level),
        mean_ends=spread.relative.ends(spread.draws.level),
        mean_absolute_ends=spread.absolute.ends(spread.draws.level),
        chance_runs=spread.chance_runs,
    )


def share_at_zero(scores: npt.ArrayLike, means: Floats, ties: str = "expected") -> Floats:
    """[M] share of the tasks on which the top-scored 1, 2, ..., M models hold a best one, so that regret is zero.

    Args:
        scores: [T, M], higher is better, NaN last.
        means: [T, M] accuracies, NaN for models that are not there; tasks without any are left out.
        ties: where the best model sits among models of equal score, as in `taskrel.regret.budget_to_zero`. "expected"
            is the probability over random orders of the tied models.

    Returns:
        In [0, 1], not decreasing; NaN without any task.

    Raises:
        ValueError: shapes do not fit or an unknown tie rule.
    """
    if ties not in ("optimistic", "expected", "pessimistic"):
        raise ValueError(f"ties must be optimistic, pessimistic or expected, got {ties!r}")
    ahead, level, winners = (counts[:, None] for counts in first_best(scores, means))
    budgets = np.arange(1, means.shape[1] + 1)
    if ties == "expected":
        # No winner among k of g tied models: C(g - w, k) / C(g, k), the product of (g - w - i) / (g - i) over i < k.
        steps = np.arange(means.shape[1])
        ratio = np.clip((level - winners - steps) / np.maximum(level - steps, 1), 0, None)
        missed = np.hstack([np.ones_like(ratio[:, :1]), np.cumprod(ratio, axis=1)])
        taken = np.clip(budgets - ahead, 0, level)
        solved = 1 - np.take_along_axis(missed, taken, axis=1)
    else:
        solved = (budgets >= ahead + (1 if ties == "optimistic" else level)).astype(np.float64)
    judged = winners[:, 0] > 0
    return solved[judged].mean(axis=0) if judged.any() else np.full(len(budgets), np.nan)
