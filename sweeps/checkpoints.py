"""A checkpoint's way from the machine that wrote it to the output: through its cache, the object storage, or Ray.

Where driver and workers see one folder there is nothing to do. A worker that does not find the driver's mark in its
cache sends the files with its result.
"""

import filecmp
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

from sweeps.remote import Remote
from sweeps.store import Store
from sweeps.types import Row

MARK = ".driver"


def judged(runs: Iterable[Row], checkpoints: Iterable[Row]) -> list[Row]:
    """Rows of ``runs``, those that left the test split to their checkpoint with what that reached."""
    known = {_run(row): row["test_accuracy"] for row in checkpoints}
    return [row if row["test_accuracy"] is not None or row["origin"] not in ("final", "head")
            else row | {"test_accuracy": known.get(_run(row))} for row in runs]  # fmt: skip


def _run(row: Row) -> tuple[str, str, str, float, int]:
    return row["model"], row["task"], row["origin"], row["learning_rate"], row["repeat"]


def mark(cache: Path) -> str:
    """Leave a mark in the driver's cache; returns what it says."""
    said = uuid.uuid4().hex
    (cache / MARK).write_text(said)
    return said


def marked(cache: Path, said: str | None) -> bool:
    """Whether this cache is the driver's: no mark is asked for, or it is there."""
    try:
        return said is None or (cache / MARK).read_text() == said
    except OSError:
        return False


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder, whole or not at all."""
    temporary = folder.with_name(f".tmp-{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    for name, content in files.items():
        (temporary / name).write_bytes(content)
    put(temporary, folder)


def put(temporary: Path, folder: Path) -> None:
    """Put a folder in the place of another."""
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(temporary, folder)


def held(cache: Path, job: str, remote: Remote | None) -> Path | None:
    """The folder that an export left, here or fetched from object storage; None where it is gone."""
    folder = cache / "checkpoints" / job
    if not folder.is_dir() and remote is not None:
        names = remote.list(f"cache/checkpoints/{job}")
        if names:
            write(folder, {name.rpartition("/")[2]: remote.get(name) for name in names})
    return folder if folder.is_dir() else None


def deliver(folder: Path, store: Store, task: str) -> None:
    """Copy a checkpoint to ``checkpoints/<task>`` of the output, in place of the one before."""
    goal = store.out / "checkpoints" / task
    names = {path.name for path in folder.iterdir()}
    if goal.is_dir() and names == {path.name for path in goal.iterdir()}:
        _, changed, odd = filecmp.cmpfiles(folder, goal, names, shallow=False)
        if not changed and not odd:
            return
    temporary = goal.with_name(f".tmp-{uuid.uuid4().hex}")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, temporary)
    put(temporary, goal)
    sent = {f"checkpoints/{task}/{name}" for name in names}
    store.send(*sorted(sent))
    if store.remote is not None:
        for name in store.remote.list(f"checkpoints/{task}").keys() - sent:
            store.remote.delete(name)
