"""What the bounds say of the models: scores made of them, and how these go with accuracy. Computes no formula itself.

A model's score on a task is minus the least bound over the references: each is a bound, so the least is one. Models are
compared at the caps that were named beforehand, and at the cap that loses least on the *other* tasks.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sweeps.settings import BOUND_TAUS
from sweeps.types import Row
from taskrel.correlation import correlation
from taskrel.tuning import elsewhere

Floats = npt.NDArray[np.float64]
TUNED, LEAST, LOSS = "relatedness_tuned", "relatedness_least", "relatedness_loss"
NAMES: Mapping[tuple[str, float], str] = {
    ("labelled", BOUND_TAUS[0]): "relatedness",
    ("labelled", BOUND_TAUS[1]): "relatedness_0.1",
    ("unlabelled", BOUND_TAUS[0]): "relatedness_unlabelled",
    ("released", BOUND_TAUS[0]): "relatedness_released",
}


def scores(bounds: Sequence[Row], accuracies: Iterable[Row], tasks: Sequence[str], models: Sequence[str]) -> list[Row]:
    """Rows like those of ``scores``, one per model, task and name of a bound as a score.

    Args:
        bounds: rows of ``bounds``.
        accuracies: rows of ``accuracies``, for the cap that is chosen on other tasks.
        tasks: T names.
        models: M names.
    """
    rows = []
    seconds = {(row["mode"], row["tau"], row["task"], row["model"]): row["seconds"] for row in bounds}
    for (mode, tau), name in NAMES.items():
        column = "reported" if mode == "released" else "total"
        table = _table([row for row in bounds if (row["mode"], row["tau"]) == (mode, tau)], column, tasks, models)
        took = {(task, model): seconds.get((mode, tau, task, model)) for task in tasks for model in models}
        rows += _rows(name, -table, tasks, models, took)
    first = [row for row in bounds if (row["mode"], row["tau"]) == ("labelled", BOUND_TAUS[0])]
    took = {(task, model): seconds.get(("labelled", BOUND_TAUS[0], task, model)) for task in tasks for model in models}
    rows += _rows(LOSS, -_table(first, "target_loss", tasks, models), tasks, models, took)
    found = [row for row in bounds if row["mode"] in ("labelled", "searched")]
    table = _table(found, "held_out", tasks, models)
    spent: dict[tuple[str, str], float] = {}
    for row in found:
        spent[row["task"], row["model"]] = spent.get((row["task"], row["model"]), 0.0) + (row["seconds"] or 0.0)
    rows += _rows(LEAST, -table, tasks, models, {(task, model): spent.get((task, model)) for task in tasks
                                                 for model in models})  # fmt: skip
    for task, tau in tuned_taus(bounds, accuracies, tasks, models).items():
        here = [row for row in bounds if (row["mode"], row["tau"], row["task"]) == ("labelled", tau, task)]
        # The cap is known only once all were tried.
        whole = {(task, model): _sum(seconds.get(("labelled", cap, task, model)) for cap in _taus(bounds))
                 for model in models}  # fmt: skip
        rows += _rows(TUNED, -_table(here, "total", [task], models), [task], models, whole)
    return rows


def tuned_taus(bounds: Sequence[Row], accuracies: Iterable[Row], tasks: Sequence[str], models: Sequence[str],
               ) -> dict[str, float]:  # fmt: skip
    """Task -> the cap that loses least on the other tasks."""
    taus = _taus(bounds)
    labelled = [[row for row in bounds if (row["mode"], row["tau"]) == ("labelled", tau)] for tau in taus]
    tables = [-_table(each, "total", tasks, models) for each in labelled]
    if not tables:
        return {}
    chosen = elsewhere(np.stack(tables), _reached(accuracies, tasks, models))
    return {task: taus[number] for task, number in zip(tasks, chosen, strict=True) if number >= 0}


def _taus(bounds: Iterable[Row]) -> list[float]:
    return sorted({row["tau"] for row in bounds if row["mode"] == "labelled"})


def agreement(found: Sequence[Row], linear: Sequence[Row], accuracies: Iterable[Row], tasks: Sequence[str],
              models: Sequence[str]) -> list[Row]:  # fmt: skip
    """How scores of bounds go with accuracy: per task over the models, and per model over the tasks.

    Args:
        found: what :func:`scores` gave.
        linear: rows of ``scores`` of the linear probe: its validation accuracy is that of linear probing.
        accuracies: rows of ``accuracies``, after fine-tuning.
        tasks, models: names.
    """
    against = {"fine-tuning": _reached(accuracies, tasks, models), "linear probe": _values(linear, tasks, models)}
    rows = []
    names = list(dict.fromkeys(row["proxy"] for row in found))
    columns = {name: _values([row for row in found if row["proxy"] == name], tasks, models) for name in names}
    if names and linear:
        columns["linear"] = against["linear probe"]
    for name, table in columns.items():
        for target, reached in against.items():
            if name == "linear" and target == "linear probe":
                continue
            for over, of, one, two in (("models", tasks, table, reached), ("tasks", models, table.T, reached.T)):
                rows += [_agreed(name, target, over, item, one[place], two[place]) for place, item in enumerate(of)]
    return [row for row in rows if row["compared"] > 2]


def _agreed(name: str, target: str, over: str, of: str, one: Floats, two: Floats) -> Row:
    found = {statistic: correlation(one, two, statistic).value for statistic in ("pearson", "weighted_tau")}
    both = int((~np.isnan(one) & ~np.isnan(two)).sum())
    return {"score": name, "against": target, "over": over, "of": of, "compared": both, **found}


def _table(rows: Iterable[Row], column: str, tasks: Sequence[str], models: Sequence[str]) -> Floats:
    """[T, M] the least over references; NaN where there is none."""
    places = ({name: place for place, name in enumerate(tasks)}, {name: place for place, name in enumerate(models)})
    table = np.full((len(tasks), len(models)), np.nan)
    for row in rows:
        if row[column] is not None and row["task"] in places[0] and row["model"] in places[1]:
            where = places[0][row["task"]], places[1][row["model"]]
            table[where] = np.fmin(table[where], row[column])
    return table


def _reached(accuracies: Iterable[Row], tasks: Sequence[str], models: Sequence[str]) -> Floats:
    return _table(accuracies, "accuracy", tasks, models)


def _values(rows: Iterable[Row], tasks: Sequence[str], models: Sequence[str]) -> Floats:
    return _table(rows, "value", tasks, models)


def _rows(name: str, table: Floats, tasks: Sequence[str], models: Sequence[str],
          seconds: Mapping[tuple[str, str], float | None]) -> list[Row]:  # fmt: skip
    return [
        {"job": None, "model": model, "task": task, "proxy": name, "value": float(table[t, m]),
         "values": [float(table[t, m])], "low": None, "high": None, "replicates": None,
         "seconds": seconds[task, model], "reason": None}
        for t, task in enumerate(tasks) for m, model in enumerate(models) if not np.isnan(table[t, m])
    ]  # fmt: skip


def _sum(numbers: Iterable[float | None]) -> float | None:
    known = list(numbers)
    return None if None in known or not known else float(sum(number or 0.0 for number in known))
