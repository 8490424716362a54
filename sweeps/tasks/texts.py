"""Labelled texts from files and Hugging Face datasets: read, checked, labelled, split. Knows nothing about tokens.

A CSV, TSV, JSONL or Parquet file with columns of texts (or pairs of texts) and labels; a folder of one file per split;
or a dataset by its id or folder. What is wrong is said in one line, with the row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset
import pyarrow.json

from sweeps.errors import DataError, did_you_mean
from sweeps.fingerprint import canonical_json, fingerprint
from sweeps.tasks.repositories import tables_of
from sweeps.tasks.splits import ALIASES, SHARES, SPLITS, shares
from sweeps.types import Task

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
MISSING = frozenset({"", "nan"})  # labels that say there is none

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Texts, their second texts if the task is about pairs, and int64 labels."""

    texts: list[str]
    pairs: list[str] | None
    labels: Labels

    def take(self, index: npt.NDArray[np.int64]) -> "Split":
        """Some of the examples."""
        return Split([self.texts[i] for i in index], [self.pairs[i] for i in index] if self.pairs else None,
                     self.labels[index])  # fmt: skip


def split_of(task: Task, split: str) -> Split:
    """One split of a text task, wherever it comes from."""
    kind, _, rest = task.source.partition(":")
    if kind == "mini_text":
        texts, labels = _drawn(rest, task.seed)[split]
        paired = len(texts) > 0 and not isinstance(texts[0], str)
        first, second = ([one for one, _ in texts], [two for _, two in texts]) if paired else (list(texts), None)
        return Split(first, second, np.asarray(labels, dtype=np.int64))
    return _cached(canonical_json([task.name, task.reading, task.seed]))[0][split]


@lru_cache(maxsize=2)
def _drawn(name: str, seed: int) -> Any:
    """All splits are drawn at once; the other two are wanted next."""
    return import_module("sweeps.tasks.mini_text").draw(name, seed)


@lru_cache(maxsize=2)
def _cached(what: str) -> tuple[dict[str, Split], tuple[str, ...]]:
    import json

    name, reading, seed = json.loads(what)
    return read(name, reading, seed)


def revision(splits: Mapping[str, Split], classes: tuple[str, ...]) -> str:
    """A fingerprint of texts, labels and splits: of what is read and not of where it lies."""
    return fingerprint([list(classes), {name: [part.texts, part.pairs, part.labels.tolist()]
                                        for name, part in splits.items()}])  # fmt: skip


def read(name: str, reading: Mapping[str, Any], seed: int) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Every split of a task, and the names of its classes in label order (numbers by value, names by letter).

    Args:
        name: of the task, for messages.
        reading: a ``[[task]]`` entry as plain data: path or dataset, columns, splits.
        seed: of the split, where there is none.

    Raises:
        DataError: in one line, for whatever is missing or wrong.
    """
    if reading.get("dataset"):
        tables = tables_of(name, reading)
    else:
        wanted = [reading[key] for key in ("text", "pair", "label", "split") if reading.get(key)]
        tables = {split: table(name, path, wanted) for split, path in places(name, reading).items()}
    columns = [reading["text"], reading["label"], *([reading["pair"]] if reading.get("pair") else [])]
    for found in tables.values():
        check_columns(name, [*columns, *([reading["split"]] if reading.get("split") else [])], found.column_names)
    if reading.get("split"):
        tables = _by_column(name, tables[""], reading["split"])
    named = {split: label_names(name, split, found[reading["label"]]) for split, found in tables.items()}
    classes = class_names(name, named)
    place = {label: number for number, label in enumerate(classes)}
    parts = {}
    for split, found in tables.items():
        texts = _texts(name, split, found, reading["text"])
        pairs = _texts(name, split, found, reading["pair"]) if reading.get("pair") else None
        parts[split] = Split(texts, pairs, np.array([place[label] for label in named[split]], dtype=np.int64))
    return _split(name, parts, classes, seed), classes


def check_columns(name: str, columns: list[str], known: list[str]) -> None:
    """Every column must be there."""
    for column in columns:
        if column not in known:
            raise DataError(f"task {name!r}: a column must be there{did_you_mean(column, known)}")


def places(name: str, reading: Mapping[str, Any]) -> dict[str, Path]:
    """Split -> file; "" for one file without splits."""
    path = Path(reading["path"])
    if reading.get("splits"):
        return {split: path / file for split, file in reading["splits"].items()}
    if path.is_file():
        return {"": path}
    if not path.is_dir():
        raise DataError(f"task {name!r}: path must be a file or a folder, got {path}")
    found: dict[str, Path] = {}
    for file in sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES):
        split = ALIASES.get(file.stem.lower(), file.stem.lower())
        if split in found:
            raise DataError(f"task {name!r}: a split must be one file, got {found[split].name} and {file.name}")
        if split in SPLITS:
            found[split] = file
    if "train" not in found:
        raise DataError(f"task {name!r}: the folder must hold train{SUFFIXES[0]} (or {', '.join(SUFFIXES[1:])}), "
                        f"got {path}; or name its files under splits")  # fmt: skip
    return {split: found[split] for split in SPLITS if split in found}


def table(name: str, path: Path, wanted: list[str]) -> pa.Table:
    """A file; in one of text the ``wanted`` columns are text, whatever they look like."""
    if not path.is_file():
        raise DataError(f"task {name!r}: a file must be there, got {path}")
    kind = path.suffix.lower()
    try:
        if kind in (".csv", ".tsv"):
            return pa.csv.read_csv(
                path,
                parse_options=pa.csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",", newlines_in_values=True),
                convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string())),
            )
        if kind in (".jsonl", ".json"):
            return pa.json.read_json(path)
        if kind == ".parquet":
            return pa.dataset.dataset(path, format="parquet").to_table()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        line = str(error).strip().splitlines()[0][:200]
        raise DataError(f"task {name!r}: every file must be readable, got {path}: {line}") from None
    raise DataError(f"task {name!r}: a file must be one of {', '.join(SUFFIXES)}, got {path}")


def _by_column(name: str, table: pa.Table, column: str) -> dict[str, pa.Table]:
    splits = np.array(split_names(name, table, column), dtype=object)
    return {split: table.filter(pa.array(splits == split)) for split in SPLITS if (splits == split).any()}


def split_names(name: str, table: pa.Table, column: str) -> list[str]:
    """The split of every row, as a column says."""
    values = [str(value).strip().lower() for value in table[column].to_pylist()]
    splits = [ALIASES.get(value, value) for value in values]
    for row, split in enumerate(splits):
        if split not in SPLITS:
            raise DataError(f"task {name!r}: the column {column!r} must say train, val or test, got "
                            f"{values[row]!r} in row {row + 1}")  # fmt: skip
    return splits


def label_names(name: str, split: str, column: pa.ChunkedArray) -> list[str]:
    """Labels as text; a number that is whole is written as one."""
    found = []
    for row, value in enumerate(column.to_pylist()):
        text = (
            "" if value is None else str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        )
        if text.strip().lower() in MISSING:
            raise DataError(f"task {name!r}: every example must have a label, got {value!r} in row {row + 1}"
                            f"{f' of {split}' if split else ''}")  # fmt: skip
        found.append(text.strip())
    return found


def _texts(name: str, split: str, table: pa.Table, column: str) -> list[str]:
    kind = table.schema.field(column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise DataError(f"task {name!r}: the column {column!r} must hold text, got {kind}")
    stripped = pc.utf8_trim_whitespace(table[column].cast(pa.string())).to_pylist()
    for row, text in enumerate(stripped):
        if not text:
            raise DataError(f"task {name!r}: every text must hold something, got none in column {column!r}, row "
                            f"{row + 1}{f' of {split}' if split else ''}; remove the row")  # fmt: skip
    return table[column].to_pylist()


def class_names(name: str, named: Mapping[str, list[str]]) -> tuple[str, ...]:
    """The classes of train in label order: numbers by value, names by letter."""
    first = next(iter(named))
    known = set(named[first])
    if len(known) < 2:
        raise DataError(f"task {name!r}: train must hold at least 2 classes, got {len(known)}")
    for split, labels in named.items():
        if unknown := sorted(set(labels) - known):
            raise DataError(f"task {name!r}: {split} must hold classes of train only, got {unknown[0]!r}")
    numbers = all(label.removeprefix("-").isdecimal() for label in known)
    return tuple(sorted(known, key=int if numbers else None))


def _split(name: str, parts: dict[str, Split], classes: tuple[str, ...], seed: int) -> dict[str, Split]:
    """Three splits: as they come, a fifth of train for val, or all from the seed, class by class."""
    if set(parts) == set(SPLITS):
        return {split: parts[split] for split in SPLITS}
    if set(parts) == {"train", "test"}:
        return {**_drawn_from(name, parts["train"], classes, {"train": 0.8, "val": 0.2}, seed), "test": parts["test"]}
    if set(parts) in ({""}, {"train"}):
        return _drawn_from(name, next(iter(parts.values())), classes, SHARES, seed)
    raise DataError(f"task {name!r}: test must be there beside train, got only {', '.join(parts)}")


def _drawn_from(name: str, part: Split, classes: tuple[str, ...], parts: Mapping[str, float],
                seed: int) -> dict[str, Split]:  # fmt: skip
    rows = shares(name, np.arange(len(part.labels)), part.labels, classes, parts, seed, "texts")
    return {split: part.take(chosen) for split, chosen in rows.items()}
