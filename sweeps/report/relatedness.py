"""What the bounds say of the models: scores made of them, and how these go with accuracy. Computes no formula itself.

A model's score on a task is what the least bound over the references lies below guessing: each is a bound, so the least
is one, and tasks of more classes are not further off for that. Models are compared at the caps that were named
beforehand, and at the cap that loses least on the *other* tasks.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sweeps.settings import BOUND_TAUS
from sweeps.types import Row
from taskrel.correlation import STATISTICS, correlation
from taskrel.tuning import elsewhere

Floats = npt.NDArray[np.float64]
LEAST = "relatedness_least"
# What a score is made of: rows of one mode at one cap, one column of them.
NAMES: Mapping[str, tuple[str, float, str]] = {
    "relatedness": ("labelled", BOUND_TAUS[0], "total"),
    "relatedness_0.1": ("labelled", BOUND_TAUS[1], "total"),
    "relatedness_logits": ("labelled", BOUND_TAUS[0], "logits"),
    "relatedness_aligned": ("aligned", BOUND_TAUS[0], "total"),
    "relatedness_aligned_0.1": ("aligned", BOUND_TAUS[1], "total"),
    "relatedness_unlabelled": ("unlabelled", BOUND_TAUS[0], "total"),
    "relatedness_released": ("released", BOUND_TAUS[0], "reported"),
    "relatedness_loss": ("labelled", BOUND_TAUS[0], "target_loss"),
}
TUNED = {"labelled": "relatedness_tuned", "aligned": "relatedness_aligned_tuned"}
PLAIN = ("linear", "logme", "hscore", "leep")  # the cheap alternatives that the bound is set beside


def scores(bounds: Sequence[Row], accuracies: Iterable[Row], tasks: Sequence[str], models: Sequence[str]) -> list[Row]:
    """Rows like those of ``scores``, one per model, task and name of a bound as a score.

    Args:
        bounds: rows of ``bounds``.
        accuracies: rows of ``accuracies``, for the cap that is chosen on other tasks.
        tasks: T names.
        models: M names.
    """
    rows, reached = [], list(accuracies)
    for name, (mode, tau, column) in NAMES.items():
        found = [row for row in bounds if (row["mode"], row["tau"]) == (mode, tau)]
        rows += _rows(name, _gains(found, column, tasks, models), tasks, models, _spent(found))
    found = [row for row in bounds if row["mode"] in ("labelled", "aligned", "searched")]
    rows += _rows(LEAST, _gains(found, "held_out", tasks, models), tasks, models, _spent(found))
    for mode, name in TUNED.items():
        tried = [row for row in bounds if row["mode"] == mode]
        for task, tau in tuned_taus(bounds, reached, tasks, models, mode).items():
            here = [row for row in tried if (row["tau"], row["task"]) == (tau, task)]
            # The cap is known only once all were tried.
            rows += _rows(name, _gains(here, "total", [task], models), [task], models, _spent(tried))
    return rows


def tuned_taus(bounds: Sequence[Row], accuracies: Iterable[Row], tasks: Sequence[str], models: Sequence[str],
               mode: str = "labelled") -> dict[str, float]:  # fmt: skip
    """Task -> the cap that loses least on the other tasks."""
    here = [row for row in bounds if row["mode"] == mode]
    taus = sorted({row["tau"] for row in here})
    tables = [_gains([row for row in here if row["tau"] == tau], "total", tasks, models) for tau in taus]
    if not tables:
        return {}
    chosen = elsewhere(np.stack(tables), _reached(accuracies, tasks, models))
    return {task: taus[number] for task, number in zip(tasks, chosen, strict=True) if number >= 0}


def _gains(rows: Iterable[Row], column: str, tasks: Sequence[str], models: Sequence[str]) -> Floats:
    """[T, M] nats that the least over references lies below what guessing by class frequency loses; negative: above."""
    known = [row for row in rows if row[column] is not None]
    return _table([{**row, column: row["trivial"] - row[column]} for row in known], column, tasks, models)


def _spent(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """(task, model) -> the seconds of all of these: a score needs every reference."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        found[row["task"], row["model"]] = found.get((row["task"], row["model"]), 0.0) + (row["seconds"] or 0.0)
    return found


def agreement(found: Sequence[Row], plain: Sequence[Row], accuracies: Iterable[Row], tasks: Sequence[str],
              models: Sequence[str]) -> list[Row]:  # fmt: skip
    """How scores of bounds, and of cheap alternatives, go with accuracy: per task over the models, and the other way.

    Args:
        found: what :func:`scores` gave.
        plain: rows of ``scores`` of :data:`PLAIN`; the linear probe's validation accuracy is that of linear probing.
        accuracies: rows of ``accuracies``, after fine-tuning.
        tasks, models: names.
    """
    rows, both = [], [*found, *plain] if found else []
    names = list(dict.fromkeys(row["proxy"] for row in both))
    columns = {name: _table([row for row in both if row["proxy"] == name], "value", tasks, models)
               for name in names}  # fmt: skip
    nothing = np.full((len(tasks), len(models)), np.nan)
    against = {"fine-tuning": _reached(accuracies, tasks, models), "linear probe": columns.get("linear", nothing)}
    for name, table in columns.items():
        for target, reached in against.items():
            if name == "linear" and target == "linear probe":
                continue
            for over, of, one, two in (("models", tasks, table, reached), ("tasks", models, table.T, reached.T)):
                rows += [_agreed(name, target, over, item, one[place], two[place]) for place, item in enumerate(of)]
    return [row for row in rows if row["compared"] > 2]


def _agreed(name: str, target: str, over: str, of: str, one: Floats, two: Floats) -> Row:
    found = {statistic: correlation(one, two, statistic).value for statistic in STATISTICS}
    both = int((~np.isnan(one) & ~np.isnan(two)).sum())
    return {"score": name, "against": target, "over": over, "of": of, "compared": both, **found}


def _table(rows: Iterable[Row], column: str, tasks: Sequence[str], models: Sequence[str]) -> Floats:
    """[T, M] the largest over references; NaN where there is none."""
    places = ({name: place for place, name in enumerate(tasks)}, {name: place for place, name in enumerate(models)})
    table = np.full((len(tasks), len(models)), np.nan)
    for row in rows:
        if row[column] is not None and row["task"] in places[0] and row["model"] in places[1]:
            where = places[0][row["task"]], places[1][row["model"]]
            table[where] = np.fmax(table[where], row[column])
    return table


def _reached(accuracies: Iterable[Row], tasks: Sequence[str], models: Sequence[str]) -> Floats:
    return _table(accuracies, "accuracy", tasks, models)


def _rows(name: str, table: Floats, tasks: Sequence[str], models: Sequence[str],
          seconds: Mapping[tuple[str, str], float]) -> list[Row]:  # fmt: skip
    return [
        {"job": None, "model": model, "task": task, "proxy": name, "value": float(table[t, m]),
         "values": [float(table[t, m])], "low": None, "high": None, "replicates": None,
         "seconds": seconds.get((task, model)), "reason": None}
        for t, task in enumerate(tasks) for m, model in enumerate(models) if not np.isnan(table[t, m])
    ]  # fmt: skip
