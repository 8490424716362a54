"""A replay for the eye, for another program, and as files. Computes nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Shown

from sweeps.errors import OutputError
from sweeps.replay.judging import Replayed
from sweeps.types import Row
from taskrel.table import Table

_TEXT = ("versus", "reason", "oracle_model")
_WORST = 14  # letters of a task's name


def show(console: Console, table: Table, found: Replayed, out: Path | None = None) -> None:
    """Print what was read, one ranked table per pool, and the notes."""
    tasks, models, repeats = table.accuracy.shape
    scores = f", scores: {', '.join(table.scores)}" if table.scores else ""
    _say(console, f"{tasks} tasks x {models} models x {repeats} repeat{'s' if repeats > 1 else ''}{scores}")
    for pool in dict.fromkeys(row["pool"] for row in found.tables["strategies"]):
        _pool(console, pool, found)
    for note in found.notes:
        _say(console, f"- {note}")
    if out is not None:
        _say(console, f"tables: {out}/{{{','.join(found.tables)}}}.parquet and .csv")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _pool(console: Console, pool: str, found: Replayed) -> None:
    rows = [row for row in found.tables["strategies"] if row["pool"] == pool]
    judged = [row for row in found.tables["tasks"] if row["pool"] == pool and row["oracle_model"]]
    winners = len({row["oracle_model"] for row in judged})
    budgets = sorted({row["budget"] for row in rows})
    first = next((b for b in budgets if len({row["strategy"] for row in rows if row["budget"] == b})
                  == len({row["strategy"] for row in rows})), budgets[0])  # fmt: skip
    versus = next((row["versus"] for row in rows if row["budget"] == first and row["versus"]), None)
    compared = f"; p: paired against {versus}, Holm" if versus else ""
    _say(console, f"\npool {pool}: {rows[0]['models']} models, {winners} of them best on some of {len(judged)} tasks. "
                  f"Mean relative regret in per cent by budget, ordered at B={first} [95%]{compared}")  # fmt: skip
    shown = Shown(box=None, pad_edge=False)
    for head in ("strategy", *(f"B={budget}" for budget in budgets), "zero", ">25%", "worst", "p"):
        shown.add_column(head, no_wrap=True)
    by_name: dict[str, dict[int, Row]] = {}
    for row in rows:
        by_name.setdefault(row["strategy"], {})[row["budget"]] = row
    for name, own in sorted(by_name.items(), key=lambda item: _place(item[1], first)):
        numbers = [_within(own.get(budget), budget == first) for budget in budgets]
        shown.add_row(*(escape(text) for text in (name, *numbers, *_rest(own.get(first)))))
    # A pipe is as wide as its longest line; a narrow terminal cuts, and --json or --out has it all.
    (console if console.is_terminal else Console(file=console.file, width=150)).print(shown)


def _rest(row: Row | None) -> list[str]:
    """How many tasks are solved, how many are bad, the worst, and the p-value."""
    if row is None:
        return [""] * 4
    return [f"{row['tasks_at_zero']}/{row['tasks']}", str(row["tasks_above_quarter"]),
            f"{_percent(row['worst'])} {row['worst_task'][:_WORST]}",
            "" if row["p_holm"] is None else f"{row['p_holm']:.3f}"]  # fmt: skip


def _place(own: dict[int, Row], first: int) -> tuple[bool, float]:
    """The order of the table: less regret first, strategies without a number last."""
    row = own.get(first)
    return row is None, row["mean_relative_regret"] if row else 0.0


def _within(row: Row | None, interval: bool) -> str:
    if row is None:
        return ""
    known = interval and row["low"] is not None
    ends = f" [{_percent(row['low'])}, {_percent(row['high'])}]" if known else ""
    return _percent(row["mean_relative_regret"]) + ends


def _percent(value: float) -> str:
    return f"{round(100 * value, 1) + 0.0:.1f}"  # + 0.0: no minus before a rounded zero


def to_json(table: Table, found: Replayed) -> str:
    """Everything, as one JSON object; missing is null."""
    tasks, models, repeats = table.accuracy.shape
    content: dict[str, Any] = {"table": {"tasks": tasks, "models": models, "repeats": repeats,
                                         "scores": list(table.scores)}}  # fmt: skip
    return json.dumps(content | found.tables | {"notes": found.notes}, allow_nan=False)


def write(out: Path, found: Replayed) -> None:
    """Write every table as Parquet and CSV, and the notes.

    Raises:
        OutputError: when the folder cannot be written.
    """
    from sweeps.parquet import write_parquet

    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, rows in found.tables.items():
            write_parquet(out / f"{name}.parquet", _typed(pa.Table.from_pylist(rows)))
            pa_csv.write_csv(pa.Table.from_pylist([_flat(row) for row in rows]), out / f"{name}.csv")
        (out / "notes.txt").write_text("".join(f"{note}\n" for note in found.notes), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the folder {out} must be writable, got: {error.strerror}") from None


def _typed(data: pa.Table) -> pa.Table:
    """Columns without any value as what they would hold: text or real numbers."""
    for place, column in enumerate(data.schema):
        if pa.types.is_null(column.type):
            kind = pa.string() if column.name in _TEXT else pa.float64()
            data = data.set_column(place, column.name, data[column.name].cast(kind))
    return data


def _flat(row: Row) -> Row:
    """Picks as one text, which CSV can hold."""
    return {key: ";".join(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
            for key, value in row.items()}  # fmt: skip
