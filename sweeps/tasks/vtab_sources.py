"""Where a VTAB-1k task is read from: ready-made lists, the original files, a repository of the hub or a copy of one.

Each gives examples, encoded images with labels, split by split; nothing is held in memory. What of the study's choice
of images a source can and cannot give again is in its ``selection``.
"""

import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from sweeps.errors import DataError
from sweeps.hub import Repository
from sweeps.tasks import vtab_raw
from sweeps.tasks.prepared import Example
from sweeps.tasks.vtab import TRAIN, VAL, Known

LISTS = {"train": "train800.txt", "val": "val200.txt", "test": "test.txt"}
_SPLIT = re.compile(r"(?:^|/)(train|validation|val|test)(?=[-_./\d])")
_IMAGE, _LABEL = ("image", "webp", "jpg", "jpeg", "png", "img"), ("cls", "label")


@dataclass(frozen=True)
class Source:
    """A task to be read: ``bytes`` is about what its images take, ``download`` what is fetched for it first."""

    kind: str
    place: str
    revision: str
    classes: tuple[str, ...]
    selection: str
    bytes: int
    splits: Mapping[str, Callable[[], Iterator[Example]]] = field(repr=False)
    download: int = 0


def find(task: Known, folder: Path | None) -> Source:
    """The source of a task: what the folder holds of it, or the hub.

    Raises:
        DataError: when the folder holds it in no form that is known, or the hub does not give it.
    """
    if folder is None:
        return _from_hub(task)
    if (folder / task.name / LISTS["train"]).is_file():
        return _from_lists(task, folder / task.name)
    copies = [folder / task.hub, folder / task.hub.partition("/")[2], folder / task.name]
    for copy in copies:
        if copy.is_dir() and (shards := _shards([path.relative_to(copy).as_posix() for path in copy.rglob("*")])):
            size = sum((copy / name).stat().st_size for each in shards.values() for name in each)
            return _from_shards(task, "copy", str(copy), "", shards, copy.joinpath, size)
    if (raw := vtab_raw.find(task, folder)) is not None:
        return Source("original files", str(raw.place), "", _named(task, ()), raw.selection, raw.bytes, raw.splits)
    originals = f"the original {vtab_raw.ORIGINALS[task.name]}, " if task.name in vtab_raw.ORIGINALS else ""
    raise DataError(
        f"{task.name}: the folder must hold {task.name}/{LISTS['train']} (ready-made), {originals}or a copy of "
        f"{task.hub} as {copies[1].name}, got none of them in {folder}"
    )


def _from_lists(task: Known, folder: Path) -> Source:
    """The folders that circulate with the study's exact images: a path and a label a line."""
    lists = {split: _listed(task, folder / file) for split, file in LISTS.items()}
    both = folder / "train800val200.txt"
    if both.is_file() and sorted(_listed(task, both)) != sorted([*lists["train"], *lists["val"]]):
        raise DataError(f"{task.name}: train800val200.txt must be train800.txt and val200.txt, got other lines")

    def read(split: str) -> Iterator[Example]:
        for name, label in lists[split]:
            try:
                yield (folder / name).read_bytes(), name, label
            except OSError as error:
                raise DataError(f"{task.name}: every image of {LISTS[split]} must be there, got {name}: "
                                f"{error.strerror}") from None  # fmt: skip

    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Source("ready-made lists", str(folder), "", _named(task, ()), "the study's images, as the lists name them",
                  size, {split: lambda split=split: read(split) for split in LISTS})  # fmt: skip


def _listed(task: Known, file: Path) -> list[tuple[str, int]]:
    found = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{task.name}: {file.name} must be readable, got {file}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        name, _, label = line.strip().rpartition(" ")
        if line.strip() and not (name and label.isdecimal()):
            raise DataError(f"{task.name}: a line must be a path and a label, got {line[:80]!r} in {file.name} line "
                            f"{number}")  # fmt: skip
        if line.strip():
            found.append((name, int(label)))
    return found


def _from_hub(task: Known) -> Source:
    repository = Repository(f"task {task.name!r}", task.hub, "dataset")
    commit = repository.commit()
    sizes = {file.path: file.size for file in repository.files(commit)}
    shards = _shards(list(sizes))
    download = sum(sizes[name] for split in shards if split != "train" for name in shards[split])
    download += sum(sizes[name] for name in shards.get("train", [])[:1])

    def fetch(name: str) -> Path:
        return repository.fetch(commit, (name,)) / name

    return _from_shards(task, "hub", task.hub, commit, shards, fetch, download, download)


def _shards(names: Sequence[str]) -> dict[str, list[str]]:
    """Split -> its files, in the order of their numbers."""
    found: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in
                                                re.split(r"(\d+)", name)]):  # fmt: skip
        if name.endswith((".tar", ".parquet")) and (match := _SPLIT.search(name)):
            found.setdefault(match[1].replace("validation", "val"), []).append(name)
    return found if {"train", "test"} <= found.keys() else {}


def _from_shards(task: Known, kind: str, place: str, revision: str, shards: Mapping[str, list[str]],
                 fetch: Callable[[str], Path], size: int, download: int = 0) -> Source:  # fmt: skip
    """A repository of tar files of pairs, or of Parquet files."""
    if not shards:
        raise DataError(f"{task.name}: {place} must hold train and test as .tar or .parquet files, got none")

    def rows(split: str) -> Iterator[Example]:
        for name in shards[split]:
            yield from (_tar if name.endswith(".tar") else _parquet)(task, fetch(name))

    own = "val" in shards
    splits: dict[str, Callable[[], Iterator[Example]]] = {
        "train": lambda: islice(rows("train"), TRAIN),
        "val": lambda: islice(rows("val"), VAL) if own else islice(rows("train"), TRAIN, TRAIN + VAL),
        "test": lambda: rows("test"),
    }
    selection = (
        f"the first {TRAIN} of the repository's train, which is the study's choice only where its order is; "
        + (
            f"the first {VAL} of its validation"
            if own
            else f"the {VAL} after them for validation, where the study takes {task.val}"
        )
        + "; all of test"
    )
    return Source(kind, place, revision, _named(task, _class_names(fetch, kind)), selection, size, splits, download)


def _class_names(fetch: Callable[[str], Path], kind: str) -> list[str]:
    try:
        return fetch("classnames.txt").read_text(encoding="utf-8").split("\n")
    except (OSError, DataError):
        return []  # names are for people: numbers will do


def _named(task: Known, names: Sequence[str]) -> tuple[str, ...]:
    given = [name.strip() for name in names if name.strip()]
    if task.names or len(given) != task.classes or len(set(given)) != len(given):
        return task.names or tuple(str(label) for label in range(task.classes))
    return tuple(given)


def _tar(task: Known, path: Path) -> Iterator[Example]:
    """Members of one name belong together: an image, and its label as text in ``.cls``."""
    held: dict[str, dict[str, bytes]] = {}
    try:
        with tarfile.open(path, "r|") as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is None:
                    continue
                key, _, suffix = member.name.partition(".")
                parts = held.setdefault(key, {})
                parts[suffix.lower()] = file.read()
                image = next((kind for kind in _IMAGE if kind in parts), None)
                if image and "cls" in parts:
                    yield parts[image], f"{key}.{image}", int(parts["cls"])
                    del held[key]
    except (tarfile.TarError, OSError, ValueError) as error:
        raise DataError(
            f"{task.name}: a .tar of images and .cls labels must be readable, got {path}: {error}"
        ) from None


def _parquet(task: Known, path: Path) -> Iterator[Example]:
    source = ds.dataset(path, format="parquet")
    image = next((name for name in _IMAGE if name in source.schema.names), None)
    label = next((name for name in _LABEL if name in source.schema.names), None)
    if image is None or label is None:
        raise DataError(f"{task.name}: a Parquet file must have columns image and label, got {source.schema.names}")
    row = 0
    for batch in source.to_batches(columns=[image, label], batch_size=64, batch_readahead=1, fragment_readahead=1):
        for value, number in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
            content: Any = value["bytes"] if isinstance(value, dict) else value
            yield content, f"{path.stem}-{row}", int(np.int64(number))
            row += 1
