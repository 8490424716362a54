"""Regret tables: every pool x task x strategy x budget, and the means over tasks. Every formula is ``taskrel``'s.

A cell counts with one number, the study's median over repeats, so that regret, heat map and answer speak of the same
accuracies. Intervals are of that same number: the repeats of a task are drawn again with replacement, for all models
together, and the medians taken again; means over tasks draw the tasks again too. With few repeats such an interval is
a lower bound on the uncertainty; with a single repeat there is none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sweeps import hits
from sweeps.report.cells import Cells
from sweeps.report.selection import Views, left_out
from sweeps.report.words import count, listing
from sweeps.types import Row
from taskrel import regret as formulas
from taskrel.types import Pick

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
CHANCE = "random"


@dataclass(frozen=True)
class Question:
    """Which regret is asked for: pool name -> models, strategies, budgets, bootstrap samples, seed.

    ``met`` leaves out of a pool the models that a task is not for.
    """

    pools: Mapping[str, Sequence[str]]
    strategies: Sequence[str]
    budgets: Sequence[int]
    bootstrap: int
    seed: int
    met: Callable[[str, Sequence[str]], list[str]] = lambda _task, models: list(models)


@dataclass
class Regrets:
    """Rows of ``regret``, ``strategies``, ``budgets`` and ``solved``, and what was left out."""

    regret: list[Row] = field(default_factory=list)
    strategies: list[Row] = field(default_factory=list)
    budgets: list[Row] = field(default_factory=list)
    solved: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Task:
    """The models of a pool that have an accuracy on one task; ``drawn`` [S, M] holds their resampled medians."""

    task: str
    rows: Mapping[str, Row]
    models: Sequence[str]
    drawn: Floats | None
    dropped: int

    @property
    def medians(self) -> Floats:
        """[1, M, 1] one number per cell."""
        return np.array([[[self.rows[name]["accuracy"]] for name in self.models]], dtype=np.float64)


def regrets(cells: Cells, tasks: Sequence[str], views: Views, question: Question) -> Regrets:
    """The regret of every strategy, with intervals.

    A task is judged in a pool once every model of the pool was tried on it: the best of half a pool is no oracle.
    Models that failed or diverged are dropped and counted. Where a pool has one model for a task and others for other
    tasks, there is nothing to choose and nothing to judge.

    Args:
        cells: the accuracies, and the cells that are not finished.
        tasks: in the order of the tables.
        views: what the strategies see.
        question: pools, strategies, budgets.
    """
    result = Regrets()
    by_task = {task: {row["model"]: row for row in cells.rows if row["task"] == task and row["accuracy"] is not None}
               for task in tasks}  # fmt: skip
    drawn = {task: _resampled(rows, question.bootstrap, (question.seed, place))
             for place, (task, rows) in enumerate(by_task.items())}  # fmt: skip
    for pool, members in question.pools.items():
        open_tasks = cells.unfinished(members)
        found = [_in_pool(task, question.met(task, members), by_task[task], drawn[task])
                 for task in tasks if task not in open_tasks]  # fmt: skip
        least = min(2, len(members))
        _one_pool(result, pool, [task for task in found if len(task.models) + task.dropped >= least and task.models],
                  views, question)  # fmt: skip
        if open_tasks:
            apart = {cell.task for cell in cells.apart if cell.model in members}
            if waiting := [task for task in tasks if task in open_tasks - apart]:
                result.notes.append(f"regret in pool {pool} waits for fine-tuning on {listing(waiting)}")
            if part := [task for task in tasks if task in apart]:
                result.notes.append(f"no regret in pool {pool} on {listing(part)}: only the picks are fine-tuned")
    return result


def _in_pool(task: str, members: Sequence[str], rows: Mapping[str, Row], drawn: Mapping[str, Floats] | None) -> _Task:
    models = sorted(name for name in members if name in rows)
    columns = np.stack([drawn[name] for name in models], axis=1) if drawn is not None and models else None
    return _Task(task, rows, models, columns, len(members) - len(models))


def _one_pool(result: Regrets, pool: str, tasks: Sequence[_Task], views: Views, question: Question) -> None:
    orders, silent = _orders(tasks, views, question)
    for strategy, reasons in silent.items():
        result.notes += left_out(strategy, reasons, pool)
    if orders:
        _hits(result, pool, tasks, orders, views)
    for budget in question.budgets:
        small = [task.task for task in tasks if budget > len(task.models)]
        if small:
            result.notes.append(f"budget {budget} is left out in pool {pool} on {count(len(small), 'task')} "
                                f"({listing(small)}): fewer models have an accuracy there")  # fmt: skip
        for strategy in question.strategies:
            if budget < views.least_budget(strategy):
                continue
            rows, samples = [], []
            for task in tasks:
                order = orders.get((strategy, task.task))
                if order is not None and budget <= len(task.models):
                    row, drawn = _row(pool, task, strategy, budget, order)
                    rows.append(row)
                    samples.append(np.full(question.bootstrap, row["relative_regret"]) if drawn is None else drawn)
            result.regret += rows
            if rows:
                repeated = any(task.drawn is not None for task in tasks)
                result.strategies.append(_mean_row(pool, strategy, budget, rows, samples, repeated, question.seed))


def _hits(result: Regrets, pool: str, tasks: Sequence[_Task], orders: Mapping[tuple[str, str], Sequence[Pick]],
          views: Views) -> None:  # fmt: skip
    """How soon the best model is picked: by scores where a strategy is one, as their ties matter, or by its order."""
    models = sorted({name for task in tasks for name in task.models})
    means = np.array([[task.rows[name]["accuracy"] if name in task.models else np.nan for name in models]
                      for task in tasks], dtype=np.float64)  # fmt: skip
    columns: dict[str, Floats] = {}
    for strategy in dict.fromkeys(strategy for strategy, _ in orders if strategy != CHANCE):
        columns[strategy] = np.full(means.shape, np.nan)
        for place, task in enumerate(tasks):
            known: Mapping[str, float] = {pick.model: -rank for rank, pick in
                                          enumerate(orders.get((strategy, task.task), ()))}  # fmt: skip
            if known and strategy in views.names:
                known = views.scored(task.task, strategy, task.models)
            columns[strategy][place] = [known.get(name, np.nan) for name in models]
    least = {strategy: views.least_budget(strategy) for strategy in columns}
    result.budgets += hits.budgets(pool, [task.task for task in tasks], means, columns)
    result.solved += hits.solved(pool, means, columns, least)


def _orders(tasks: Sequence[_Task], views: Views, question: Question,
            ) -> tuple[dict[tuple[str, str], list[Pick]], dict[str, dict[str, list[str]]]]:  # fmt: skip
    """(strategy, task) -> the pool in the order of the strategy; and strategy -> reason -> tasks where it has none."""
    orders: dict[tuple[str, str], list[Pick]] = {}
    silent: dict[str, dict[str, list[str]]] = {}
    for strategy in question.strategies:
        for task in tasks:
            order = views.rank(strategy, task.task, task.models, question.seed)
            if isinstance(order, str):
                silent.setdefault(strategy, {}).setdefault(order, []).append(task.task)
            else:
                orders[strategy, task.task] = order
    return orders, silent


def _row(pool: str, task: _Task, strategy: str, budget: int, order: Sequence[Pick]) -> tuple[Row, Floats | None]:
    """One row of ``regret``, and its relative regret in every bootstrap sample."""
    chosen = order[:budget] if strategy != CHANCE else []
    places = [task.models.index(pick.model) for pick in chosen]
    mask = formulas.pick_mask([places], len(task.models)) if chosen else None
    best, reached, relative = _regret(task.medians, mask, budget)
    drawn = None if task.drawn is None else _regret(task.drawn[:, :, None], mask, budget)[2]
    low, high = interval(drawn)
    row: Row = {
        "pool": pool, "task": task.task, "strategy": strategy, "budget": budget,
        "picks": [pick.model for pick in chosen],
        "reasons": [pick.reason for pick in chosen] or ["the expectation over all draws"],
        "oracle_model": best_model(task.rows, task.models), "oracle": float(best[0]), "value": float(reached[0]),
        "regret": float(best[0] - reached[0]), "relative_regret": float(relative[0]), "low": low, "high": high,
        "models": len(task.models), "dropped": task.dropped,
        "cost_seconds": _cost(task, order, [pick.model for pick in chosen], budget),
    }  # fmt: skip
    return row, drawn


def _regret(table: Floats, mask: npt.NDArray[np.bool_] | None, budget: int) -> tuple[Floats, Floats, Floats]:
    """Oracle, value and relative regret for each [model, 1] slice of a table; without a mask, of a uniform draw."""
    best = formulas.oracle(table)
    if mask is None:
        return best, formulas.random_value(table, budget), formulas.random_relative_regret(table, budget)
    reached = formulas.value(table, np.broadcast_to(mask, table.shape[:2]))
    return best, reached, formulas.relative_regret(best, reached)


def best_model(rows: Mapping[str, Row], models: Sequence[str]) -> str:
    """The model with the highest accuracy; of equals the first by name."""
    return min(models, key=lambda name: (-rows[name]["accuracy"], name))


def _cost(task: _Task, order: Sequence[Pick], chosen: Sequence[str], budget: int) -> float | None:
    """Seconds to know what the strategy reads of the whole pool, and to fine-tune what it picks (a mean draw's)."""
    knowing = [pick.cost_seconds for pick in order]
    if any(seconds is None for seconds in knowing):
        return None
    tuning = [task.rows[name]["seconds"] for name in chosen or task.models]
    scale = 1.0 if chosen else budget / len(task.models)
    return sum(seconds or 0.0 for seconds in knowing) + scale * sum(seconds or 0.0 for seconds in tuning)


def _mean_row(pool: str, strategy: str, budget: int, rows: Sequence[Row], samples: Sequence[Floats], repeated: bool,
              seed: int) -> Row:  # fmt: skip
    relative = np.array([row["relative_regret"] for row in rows])
    drawn = np.stack(samples)  # [tasks, samples]
    draws = np.random.default_rng((seed, len(rows))).integers(len(rows), size=drawn.shape)
    low, high = interval(np.take_along_axis(drawn, draws, axis=0).mean(axis=0) if len(rows) > 1 or repeated else None)
    return {
        "pool": pool, "strategy": strategy, "budget": budget, "tasks": len(rows),
        "mean_regret": float(np.mean([row["regret"] for row in rows])), "mean_relative_regret": float(relative.mean()),
        "low": low, "high": high, "tasks_above_quarter": int((relative > 0.25).sum()),
        "tasks_at_zero": int((relative <= 1e-12).sum()),
    }  # fmt: skip


def interval(drawn: Floats | None) -> tuple[float | None, float | None]:
    """The central percentile interval of bootstrap samples; (None, None) when there are none."""
    if drawn is None or np.isnan(drawn).all():
        return None, None
    low, high = np.nanquantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def _resampled(rows: Mapping[str, Row], samples: int, seed: tuple[int, int]) -> dict[str, Floats] | None:
    """Model -> [S] medians over repeats drawn again with replacement, the same draw for all; None for one repeat."""
    repeats = max((len(row["repeats"]) for row in rows.values()), default=0)
    if repeats < 2:
        return None
    draws = np.random.default_rng(seed).integers(repeats, size=(samples, repeats))
    resampled = {}
    for name, row in rows.items():
        values = np.array([np.nan if value is None else value for value in row["repeats"]], dtype=np.float64)
        values = np.pad(values, (0, repeats - len(values)), constant_values=np.nan)[draws]
        there = ~np.isnan(values).all(axis=1)
        resampled[name] = np.full(samples, np.nan)
        resampled[name][there] = np.nanmedian(values[there], axis=1)
    return resampled
