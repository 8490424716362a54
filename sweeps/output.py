"""The output folder: one run at a time, and the config that made it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from sweeps.config import SweepConfig, parse
from sweeps.errors import OutputError
from sweeps.remote import lease
from sweeps.store import Store

CONFIG = "sweep.json"


@contextmanager
def hold(store: Store, wait: bool = False) -> Iterator[None]:
    """Hold an output, wherever it is, and see it as its last holder left it.

    Raises:
        OutputError: when another run holds it and ``wait`` is off, with who and since when.
    """
    with claim(store.out, wait) if store.remote is None else lease(store.remote, wait):
        store.refresh()
        yield


@contextmanager
def claim(out: Path, wait: bool = False) -> Iterator[None]:
    """Hold the output folder; the operating system lets go of it when the holder dies, however it dies.

    Raises:
        OutputError: when another run holds it and ``wait`` is off, with who and since when.
    """
    lock, holder = FileLock(out / ".lock"), out / ".holder.json"
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise OutputError(f"the output folder {out} must be used by one run at a time, {_who(holder)}; "
                          "wait for it (--wait), or choose another with --out") from None  # fmt: skip
    except OSError as error:
        raise OutputError(f"the output folder {out} must be writable, got: {error.strerror}") from None
    try:
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        holder.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": since}))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _who(holder: Path) -> str:
    try:
        data = json.loads(holder.read_text())
        return f"process {data['pid']} on {data['host']} has been writing to it since {data['since']}"
    except (OSError, ValueError, KeyError):
        return "another run is writing to it"


def write_config(store: Store, config: SweepConfig) -> None:
    """Keep the resolved config beside its results."""
    path = store.out / CONFIG
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    temporary.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    store.send(CONFIG)


def read_config(out: Path) -> SweepConfig:
    """The config of the last run into this folder.

    Raises:
        OutputError: when the folder holds no sweep.
    """
    try:
        return parse(json.loads((out / CONFIG).read_text(encoding="utf-8")), str(out / CONFIG))
    except (OSError, ValueError):
        raise OutputError(
            f"the output folder must hold a sweep, got {out}; run 'sweeps run' first or give --out"
        ) from None
