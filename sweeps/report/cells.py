"""From fine-tuning runs to one accuracy per (model, task), by the study's protocol. Knows no pool and no strategy.

Within a repeat the learning rate with the higher validation accuracy speaks, and only then is its test accuracy looked
at; the cell's accuracy is the median over repeats. A learning rate that diverged loses against any that did not.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from sweeps.report.words import count
from sweeps.types import Row

GRID_KIND = "finetune"


class Cell(NamedTuple):
    """Where an accuracy stands: one model on one task."""

    model: str
    task: str

    @classmethod
    def of(cls, row: Row) -> "Cell":
        """The cell that a row of any table belongs to."""
        return cls(row["model"], row["task"])


@dataclass
class Cells:
    """The accuracies with what is not there.

    ``apart`` are cells that were never to be fine-tuned, on tasks on which others were; ``waiting`` those with a
    planned run that nobody has tried yet, ``broken`` those in which a run failed,
    ``diverged`` those in which every run diverged.
    """

    rows: list[Row] = field(default_factory=list)
    apart: list[Cell] = field(default_factory=list)
    waiting: list[Cell] = field(default_factory=list)
    broken: list[Cell] = field(default_factory=list)
    diverged: list[Cell] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def incomplete(self) -> set[Cell]:
        """Cells without a row."""
        return {*self.waiting, *self.broken}

    def unfinished(self, models: Collection[str]) -> set[str]:
        """Tasks on which one of these models was not tried, yet or at all: the best of half a pool is no oracle."""
        return {cell.task for cell in (*self.waiting, *self.apart) if cell.model in models}


def accuracies(runs: Iterable[Row], plan: Iterable[Row], tried: Collection[str], models: Iterable[Row]) -> Cells:
    """The accuracy of every complete cell of the grid.

    Args:
        runs: rows of ``runs``; those whose origin is not ``grid`` are passed over.
        plan: rows of ``plan``; they say which cells exist and which jobs each must have.
        tried: the jobs that ended, well or not.
        models: rows of ``models``, for the group.

    Returns:
        Rows of ``accuracies`` ordered by task and model. A cell in which every run diverged is a row without an
        accuracy; a cell that lacks a planned run is no row.
    """
    groups, plan = {row["model"]: row["group"] for row in models}, list(plan)
    by_cell: dict[Cell, list[Row]] = defaultdict(list)
    for row in runs:
        if row["origin"] == "grid":
            by_cell[Cell.of(row)].append(row)
    planned: dict[Cell, set[str]] = defaultdict(set)
    for row in plan:
        if row["kind"] == GRID_KIND:
            planned[Cell.of(row)].add(row["job"])
    met = {Cell.of(row) for row in plan if row["kind"] == "embed"}
    some = {cell.task for cell in planned}
    cells = Cells(apart=sorted(cell for cell in met - planned.keys() if cell.task in some))
    for cell in sorted(planned.keys() | by_cell.keys(), key=lambda cell: (cell.task, cell.model)):
        done, wanted = by_cell.get(cell, []), planned.get(cell, set())
        if wanted <= {row["job"] for row in done} and _whole(done):
            _measure(cells, cell, done, groups.get(cell.model))
        else:
            (cells.broken if wanted <= set(tried) else cells.waiting).append(cell)
    return cells


def _measure(cells: Cells, cell: Cell, runs: Sequence[Row], group: str | None) -> None:
    row, lost = _accuracy(cell, runs, group)
    cells.rows.append(row)
    if row["accuracy"] is None:
        cells.diverged.append(cell)
    elif lost:
        cells.notes.append(f"{cell.model} on {cell.task}: {count(lost, 'repeat')} diverged at every learning rate; the "
                           "median is over the others")  # fmt: skip


def _whole(runs: Sequence[Row]) -> bool:
    """Whether every repeat has every learning rate of the cell, so that no repeat chose among fewer."""
    rates: dict[int, set[float]] = defaultdict(set)
    for run in runs:
        rates[run["repeat"]].add(run["learning_rate"])
    return len({frozenset(found) for found in rates.values()}) <= 1


def _accuracy(cell: Cell, runs: Sequence[Row], group: str | None) -> tuple[Row, int]:
    by_repeat: dict[int, list[Row]] = defaultdict(list)
    for run in runs:
        by_repeat[run["repeat"]].append(run)
    chosen = [best_rate(by_repeat[repeat]) for repeat in sorted(by_repeat)]
    kept = [run for run in chosen if run is not None]
    row = {
        "model": cell.model,
        "task": cell.task,
        "group": group,
        "accuracy": median(run["test_accuracy"] for run in kept) if kept else None,
        "repeats": [run["test_accuracy"] if run else None for run in chosen] if kept else [],
        "learning_rate": usual_rate(kept),
        "val_accuracy": median(run["val_accuracy"] for run in kept) if kept else None,
        "seconds": sum(run["seconds"] or 0.0 for run in runs),
    }
    return row, len(chosen) - len(kept)


def best_rate(runs: Iterable[Row]) -> Row | None:
    """Of runs that differ in learning rate, the one that validates best; None when all diverged.

    Ties go to the smaller learning rate.
    """
    alive = [run for run in runs if run["val_accuracy"] is not None and run["test_accuracy"] is not None]
    return min(alive, key=lambda run: (-run["val_accuracy"], run["learning_rate"]), default=None)


def usual_rate(runs: Sequence[Row]) -> float | None:
    """The learning rate that most repeats chose; of equally common ones the smaller."""
    counts = Counter(run["learning_rate"] for run in runs)
    return min(counts, key=lambda rate: (-counts[rate], rate), default=None)


def planned_only(rows: Iterable[Row], planned: Collection[str]) -> list[Row]:
    """The rows whose job, or whose search, is in the current plan: tables may hold older sweeps too."""
    return [row for row in rows if row["job"] in planned or row.get("search") in planned]
