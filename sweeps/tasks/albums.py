"""Where labelled images are found: an image folder, a table of paths or bytes, arrays, a dataset, a prepared task.

Finds and names them; what they make is :mod:`sweeps.tasks.pictures`. What is wrong is said in one line.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from sweeps.errors import DataError, did_you_mean
from sweeps.fingerprint import canonical_json
from sweeps.tasks import prepared, repositories, texts
from sweeps.tasks.galleries import Arrays, Column, Files, Gallery, Hub, array_header
from sweeps.tasks.inspection import inspect
from sweeps.tasks.pictures import Found, Pictures, arrange
from sweeps.tasks.splits import SPLITS
from sweeps.types import Task

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})
UNSAID = frozenset({"thumbs.db", "desktop.ini"})  # what systems leave behind


def pictures_of(task: Task) -> Pictures:
    """The images of a task, as they were read when it was planned."""
    return _kept(canonical_json([task.name, task.reading, task.seed]))


@lru_cache(maxsize=2)
def _kept(what: str) -> Pictures:
    """The next split of a task is wanted soon after the first."""
    return read(*json.loads(what))


def read(name: str, reading: Mapping[str, Any], seed: int) -> Pictures:
    """The images that a ``[[task]]`` entry, as plain data, is about.

    Raises:
        DataError: in one line, for whatever is missing or wrong and cannot be mended.
    """
    if reading.get("path") and prepared.is_prepared(Path(reading["path"])):
        return prepared.pictures(name, Path(reading["path"]))
    found = find(name, reading)
    return arrange(name, found, inspect(found.gallery, f"looking at {name}", canonical_json(dict(reading))), seed)


def find(name: str, reading: Mapping[str, Any]) -> Found:
    """Every image there is, with its class and its split."""
    if reading.get("dataset"):
        return _dataset(name, reading)
    path = Path(reading["path"])
    if path.suffix == ".npz" or (path.is_dir() and any(path.glob("*.npy"))):
        return _arrays(name, path, reading)
    if reading.get("image"):
        return _tables(name, reading)
    if path.is_file():
        raise DataError(f"task {name!r}: image (or text) must name the column of the images in a file, got {path.name} "
                        "without it")  # fmt: skip
    return _folder(name, path)


def _folder(name: str, folder: Path) -> Found:
    """``<split>/<class>/*`` or ``<class>/*``, classes in the order of their names."""
    if not folder.is_dir():
        raise DataError(f"task {name!r}: path must be a folder, got {folder}")
    have = [split for split in SPLITS if (folder / split).is_dir()]
    if "train" in have and "test" not in have:
        raise DataError(f"task {name!r}: the folder must hold test/ beside train/, got only {', '.join(have)}")
    roots = {split: folder / split for split in have} if "train" in have else {"": folder}
    strays: list[str] = []
    found = {split: _class_files(name, folder, root, strays) for split, root in roots.items()}
    classes = tuple(sorted(found[next(iter(found))]))
    if len(classes) < 2:
        raise DataError(f"task {name!r}: train must hold at least 2 classes, got {len(classes)} in {folder}")
    for split, files in found.items():
        if unknown := sorted(set(files) - set(classes)):
            raise DataError(f"task {name!r}: {split} must hold classes of train only, got {unknown[0]!r}")
        if missing := sorted(set(classes) - set(files)):
            raise DataError(
                f"task {name!r}: {split} must hold every class, {missing[0]!r} is missing in {roots[split]}"
            )
    rows = [(path, label, split) for split, files in found.items() for label in classes for path in files[label]]
    paths, labels, given = zip(*rows, strict=True)
    return Found(Files(folder, paths), labels, given, classes, strays, complete=True)


def _class_files(name: str, folder: Path, root: Path, strays: list[str]) -> dict[str, list[str]]:
    classes = {}
    for place in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        there = sorted(path for path in place.rglob("*") if not path.name.startswith(".") and path.is_file())
        files = [path.relative_to(folder).as_posix() for path in there if path.suffix.lower() in SUFFIXES]
        if not files:
            raise DataError(f"task {name!r}: every class folder must hold images, got none in {place}; "
                            "remove the folder or add images")  # fmt: skip
        strays += [path.relative_to(folder).as_posix() for path in there
                   if path.suffix.lower() not in SUFFIXES and path.name.lower() not in UNSAID]  # fmt: skip
        classes[place.name] = files
    return classes


def _tables(name: str, reading: Mapping[str, Any]) -> Found:
    """Files with a column of paths (read from the folder of the table) or, in Parquet, of images as bytes."""
    column, split_column = reading["image"], reading.get("split")
    files = texts.places(name, reading)
    kinds = {split: _kind(name, path, column) for split, path in files.items()}
    if len(set(kinds.values())) > 1:
        raise DataError(f"task {name!r}: every file must hold images in one way, got paths and bytes")
    stored = "bytes" in kinds.values()
    wanted = [reading["label"], *([split_column] if split_column else []), *([] if stored else [column])]
    tables = {split: _table(name, path, wanted) for split, path in files.items()}
    labels = [texts.label_names(name, split, found[reading["label"]]) for split, found in tables.items()]
    gallery: Gallery
    if stored:
        gallery = Column(list(files.values()), column, [len(found) for found in tables.values()])
    else:
        paths = [str(path or "") for split in tables for path in tables[split][column].to_pylist()]
        root = Path(reading["path"])
        gallery = Files(root if root.is_dir() else root.parent, paths)
    given = (texts.split_names(name, tables[""], split_column) if split_column and "" in tables
             else [split for split, found in tables.items() for _ in range(len(found))])  # fmt: skip
    return _labelled(name, gallery, labels, list(tables), given)


def _kind(name: str, path: Path, column: str) -> str:
    """Whether a file holds images as bytes or as paths."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return "paths"
    try:
        schema = ds.dataset(path, format="parquet").schema
    except (pa.ArrowException, OSError) as error:
        line = str(error).strip().splitlines()[0][:200]
        raise DataError(f"task {name!r}: every file must be readable, got {path}: {line}") from None
    texts.check_columns(name, [column], schema.names)
    kind = schema.field(column).type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "paths"
    held = [kind.field(place).name for place in range(kind.num_fields)] if pa.types.is_struct(kind) else []
    if "bytes" in held or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "bytes"
    raise DataError(
        f"task {name!r}: the column {column!r} must hold images as bytes, {{bytes, path}} or paths, got {kind}"
    )


def _table(name: str, path: Path, wanted: list[str]) -> pa.Table:
    """The columns of labels and splits, never those of images; numbers of classes become the names they are given."""
    if path.suffix.lower() != ".parquet":
        found = texts.table(name, path, wanted)
        texts.check_columns(name, wanted, found.column_names)
        return found
    source = ds.dataset(path, format="parquet")
    texts.check_columns(name, wanted, source.schema.names)
    found = source.to_table(columns=wanted)
    said = json.loads((source.schema.metadata or {}).get(b"huggingface", b"{}"))
    names = said.get("info", {}).get("features", {}).get(wanted[0], {}).get("names")
    return found.set_column(0, wanted[0], repositories.called(found[wanted[0]], names)) if names else found


def _dataset(name: str, reading: Mapping[str, Any]) -> Found:
    """A column of images of a Hugging Face dataset, in its splits."""
    from datasets import Image

    column, label, parts = reading["image"], reading["label"], repositories.parts_of(name, reading)
    for split, part in parts.items():
        texts.check_columns(name, [column, label], part.column_names)
        if not isinstance(part.features[column], Image):
            raise DataError(f"task {name!r}: the column {column!r} must hold images, got {part.features[column]}")
        parts[split] = part.cast_column(column, Image(decode=False))
    labels = [texts.label_names(name, split, repositories.labelled(part.select_columns([label]), label)[label])
              for split, part in parts.items()]  # fmt: skip
    given = [split for split, part in parts.items() for _ in range(len(part))]
    return _labelled(name, Hub(list(parts.values()), column), labels, list(parts), given)


def _labelled(name: str, gallery: Gallery, labels: Sequence[list[str]], splits: Sequence[str],
              given: Sequence[str]) -> Found:  # fmt: skip
    """Train alone is a file without splits."""
    flat = [label for part in labels for label in part]
    if len(splits) == 1:
        first = [label for label, split in zip(flat, given, strict=True) if split in ("", "train")]
        named = {"train": first, **{split: [label for label, own in zip(flat, given, strict=True) if own == split]
                                    for split in ("val", "test")}}  # fmt: skip
    else:
        named = dict(zip(splits, labels, strict=True))
        named = {"train": named["train"], **named}
    return Found(gallery, flat, [""] * len(given) if set(given) == {"train"} else given,
                 texts.class_names(name, named))  # fmt: skip


def _arrays(name: str, place: Path, reading: Mapping[str, Any]) -> Found:
    """``images`` and ``labels``, or both for every split (``train_images``, as MedMNIST has them)."""
    members = _members(name, place)
    image, label = reading.get("image") or "images", reading["label"] if reading["label"] != "label" else "labels"
    splits = [split for split in SPLITS if f"{split}_{image}" in members] or [""]
    labels, shapes, chosen = [], [], []
    for split in splits:
        pair = [f"{split}_{key}" if split else key for key in (image, label)]
        for key in pair:
            if key not in members:
                raise DataError(f"task {name!r}: an array must be there{did_you_mean(key, members)}")
        shape, numbers = _shape(name, place, pair[0]), _numbers(name, place, pair[1])
        if shape[0] != len(numbers):
            raise DataError(
                f"task {name!r}: every image must have a label, got {shape[0]} {pair[0]} and {len(numbers)} {pair[1]}"
            )
        chosen.append(pair[0])
        shapes.append(shape)
        labels.append(numbers)
    given = [split for split, part in zip(splits, labels, strict=True) for _ in part]
    return _labelled(name, Arrays(place, chosen, shapes), labels, splits, given)


def _members(name: str, place: Path) -> list[str]:
    if place.is_dir():
        return sorted(path.stem for path in place.glob("*.npy"))
    try:
        with np.load(place, allow_pickle=False) as found:
            return list(found.files)
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"task {name!r}: a .npz must be readable, got {place}: {error}") from None


def _shape(name: str, place: Path, member: str) -> tuple[int, ...]:
    shape, kind = array_header(place, member)
    if kind != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))):
        raise DataError(f"task {name!r}: {member} must be uint8 [n, height, width] or [n, height, width, 1 or 3], got "
                        f"{kind} {list(shape)}")  # fmt: skip
    return shape


def _numbers(name: str, place: Path, member: str) -> list[str]:
    found = np.load(place / f"{member}.npy", allow_pickle=False) if place.is_dir() else np.load(place)[member]
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise DataError(f"task {name!r}: {member} must be one label per image, got {list(found.shape)}")
    return texts.label_names(name, "", pa.chunked_array([pa.array(found)]))
