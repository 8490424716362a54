"""What is known of the models before any task: facts of a file, and the pools that are drawn from them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sweeps.errors import DataError, did_you_mean
from sweeps.predicates import holds
from sweeps.replay.read import load, numeric
from taskrel.table import Table
from taskrel.types import Candidate

ALL, COMPLETE = "all", "complete"
_NAMED = re.compile(r"^\s*(?P<name>[\w .-]+?)\s*:\s*(?P<condition>.+)$")
_WHOLE = ("parameters", "dim", "upstream_size")
_REAL = ("upstream_accuracy", "released")


@dataclass(frozen=True)
class Facts:
    """The models of a table, in its order.

    Args:
        candidates: as strategies see them.
        numbers: fact -> [M], NaN where unknown.
        pools: name -> [M] who is in it.
        notes: what was decided or left out.
    """

    candidates: tuple[Candidate, ...]
    numbers: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    pools: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_facts(table: Table, path: Path | None, *, model: str = "model", renames: Mapping[str, str] | None = None,
               pools: Sequence[str] = ()) -> Facts:  # fmt: skip
    """Facts of the models of a table.

    Args:
        table: the accuracies.
        path: CSV, TSV or Parquet with a row per model, or None. Its ``pool_*`` columns (true, false, 1, 0) are pools.
        model: its column of model names.
        renames: known fact (``parameters``, ``upstream_accuracy`` ...) -> the file's column.
        pools: ``name: condition`` or just a condition, over the columns of the file and ``model``.

    Raises:
        DataError: for a file or condition that cannot be read, a model twice, or a fact that is out of range.
    """
    notes: list[str] = []
    rows = _rows(table, path, model, renames or {}, notes)
    flags = [name for name in rows.column_names if name.startswith("pool_")]
    numbers = {}
    for name in rows.column_names:
        column = None if name == model or name in flags else numeric(rows[name], name, np.arange(1, rows.num_rows + 1))
        if column is not None and not np.ma.getmaskarray(column).all():
            numbers[name] = column.filled(np.nan)
    upstream = numbers.get("upstream_accuracy")
    if upstream is not None and np.nanmax(upstream) > 1:
        notes.append(f"upstream accuracies are percentages (the greatest is {np.nanmax(upstream):g}), divided by 100")
        numbers["upstream_accuracy"] = upstream / 100
    found = _pools(table, rows, flags, pools, notes)
    groups = rows["group"].cast(pa.string()).to_pylist() if "group" in rows.column_names else [""] * rows.num_rows
    try:
        candidates = tuple(_candidate(name, group or "", {key: float(values[place]) for key, values in numbers.items()})
                           for place, (name, group) in enumerate(zip(table.models, groups, strict=True)))  # fmt: skip
    except ValueError as fault:
        raise DataError(f"{path}: {fault}") from None
    return Facts(candidates, numbers, found, tuple(notes))


def _rows(table: Table, path: Path | None, model: str, renames: Mapping[str, str], notes: list[str]) -> pa.Table:
    """The facts in the order of the table's models, nulls for models without any."""
    if path is None:
        return pa.table({model: list(table.models)})
    facts = load(path, text=[model])
    for name in (model, *renames.values()):
        if name not in facts.column_names:
            raise DataError(f"{path} must have a column{did_you_mean(name, facts.column_names)}")
    facts = facts.drop_columns([name for name in renames if name in facts.column_names and renames[name] != name])
    facts = facts.rename_columns([{old: new for new, old in renames.items()}.get(n, n) for n in facts.column_names])
    names = facts[model].to_pylist()
    if len(set(names)) < len(names):
        raise DataError(
            f"{path} must have one row per model, got {next(n for n in names if names.count(n) > 1)!r} twice"
        )
    place = {name: row for row, name in enumerate(names)}
    unknown = [name for name in table.models if name not in place]
    if len(unknown) == len(table.models):
        raise DataError(f"{path} must know the models of the table{did_you_mean(unknown[0], [str(n) for n in names])}")
    if unknown:
        notes.append(f"nothing is known of {len(unknown)} of {len(table.models)} models: {', '.join(unknown[:5])}"
                     + (" ..." if len(unknown) > 5 else ""))  # fmt: skip
    rows = facts.take(pa.array([place.get(name) for name in table.models], pa.int64()))
    return rows.set_column(rows.column_names.index(model), model, pa.array(table.models))


def _candidate(name: str, group: str, known: Mapping[str, float]) -> Candidate:
    values = {key: known[key] for key in (*_WHOLE, *_REAL) if not np.isnan(known.get(key, np.nan))}
    whole = {key: round(values[key]) for key in _WHOLE if key in values}
    real = {key: values[key] for key in _REAL if key in values}
    return Candidate(model=name, group=group, **whole, **real)  # type: ignore[arg-type]


def _pools(table: Table, rows: pa.Table, flags: Sequence[str], conditions: Sequence[str],
           notes: list[str]) -> dict[str, npt.NDArray[np.bool_]]:  # fmt: skip
    complete = np.asarray(np.isfinite(table.means).all(axis=0))
    found: dict[str, npt.NDArray[np.bool_]] = {ALL: np.ones(len(table.models), dtype=bool)}
    if not complete.all() and complete.sum() > 1:
        found[COMPLETE] = complete
    for flag in flags:
        column = rows[flag]
        if pa.types.is_string(column.type):
            column = pc.equal(pc.utf8_lower(column), "true")
        found[flag.removeprefix("pool_")] = pc.fill_null(column.cast(pa.bool_()), False).to_numpy()
    for text in conditions:
        named = _NAMED.match(text)
        condition = named["condition"] if named else text
        found[named["name"] if named else text.strip()] = holds(rows, condition).to_numpy()
    for name in [name for name, members in found.items() if not members.any()]:
        notes.append(f"pool {name} is empty and left out")
        del found[name]
    seen: dict[bytes, str] = {}
    for name, members in list(found.items()):
        twin = seen.setdefault(members.tobytes(), name)
        if twin != name and twin == ALL and name.lower() == ALL:
            del found[name]
    return found
