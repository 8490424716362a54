"""Parts are whole or absent, writing twice changes nothing, and readers see declared schemas."""

import errno
import os
import stat

import pyarrow.parquet as pq
import pytest

from sweeps import remote
from sweeps.errors import OutputError
from sweeps.store import SCHEMA_VERSION, SCHEMAS, VOLATILE, Store
from sweeps.types import Outcome
from tests.doubles.same import same_tables


def outcome(job: str, value: float | None, seconds: float = 1.0) -> Outcome:
    score = {"job": job, "model": "m", "task": "t", "proxy": "knn", "value": value, "values": [], "seconds": seconds}
    return Outcome({"job": job, "kind": "score", "status": "ok", "seconds": seconds}, {"scores": [score]})


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "out")
    store.prepare()
    return store


def test_append_is_idempotent(store):
    for _ in range(2):
        store.append(outcome("a", 0.5))
    store.append(outcome("b", None))
    assert [(row["job"], row["value"]) for row in store.rows("scores")] == [("a", 0.5), ("b", None)]
    assert store.statuses() == {"a": "ok", "b": "ok"}
    assert store.rows("scores", ["b", "absent"])[0]["job"] == "b"


def test_empty_tables_have_their_schema(store):
    for name, schema in SCHEMAS.items():
        assert store.read(name).schema.equals(schema)
        assert len(store.read(name)) == 0


def test_schema_version_is_in_every_part(store):
    store.append(outcome("a", 0.5))
    store.wait()
    metadata = pq.read_schema(store.folder / "scores" / "a.parquet").metadata
    assert metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()


def test_unfinished_parts_are_not_seen(store):
    store.append(outcome("a", 0.5))
    (store.folder / "scores" / ".tmp-b-1234").write_bytes(b"PAR1 cut off")
    assert len(store.read("scores")) == 1


def test_unknown_columns_are_refused_by_arrow(store):
    with pytest.raises((ValueError, KeyError, TypeError)):
        store.write("scores", "x", [{"job": "x", "value": "not a number"}])
    assert len(store.read("scores")) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path):
    tmp_path.chmod(stat.S_IREAD | stat.S_IEXEC)
    with pytest.raises(OutputError, match="must be writable"):
        Store(tmp_path / "out").prepare()


def test_output_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="must be writable"):
        Store(tmp_path / "out").prepare()


def test_same_tables_ignores_time_and_nothing_else(tmp_path):
    one, two = Store(tmp_path / "1"), Store(tmp_path / "2")
    for store in (one, two):
        store.prepare()
    one.append(outcome("a", 0.5, seconds=1))
    two.append(outcome("a", 0.5, seconds=2))
    assert same_tables(one, two, ["jobs", "scores"]) == []
    two.append(outcome("a", 0.5 + 2**-53, seconds=2))
    assert len(same_tables(one, two, ["scores"])) == 2
    one.append(outcome("b", 0.1))
    assert any("only in the first" in line for line in same_tables(one, two, ["jobs"]))


def test_volatile_columns_exist():
    names = {column for schema in SCHEMAS.values() for column in schema.names}
    assert names >= VOLATILE


def test_a_disk_that_stays_full_ends_the_run_with_one_line_and_keeps_the_rest(store, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE_SECONDS", 0.1)
    sync, full = os.fsync, [False]

    def fails_when_full(descriptor):
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fails_when_full)
    store.append(outcome("a", 0.5))
    store.wait()
    full[0] = True
    store.append(outcome("b", 0.5))
    with pytest.raises(OutputError, match=r"the table must be writable in .*, got: No space left on device"):
        store.wait()
    full[0] = False
    store.append(outcome("c", 0.5))
    assert store.statuses() == {"a": "ok", "c": "ok"}
    assert not list(store.folder.rglob(".tmp-*"))
