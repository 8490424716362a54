"""Two sweeps side by side (``sweeps compare A B``): what changed in answers, accuracies, scores, regret and cost.

Only cells that both have are compared, B minus A; a mean difference has the interval and the sign-flip test of
:mod:`taskrel.paired`, over the cells. What only one has is counted, not guessed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table as Shown
from rich.text import Text

from sweeps import mirror
from sweeps.errors import OutputError
from sweeps.report import words
from sweeps.store import Store
from sweeps.types import Row
from taskrel.paired import paired

MOST_LINES = 20
Cells = Mapping[tuple[str, ...], float]
Tables = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Answer:
    """What the two say of one task; None where one says nothing."""

    task: str
    model: tuple[str | None, str | None]
    learning_rate: tuple[float | None, float | None]
    test_accuracy: tuple[float | None, float | None]
    picks: tuple[Sequence[str], Sequence[str]]

    @property
    def same(self) -> bool:
        """Whether one would do the same."""
        return self.model[0] == self.model[1] and self.learning_rate[0] == self.learning_rate[1]


@dataclass(frozen=True)
class Change:
    """How one number changed over the cells that both have.

    ``difference`` is the mean of B minus A, with its interval over resampled cells; ``p_value`` of a sign-flip test.
    ``unit`` says how it is written: share, points, real or seconds. ``only`` are cells that one has and the other not.
    """

    what: str
    of: str
    unit: str
    cells: int
    changed: int
    before: float | None
    after: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    only: tuple[int, int]


@dataclass(frozen=True)
class Comparison:
    """All that changed between two sweeps."""

    answers: Sequence[Answer]
    changes: Sequence[Change]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"answers": [asdict(row) | {"same": row.same} for row in self.answers],
                "changes": [asdict(row) for row in self.changes]}  # fmt: skip


def compare(one: Path, two: Path, *, samples: int = 2000, seed: int = 0) -> Comparison:
    """What changed from the sweep in folder ``one`` to the one in ``two``.

    Args:
        one, two: output folders whose derived tables are there.
        samples: resamples of cells behind an interval.
        seed: of the resampling.

    Raises:
        OutputError: when a folder holds no derived tables.
    """
    before, after = _open(one), _open(two)
    changes: list[Change] = []
    for what, table, key, value, group, unit in _NUMBERS:
        cells = [_cells(tables[table], key, value, group) for tables in (before, after)]
        for of in dict.fromkeys([*cells[0], *cells[1]]):
            here = [found.get(of, {}) for found in cells]
            changes.append(_change(what, of, unit, here[0], here[1], samples=samples, seed=seed))
    return Comparison(_answers(before, after), changes)


def _by_kind(row: Row) -> str:
    return str(row["kind"])


def _by_strategy(row: Row) -> str:
    return f"{row['pool']}: {words.strategy(row['strategy'])}, {words.count(row['budget'], 'model')}"


def _by_proxy(row: Row) -> str:
    return words.proxy(row["proxy"])


# what, table, the columns that name a cell, the number, what it is grouped by, how it is written
_NUMBERS: Sequence[tuple[str, str, Sequence[str], str, Callable[[Row], str], str]] = (
    ("accuracy", "accuracies", ("task", "model"), "accuracy", lambda _: "all cells", "share"),
    ("relative regret", "regret", ("task",), "relative_regret", _by_strategy, "share"),
    ("score", "scores", ("task", "model"), "value", _by_proxy, "real"),
    ("cost", "jobs", ("kind", "model", "task"), "seconds", _by_kind, "seconds"),
)


def _open(out: Path) -> Tables:
    store = Store(out)
    if not store.folder.is_dir() or not store.rows("answer"):
        raise OutputError(f"a compared folder must hold a reported sweep, got {out}; run 'sweeps report' on it first")
    return {**mirror.read(store).tables, "regret": store.rows("regret"), "answer": store.rows("answer")}


def _cells(rows: Iterable[Row], key: Sequence[str], value: str, group: Callable[[Row], str],
           ) -> dict[str, dict[tuple[str, ...], float]]:  # fmt: skip
    """Group -> cell -> number; several rows of a cell, such as the fine-tunings of a model, are added up."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for row in rows:
        if row[value] is not None:
            cells = found.setdefault(group(row), {})
            cell = tuple(str(row[column]) for column in key)
            cells[cell] = cells.get(cell, 0.0) + row[value]
    return found


def _change(what: str, of: str, unit: str, one: Cells, two: Cells, *, samples: int, seed: int) -> Change:
    both = [cell for cell in one if cell in two]
    only = (len(one) - len(both), len(two) - len(both))
    if not both:
        return Change(what, of, unit, 0, 0, None, None, None, None, None, None, only)
    first, second = np.array([one[cell] for cell in both]), np.array([two[cell] for cell in both])
    judged = paired(second[None], first, samples=samples, seed=seed)
    low, high = (None if np.isnan(end) else float(end) for end in judged.ends[0])
    return Change(what, of, unit, len(both), int((first != second).sum()), float(first.mean()), float(second.mean()),
                  float(judged.difference[0]), low, high, float(judged.p_value[0]), only)  # fmt: skip


def _answers(one: Tables, two: Tables) -> list[Answer]:
    found = [{row["task"]: row for row in tables["answer"]} for tables in (one, two)]
    rows = []
    for task in dict.fromkeys([*found[0], *found[1]]):
        sides = [side.get(task) for side in found]
        model, rate, accuracy = (tuple(side and side[name] for side in sides)
                                 for name in ("model", "learning_rate", "test_accuracy"))  # fmt: skip
        picks = tuple(list((side and side["picks"]) or ()) for side in sides)
        rows.append(Answer(task, model, rate, accuracy, picks))  # type: ignore[arg-type]
    return rows


def show(console: Console, found: Comparison, one: Path, two: Path) -> None:
    """Print a comparison: answers that changed, then every number, B minus A."""
    console.print(Text(f"A: {one}\nB: {two}"), soft_wrap=True)
    changed = [row for row in found.answers if not row.same]
    console.print(f"{words.count(len(changed), 'answer')} of {len(found.answers)} changed", style="bold")
    for row in changed[:MOST_LINES]:
        console.print(Text(f" {words.printable(row.task)}: {_answer(row, 0)} -> {_answer(row, 1)}"), soft_wrap=True)
    repicked = [row.task for row in found.answers if set(row.picks[0]) != set(row.picks[1])]
    if repicked:
        console.print(Text(f"other models were picked for {words.listing(map(words.printable, repicked))}"))
    for what in dict.fromkeys(row.what for row in found.changes):
        console.print(_table(what, [row for row in found.changes if row.what == what]))


def _answer(row: Answer, side: int) -> str:
    if row.model[side] is None:
        return words.MISSING
    return (f"{words.printable(str(row.model[side]))} at {words.rate(row.learning_rate[side])} "
            f"({words.percent(row.test_accuracy[side])})")  # fmt: skip


def _table(what: str, rows: Iterable[Change]) -> Shown:
    table = Shown(title=f"{what}, B minus A", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
                  pad_edge=False)  # fmt: skip
    for number, heading in enumerate(("of", "A", "B", "difference", "p", "changed", "cells")):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        lone = f" (+{row.only[0]} A, +{row.only[1]} B)" if any(row.only) else ""
        table.add_row(Text(words.printable(row.of)), _number(row.before, row.unit), _number(row.after, row.unit),
                      difference(row), words.real(row.p_value), f"{row.changed:,}", f"{row.cells:,}{lone}")  # fmt: skip
    return table


def _number(value: float | None, unit: str) -> str:
    if unit == "share":
        return words.percent(value)
    return words.duration(value) if unit == "seconds" else words.real(value)


def difference(row: Change) -> str:
    """A difference with its interval: points of a share, seconds, or plain."""
    if row.unit == "share":
        return f"{words.points(row.difference)} {words.interval(row.low, row.high)}".rstrip()
    return words.real_within(row.difference, row.low, row.high) + " s" * (row.unit == "seconds")
