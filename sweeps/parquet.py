"""One Parquet file, written whole or not at all. Knows no table of ours."""

import itertools
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sweeps.errors import OutputError
from sweeps.remote import patiently, reason

# The file of one job has a row or a few: looking for what repeats there takes longer than all the rest.
SMALL_ROWS = 256
_LARGE: Mapping[str, Any] = {"compression": "zstd"}
_SMALL: Mapping[str, Any] = {"compression": "snappy", "use_dictionary": False, "write_statistics": False}


def write_parquet(path: Path, data: pa.Table) -> None:
    """Write one file, whole or not at all, on the disk when this returns; an older one of that name is replaced.

    Raises:
        OutputError: when the folder cannot be written, or the disk stays full.
    """
    try:
        patiently(f"the table must be writable in {path.parent}", lambda: _write(path, data.schema, [data]))
    except OSError as error:
        raise OutputError(f"the table must be writable in {path.parent}, got: {reason(error)}") from None


def stream_parquet(path: Path, schema: pa.Schema, pieces: Iterable[pa.Table]) -> None:
    """The same piece by piece, a row group or more each, so that memory holds one of them; a full disk ends it."""
    try:
        _write(path, schema, pieces)
    except OSError as error:
        raise OutputError(f"the table must be writable in {path.parent}, got: {reason(error)}") from None


def _write(path: Path, schema: pa.Schema, pieces: Iterable[pa.Table]) -> None:
    temporary = path.with_name(f".tmp-{path.stem}-{uuid.uuid4().hex}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(temporary, "wb") as file:
            pieces = iter(pieces)
            first = next(pieces, schema.empty_table())
            with pq.ParquetWriter(file, schema, **(_LARGE if len(first) >= SMALL_ROWS else _SMALL)) as writer:
                for piece in itertools.chain([first], pieces):
                    writer.write_table(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # a full disk stays full of it otherwise
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
