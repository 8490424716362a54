"""Models of TF-Hub: a folder with the variables of the module, from this disk, the cache or the hub.

A handle is what follows the hub's address (``vtab/rotation/1``); what it stands for never changes. The cache is
tensorflow_hub's own (TFHUB_CACHE_DIR, a folder per handle), so what it fetched is not fetched again. TensorFlow itself
is not needed. Reads no variable: :mod:`sweeps.zoo.bundle` and :mod:`sweeps.zoo.networks` do.
"""

import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from filelock import FileLock

from sweeps.errors import ModelError
from sweeps.fingerprint import file_digest, fingerprint
from sweeps.hub import ATTEMPTS, BUSY, ROOM
from sweeps.zoo.hub import is_folder

ADDRESS = "https://tfhub.dev"
SECONDS = 60  # without a byte, before a download counts as broken
PAUSE = 1.0  # seconds before the second attempt
_BROKEN = (OSError, EOFError, tarfile.TarError, zlib.error, http.client.HTTPException)


def cache() -> Path:
    """The folder that modules are kept in."""
    return Path(os.environ.get("TFHUB_CACHE_DIR") or Path.home() / ".cache" / "tfhub_modules")


def folder_of(place: str) -> Path:
    """Where a module lies, or would lie once it is fetched."""
    return Path(place) if is_folder(place) else cache() / hashlib.sha1(f"{ADDRESS}/{place}".encode()).hexdigest()


def prefix(folder: Path) -> Path | None:
    """What the files of the variables begin with: of a SavedModel, of TensorFlow 1's module, of a bare checkpoint."""
    known = folder / "variables" / "variables"
    found = [known] if Path(f"{known}.index").is_file() else [path.with_suffix("") for path in folder.glob("*.index")]
    return found[0] if len(found) == 1 else None


def revision(name: str, place: str) -> str:
    """A handle, or a fingerprint of the files of a folder.

    Raises:
        ModelError: for a folder without variables.
    """
    if not is_folder(place):
        return place
    start = variables_of(name, Path(place))
    return fingerprint([[path.name, file_digest(path)] for path in sorted(start.parent.glob(f"{start.name}.*"))])


def variables_of(name: str, folder: Path) -> Path:
    """The prefix of the variables in a folder.

    Raises:
        ModelError: when there is not exactly one.
    """
    start = prefix(folder)
    if start is None:
        raise ModelError(f"model {name!r}: the folder must hold variables/variables.index of a module of TensorFlow or "
                         f"one <name>.index, got {folder}")  # fmt: skip
    return start


def size(place: str) -> int | None:
    """Bytes that the hub would send of a module, None when it does not say.

    Raises:
        OSError: when it cannot be reached.
    """
    with urllib.request.urlopen(urllib.request.Request(_url(place), method="HEAD"), timeout=SECONDS) as answer:
        stated = answer.headers.get("Content-Length")
    return int(stated) if stated else None


def fetch(name: str, place: str) -> Path:
    """The folder of a module, downloaded unless it is there.

    Raises:
        ModelError: when it cannot be had, in one line.
    """
    from huggingface_hub import constants

    folder = folder_of(place)
    if is_folder(place) or prefix(folder) is not None:
        return folder
    if constants.is_offline_mode():
        raise ModelError(f"model {name!r}: {place} must be in {cache()} while offline (HF_HUB_OFFLINE), got nothing; "
                         "run once where there is a network")  # fmt: skip
    cache().mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # the other workers of this machine wait and find it
        if prefix(folder) is None:
            _download(name, place, folder)
    return folder


def _download(name: str, place: str, folder: Path) -> None:
    made = Path(tempfile.mkdtemp(dir=cache()))
    try:
        _patiently(place, made)
        variables_of(name, made)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    except _BROKEN as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise ModelError(f"model {name!r}: {place} must come from {ADDRESS}, got {reason}; download it by hand and "
                         "give its folder as tf-hub:<folder>") from None  # fmt: skip
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _patiently(place: str, folder: Path) -> None:
    """Again from the start when the connection breaks or the server is busy: the hub sends no ranges."""
    for attempt in range(ATTEMPTS - 1):
        try:
            return _unpack(place, folder)
        except _BROKEN as error:
            if isinstance(error, urllib.error.HTTPError) and error.code not in BUSY:
                raise
            time.sleep(PAUSE * 2**attempt)
    return _unpack(place, folder)


def _unpack(place: str, folder: Path) -> None:
    with urllib.request.urlopen(_url(place), timeout=SECONDS) as answer:
        stated, free = int(answer.headers.get("Content-Length") or 0), shutil.disk_usage(folder).free
        if 2 * stated + ROOM > free:  # a bound on what an archive of weights unpacks to
            raise ModelError(f"{place} needs up to {2 * stated / 1e6:.1f} MB in {folder.parent}, got "
                             f"{free / 1e6:.1f} MB free; make room or set TFHUB_CACHE_DIR")  # fmt: skip
        with tarfile.open(fileobj=answer, mode="r|gz") as archive:
            archive.extractall(folder, filter="data")


def _url(place: str) -> str:
    return f"{ADDRESS}/{place}?tf-hub-format=compressed"
