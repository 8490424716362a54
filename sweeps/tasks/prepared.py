"""A prepared task: a folder of one Parquet file per split and a manifest that says what they are and are not.

``train.parquet``, ``val.parquet``, ``test.parquet`` hold ``image`` ({bytes, path}, as Hugging Face writes it) and
``label``; ``manifest.json`` the class names, where the images come from, and the checksum of every file. Was looked at
when it was prepared, so reading it looks at no image.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from sweeps.errors import DataError
from sweeps.fingerprint import file_digest, fingerprint
from sweeps.parquet import stream_parquet
from sweeps.tasks.galleries import Column
from sweeps.tasks.pictures import Pictures
from sweeps.tasks.splits import SPLITS

FORMAT = 1
MANIFEST = "manifest.json"
PIECE = 512  # images in a row group
SCHEMA = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())])

Example = tuple[bytes, str, int]  # an encoded image, what it is called, its label


@dataclass(frozen=True)
class Part:
    """One split on disk."""

    file: str
    images: int
    bytes: int
    sha256: str
    content: str


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds a prepared task."""
    return (folder / MANIFEST).is_file()


def write_split(folder: Path, split: str, examples: Iterable[Example]) -> Part:
    """Write one split, whole or not at all. ``content`` names images and labels, however the file is encoded."""
    digest, file = hashlib.blake2b(digest_size=16), folder / f"{split}.parquet"

    def pieces() -> Iterator[pa.Table]:
        stream = iter(examples)
        while chunk := list(islice(stream, PIECE)):
            for image, _, label in chunk:
                digest.update(hashlib.blake2b(image, digest_size=16).digest() + label.to_bytes(8, "little"))
            rows = [{"image": {"bytes": image, "path": name}, "label": label} for image, name, label in chunk]
            yield pa.Table.from_pylist(rows, SCHEMA)

    stream_parquet(file, SCHEMA, pieces())
    images = ds.dataset(file, format="parquet").count_rows()
    return Part(file.name, images, file.stat().st_size, file_digest(file), digest.hexdigest())


def write_manifest(folder: Path, about: dict[str, Any], name: str = MANIFEST) -> None:
    """Written last: it says that the task is whole."""
    temporary = folder / f".tmp-{uuid.uuid4().hex}"
    temporary.write_text(json.dumps({"format": FORMAT, **about}, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, folder / name)


def manifest(folder: Path) -> dict[str, Any]:
    """What a prepared task says about itself.

    Raises:
        DataError: when it cannot be read, or is of another format.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"a prepared task must have a readable {MANIFEST}, got {folder}: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DataError(f"a prepared task must be of format {FORMAT}, got another in {folder}; prepare it again")
    return found


def faults(folder: Path) -> list[str]:
    """What of a prepared task is not as its manifest says, one line each; empty means that every checksum holds."""
    found = []
    for part in manifest(folder)["splits"].values():
        file = folder / part["file"]
        if not file.is_file():
            found.append(f"{file} is missing")
        elif file.stat().st_size != part["bytes"] or file_digest(file) != part["sha256"]:
            found.append(f"{file} is not what was written: its checksum differs")
    return found


def pictures(name: str, folder: Path) -> Pictures:
    """The task in a prepared folder.

    Raises:
        DataError: when a file is missing or of another size than was written.
    """
    about = manifest(folder)
    parts = [about["splits"][split] for split in SPLITS]
    files = [folder / part["file"] for part in parts]
    for file, part in zip(files, parts, strict=True):
        if not file.is_file() or file.stat().st_size != part["bytes"]:
            raise DataError(f"task {name!r}: every file of a prepared task must be as it was written, got "
                            f"{file} {'changed' if file.is_file() else 'missing'}; prepare it again")  # fmt: skip
    counts = [part["images"] for part in parts]
    ends = np.cumsum([0, *counts])
    labels = [ds.dataset(file, format="parquet").to_table(columns=["label"])["label"].to_numpy() for file in files]
    classes = tuple(about["classes"])
    return Pictures(
        gallery=Column(files, "image", counts),
        rows={split: np.arange(ends[place], ends[place + 1]) for place, split in enumerate(SPLITS)},
        labels=dict(zip(SPLITS, labels, strict=True)),
        classes=classes,
        revision=fingerprint([list(classes), {split: part["content"] for split, part in about["splits"].items()}]),
        notes=tuple(f"task {name!r}: {note}" for note in about["notes"]),
    )
