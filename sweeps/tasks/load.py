"""Task -> pixels: decoded once per preprocessing geometry, kept as one memory-mapped uint8 array per split.

Every model with the same geometry and every job on the same machine reads the same file; a second worker that wants
it while the first still decodes waits for it.
"""

import mmap
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock

from sweeps.errors import DataError
from sweeps.fingerprint import fingerprint
from sweeps.tasks.albums import pictures_of
from sweeps.tasks.galleries import Raw, chunks
from sweeps.tasks.inspection import Unreadable, threads, upright
from sweeps.types import Task

MAPPED = 256_000_000  # bytes of decoded images that a process keeps mapped


class Preprocess(Protocol):
    """What :class:`sweeps.zoo.load.Geometry` offers."""

    @property
    def size(self) -> int: ...
    @property
    def key(self) -> str: ...
    def transform(self) -> Any: ...


def pixels(task: Task, split: str, geometry: Preprocess, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one split.

    Returns:
        uint8 [n, size, size, 3], memory-mapped and read-only, and int64 [n].

    Raises:
        DataError: for an image that cannot be decoded, with its path.
    """
    folder = cache / "pixels" / fingerprint([task.content, geometry.key])
    image_file, label_file = folder / f"{split}.npy", folder / f"{split}.labels.npy"
    if not label_file.exists():  # written last
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{split}.lock"):
            if not label_file.exists():
                _decode(task, split, geometry, image_file, label_file)
    return np.load(image_file, mmap_mode="r"), np.load(label_file)


class LetGo:
    """Tells the system, now and then, that what was read of a memory map need not stay with this process.

    The pages stay in the system's own cache and come back fast; without it a process that reads a large split seems
    to hold all of it.
    """

    def __init__(self, images: np.ndarray) -> None:
        self._map = getattr(images, "_mmap", None)
        self._size, self._read = images[:1].nbytes, 0

    def __call__(self, count: int) -> None:
        """So many images were read since the last call. A slice is a view: the batch before this one may go."""
        if self._read > MAPPED and self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._read = 0
        self._read += count * self._size


def _decode(task: Task, split: str, geometry: Preprocess, image_file: Path, label_file: Path) -> None:
    """Decoded a batch at a time and written one behind the other: memory holds a batch, whatever the split's size."""
    images, labels, name = _read(task, split)
    transform, size = geometry.transform(), geometry.size

    def pixels_of(raw: Raw) -> np.ndarray:
        return transform(upright(raw)).permute(1, 2, 0).numpy()

    temporary = image_file.with_name(f".tmp-{uuid.uuid4().hex}.npy")
    shape, done = (len(labels), size, size, 3), 0
    try:
        with open(temporary, "wb") as file, ThreadPoolExecutor(threads()) as pool:
            np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for chunk in chunks(images):
                for decoded in pool.map(pixels_of, chunk):
                    file.write(np.ascontiguousarray(decoded, np.uint8).data)
                    done += 1
        os.replace(temporary, image_file)
    except Unreadable as error:
        raise DataError(f"task {task.name!r}: every image must decode, got {name(done)} ({error}); "
                        "remove or replace it") from None  # fmt: skip
    finally:
        temporary.unlink(missing_ok=True)
    temporary = label_file.with_name(f".tmp-{uuid.uuid4().hex}.npy")
    np.save(temporary, labels)
    os.replace(temporary, label_file)


def _read(task: Task, split: str) -> tuple[Iterator[Raw], np.ndarray, Callable[[int], str]]:
    """Images in order, not yet decoded; their labels; and what each is called."""
    kind, _, rest = task.source.partition(":")
    if kind == "mini":
        images, labels = _drawn(rest, task.seed)[split]
        return iter(images), labels.astype(np.int64), str
    found = pictures_of(task)
    rows = found.rows[split]
    return found.gallery.read(rows), found.labels[split], lambda index: found.gallery.name(int(rows[index]))


@lru_cache(maxsize=2)
def _drawn(name: str, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """All splits are drawn at once; the other two are wanted next."""
    from sweeps.tasks.mini import draw

    return draw(name, seed)
