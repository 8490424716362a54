"""The tables of a replay: every pool, strategy and budget of a dense table. Every formula is ``taskrel``'s."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sweeps import hits
from sweeps.errors import ConfigError
from sweeps.replay import orders
from sweeps.replay.facts import ALL, Facts
from sweeps.replay.orders import Ground
from sweeps.types import Row
from taskrel.agreement import Agreement, agreement
from taskrel.bootstrap import Draws, draw
from taskrel.columns import ranks_by_task
from taskrel.paired import Paired, paired
from taskrel.panel import CHANCE, Panel, judge
from taskrel.regret import delta, nanmean
from taskrel.table import Table

Floats = npt.NDArray[np.float64]
BUDGETS = (1, 2, 3, 5, 10)
COMPARED = ("versus", "difference", "difference_low", "difference_high", "mean_delta", "wins", "losses", "p_value",
            "p_holm")  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What a replay is asked for.

    Args:
        strategies: names, or none for all that the table allows, which ``all`` among others stands for; the baselines
            come with either.
        budgets: numbers of models to fine-tune; those larger than a pool are left out there.
        against: the strategy that the others are compared with, or None for the best of them.
        bootstrap: samples behind an interval.
        seed: of everything random.
        test_size: test examples behind each accuracy, which bounds the log odds.
    """

    strategies: tuple[str, ...] = ()
    budgets: tuple[int, ...] = BUDGETS
    against: str | None = None
    bootstrap: int = 1000
    seed: int = 0
    test_size: int | None = None


@dataclass
class Replayed:
    """The tables by name, and what was left out of them."""

    tables: dict[str, list[Row]] = field(
        default_factory=lambda: {name: [] for name in ("tasks", "strategies", "regret", "proxies", "budgets", "solved",
                                                       "correlations")}
    )  # fmt: skip
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Judged:
    """One pool with its columns and panel."""

    pool: str
    ground: Ground
    columns: Mapping[str, Floats]
    panel: Panel


def replay(table: Table, facts: Facts, asked: Asked) -> Replayed:
    """Judge every strategy in every pool.

    Raises:
        ConfigError: for an unknown strategy, a budget below 1, or no budget that fits a pool.
    """
    if not asked.budgets or min(asked.budgets) < 1:
        raise ConfigError(f"budgets must be at least 1, got {list(asked.budgets)}")
    result = Replayed()
    whole = _ground(table, facts, np.ones(len(table.models), dtype=bool))
    names = orders.named(asked.strategies, whole)
    orders.check([*names, *([asked.against] if asked.against else [])], whole)
    names = tuple(dict.fromkeys([*(name for name in names if name != CHANCE), *orders.baselines(whole)]))
    draws = draw(len(table.tasks), table.accuracy.shape[2], samples=asked.bootstrap, seed=asked.seed)
    for pool, members in facts.pools.items():
        ground = whole if members.all() else _ground(table, facts, members)
        judged = _judge(pool, ground, names, asked, draws, result)
        if judged is None:
            continue
        result.tables["tasks"] += _tasks(judged)
        result.tables["regret"] += _regret(judged)
        result.tables["strategies"] += _strategies(judged, asked, result)
        least = {name: orders.least_budget(name) for name in judged.columns}
        result.tables["budgets"] += hits.budgets(pool, table.tasks, ground.means, judged.columns)
        result.tables["solved"] += hits.solved(pool, ground.means, judged.columns, least)
        _agreements(judged, asked, result)
    result.notes += [*_repeats(table), *_chosen(asked), *_ties(result.tables["strategies"])]
    return result


def _ground(table: Table, facts: Facts, members: npt.NDArray[np.bool_]) -> Ground:
    return Ground(
        table.tasks, [one for one, there in zip(facts.candidates, members, strict=True) if there],
        table.accuracy[:, members], {name: values[:, members] for name, values in table.scores.items()},
        {name: values[members] for name, values in facts.numbers.items()},
    )  # fmt: skip


def _judge(pool: str, ground: Ground, names: Sequence[str], asked: Asked, draws: Draws,
           result: Replayed) -> _Judged | None:  # fmt: skip
    size = len(ground.candidates)
    budgets = [budget for budget in dict.fromkeys(asked.budgets) if budget <= size]
    large = [str(budget) for budget in asked.budgets if budget > size]
    if large:
        result.notes.append(
            f"budget {', '.join(large)} is left out in pool {pool}: it has only {_count(size, 'model')}"
        )
    if not budgets:
        return None
    if not ranks_by_task(ground.means):
        result.notes.append(f"{orders.RANK} in pool {pool} also counts models that are missing on the task itself: "
                            "too many gaps to rank anew for each")  # fmt: skip
    columns: dict[str, Floats] = {}
    for name in names:
        found = orders.column(name, ground, asked.seed)
        if isinstance(found, str):
            result.notes.append(f"strategy {name} is left out in pool {pool}: {found}")
        else:
            columns[name] = found
    panel = judge(ground.accuracy, columns, budgets=budgets, draws=draws, test_size=asked.test_size,
                  stopping=[name for name in columns if orders.stops(name)])  # fmt: skip
    silent: dict[tuple[str, ...], list[str]] = {}
    for place, name in enumerate(columns):
        tasks = [task for task, there, picked in zip(ground.tasks, panel.models, panel.picks[place, :, 0], strict=True)
                 if there and picked < 0]  # fmt: skip
        if tasks:
            silent.setdefault(tuple(tasks), []).append(name)
    for where, silenced in silent.items():
        result.notes.append(f"no model of pool {pool} has a score on {_listing(where)}: nothing there of "
                            f"{_listing(silenced, 12)}")  # fmt: skip
    if panel.clipped.any():
        result.notes.append(f"log odds in pool {pool} needed clipping in {int(panel.clipped.any(axis=(0, 1)).sum())} "
                            "tasks, where an accuracy is 0 or 1")  # fmt: skip
    if not panel.chance_runs:
        result.notes.append(f"the interval of {CHANCE} in pool {pool} is over tasks only: there are too many models")
    return _Judged(pool, ground, columns, panel)


def _names(judged: _Judged) -> list[str]:
    return [candidate.model for candidate in judged.ground.candidates]


def _tasks(judged: _Judged) -> list[Row]:
    """What there is to win: the best, the middle and the worst model of a task."""
    names, panel, means = _names(judged), judged.panel, judged.ground.means
    rows = []
    for place, task in enumerate(judged.ground.tasks):
        known = means[place][~np.isnan(means[place])]
        middle, worst = (float(np.median(known)), float(known.min())) if len(known) else (None, None)
        rows.append({
            "pool": judged.pool, "task": task, "models": int(panel.models[place]),
            "dropped": len(names) - int(panel.models[place]),
            "oracle_model": names[panel.winner[place]] if len(known) else None, "oracle": _real(panel.oracle[place]),
            "best_models": int((known == panel.oracle[place]).sum()),
            "median": middle, "worst": worst,
        })  # fmt: skip
    return rows


def _cells(judged: _Judged) -> list[tuple[int, str, int, int]]:
    """(place, strategy, place, budget) of every strategy at every budget at which it is defined."""
    return [(s, name, b, budget) for s, name in enumerate(judged.panel.strategies)
            for b, budget in enumerate(judged.panel.budgets) if budget >= orders.least_budget(name)]  # fmt: skip


def _regret(judged: _Judged) -> list[Row]:
    names, panel = np.array(_names(judged), dtype=object), judged.panel
    rows: list[Row] = []
    for s, strategy, b, budget in _cells(judged):
        for t in np.flatnonzero(~np.isnan(panel.relative[s, b])).tolist():
            low, high = panel.relative_ends[s, b, t]
            rows.append({
                "pool": judged.pool, "task": judged.ground.tasks[t], "strategy": strategy, "budget": budget,
                "picks": names[[place for place in panel.picks[s, t, :budget] if place >= 0]].tolist(),
                "tied": int(panel.tied[s, b, t]), "oracle_model": names[panel.winner[t]],
                "oracle": float(panel.oracle[t]), "value": float(panel.value[s, b, t]),
                "regret": float(panel.absolute[s, b, t]), "regret_low": _real(panel.absolute_ends[s, b, t, 0]),
                "regret_high": _real(panel.absolute_ends[s, b, t, 1]),
                "relative_regret": float(panel.relative[s, b, t]), "low": _real(low), "high": _real(high),
                "log_odds": float(panel.log_odds[s, b, t]), "clipped": bool(panel.clipped[s, b, t]),
                "models": int(panel.models[t]), "dropped": len(names) - int(panel.models[t]),
            })  # fmt: skip
    return rows


def _strategies(judged: _Judged, asked: Asked, result: Replayed) -> list[Row]:
    panel, rows = judged.panel, []
    tests = {b: _against(judged, b, asked, result) for b in range(len(panel.budgets))}
    for s, strategy, b, budget in _cells(judged):
        relative = panel.relative[s, b]
        if np.isnan(relative).all():
            continue
        worst = int(np.nanargmax(relative))
        rows.append({
            "pool": judged.pool, "models": len(judged.ground.candidates), "strategy": strategy,
            "kind": orders.kind(strategy, judged.ground), "budget": budget, "tasks": int(panel.judged[s, b]),
            "mean_regret": float(panel.mean_absolute[s, b]), "regret_low": _real(panel.mean_absolute_ends[s, b, 0]),
            "regret_high": _real(panel.mean_absolute_ends[s, b, 1]),
            "mean_relative_regret": float(panel.mean_relative[s, b]), "low": _real(panel.mean_ends[s, b, 0]),
            "high": _real(panel.mean_ends[s, b, 1]), "runs_low": _real(panel.runs_ends[s, b, 0]),
            "runs_high": _real(panel.runs_ends[s, b, 1]), "mean_log_odds": float(panel.mean_log_odds[s, b]),
            "tasks_at_zero": int(panel.at_zero[s, b]), "tasks_above_quarter": int(panel.above_quarter[s, b]),
            "worst": float(relative[worst]), "worst_task": judged.ground.tasks[worst],
            "tasks_tied": 0 if strategy == CHANCE else int((panel.tied[s, b] > 1).sum()), **tests[b][s],
        })  # fmt: skip
    return rows


def _against(judged: _Judged, b: int, asked: Asked, result: Replayed) -> dict[int, Row]:
    """The columns of the paired comparison at one budget, by the place of the strategy."""
    panel, budget = judged.panel, judged.panel.budgets[b]
    means = panel.mean_relative[:, b]
    able = [s for s, name in enumerate(panel.strategies)
            if budget >= orders.least_budget(name) and not np.isnan(means[s])]  # fmt: skip
    named = [s for s in able if panel.strategies[s] == asked.against]
    rivals = [s for s in able if orders.kind(panel.strategies[s], judged.ground) not in ("reference", "random")]
    nothing = dict.fromkeys(range(len(panel.strategies)), dict.fromkeys(COMPARED))
    if asked.against and not named:
        result.notes.append(f"nothing is compared in pool {judged.pool} with budget {budget}: no {asked.against} there")
    if not named and (asked.against or not rivals):
        return nothing
    # On equal means the strategy that is judged on more tasks, then the first.
    reference = named[0] if named else min(rivals, key=lambda s: (means[s], -panel.judged[s, b], s))
    others = [s for s in able if s != reference]
    found = paired(panel.relative[others, b], panel.relative[reference, b], samples=asked.bootstrap, seed=asked.seed)
    lead = nanmean(delta(panel.value[others, b], panel.value[reference, b]))
    return nothing | {s: _compared(panel.strategies[reference], found, place, lead[place])
                      for place, s in enumerate(others) if found.tasks[place]}  # fmt: skip


def _compared(reference: str, found: Paired, place: int, lead: float) -> Row:
    real = (found.difference[place], *found.ends[place], lead)
    return dict(zip(COMPARED, (reference, *map(_real, real), int(found.wins[place]), int(found.losses[place]),
                               float(found.p_value[place]), float(found.adjusted[place])), strict=True))  # fmt: skip


def _agreements(judged: _Judged, asked: Asked, result: Replayed) -> None:
    """Rows of ``proxies``; and of ``correlations``, for all models only."""
    panel = judged.panel
    for place, (name, column) in enumerate(judged.columns.items()):
        if orders.kind(name, judged.ground) not in ("score", "static", "elsewhere"):
            continue
        means = judged.ground.means
        found = agreement(np.broadcast_to(column, means.shape), means, samples=asked.bootstrap, seed=asked.seed)
        missing = ~np.isnan(means) & np.isnan(column)
        result.tables["proxies"].append({
            "pool": judged.pool, "proxy": name, "kind": orders.kind(name, judged.ground), "tasks": found.tasks,
            **_means(found), "tau_floor": found.floor, "missing": int(missing.sum()), "flat": found.flat,
            **{f"relative_regret_{budget}": _real(panel.mean_relative[place, b])
               for b, budget in enumerate(panel.budgets) if b < 2},
        })  # fmt: skip
        if judged.pool == ALL:
            result.tables["correlations"] += _correlations(judged.ground.tasks, name, found)


def _means(found: Agreement) -> Row:
    row: Row = {}
    for name, mean in found.mean.items():
        low, high = found.ends[name] or (None, None)
        row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return row


def _correlations(tasks: Sequence[str], name: str, found: Agreement) -> list[Row]:
    rows = []
    for t, task in enumerate(tasks):
        each = {statistic: values[t] for statistic, values in found.each.items()}
        reasons = dict.fromkeys(one.reason for one in each.values() if one.reason)
        rows.append({"task": task, "proxy": name, "models": max(one.models for one in each.values()),
                     **{statistic: one.value for statistic, one in each.items()},
                     "reason": "; ".join(reasons) or None})  # fmt: skip
    return rows


def _repeats(table: Table) -> list[str]:
    repeats = table.accuracy.shape[2]
    if repeats == 1:
        return ["one accuracy per cell: intervals are over the tasks, and say nothing of the luck of a fine-tuning"]
    few = " With so few repeats they are a lower bound on the uncertainty." if repeats <= 5 else ""
    return [f"{repeats} repeats: intervals of a task draw its repeats again, those of means the tasks too.{few}"]


def _chosen(asked: Asked) -> list[str]:
    return [] if asked.against else ["strategies are compared with the best one, which is known only afterwards: the "
                                     "p-values describe; name a strategy beforehand (--against) to test"]  # fmt: skip


def _ties(rows: Sequence[Row]) -> list[str]:
    tied = sorted({row["strategy"] for row in rows if row["tasks_tied"]})
    return [f"equal scores are picked by name, where a budget cuts through them: {_listing(tied, 8)} (columns tied, "
            "tasks_tied)"] if tied else []  # fmt: skip


def _real(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _listing(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
