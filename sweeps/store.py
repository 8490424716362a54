"""Arrow tables in Parquet parts: schemas, write a part, read, which jobs are done. Knows no formula and no Ray.

One immutable part per job and table, named by the job's id, written under a temporary name, fsynced and renamed:
readers see whole parts or none, writing twice changes nothing, and merging two results is a union of folders. The
``jobs`` part is written last, so it commits the job. Missing is null beside a reason, never NaN or 0.0.
"""

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from sweeps.errors import OutputError
from sweeps.types import Outcome, Row

SCHEMA_VERSION = 3

_TEXT, _INT, _REAL, _WHEN = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC")
_BOOL = pa.bool_()
_CURVE = pa.list_(pa.struct([("step", _INT), ("train_loss", _REAL), ("val_accuracy", _REAL)]))

# Columns that tell when and where, and so differ between two runs of the same job.
VOLATILE = frozenset({"seconds", "started", "finished", "host", "device", "worker", "attempt", "commit", "versions",
                      "peak_memory_bytes", "images_per_second", "cost_seconds", "reused", "trained_again"})  # fmt: skip

_COLUMNS: dict[str, list[tuple[str, pa.DataType]]] = {
    # measured: one part per job
    "jobs": [
        ("job", _TEXT), ("kind", _TEXT), ("model", _TEXT), ("task", _TEXT), ("status", _TEXT), ("error_type", _TEXT),
        ("error", _TEXT), ("traceback", _TEXT), ("content", _TEXT), ("attempt", _INT), ("seconds", _REAL),
        ("started", _WHEN), ("finished", _WHEN), ("host", _TEXT), ("worker", _TEXT), ("device", _TEXT),
        ("commit", _TEXT), ("versions", _TEXT),
    ],
    "features": [
        ("job", _TEXT), ("model", _TEXT), ("task", _TEXT), ("dim", _INT), ("parameters", _INT), ("head_classes", _INT),
        ("train", _INT), ("val", _INT), ("reused", _INT), ("input_size", _INT), ("layer", _INT), ("bytes", _INT),
        ("seconds", _REAL),
        ("images_per_second", _REAL),
    ],
    "scores": [
        ("job", _TEXT), ("model", _TEXT), ("task", _TEXT), ("proxy", _TEXT), ("value", _REAL),
        ("values", pa.list_(_REAL)), ("low", _REAL), ("high", _REAL), ("replicates", pa.list_(pa.float32())),
        ("reason", _TEXT), ("detail", _TEXT), ("seed", _INT), ("seconds", _REAL),
    ],
    "runs": [
        ("job", _TEXT), ("model", _TEXT), ("task", _TEXT), ("origin", _TEXT), ("search", _TEXT), ("trial", _INT),
        ("learning_rate", _REAL), ("repeat", _INT), ("seed", _INT), ("batch", _INT), ("steps", _INT),
        ("steps_done", _INT), ("status", _TEXT), ("reason", _TEXT), ("val_accuracy", _REAL), ("test_accuracy", _REAL),
        ("curve", _CURVE), ("seconds", _REAL), ("peak_memory_bytes", _INT),
    ],
    "checkpoints": [
        ("job", _TEXT), ("model", _TEXT), ("task", _TEXT), ("form", _TEXT), ("learning_rate", _REAL), ("repeat", _INT),
        ("val_accuracy", _REAL), ("test_accuracy", _REAL), ("test_right", _INT), ("test", _INT),
        ("trained_again", _BOOL), ("bytes", _INT), ("seconds", _REAL),
    ],
    "embeddings": [
        ("job", _TEXT), ("task", _TEXT), ("probe", _TEXT), ("method", _TEXT), ("images", _INT), ("seed", _INT),
        ("units", pa.list_(_REAL)), ("head_accuracy", _REAL), ("seconds", _REAL),
    ],
    # facts: one part per entry
    "bounds": [
        ("job", _TEXT), ("model", _TEXT), ("reference", _TEXT), ("task", _TEXT), ("mode", _TEXT), ("tau", _REAL),
        ("total", _REAL), ("reference_loss", _REAL), ("label_mismatch", _REAL), ("distribution_mismatch", _REAL),
        ("lipschitz", _REAL), ("wasserstein", _REAL), ("by_label", _REAL), ("projected", _REAL), ("trivial", _REAL),
        ("vacuous", _BOOL), ("floor", _REAL), ("start", _REAL), ("target_loss", _REAL), ("target_accuracy", _REAL),
        ("held_out", _REAL), ("held_out_loss", _REAL), ("reported", _REAL), ("holds", _BOOL), ("gap", _REAL),
        ("residual_prior", _REAL), ("residual_inverse", _REAL), ("confidence", _REAL), ("spread", _REAL),
        ("classes_reference", _INT), ("classes", _INT), ("head", _TEXT), ("learning_rate", _REAL), ("search", _TEXT),
        ("trial", _INT), ("seconds", _REAL), ("reason", _TEXT),
    ],
    "head2toe": [
        ("job", _TEXT), ("model", _TEXT), ("task", _TEXT), ("val_accuracy", _REAL), ("cross_validated", _REAL),
        ("test_accuracy", _REAL), ("linear_val_accuracy", _REAL), ("linear_test_accuracy", _REAL), ("features", _INT),
        ("kept", _INT), ("target", _INT), ("penalty", _REAL), ("fraction", _REAL), ("rate", _REAL), ("steps", _INT),
        ("stored_bytes", _INT), ("linear_bytes", _INT), ("model_bytes", _INT), ("layers", pa.list_(_TEXT)),
        ("shares", pa.list_(_REAL)), ("extract_seconds", _REAL), ("select_seconds", _REAL), ("linear_seconds", _REAL),
        ("seconds", _REAL), ("seed", _INT),
    ],
    "models": [
        ("model", _TEXT), ("source", _TEXT), ("group", _TEXT), ("family", _TEXT), ("parameters", _INT), ("dim", _INT),
        ("input_size", _INT), ("upstream", _TEXT), ("upstream_size", _INT), ("upstream_accuracy", _REAL),
        ("released", _REAL), ("pretrained", _BOOL), ("licence", _TEXT), ("revision", _TEXT), ("summary", _TEXT),
        ("modality", _TEXT), ("substitute", _TEXT),
    ],
    "tasks": [
        ("task", _TEXT), ("source", _TEXT), ("group", _TEXT), ("classes", _INT), ("train", _INT), ("val", _INT),
        ("test", _INT), ("class_names", pa.list_(_TEXT)), ("seed", _INT), ("revision", _TEXT), ("summary", _TEXT),
        ("modality", _TEXT), ("notes", pa.list_(_TEXT)),
    ],
    "plan": [("job", _TEXT), ("kind", _TEXT), ("model", _TEXT), ("task", _TEXT), ("stage", _TEXT)],
    # derived from the tables above, rewritten by every run and report
    "accuracies": [
        ("model", _TEXT), ("task", _TEXT), ("group", _TEXT), ("accuracy", _REAL), ("repeats", pa.list_(_REAL)),
        ("learning_rate", _REAL), ("val_accuracy", _REAL), ("seconds", _REAL),
    ],
    "regret": [
        ("pool", _TEXT), ("task", _TEXT), ("strategy", _TEXT), ("budget", _INT), ("picks", pa.list_(_TEXT)),
        ("reasons", pa.list_(_TEXT)), ("oracle_model", _TEXT), ("oracle", _REAL), ("value", _REAL), ("regret", _REAL),
        ("relative_regret", _REAL), ("low", _REAL), ("high", _REAL), ("models", _INT), ("dropped", _INT),
        ("cost_seconds", _REAL),
    ],
    "strategies": [
        ("pool", _TEXT), ("strategy", _TEXT), ("budget", _INT), ("tasks", _INT), ("mean_regret", _REAL),
        ("mean_relative_regret", _REAL), ("low", _REAL), ("high", _REAL), ("tasks_above_quarter", _INT),
        ("tasks_at_zero", _INT),
    ],
    "budgets": [
        ("pool", _TEXT), ("task", _TEXT), ("strategy", _TEXT), ("optimistic", _REAL), ("expected", _REAL),
        ("pessimistic", _REAL),
    ],
    "solved": [
        ("pool", _TEXT), ("strategy", _TEXT), ("budget", _INT), ("tasks", _INT), ("optimistic", _REAL),
        ("expected", _REAL), ("pessimistic", _REAL),
    ],
    "relatedness": [
        ("score", _TEXT), ("against", _TEXT), ("over", _TEXT), ("of", _TEXT), ("compared", _INT), ("pearson", _REAL),
        ("weighted_tau", _REAL),
    ],
    "transfer": [
        ("task", _TEXT), ("model", _TEXT), ("method", _TEXT), ("accuracy", _REAL), ("seconds", _REAL), ("bytes", _INT),
        ("affinity", _REAL), ("regret", _REAL), ("relative_regret", _REAL),
    ],
    "comparisons": [
        ("pool", _TEXT), ("budget", _INT), ("strategy", _TEXT), ("versus", _TEXT), ("tasks", _INT),
        ("difference", _REAL), ("low", _REAL), ("high", _REAL), ("mean_delta", _REAL), ("wins", _INT),
        ("losses", _INT), ("p_value", _REAL), ("p_holm", _REAL), ("on", pa.list_(_TEXT)),
        ("differences", pa.list_(_REAL)),
    ],
    "correlations": [
        ("task", _TEXT), ("proxy", _TEXT), ("models", _INT), ("pearson", _REAL), ("spearman", _REAL),
        ("weighted_tau", _REAL), ("relative_regret", _REAL), ("reason", _TEXT),
    ],
    "proxies": [
        ("pool", _TEXT), ("proxy", _TEXT), ("kind", _TEXT), ("tasks", _INT),
        ("weighted_tau", _REAL), ("weighted_tau_low", _REAL), ("weighted_tau_high", _REAL),
        ("pearson", _REAL), ("pearson_low", _REAL), ("pearson_high", _REAL),
        ("relative_regret_1", _REAL), ("relative_regret_1_low", _REAL), ("relative_regret_1_high", _REAL),
        ("relative_regret_2", _REAL), ("relative_regret_2_low", _REAL), ("relative_regret_2_high", _REAL),
        ("tau_floor", _REAL), ("missing", _INT), ("flat", _INT), ("seconds", _REAL),
    ],
    "neighbours": [("task", _TEXT), ("other", _TEXT), ("distance", _REAL), ("rank", _INT)],
    "answer": [
        ("task", _TEXT), ("group", _TEXT), ("model", _TEXT), ("learning_rate", _REAL), ("val_accuracy", _REAL),
        ("test_accuracy", _REAL), ("low", _REAL), ("high", _REAL), ("repeats", _INT), ("origin", _TEXT),
        ("strategy", _TEXT), ("budget", _INT), ("picks", pa.list_(_TEXT)), ("reasons", pa.list_(_TEXT)),
        ("oracle_model", _TEXT), ("oracle", _REAL), ("regret", _REAL), ("relative_regret", _REAL),
        ("scratch_accuracy", _REAL), ("note", _TEXT),
    ],
}  # fmt: skip
SCHEMAS: Mapping[str, pa.Schema] = {
    name: pa.schema(columns, metadata={"schema_version": str(SCHEMA_VERSION), "creator": "sweeps"})
    for name, columns in _COLUMNS.items()
}
DERIVED = ("accuracies", "regret", "strategies", "budgets", "solved", "comparisons", "correlations", "proxies",
           "neighbours", "relatedness", "transfer", "answer")  # fmt: skip


def write_parquet(path: Path, data: pa.Table) -> None:
    """Write one file, whole or not at all, on the disk when this returns; an older one of that name is replaced.

    Raises:
        OutputError: when the folder cannot be written.
    """
    stream_parquet(path, data.schema, [data])


def stream_parquet(path: Path, schema: pa.Schema, pieces: Iterable[pa.Table]) -> None:
    """The same piece by piece, a row group or more each, so that memory holds one of them."""
    temporary = path.with_name(f".tmp-{path.stem}-{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                for piece in pieces:
                    writer.write_table(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"the table must be writable in {path.parent}, got: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Store:
    """The tables below one output folder."""

    def __init__(self, out: Path) -> None:
        self.out = Path(out)
        self.folder = self.out / "tables"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            OutputError: when the output folder cannot be written.
        """
        try:
            for name in SCHEMAS:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".tmp-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(f"the output folder {self.out} must be writable, got: {error.strerror}; "
                              "choose another with --out") from None  # fmt: skip

    def append(self, outcome: Outcome) -> None:
        """Write the rows of one job, its ``jobs`` row last."""
        job_id = outcome.job["job"]
        for table, rows in outcome.rows.items():
            self.write(table, job_id, rows)
        self.write("jobs", job_id, [outcome.job])

    def write(self, table: str, part: str, rows: Sequence[Row]) -> None:
        """Write one part: whole or not at all; an older part of that name is replaced."""
        data = pa.Table.from_pylist(list(rows), schema=SCHEMAS[table])
        write_parquet(self.folder / table / f"{part}.parquet", data)

    def read(self, table: str, parts: Iterable[str] | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a table, or those of the named parts that exist, or some columns; an absent table is empty."""
        folder = self.folder / table
        if parts is None:
            files = sorted(folder.glob("*.parquet"))
        else:
            files = [path for part in parts if (path := folder / f"{part}.parquet").exists()]
        if not files:
            empty = SCHEMAS[table].empty_table()
            return empty if columns is None else empty.select(columns)
        found = ds.dataset([str(path) for path in files], schema=SCHEMAS[table], format="parquet")
        return found.to_table(columns=columns)

    def rows(self, table: str, parts: Iterable[str] | None = None) -> list[Row]:
        """The same as plain dictionaries."""
        return self.read(table, parts).to_pylist()

    def statuses(self) -> dict[str, str]:
        """Job id -> status of every job that was ever settled here."""
        table = self.read("jobs", columns=["job", "status"])
        return dict(zip(table["job"].to_pylist(), table["status"].to_pylist(), strict=True))

    def write_facts(self, table: str, rows: Sequence[Row]) -> None:
        """Replace a table of facts or a derived table by ``rows``, in one part."""
        self.write(table, "all", rows)


def same_tables(left: Store, right: Store, tables: Iterable[str]) -> list[str]:
    """The differences between two stores, one line each, columns of time and place left out. Empty means equal."""
    differences = []
    for name in tables:
        one, two = (_comparable(store.read(name)) for store in (left, right))
        for key in sorted(one.keys() ^ two.keys()):
            differences.append(f"{name}: only in {'the first' if key in one else 'the second'}: {key[:200]}")
        differences += [f"{name}: {key[:200]} {one[key]} times, then {two[key]}"
                        for key in sorted(one.keys() & two.keys()) if one[key] != two[key]]  # fmt: skip
    return differences


def _comparable(table: pa.Table) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in table.to_pylist():
        key = json.dumps({name: _plain(value) for name, value in row.items() if name not in VOLATILE}, sort_keys=True)
        counts[key] = counts.get(key, 0) + 1
    return counts


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
