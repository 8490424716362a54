"""Task -> pixels: decoded once per preprocessing geometry, kept as one memory-mapped uint8 array per split.

Every model with the same geometry and every job on the same machine reads the same file; a second worker that wants
it while the first still decodes waits for it.
"""

import os
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from filelock import FileLock
from PIL import Image, ImageOps, UnidentifiedImageError

from sweeps.errors import DataError
from sweeps.fingerprint import fingerprint
from sweeps.tasks.registry import list_folder
from sweeps.types import Task


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


def _decode(task: Task, split: str, geometry: Preprocess, image_file: Path, label_file: Path) -> None:
    source, labels = _read(task, split)
    transform = geometry.transform()
    temporary = image_file.with_name(f".tmp-{uuid.uuid4().hex}.npy")
    shape = (len(labels), geometry.size, geometry.size, 3)
    try:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        for index in range(len(labels)):
            array[index] = transform(_open(task, source[index])).permute(1, 2, 0).numpy()
        array.flush()
        del array
        os.replace(temporary, image_file)
    finally:
        temporary.unlink(missing_ok=True)
    temporary = label_file.with_name(f".tmp-{uuid.uuid4().hex}.npy")
    np.save(temporary, labels)
    os.replace(temporary, label_file)


def _read(task: Task, split: str) -> tuple[Any, np.ndarray]:
    kind, _, rest = task.source.partition(":")
    if kind == "mini":
        images, labels = _drawn(rest, task.seed)[split]
        return images, labels.astype(np.int64)
    listing, _ = list_folder(task.name, Path(rest), task.seed)
    rows = listing[split]
    return [path for path, _ in rows], np.array([label for _, label in rows], dtype=np.int64)


@lru_cache(maxsize=2)
def _drawn(name: str, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """All splits are drawn at once; the other two are wanted next."""
    from sweeps.tasks.mini import draw

    return draw(name, seed)


def _open(task: Task, source: Any) -> Image.Image:
    if isinstance(source, np.ndarray):
        return Image.fromarray(source)
    try:
        with Image.open(source) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"task {task.name!r}: every image must decode, got {source} ({error}); "
                        "remove or replace the file") from None  # fmt: skip
