"""Readers see every job once, whatever was compacted, rewritten, merged or killed half-way."""

import contextlib
import itertools
import os
import shutil

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps import store as storing
from sweeps.store import Store
from sweeps.types import Outcome


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


def outcome(job, value, rows=1):
    scores = [{"job": job, "model": "m", "task": "t", "proxy": f"p{i}", "value": float(value)} for i in range(rows)]
    return Outcome({"job": job, "kind": "score", "status": "ok", "attempt": value}, {"scores": scores})


def seen(store):
    """What readers see, in their order: (job, proxy, value) of scores and (job, attempt) of jobs."""
    scores = [(row["job"], row["proxy"], row["value"]) for row in store.rows("scores")]
    return scores, [(row["job"], row["attempt"]) for row in store.rows("jobs")]


def told(latest):
    """The textbook: the last outcome of each job, by name."""
    scores = [(job, f"p{i}", float(value)) for job, (value, rows) in sorted(latest.items()) for i in range(rows)]
    return scores, [(job, value) for job, (value, _) in sorted(latest.items())]


def killed_after(count, patch):
    """Makes the ``count``-th change of the disk from now on, and each after it, the end of the process."""
    left = itertools.count(count, -1)

    def mortal(change):
        def changed(*args, **kwargs):
            if next(left) <= 0:
                raise KilledError
            return change(*args, **kwargs)

        return changed

    patch.setattr(os, "replace", mortal(os.replace))
    patch.setattr(storing.Path, "unlink", mortal(storing.Path.unlink))


JOBS = st.sampled_from([f"{number:02x}" for number in range(8)])
STEPS = st.one_of(
    st.tuples(st.just("append"), JOBS, st.integers(1, 99), st.integers(0, 3)),
    st.tuples(st.just("compact"), st.just(""), st.integers(0, 12), st.sampled_from([0, 1, 10**9])),
    st.tuples(st.just("long"), JOBS, st.integers(1, 99), st.integers(0, 3)),
    st.tuples(st.just("together"), st.lists(JOBS, min_size=2, max_size=5), st.integers(1, 12), st.integers(0, 3)),
)


@settings(max_examples=25)
@given(steps=st.lists(STEPS, max_size=8))
def test_no_row_is_lost_or_seen_twice_however_often_it_is_killed(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("out")
    sync = pytest.MonkeyPatch()
    sync.setattr(os, "fsync", lambda _: None)  # a killed process, not a power cut
    store, latest = Store(folder), {}
    store.prepare()
    for step, job, number, size in steps:
        if step == "append":
            store.append(outcome(job, number, size))
            latest[job] = (number, size)
        elif step == "long":  # a run so long that it makes packs on its way, from what it wrote itself
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(storing, "FRESH_PARTS", 1 + number % 3)
                store.append(outcome(job, number, size))
            latest[job] = (number, size)
        elif step == "together":  # killed while they are written; then measured again, as a resumed sweep does
            before, batch = seen(store), [outcome(each, number, size) for each in job]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(storing, "TOGETHER", 2)
                killed_after(number, patch)
                with contextlib.suppress(KilledError):
                    store._append(batch)
            store = Store(folder)
            for was, now in zip(before, seen(store), strict=True):
                assert [row for row in was if row[0] not in job] == [row for row in now if row[0] not in job]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(storing, "TOGETHER", 2)
                store._append(batch)
            latest |= dict.fromkeys(job, (number, size))
        else:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(storing, "PACK_BYTES", size)  # 0: every pack counts as large
                killed_after(number, patch)
                try:
                    store.compact(least=1)
                except KilledError:
                    store = Store(folder)
        assert seen(store) == told(latest)
        some = sorted(latest)[::2]
        assert [row["job"] for row in store.rows("jobs", some)] == some
        assert store.read("scores", columns=["value"]).column_names == ["value"]
    sync.undo()
    shutil.rmtree(folder)


def fill(folder, jobs):
    store = Store(folder)
    store.prepare()
    for number, job in enumerate(jobs):
        store.append(outcome(job, number + 1))
        store.wait()  # each alone: a part
    return store


def test_many_parts_become_one_file_with_the_same_rows(tmp_path):
    store = fill(tmp_path, [f"{number:03x}" for number in range(40)])
    before = seen(store)
    store.compact(least=41)
    assert len(list((store.folder / "jobs").iterdir())) == 40
    store.compact(least=40)
    assert seen(store) == before
    for table in ("jobs", "scores"):
        (file,) = (store.folder / table).iterdir()
        assert pq.read_schema(file).metadata[b"schema_version"]
        assert store.read(table).schema.equals(storing.SCHEMAS[table])


def test_a_long_run_makes_packs_on_its_way(tmp_path, monkeypatch):
    monkeypatch.setattr(storing, "FRESH_PARTS", 10)
    monkeypatch.setattr(storing, "PACK_BYTES", 0)  # large at once
    jobs = [f"{number:03x}" for number in range(25)]
    store = fill(tmp_path, jobs)
    for table in ("jobs", "scores"):
        assert len(list((store.folder / table).glob("pack-*"))) == 2
        assert len(list((store.folder / table).glob("*.parquet"))) == 2 + 5
    assert seen(store) == told({job: (number + 1, 1) for number, job in enumerate(jobs)})


def test_what_comes_together_is_a_pack_and_stale_parts_go(tmp_path):
    store = fill(tmp_path, ["a", "b"])
    batch = {name: (7, size) for name, size in zip("abcdefghij", [0, *[2] * 9], strict=True)}
    store._append([outcome(name, *each) for name, each in batch.items()])
    assert seen(store) == told(batch)
    assert [path.stem for path in (store.folder / "jobs").iterdir() if path.stem in batch] == []
    assert [path.stem for path in (store.folder / "scores").iterdir() if path.stem in batch] == ["a"]  # without rows
    assert len(list((store.folder / "jobs").iterdir())) == 1
    store._append([outcome(name, 8, 1) for name in "abcdefghij"])
    assert seen(store) == told(dict.fromkeys("abcdefghij", (8, 1)))
    assert len(list((store.folder / "jobs").iterdir())) == 2
    store.compact(least=0)
    assert len(list((store.folder / "jobs").iterdir())) == 1
    assert seen(store) == told(dict.fromkeys("abcdefghij", (8, 1)))


def test_folders_merge_by_copying_compacted_or_not(tmp_path):
    one, two = fill(tmp_path / "1", ["a", "b", "c"]), fill(tmp_path / "2", ["c", "d"])
    one.compact(least=1)
    two.compact(least=1)
    for path in (two.folder / "jobs").iterdir():
        shutil.copy(path, one.folder / "jobs")
    assert [row["job"] for row in one.rows("jobs")] == ["a", "b", "c", "d"]


def test_a_part_with_rows_of_another_job_is_left_alone(tmp_path):
    store = fill(tmp_path, ["a", "b"])
    store.write("scores", "odd", [{"job": "elsewhere", "value": 1.0}])
    store.compact(least=1)
    assert [path.stem for path in (store.folder / "scores").glob("*") if "pack" not in path.name] == ["odd"]
    assert [row["job"] for row in store.rows("scores")] == ["a", "b", "elsewhere"]


def test_a_reader_that_looked_before_the_compaction_looks_again(tmp_path, monkeypatch):
    store, reader = fill(tmp_path, ["a", "b"]), Store(tmp_path)
    before, files = seen(reader), Store._files

    def late(self, table):
        found = files(self, table)
        monkeypatch.setattr(Store, "_files", files)
        store.compact(least=1)
        return found

    monkeypatch.setattr(Store, "_files", late)
    assert seen(reader) == before


def test_tables_of_facts_are_never_packed(tmp_path):
    store = fill(tmp_path, ["a"])
    store.write_facts("models", [{"model": "m"}])
    store.compact(least=1)
    assert [path.name for path in (store.folder / "models").iterdir()] == ["all.parquet"]
