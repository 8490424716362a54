"""Where the images of a task lie: files, a Parquet column, arrays, a Hugging Face dataset. Knows no label.

A gallery hands its images out in order, a few at a time and not yet decoded: however many there are, memory holds a
batch of them.
"""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds

from sweeps.errors import DataError

BATCH = 64  # images held at a time, undecoded

Rows = npt.NDArray[np.int64]
Raw = Path | bytes | npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Unit:
    """Images that change together: ``stamp`` is another one when they may have changed, None when nobody can tell."""

    name: str
    stamp: str | None
    images: int


class Gallery(Protocol):
    """Images in a fixed order."""

    def __len__(self) -> int: ...

    def name(self, row: int) -> str:
        """What an image is called in messages."""
        ...

    def units(self) -> list[Unit]:
        """All images in order, by what they change with."""
        ...

    def read(self, rows: Rows) -> Iterator[Raw]:
        """Some images; ``rows`` must rise."""
        ...


def chunks(images: Iterator[Raw]) -> Iterator[list[Raw]]:
    """A batch of images at a time."""
    while chunk := list(islice(images, BATCH)):
        yield chunk


def stamp(path: Path) -> str | None:
    """Size and time of change of a file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return f"{found.st_size}-{found.st_mtime_ns}"


@dataclass(frozen=True)
class Files:
    """One file per image; ``paths`` are relative to ``root`` or absolute."""

    root: Path
    paths: Sequence[str]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, row: int) -> str:
        """Its path."""
        return self.paths[row]

    def units(self) -> list[Unit]:
        """Each for itself."""
        return [Unit(path, stamp(self.root / path), 1) for path in self.paths]

    def read(self, rows: Rows) -> Iterator[Raw]:
        """Paths: whoever decodes reads."""
        return (self.root / self.paths[row] for row in rows)


@dataclass(frozen=True)
class Column:
    """A column of Parquet files: bytes, or ``{bytes, path}`` as Hugging Face writes images."""

    files: Sequence[Path]
    column: str
    counts: Sequence[int]

    def __len__(self) -> int:
        return sum(self.counts)

    def name(self, row: int) -> str:
        """File and row, counted from one."""
        for file, count in zip(self.files, self.counts, strict=True):
            if row < count:
                return f"{file.name} row {row + 1}"
            row -= count
        raise IndexError(row)

    def units(self) -> list[Unit]:
        """File by file."""
        return [Unit(file.name, stamp(file), count) for file, count in zip(self.files, self.counts, strict=True)]

    def read(self, rows: Rows) -> Iterator[Raw]:
        """Row group by row group."""
        start = 0
        for file, count in zip(self.files, self.counts, strict=True):
            wanted = rows[(rows >= start) & (rows < start + count)] - start
            start += count
            if len(wanted):
                batches = ds.dataset(file, format="parquet").to_batches(
                    columns=[self.column], batch_size=BATCH, batch_readahead=1, fragment_readahead=1, use_threads=False
                )
                yield from _chosen((batch.column(0) for batch in batches), wanted, file.parent)


@dataclass(frozen=True)
class Hub:
    """A column of splits of a Hugging Face dataset, memory-mapped in its cache; decoded by us."""

    parts: Sequence[Any]
    column: str

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def name(self, row: int) -> str:
        """Split and row, counted from one."""
        for part in self.parts:
            if row < len(part):
                return f"{part.split} row {row + 1}"
            row -= len(part)
        raise IndexError(row)

    def units(self) -> list[Unit]:
        """Split by split, by the library's fingerprint of its content."""
        return [Unit(f"{part.split}", part._fingerprint, len(part)) for part in self.parts]

    def read(self, rows: Rows) -> Iterator[Raw]:
        """In batches of the memory map."""
        start = 0
        for part in self.parts:
            wanted = rows[(rows >= start) & (rows < start + len(part))] - start
            start += len(part)
            tables = part.select_columns([self.column]).with_format("arrow").iter(BATCH) if len(wanted) else ()
            yield from _chosen((chunk for table in tables for chunk in table[self.column].chunks), wanted, Path())


def _chosen(chunks: Iterator[pa.Array], wanted: Rows, root: Path) -> Iterator[Raw]:
    """The wanted rows of a column that comes in pieces."""
    start = 0
    for chunk in chunks:
        low, high = np.searchsorted(wanted, [start, start + len(chunk)])
        for row in wanted[low:high]:
            yield _raw(chunk[int(row) - start].as_py(), root)
        start += len(chunk)
        if high == len(wanted):
            return


def _raw(value: Any, root: Path) -> Raw:
    """An image that is not there is no bytes, which nobody can decode."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    return root / value if isinstance(value, str) else bytes(value or b"")


@dataclass(frozen=True)
class Arrays:
    """uint8 arrays ``[n, height, width]`` or ``[n, height, width, 1 or 3]``: members of a .npz, or .npy files."""

    place: Path
    members: Sequence[str]
    shapes: Sequence[tuple[int, ...]]

    def __len__(self) -> int:
        return sum(shape[0] for shape in self.shapes)

    def name(self, row: int) -> str:
        """Array and index, counted from zero as arrays are."""
        for member, shape in zip(self.members, self.shapes, strict=True):
            if row < shape[0]:
                return f"{member}[{row}]"
            row -= shape[0]
        raise IndexError(row)

    def units(self) -> list[Unit]:
        """Array by array."""
        files = [self.place / f"{member}.npy" if self.place.is_dir() else self.place for member in self.members]
        return [Unit(member, stamp(file), shape[0])
                for member, file, shape in zip(self.members, files, self.shapes, strict=True)]  # fmt: skip

    def read(self, rows: Rows) -> Iterator[Raw]:
        """Front to back: a compressed array is never whole in memory."""
        start = 0
        for member, shape in zip(self.members, self.shapes, strict=True):
            wanted = rows[(rows >= start) & (rows < start + shape[0])] - start
            start += shape[0]
            if len(wanted):
                yield from _stream(self.place, member, wanted)


def array_header(place: Path, member: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and kind of an array, without its content.

    Raises:
        DataError: when it cannot be read.
    """
    try:
        with _opened(place, member) as file:
            shape, fortran, kind = _header(file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"an array must be readable, got {member} of {place}: {error}") from None
    if fortran and len(shape) > 1:
        raise DataError(f"an array must be stored row by row, got Fortran order in {member} of {place}")
    return shape, kind


def _opened(place: Path, member: str) -> Any:
    if place.is_dir():
        return open(place / f"{member}.npy", "rb")
    return zipfile.ZipFile(place).open(f"{member}.npy")


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"format {version} is not known")
    return read[version](file)


def _stream(place: Path, member: str, wanted: Rows) -> Iterator[npt.NDArray[np.uint8]]:
    with _opened(place, member) as file:
        shape, _, _ = _header(file)
        size = int(np.prod(shape[1:]))
        per_batch = max(1, min(BATCH, 16_000_000 // max(size, 1)))
        for start in range(0, int(wanted[-1]) + 1, per_batch):
            count = min(per_batch, shape[0] - start)
            block = np.frombuffer(file.read(count * size), np.uint8).reshape(count, *shape[1:])
            low, high = np.searchsorted(wanted, [start, start + count])
            yield from block[wanted[low:high] - start]
