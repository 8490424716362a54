"""A file of accuracies, long or wide, CSV, TSV or Parquet -> a dense :class:`taskrel.table.Table`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from sweeps.errors import DataError, did_you_mean
from sweeps.predicates import holds
from taskrel.table import Duplicates, Labels, Table, build

# What stands for a missing number. NaN is none of them: it is a number that went wrong, and is refused.
_MISSING = ["", "NA", "N/A", "n/a", "null", "NULL", "None"]
_REPEATS = ("repeat", "seed")


@dataclass(frozen=True)
class Layout:
    """How the user's table is laid out.

    Args:
        task: the column of task names; not used if every task is a column.
        model: the column of model names; not used if every model is a column.
        accuracy: the column of accuracies of a long table.
        repeat: the column that numbers repeats; by default ``repeat`` or ``seed`` where there is one, "" for none.
        wide: what each column of a wide table is, or None for a long one.
        where: condition on the rows.
        scores: columns to take as scores; by default all further numeric ones.
        duplicates: what several rows of one cell are.
    """

    task: str = "task"
    model: str = "model"
    accuracy: str = "accuracy"
    repeat: str | None = None
    wide: Literal["tasks", "models"] | None = None
    where: str = ""
    scores: tuple[str, ...] | None = None
    duplicates: Duplicates = "refuse"


def read_table(path: Path, layout: Layout) -> tuple[Table, tuple[str, ...]]:
    """The table of a file, and notes on what was decided.

    Raises:
        DataError: for a file that cannot be read, a column that is not there, or what :func:`taskrel.table.build`
            refuses.
    """
    names = [name for name, used in ((layout.task, layout.wide != "tasks"), (layout.model, layout.wide != "models"))
             if used]  # fmt: skip
    raw = load(path, text=names)
    long = [layout.accuracy] if layout.wide is None else []
    for name in [*names, *long, *([layout.repeat] if layout.repeat else []), *(layout.scores or ())]:
        if name not in raw.column_names:
            raise DataError(f"{path} must have a column{did_you_mean(name, raw.column_names)}")
    numbers = np.arange(1, raw.num_rows + 1)
    if layout.where:
        kept = holds(raw, layout.where)
        raw, numbers = raw.filter(kept), numbers[kept.to_numpy()]
        if raw.num_rows == 0:
            raise DataError(f"the condition must hold for some row of {path}, got none: {layout.where}")
    notes: list[str] = []
    try:
        table = _wide(raw, layout, numbers, notes) if layout.wide else _long(raw, layout, numbers, notes)
    except ValueError as fault:
        raise DataError(f"{path}: {fault}") from None
    return table, (*notes, *table.notes)


def load(path: Path, text: Sequence[str] = ()) -> pa.Table:
    """The columns of a CSV, TSV or Parquet file as they are.

    Args:
        path: ``.parquet`` or a folder of such files; ``.tsv`` or ``.tab``; else CSV, with semicolons if its first line
            has these and no comma.
        text: columns of names, which stay text even where they look like numbers.

    Raises:
        DataError: for a file that cannot be read.
    """
    try:
        if path.is_dir() or path.suffix in (".parquet", ".pq"):
            import pyarrow.dataset as ds  # it loads pandas, which no CSV needs

            return ds.dataset(str(path), format="parquet").to_table()
        with open(path, encoding="utf-8-sig") as file:
            head = file.readline()
        delimiter = "\t" if path.suffix in (".tsv", ".tab") else ";" if ";" in head and "," not in head else ","
        return pa_csv.read_csv(
            path,
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                null_values=_MISSING, column_types={name: pa.string() for name in text}
            ),
        )
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as fault:
        raise DataError(
            f"{path} must be a readable CSV, TSV or Parquet file, got: {str(fault).splitlines()[0]}"
        ) from None


def numeric(column: pa.ChunkedArray, name: str, numbers: np.ndarray) -> np.ma.MaskedArray | None:
    """A column of numbers, masked where missing; None for text or truth values.

    Raises:
        DataError: for a column of numbers with something else among them.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _written(column.to_pylist(), name, numbers)
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    if not any(kind(column.type) for kind in kinds):
        return None
    missing = column.is_null().to_numpy()
    return np.ma.MaskedArray(pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy(), mask=missing)


def _written(values: list[str | None], name: str, numbers: np.ndarray) -> np.ma.MaskedArray | None:
    """Numbers that are written as text; None where most of it is other text."""
    missing = [value is None or value in _MISSING for value in values]
    parsed = [_parsed(value) for value in values]
    strange = [row for row, value in enumerate(parsed) if value is None and not missing[row]]
    if 2 * len(strange) >= len(values) - sum(missing):
        return None
    if strange:
        raise DataError(f"column {name!r} must hold numbers, got {values[strange[0]]!r} in row {numbers[strange[0]]}")
    return np.ma.MaskedArray([value or 0.0 for value in parsed], mask=missing)


def _parsed(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _labels(column: pa.ChunkedArray) -> Labels:
    coded = column.cast(pa.string()).dictionary_encode().combine_chunks()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.chunk(0) if coded.num_chunks else pa.array([], pa.string()).dictionary_encode()
    codes = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False).astype(np.intp)
    names = tuple(coded.dictionary.to_pylist())
    if "" in names:
        codes[codes == names.index("")] = -1
        return Labels.of([names[code] if code >= 0 else None for code in codes])
    return Labels(codes, names)


def _repeat(raw: pa.Table, layout: Layout, notes: list[str]) -> Labels | None:
    name = layout.repeat
    if name is None:
        name = next((known for known in _REPEATS if known in raw.column_names and layout.duplicates == "refuse"), "")
        if name:
            notes.append(f"column {name!r} numbers the repeats")
    return _labels(raw[name]) if name else None


def _long(raw: pa.Table, layout: Layout, numbers: np.ndarray, notes: list[str]) -> Table:
    accuracy = numeric(raw[layout.accuracy], layout.accuracy, numbers)
    if accuracy is None:
        raise DataError(f"column {layout.accuracy!r} must hold numbers, got {raw[layout.accuracy].type}")
    wanted = layout.scores
    if wanted is None:
        used = {layout.task, layout.model, layout.accuracy, layout.repeat, *(_REPEATS if not layout.repeat else ())}
        wanted = tuple(name for name in raw.column_names if name not in used)
    scores, same = {}, []
    for name in wanted:
        column = numeric(raw[name], name, numbers)
        if layout.scores is None and column is not None and len(np.unique(column.compressed())) == 1:
            same.append(name)
        elif column is not None and not np.ma.getmaskarray(column).all():
            scores[name] = column
        elif layout.scores is not None:
            raise DataError(f"score {name!r} must hold numbers, got {raw[name].type}")
    if same:
        notes.append(f"columns with the same number in every row are left out: {', '.join(same)}")
    text = [name for name in wanted if name not in scores and name not in same]
    if text:
        notes.append(f"columns without numbers are left out: {', '.join(text)}")
    return build(_labels(raw[layout.task]), _labels(raw[layout.model]), accuracy,
                 repeats=_repeat(raw, layout, notes), scores=scores, duplicates=layout.duplicates,
                 numbers=numbers)  # fmt: skip


def _wide(raw: pa.Table, layout: Layout, numbers: np.ndarray, notes: list[str]) -> Table:
    rows = _labels(raw[layout.model if layout.wide == "tasks" else layout.task])
    repeat = _repeat(raw, layout, notes)
    used = {layout.model if layout.wide == "tasks" else layout.task, layout.repeat,
            *(_REPEATS if repeat is not None and not layout.repeat else ())}  # fmt: skip
    found = {name: column for name in raw.column_names
             if name not in used and (column := numeric(raw[name], name, numbers)) is not None}  # fmt: skip
    text = [name for name in raw.column_names if name not in used and name not in found]
    if text:
        notes.append(f"columns without numbers are left out: {', '.join(text)}")
    if not found:
        raise DataError(f"a wide table must have a column of numbers for each of the {layout.wide}, got none")
    number = len(numbers)
    names = Labels(np.repeat(np.arange(len(found)), number), tuple(found))
    tiled = Labels(np.tile(rows.codes, len(found)), rows.names)
    repeats = None if repeat is None else Labels(np.tile(repeat.codes, len(found)), repeat.names)
    tasks, models = (names, tiled) if layout.wide == "tasks" else (tiled, names)
    return build(tasks, models, np.ma.concatenate(list(found.values())), repeats=repeats, duplicates=layout.duplicates,
                 numbers=np.tile(numbers, len(found)))  # fmt: skip
