"""Plain rows -> a dense table of accuracies [task, model, repeat] and scores [task, model]. No files, no formula.

What a table of the user's may be: percent or fractions, one or several repeats, cells missing, rows in any order. What
it may not be is ambiguous: a number that is none, an accuracy out of range and a cell given twice are refused with the
row named, and everything that was decided on the way is a note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from taskrel.regret import Counts, Floats, Mask, nanmean

Duplicates = Literal["refuse", "mean", "median", "first", "max", "repeats"]
Numbers = Sequence[float | None] | npt.NDArray[np.float64] | np.ma.MaskedArray
_SPARSE = 100  # cells of the dense table per row, from which on the repeats cannot be numbered within cells
_SMALL = 10_000_000  # cells that do not matter


@dataclass(frozen=True, eq=False)
class Labels:
    """A column of names as numbers: what a dictionary-encoded column of a file is already.

    Args:
        codes: [n] index into `names`, -1 where there is no name.
        names: distinct.
    """

    codes: Counts
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[object] | Labels) -> Labels:
        """Names in order of their first appearance; None is no name."""
        if isinstance(values, Labels):
            return values
        known: dict[str, int] = {}
        codes = [-1 if value is None or str(value) == "" else known.setdefault(str(value), len(known))
                 for value in values]  # fmt: skip
        return cls(np.array(codes, dtype=np.intp), tuple(known))


@dataclass(frozen=True, eq=False)
class Table:
    """Accuracies of models on tasks, and scores that were there beside them.

    Args:
        tasks: T names in order of appearance.
        models: M names, sorted, so that the order of the axis is the last tie-breaker.
        accuracy: [T, M, R] fractions, NaN where missing.
        scores: name -> [T, M], higher is better, NaN where missing.
        notes: what was decided or left out, one sentence each.
    """

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    accuracy: Floats
    scores: Mapping[str, Floats]
    notes: tuple[str, ...] = ()

    @property
    def means(self) -> Floats:
        """[T, M] mean accuracy over the repeats there are, NaN where none."""
        return nanmean(self.accuracy)


class _Rows:
    """Says which row of the user's table is meant."""

    def __init__(self, tasks: Labels, models: Labels, numbers: Counts | None) -> None:
        self.tasks, self.models, self.numbers = tasks, models, numbers

    def number(self, row: int) -> int:
        return row + 1 if self.numbers is None else int(self.numbers[row])

    def __call__(self, row: int) -> str:
        task, model = (
            labels.names[code] if (code := int(labels.codes[row])) >= 0 else None
            for labels in (self.tasks, self.models)
        )
        return f"row {self.number(row)} (task {task!r}, model {model!r})"


def build(tasks: Sequence[object] | Labels, models: Sequence[object] | Labels, accuracy: Numbers, *,
          repeats: Sequence[object] | Labels | None = None, scores: Mapping[str, Numbers] | None = None,
          duplicates: Duplicates = "refuse", numbers: Counts | None = None) -> Table:  # fmt: skip
    """A dense table from n rows, each one accuracy of one model on one task.

    Args:
        tasks: [n] names.
        models: [n] names.
        accuracy: [n] fractions or percent, None (or masked) where missing. Percent is taken for granted where any
            value is above 1.
        repeats: [n] which repeat of its task and model a row is; the same name is the same repeat for all models.
        scores: name -> [n] numbers, None (or masked) where missing; over several rows of a cell the mean counts.
        numbers: [n] what each row is called in messages, where the user's table has it elsewhere.
        duplicates: what several rows of one cell (and repeat) are: a fault; one number, namely their mean, median,
            first or greatest; or, without `repeats`, the repeats of the cell in the order of the rows.

    Raises:
        ValueError: with the row, for a name that is missing, NaN, an infinite score, an accuracy below 0 or above 100,
            a cell given twice; for columns of different lengths, no accuracy at all, or repeats that are not numbered
            within cells.
    """
    task, model = Labels.of(tasks), Labels.of(models)
    say = _Rows(task, model, numbers)
    number = len(task.codes)
    values, missing = _numbers(accuracy)
    columns = {name: _numbers(column) for name, column in (scores or {}).items()}
    if {number} != {len(model.codes), len(values), *(len(column) for column, _ in columns.values())}:
        raise ValueError(f"columns must be of one length, got {number} tasks, {len(model.codes)} models, {len(values)}")
    if duplicates not in get_args(Duplicates):
        raise ValueError(f"duplicates must be one of {', '.join(get_args(Duplicates))}, got {duplicates!r}")
    for what, labels in (("task", task), ("model", model)):
        if (labels.codes < 0).any():
            raise ValueError(f"{what} must be named in every row, got none in {say(int((labels.codes < 0).argmax()))}")
    _check_accuracy(values, missing, say)
    if missing.all():
        raise ValueError(f"accuracy must have a value in some row, got {number} rows without")
    notes: list[str] = []
    model, names = _sorted(model)
    cell = task.codes * len(names) + model.codes
    shape = (len(task.names), len(names))
    whole = _fractions(values, missing, task, notes)
    kept = np.flatnonzero(~missing)
    dense = _dense(cell[kept], whole[kept], None if repeats is None else Labels.of(repeats), kept, shape, duplicates,
                   say, notes)  # fmt: skip
    found = {name: _scores(name, *column, cell, shape, say, notes) for name, column in columns.items()}
    _gaps(dense, task.names, notes)
    return Table(task.names, names, dense, found, tuple(notes))


def _numbers(column: Numbers) -> tuple[Floats, Mask]:
    """Values with 0 where missing, and where that is."""
    if isinstance(column, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(column)
        return np.where(mask, 0.0, column.data.astype(np.float64)), mask
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiub":
        return column.astype(np.float64), np.zeros(len(column), dtype=bool)
    mask = np.array([value is None for value in column], dtype=bool)
    return np.array([0.0 if value is None else float(value) for value in column], dtype=np.float64), mask


def _check_accuracy(values: Floats, missing: Mask, say: _Rows) -> None:
    for what, wrong in (("NaN", np.isnan(values)), ("a negative", values < 0), ("above 100", values > 100)):
        wrong = wrong & ~missing
        if wrong.any():
            row = int(wrong.argmax())
            got = "NaN" if what == "NaN" else f"{values[row]:g}"
            hint = " (leave the cell empty where it was not measured)" if what == "NaN" else ""
            raise ValueError(f"accuracy must be a fraction in [0, 1] or a percentage, got {got} in {say(row)}{hint}")


def _fractions(values: Floats, missing: Mask, task: Labels, notes: list[str]) -> Floats:
    """Percent divided by 100, where any value is above 1."""
    known = np.where(missing, 0, values)
    if known.max(initial=0) <= 1:
        return values
    notes.append(f"accuracies are percentages (the greatest is {known.max():g}) and were divided by 100")
    most = np.zeros(len(task.names))
    np.maximum.at(most, task.codes, known)
    odd = [name for name, top in zip(task.names, most.tolist(), strict=True) if 0 < top <= 1]
    if odd:
        notes.append(f"no accuracy is above 1 per cent on {_listing(odd)}: if these are fractions among percentages, "
                     "mend the table")  # fmt: skip
    return values / 100


def _sorted(labels: Labels) -> tuple[Labels, tuple[str, ...]]:
    """The labels with their names in alphabetical order."""
    order = sorted(range(len(labels.names)), key=labels.names.__getitem__)
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    names = tuple(labels.names[number] for number in order)
    return Labels(place[labels.codes], names), names


def _dense(cell: Counts, values: Floats, repeats: Labels | None, rows: Counts, shape: tuple[int, int],
           duplicates: Duplicates, say: _Rows, notes: list[str]) -> Floats:  # fmt: skip
    """[T, M, R] accuracies from the rows that have one."""
    repeat, depth = np.zeros(len(cell), dtype=np.intp), 1
    if repeats is not None:
        if len(repeats.codes) <= int(rows.max()):
            raise ValueError(f"columns must be of one length, got {len(repeats.codes)} repeats")
        repeat = repeats.codes[rows]
        if (repeat < 0).any():
            raise ValueError(f"repeat must be named in every row, got none in {say(int(rows[(repeat < 0).argmax()]))}")
        depth = len(repeats.names)
    elif duplicates == "repeats":
        repeat = _counted(cell)
        depth = int(repeat.max()) + 1
    size = shape[0] * shape[1] * depth
    if size > max(_SMALL, _SPARSE * len(cell)):
        raise ValueError(f"repeats must be numbered within each task and model, got {depth:,} for {len(cell):,} rows")
    key = cell * depth + repeat
    key, values = _merged(key, values, duplicates, rows, say, notes)
    dense = np.full(size, np.nan)
    dense[key] = values
    found = dense.reshape(*shape, depth)
    each = (~np.isnan(found)).sum(axis=2)
    least, most = int(each[each > 0].min()), int(each.max())
    if depth > 1 and least < depth:
        notes.append(f"cells have {least if least == most else f'{least} to {most}'} of {depth} repeats")
    return found


def _counted(key: Counts) -> Counts:
    """[n] how many earlier rows have the same key."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    earlier = np.empty(len(key), dtype=np.intp)
    earlier[order] = np.arange(len(key)) - np.repeat(first, np.diff([*first, len(key)]))
    return earlier


def _merged(key: Counts, values: Floats, duplicates: Duplicates, rows: Counts, say: _Rows,
            notes: list[str]) -> tuple[Counts, Floats]:  # fmt: skip
    """One value for each key."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    count = np.diff([*first, len(key)])
    if len(first) == len(key):
        return key, values
    if duplicates in ("refuse", "repeats"):
        twice = first[count > 1][np.argmin(rows[order[first[count > 1]]])]
        again = say.number(int(rows[order[twice + 1]]))
        raise ValueError(
            f"rows must be one for each task, model and repeat, got {say(int(rows[order[twice]]))} again as row "
            f"{again}, and {int((count > 1).sum())} such cells in all; name a column of repeats, or say how duplicates "
            "are to be combined (mean, median, first, max, or as repeats)"
        )
    notes.append(f"{int((count > 1).sum()):,} of {len(first):,} cells had several rows (at most {int(count.max())}): "
                 f"their {duplicates} counts"
                 + (", which favours cells with more rows" if duplicates == "max" else ""))  # fmt: skip
    return ordered[first], _combined(ordered, values[order], first, count, duplicates)


def _combined(key: Counts, values: Floats, first: Counts, count: Counts, how: Duplicates) -> Floats:
    """One value for each group of sorted keys."""
    if how == "first":
        return values[first]
    if how == "max":
        return np.maximum.reduceat(values, first)
    if how == "mean":
        # A sum of equal fractions may round beyond them.
        sums = np.add.reduceat(values, first) / count
        return np.clip(sums, np.minimum.reduceat(values, first), np.maximum.reduceat(values, first))
    ordered = values[np.lexsort((values, key))]
    median: Floats = (ordered[first + (count - 1) // 2] + ordered[first + count // 2]) / 2
    return median


def _scores(name: str, values: Floats, missing: Mask, cell: Counts, shape: tuple[int, int], say: _Rows,
            notes: list[str]) -> Floats:  # fmt: skip
    """[T, M] the mean score of each cell."""
    wrong = ~np.isfinite(values) & ~missing
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"score {name!r} must be finite or empty, got {values[row]:g} in {say(row)}")
    known, size = cell[~missing], shape[0] * shape[1]
    total = np.bincount(known, weights=values[~missing], minlength=size)
    count = np.bincount(known, minlength=size)
    first = np.zeros(size)
    first[known[::-1]] = values[~missing][::-1]
    spread = np.zeros(size, dtype=bool)
    spread[known[values[~missing] != first[known]]] = True
    if spread.any():
        notes.append(f"score {name!r} differs between rows of {int(spread.sum()):,} cells: their mean counts")
    # The mean of equal scores is that score, not its neighbour by rounding: ties must stay ties.
    means = np.where(spread, total / np.maximum(count, 1), first)
    return np.where(count > 0, means, np.nan).reshape(shape)


def _gaps(dense: Floats, tasks: Sequence[str], notes: list[str]) -> None:
    """Says what is missing."""
    there = (~np.isnan(dense)).any(axis=2)
    lost = there.size - int(there.sum())
    if lost:
        complete = int(there.all(axis=0).sum())
        notes.append(f"{lost:,} of {there.size:,} cells have no accuracy; on every task the oracle and the picks are "
                     f"among the models that have one; {complete:,} of {there.shape[1]:,} models have all")  # fmt: skip
    for few, what in ((0, "no model has"), (1, "only one model has")):
        where = [tasks[place] for place in np.flatnonzero(there.sum(axis=1) == few).tolist()]
        if where:
            notes.append(f"{what} an accuracy on {_listing(where)}: there is nothing to choose there")


def _listing(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
