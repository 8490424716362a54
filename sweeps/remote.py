"""An output on object storage (``s3://``, ``gs://``): whole files in and out, and who may write. Knows no table.

A file is sent in one piece, so that others see all of it or nothing. What fails for a reason that may pass, a
throttled or unreachable store, a full disk, is tried again for minutes, with one line that says so.
"""

import contextlib
import errno
import json
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pyarrow import fs

from sweeps.errors import OutputError

Given = TypeVar("Given")

PATIENCE_SECONDS = 600.0
SAY_SECONDS = 30.0
BEAT_SECONDS, LEASE_SECONDS = 5.0, 30.0
HOLDERS = ".holders"

_PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY,
                      errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH})  # fmt: skip
_LASTING = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY", "SIGNATURE_DOES_NOT_MATCH", "INVALID_SIGNATURE",
            "UNRECOGNIZED_CLIENT", "HTTP 301", "HTTP 400", "HTTP 401", "HTTP 403")  # fmt: skip
_log = logging.getLogger("sweeps")


def is_uri(out: str | Path) -> bool:
    """Whether an output is an address and not a folder of this machine."""
    return "://" in str(out) and not str(out).startswith("file://")


def patiently(what: str, action: Callable[[], Given]) -> Given:
    """``action()``, tried again while it fails for a reason that may pass.

    Raises:
        OSError: the last one, when it lasts or will not pass.
    """
    began, pause, silent_until = time.monotonic(), 0.2, 0.0
    while True:
        try:
            return action()
        except OSError as error:
            gone = time.monotonic() - began
            if not _may_pass(error) or gone + pause > PATIENCE_SECONDS:
                raise
            if pause > 0.5 and gone >= silent_until:
                silent_until = gone + SAY_SECONDS
                _log.warning("waiting: %s, got: %s; trying again for %.0f min, nothing is lost", what, reason(error),
                             (PATIENCE_SECONDS - gone) / 60)  # fmt: skip
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, 15.0)


def _may_pass(error: OSError) -> bool:
    if error.errno is not None:
        return error.errno in _PASSING
    return not isinstance(error, (FileNotFoundError, PermissionError)) and not any(w in str(error) for w in _LASTING)


def reason(error: OSError) -> str:
    """One line of what went wrong."""
    return error.strerror or (str(error).strip() or type(error).__name__).splitlines()[0][:300]


@dataclass(frozen=True)
class Kept:
    """A file in the store: its size in bytes, and when it was written in nanoseconds of the store's clock."""

    size: int
    written: int


class Remote:
    """A folder on object storage."""

    def __init__(self, uri: str) -> None:
        """Raises: OutputError for an address that nothing here can read."""
        self.uri = uri
        asked = uri + ("&" if "?" in uri else "?") + "allow_delayed_open=true" if uri.startswith("s3://") else uri
        try:
            self.fs, self.root = fs.FileSystem.from_uri(asked)
        except (OSError, ValueError) as error:
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise OutputError(f"the output must be a folder or an s3:// or gs:// address, got {uri}: {text}") from None
        self.lost = threading.Event()  # set when another run took the output over

    def below(self, name: str) -> str:
        """The address of what is called ``name`` in here."""
        address, mark, query = self.uri.partition("?")
        return f"{address.rstrip('/')}/{name}{mark}{query}"

    def put(self, name: str, content: bytes | Path) -> None:
        """Write a file, whole or not at all; an older one of that name is replaced.

        Raises:
            OutputError: when the store stays out of reach, or another run took the output over.
        """
        if self.lost.is_set():
            raise OutputError(f"the output {self.uri} must be used by one run at a time, another one took it over "
                              "while it was out of reach from here")  # fmt: skip
        data = content.read_bytes() if isinstance(content, Path) else content

        def send() -> None:
            with self.fs.open_output_stream(f"{self.root}/{name}") as stream:
                stream.write(data)

        self._try(send)

    def get(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: when there is none.
            OutputError: when the store stays out of reach.
        """

        def fetch() -> bytes:
            with self.fs.open_input_file(f"{self.root}/{name}") as file:
                return file.read()

        return self._try(fetch)

    def list(self, folder: str = "") -> dict[str, Kept]:
        """The files below a folder by their names in here; an absent folder is empty."""
        where = fs.FileSelector(f"{self.root}/{folder}".rstrip("/"), recursive=True, allow_not_found=True)
        found = self._try(lambda: self.fs.get_file_info(where))
        start = len(self.root) + 1
        return {each.path[start:]: Kept(each.size, each.mtime_ns) for each in found if each.type == fs.FileType.File}

    def copy_to(self, folder: Path) -> None:
        """Make a folder of this machine equal to this one, the cache and who holds it left out.

        Files may come and go meanwhile. One that is gone when it is fetched starts the look anew; one that replaces
        others must sort after them, as packs do after parts: a listing in order then sees it, or what it replaces.
        """
        while True:
            there = {name: kept for name, kept in self.list().items() if not name.startswith(("cache/", f"{HOLDERS}/"))}
            try:
                with ThreadPoolExecutor(16) as several:
                    list(several.map(lambda item: self._fetch(folder, *item), there.items()))
                break
            except FileNotFoundError:
                continue
        for path in folder.rglob("*"):
            if path.is_file() and path.relative_to(folder).as_posix() not in there:
                path.unlink()

    def _fetch(self, folder: Path, name: str, kept: Kept) -> None:
        path = folder / name
        if path.exists() and (path.stat().st_size, path.stat().st_mtime_ns) == (kept.size, kept.written):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.get(name))
        os.utime(path, ns=(kept.written, kept.written))

    def delete(self, name: str) -> None:
        """Remove a file; an absent one is as good."""
        with contextlib.suppress(FileNotFoundError):
            self._try(lambda: self.fs.delete_file(f"{self.root}/{name}"))

    def _try(self, action: Callable[[], Given]) -> Given:
        try:
            return patiently(f"the output {self.uri} must be reachable", action)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise OutputError(f"the output {self.uri} must be reachable and writable, got: {reason(error)}") from None


@contextlib.contextmanager
def lease(remote: Remote, wait: bool = False) -> Iterator[None]:
    """Hold an output on object storage: a file that is renewed every few seconds says that its holder lives.

    A holder that was killed stops renewing, and half a minute later, by the store's own clock, the output is free.

    Raises:
        OutputError: when another run holds it and ``wait`` is off, with who and since when.
    """
    name = f"{HOLDERS}/{uuid.uuid4().hex}.json"
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    content = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": since}).encode()
    _enter(remote, name, content, wait)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(BEAT_SECONDS):
            with contextlib.suppress(OutputError):  # out of reach: whoever writes next will say so
                if name in remote.list(HOLDERS):
                    remote.put(name, content)
                else:
                    remote.lost.set()
                    return

    beat = threading.Thread(target=renew, daemon=True, name="lease")
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join(timeout=BEAT_SECONDS)
        remote.delete(name)


def _enter(remote: Remote, name: str, content: bytes, wait: bool) -> None:
    """Return when this holder is the only living one. Of two that come at once each sees the other and steps back."""
    seen: dict[str, int] = {}
    while True:
        remote.put(name, content)
        holders = remote.list(HOLDERS)
        mine = holders.pop(name)
        living = {other: kept.written for other, kept in holders.items()
                  if mine.written - kept.written < LEASE_SECONDS * 1e9}  # fmt: skip
        if not living:
            for other in holders:
                remote.delete(other)
            return
        remote.delete(name)
        renewed = [other for other, written in living.items() if seen.get(other, written) != written]
        if renewed and not wait:
            raise OutputError(f"the output {remote.uri} must be used by one run at a time, {_who(remote, renewed[0])}; "
                              "wait for it (--wait), or choose another with --out")  # fmt: skip
        if not seen:
            _log.warning("waiting: the output %s was in use a moment ago; looking whether its holder lives", remote.uri)
        seen = {other: seen.get(other, written) for other, written in living.items()}
        time.sleep(BEAT_SECONDS * random.uniform(0.2, 0.4))


def _who(remote: Remote, name: str) -> str:
    try:
        data = json.loads(remote.get(name))
        return f"process {data['pid']} on {data['host']} has been writing to it since {data['since']}"
    except (OSError, ValueError, KeyError):
        return "another run is writing to it"
