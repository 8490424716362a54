"""Arrow tables in Parquet parts: schemas, write a part, read, which jobs are done. Knows no formula and no Ray.

One immutable part per job and table, named by the job's id, written under a temporary name, fsynced and renamed:
readers see whole parts or none, writing twice changes nothing, and merging two results is a union of folders. The
``jobs`` part is written last, so it commits the job. Missing is null beside a reason, never NaN or 0.0.

Many parts are compacted into a few packs, at the end of a run or during a long one. Of a job that several files speak
of, a part counts before a pack and a later pack before an earlier one, so that between writing a pack and deleting
its parts nothing is seen twice.

An output on object storage is worked on in a copy on this machine: every file is written there and sent.
"""

import atexit
import itertools
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from sweeps.behind import Behind
from sweeps.errors import OutputError
from sweeps.parquet import write_parquet
from sweeps.remote import Remote, is_uri
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
    "sifted": [
        ("job", _TEXT), ("model", _TEXT), ("task", _TEXT), ("examples", _INT), ("reused", _INT), ("proxy", _TEXT),
        ("value", _REAL), ("reason", _TEXT), ("seconds", _REAL),
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
        ("origin", _TEXT),
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
        ("lipschitz", _REAL), ("wasserstein", _REAL), ("by_label", _REAL), ("projected", _REAL), ("logits", _REAL),
        ("trivial", _REAL),
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
        ("spearman", _REAL), ("weighted_tau", _REAL),
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


# Tables with one part per job, whose every row names its job: those that grow with the sweep and are compacted.
PACKED = ("jobs", "features", "sifted", "scores", "runs", "embeddings", "bounds", "head2toe")
PACK_PARTS, PACK_BYTES = 256, 128 * 2**20  # from how many parts on; a larger pack is not written again
BACKLOG, PACE = 64, 0.5  # outcomes on their way, and seconds from one writing to the next when there are many
TOGETHER = 8  # so many that are written at once are a pack
FRESH_PARTS = 4096  # after so many written in one run its files are compacted before its end
_PACK = "pack-"


class Store:
    """The tables below one output: a folder, or an address on object storage and the copy of it on this machine."""

    def __init__(self, out: str | Path) -> None:
        """Raises: OutputError when the address cannot be read."""
        self.remote = Remote(str(out)) if is_uri(out) else None
        self.out = Path(str(out).removeprefix("file://"))
        if self.remote is not None:
            self.out = Path(tempfile.mkdtemp(prefix="sweeps-"))
            atexit.register(shutil.rmtree, self.out, ignore_errors=True)
        self.folder = self.out / "tables"
        self._behind = Behind(self._append, BACKLOG, PACE)
        self._given = 0  # outcomes that this process wrote since it last compacted
        self.refresh()

    def refresh(self) -> None:
        """Make this machine's copy of an output on object storage equal to it; of a folder there is no copy."""
        if self.remote is not None:
            self.remote.copy_to(self.out)

    def send(self, *names: str) -> None:
        """Send files of this machine's copy to where the output is; of a folder there is no copy."""
        for name in names:
            if self.remote is not None and (self.out / name).exists():
                self.remote.put(name, self.out / name)

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
        """Write the rows of one job, its ``jobs`` row last; soon, and before whatever is read from this store next.

        Raises:
            OutputError: when this or an earlier one cannot be written.
        """
        self._behind.give(outcome)

    def _append(self, outcomes: Sequence[Outcome]) -> None:
        """A part for each job; of many that came together a pack, and then their older parts are deleted."""
        latest = {outcome.job["job"]: outcome for outcome in outcomes}
        names = dict.fromkeys(name for outcome in latest.values() for name in outcome.rows)
        for table in [*names, "jobs"]:
            rows = {job: [outcome.job] if table == "jobs" else list(outcome.rows[table])
                    for job, outcome in latest.items() if table == "jobs" or table in outcome.rows}  # fmt: skip
            filled = {job: each for job, each in rows.items() if each and all(row["job"] == job for row in each)}
            packed = filled if table in PACKED and len(filled) >= TOGETHER else {}
            for job in rows.keys() - packed.keys():  # a pack cannot say that there are none, nor whose they are
                self.write(table, job, rows[job])
            if packed:
                self._numbered(table, _table(table, [row for job in sorted(packed) for row in packed[job]]))
                self._delete(table, [path for job in packed if (path := self._part(table, job)).exists()])
        self._given += len(latest)
        if self._given >= FRESH_PARTS:
            self._given = 0
            self._compact(1)

    def wait(self) -> None:
        """Return when all that was appended is on the disk. Raises: OutputError when something cannot be written."""
        self._behind.wait()

    def write(self, table: str, part: str, rows: Sequence[Row]) -> None:
        """Write one part: whole or not at all; an older part of that name is replaced."""
        self._write(table, part, _table(table, rows))

    def _write(self, table: str, part: str, data: pa.Table) -> None:
        write_parquet(self.folder / table / f"{part}.parquet", data)
        self.send(f"tables/{table}/{part}.parquet")

    def read(self, table: str, parts: Iterable[str] | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of a table, or those of the named parts that exist, or some columns; an absent table is empty."""
        wanted = None if parts is None else list(parts)
        self.wait()
        while True:
            packs, loose = self._files(table)
            try:
                return self._read(table, packs, loose, wanted, columns)
            except FileNotFoundError:  # compacted away since it was seen
                continue

    def _files(self, table: str) -> tuple[list[Path], dict[str, Path]]:
        """Packs, latest first, and parts by name, both as they were at one moment."""
        folder = self.folder / table
        while True:
            packs = sorted(folder.glob(f"{_PACK}*.parquet"), reverse=True)
            files = sorted(folder.glob("*.parquet"))
            if set(packs) == {path for path in files if path.name.startswith(_PACK)}:
                return packs, {path.stem: path for path in files if not path.name.startswith(_PACK)}

    def _read(self, table: str, packs: Sequence[Path], loose: Mapping[str, Path], parts: Sequence[str] | None,
              columns: Sequence[str] | None) -> pa.Table:  # fmt: skip
        schema = SCHEMAS[table]
        chosen = list(schema.names if columns is None else columns)
        read = chosen if not packs or "job" in chosen else [*chosen, "job"]
        files = list(loose.values()) if parts is None else [loose[part] for part in parts if part in loose]
        top, names = _rows(files, schema, read, None), pa.array(list(loose), pa.string())
        asked = None if parts is None else ds.field("job").isin(list(parts))
        return _over(top, names, packs, schema, asked).select(chosen)

    def compact(self, least: int = PACK_PARTS) -> None:
        """Put the parts of every table that has at least ``least`` of them into a pack, then delete them.

        Only the holder of the output may. Killed at any moment, it leaves each job in the parts, in a pack, or in both
        and then read once.
        """
        self.wait()
        self._compact(least)

    def _compact(self, least: int) -> None:
        for table in PACKED:
            packs, loose = self._files(table)
            # The latest only: what is written again counts as later than any pack that is left.
            old = list(itertools.takewhile(lambda path: path.stat().st_size <= PACK_BYTES, packs))
            if len(loose) >= least or len(old) >= PACK_PARTS:
                self._pack(table, loose, old)

    def _pack(self, table: str, loose: Mapping[str, Path], old: Sequence[Path]) -> None:
        """Put the rows of parts and of packs into one pack, and delete these files."""
        schema = SCHEMAS[table]
        top = _rows(list(loose.values()), schema, [*schema.names, "__filename"], None)
        stems = pc.replace_substring_regex(top["__filename"], r"^.*/|\.parquet$", "")
        strange = stems.filter(pc.fill_null(pc.not_equal(stems, top["job"]), True))
        # Not the empty ones, which say that there are no rows, nor those with rows of another job.
        whole = pa.array(sorted(set(stems.unique().to_pylist()) - set(strange.to_pylist())), pa.string())
        if not len(whole) and len(old) < 2:
            return
        data = _over(top.select(schema.names).filter(pc.is_in(stems, whole)), whole, old, schema, None)
        self._numbered(table, data)
        self._delete(table, [*(loose[name] for name in whole.to_pylist()), *reversed(old)])

    def _numbered(self, table: str, data: pa.Table) -> None:
        """Write a pack that is later than all that are there."""
        numbers = [int(path.stem.split("-")[1]) for path in (self.folder / table).glob(f"{_PACK}*.parquet")]
        self._write(table, f"{_PACK}{max(numbers, default=0) + 1:06d}-{uuid.uuid4().hex[:8]}", data)

    def _part(self, table: str, job: str) -> Path:
        return self.folder / table / f"{job}.parquet"

    def _delete(self, table: str, files: Iterable[Path]) -> None:
        for path in files:
            if self.remote is not None:
                self.remote.delete(f"tables/{table}/{path.name}")
            path.unlink(missing_ok=True)

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


def _table(name: str, rows: Iterable[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMAS[name])


def _rows(files: Sequence[Path], schema: pa.Schema, columns: Sequence[str], chosen: Any) -> pa.Table:
    if not files:
        return pa.schema([schema.field(name) if name in schema.names else pa.field(name, _TEXT)
                          for name in columns]).empty_table()  # fmt: skip
    found = ds.dataset([str(path) for path in files], schema=schema, format="parquet")
    return found.to_table(columns=list(columns), filter=chosen)


def _over(top: pa.Table, settled: pa.Array, packs: Sequence[Path], schema: pa.Schema, asked: Any) -> pa.Table:
    """Rows of parts, and below them those of packs, latest first, of jobs that no file above speaks of; by job."""
    found = [top]
    for pack in packs:
        rows = _rows([pack], schema, top.column_names, asked)
        found.append(rows.filter(pc.invert(pc.is_in(rows["job"], settled))))
        settled = pa.concat_arrays([settled, pc.unique(rows["job"])])
    together = pa.concat_tables(found)
    return together.take(pc.sort_indices(together["job"])) if packs else top
