"""A proxy or strategy of the user's own on every cell of the shipped truth, beside all that are built in.

`bench_proxy` scores it as jobs of a sweep (features are embedded on first use and kept), `bench_strategy` asks it task
by task; both are judged by the replay of `sweeps regret`. Computes no formula.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from sweeps.errors import ConfigError, DataError
from sweeps.hands import Hands, How
from sweeps.output import claim
from sweeps.plan import measurements
from sweeps.progress import Display
from sweeps.replay import orders
from sweeps.replay.facts import Facts, read_facts
from sweeps.replay.judging import Asked, Replayed, replay
from sweeps.store import Store
from sweeps.tasks import registry as tasks_registry
from sweeps.truth import Truth
from sweeps.types import Job, Outcome, Row
from sweeps.zoo import registry as zoo_registry
from taskrel.strategies import TaskView
from taskrel.table import Labels, Table, build

Cell = tuple[str, str]


@dataclass(frozen=True)
class Benched:
    """One row per score or strategy, best first, and what was measured of the user's own.

    Args:
        name: what the user's own is called in the rows.
        rows: ``name``, ``own``, ``relative_regret_1`` and ``_2`` (fractions, mean over tasks, lower is better; B = 1
            and 2 models fine-tuned), ``tasks_at_zero`` (B = 1), and for scores ``weighted_tau`` and ``pearson`` with
            accuracy (mean over tasks, higher is better) and ``seconds`` (median of a cell).
        missing: cells on which the user's own has no score, as (task, model, reason).
        tables: all that the replay found.
    """

    name: str
    rows: Sequence[Row]
    missing: Sequence[tuple[str, str, str]]
    tables: Replayed


def bench_proxy(target: str, truth: Truth, out: Path, how: How, display: Display, *, bootstrap: int = 200) -> Benched:
    """The user's proxy on every cell of the truth.

    Args:
        target: "module:function", the function as docs/proxies.md describes it; found from the working directory.
        truth: what it is judged against.
        out: folder of the features and scores; what is embedded there already is not embedded again. Scores of the
            user's own are always measured again, since the function may have changed.
        how: executor and workers.
        display: told of the progress.
        bootstrap: samples behind the replay's intervals.

    Raises:
        ConfigError: when there is no such function.
        DataError: when it scored no cell at all, with its first reason; or the truth's models are not those shipped.
    """
    _find(target)
    name = target.partition(":")[2]
    jobs = _jobs(target, name, truth)
    scored, faults = _measured(jobs, out, how, display)
    values = {(row["task"], row["model"]): row for row in scored}
    missing = [(task, model, row["reason"] or "") for (task, model), row in values.items() if row["value"] is None]
    known = {cell: row["value"] for cell, row in values.items() if row["value"] is not None}
    if not known:
        raise DataError(f"{target} must score some cell of the truth, got none; the first reason: "
                        f"{[*faults, *(reason for _, _, reason in missing)][0]}")  # fmt: skip
    table, facts = table_of(truth, {_own(name): known})
    return _judged(_own(name), truth, table, facts, missing, bootstrap,
                   {_own(name): [row["seconds"] for row in values.values() if row["seconds"] is not None]})  # fmt: skip


def bench_strategy(target: str, truth: Truth, *, bootstrap: int = 200, seed: int = 0) -> Benched:
    """The user's strategy on every task of the truth.

    Args:
        target: "module:function"; ``function(view, seed)`` takes a `taskrel.strategies.TaskView` (candidates with
            their facts, all built-in scores, what other tasks taught; nothing of the task's own accuracies) and
            returns names of models, best first.

    Raises:
        ConfigError: when there is no such function.
        DataError: when it returns what is no order of the candidates.
    """
    function = _find(target)
    table, facts = table_of(truth)
    ground = orders.Ground(table.tasks, facts.candidates, table.accuracy, table.scores, facts.numbers)
    places = {candidate.model: place for place, candidate in enumerate(facts.candidates)}
    column: dict[Cell, float] = {}
    for place, task in enumerate(table.tasks):
        present = np.flatnonzero(~np.isnan(ground.means[place]))
        view = replace(orders.view(place, task, present, ground), accuracies=None)
        picked = _picked(target, function, view, seed)
        column |= {(task, model): -float(rank) for rank, model in enumerate(picked)}
        unasked = {facts.candidates[model].model for model in present.tolist()} - set(picked)
        # What it did not name comes last, all equal.
        column |= {(task, model): -float(len(places)) for model in unasked}
    name = _own(target.partition(":")[2])
    table, facts = table_of(truth, {name: column})
    return _judged(name, truth, table, facts, [], bootstrap, {})


def _own(name: str) -> str:
    """What the user's own is called: a name that none of the built-in ones has."""
    return f"{name} (yours)"


def _find(target: str) -> Callable[..., Any]:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module, _, attribute = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as fault:
        raise ConfigError(f"the function must be importable as module:function from here, got {target!r}: {fault}"
                          ) from None  # fmt: skip
    return found


def _picked(target: str, function: Callable[..., Any], view: TaskView, seed: int) -> list[str]:
    picked = list(function(view, seed))
    known = {candidate.model for candidate in view.candidates}
    wrong = [name for name in picked if name not in known]
    if wrong or len(set(picked)) < len(picked) or not picked:
        raise DataError(f"{target} must return names of the view's candidates, each once, got "
                        f"{wrong[0] if wrong else picked[:3]!r} on {view.task}")  # fmt: skip
    return picked


def _jobs(target: str, name: str, truth: Truth) -> tuple[Job, ...]:
    whole = truth.config
    config = whole.model_copy(update={
        "proxies": {_own(name): {"function": target}}, "finetune": None, "search": None, "bound": None,
        "head2toe": None, "task2vec": None,
    })  # fmt: skip
    wanted = dict(zip(truth.models["model"].to_pylist(), truth.models["revision"].to_pylist(), strict=True))
    models = [model for model in zoo_registry.resolve(config) if model.name in wanted]
    changed = [model.name for model in models if model.revision != wanted[model.name]]
    if changed or len(models) < len(wanted):
        lacking = sorted(set(wanted) - {model.name for model in models})
        raise DataError(f"the truth must be of the models that are shipped, got another {(changed or lacking)[0]!r}; "
                        "make truth measures it again")  # fmt: skip
    tasks = [task for task in tasks_registry.resolve(config)[0] if task.name in set(truth.tasks["task"].to_pylist())]
    return measurements(config, models, tasks)


def _measured(jobs: Sequence[Job], out: Path, how: How, display: Display) -> tuple[list[Row], list[str]]:
    """The rows of the scores, embedding first what is not embedded yet; and what made jobs fail."""
    store = Store(out)
    faults: list[str] = []
    fresh: set[str] = set()  # a job that fails leaves in the table what an earlier version of the function gave
    store.prepare()

    def settle(outcome: Outcome) -> None:
        store.append(outcome)
        display.settled(outcome)
        if outcome.ok:
            fresh.add(outcome.job["job"])
        else:
            faults.append(outcome.job["error"])

    asked = [job for job in jobs if job.kind == "score"]
    with claim(out, how.wait), Hands(store, how) as hands:
        hands.forget(asked)
        hands.run("bench", jobs, settle, display)
        display.close()
    store.compact()
    return store.rows("scores", [job.id for job in asked if job.id in fresh]), faults


def table_of(truth: Truth, own: Mapping[str, Mapping[Cell, float]] | None = None) -> tuple[Table, Facts]:
    """The truth as a table of accuracies, one number per repeat, with every score there is."""
    cells = truth.accuracies.filter(pc.invert(pc.equal(truth.accuracies["group"], "scratch"))).to_pylist()
    rows = [(row["task"], row["model"], repeat, value)
            for row in cells for repeat, value in enumerate(row["repeats"])]  # fmt: skip
    columns: dict[str, dict[Cell, float]] = {}
    for row in truth.scores.to_pylist():
        if row["value"] is not None:
            columns.setdefault(row["proxy"], {})[row["task"], row["model"]] = row["value"]
    tasks, models, repeats, accuracy = zip(*rows, strict=True)
    scores = {}
    for name, column in {**columns, **(own or {})}.items():
        values = np.array([column.get((task, model), np.nan) for task, model, _, _ in rows])
        scores[name] = np.ma.MaskedArray(np.nan_to_num(values), mask=np.isnan(values))
    table = build(Labels.of(tasks), Labels.of(models), np.ma.MaskedArray(accuracy), repeats=Labels.of(repeats),
                  scores=scores)  # fmt: skip
    return table, read_facts(table, truth.folder / "models.parquet")


def _judged(name: str, truth: Truth, table: Table, facts: Facts, missing: Sequence[tuple[str, str, str]],
            bootstrap: int, seconds: dict[str, list[float]]) -> Benched:  # fmt: skip
    own_facts = replace(facts, pools={"all": facts.pools["all"]})
    asked = Asked(("agnostic", *table.scores, "hybrid_linear", "random"), budgets=(1, 2), bootstrap=bootstrap)
    found = replay(table, own_facts, asked)
    agreed = {row["proxy"]: row for row in found.tables["proxies"]}
    for row in truth.scores.to_pylist():
        if row["seconds"] is not None:
            seconds.setdefault(row["proxy"], []).append(row["seconds"])
    by_name: dict[str, Row] = {}
    for row in found.tables["strategies"]:
        mine = by_name.setdefault(row["strategy"], {"name": row["strategy"], "own": row["strategy"] == name})
        mine[f"relative_regret_{row['budget']}"] = row["mean_relative_regret"]
        if row["budget"] == 1:
            mine["tasks_at_zero"] = row["tasks_at_zero"]
    for each, row in by_name.items():
        row |= {key: agreed.get(each, {}).get(key) for key in ("weighted_tau", "pearson")}
        row["seconds"] = float(np.median(seconds[each])) if each in seconds else None
    last = float("inf")
    rows = sorted(by_name.values(), key=lambda row: (row.get("relative_regret_1", last), row["name"]))
    return Benched(name, rows, missing, found)


def show(benched: Benched) -> list[tuple[str, ...]]:
    """The rows as text, headings first: regrets in per cent, milliseconds per cell."""
    head = ("", "regret B=1, %", "B=2, %", "tasks solved", "weighted tau", "Pearson", "ms")
    lines: list[tuple[str, ...]] = [head]
    for row in benched.rows:
        lines.append((
            ("> " if row["own"] else "  ") + row["name"], _number(row.get("relative_regret_1"), 100, 1),
            _number(row.get("relative_regret_2"), 100, 1), str(row.get("tasks_at_zero", "")),
            _number(row["weighted_tau"], 1, 2), _number(row["pearson"], 1, 2), _number(row["seconds"], 1000, 1),
        ))  # fmt: skip
    return lines


def _number(value: float | None, scale: float, digits: int) -> str:
    return "" if value is None else f"{scale * value:.{digits}f}"
