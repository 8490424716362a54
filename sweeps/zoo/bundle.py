"""The variables of a TensorFlow checkpoint, read without TensorFlow: ``<prefix>.index`` and ``<prefix>.data-*``.

The index is a LevelDB table whose values are protocol buffers; both are read here as far as checkpoints use them. Every
block and every tensor is checked against its checksum. Knows no model.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweeps.errors import ModelError
from sweeps.zoo.crc32c import crc32c, masked

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_STRING = 7
_TYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "|u1",
    5: "<i2",
    6: "|i1",
    9: "<i8",
    10: "|b1",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: its type (TensorFlow's number), shape, shard, and place in the shard in bytes."""

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    sliced: bool


def variables(prefix: Path) -> dict[str, np.ndarray]:
    """Every number-valued variable by the name its graph gave it.

    Args:
        prefix: path without ``.index``; of a SavedModel ``<folder>/variables/variables``.

    Returns:
        name -> array, in the order of the names. A SavedModel of TensorFlow 2 stores variables under places in an
        object graph; they are given back under their full names.

    Raises:
        ModelError: for a file that is missing, cut short, damaged or of a form that checkpoints do not have.
    """
    try:
        shards, entries = _index(prefix)
        renamed = _full_names(prefix, shards, entries)
        found: dict[str, np.ndarray] = {}
        for key, entry in entries.items():
            if entry.kind != _STRING and not key.startswith(_GRAPH):
                found[renamed.get(key, key)] = _tensor(prefix, shards, key, entry)
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise ModelError(f"{prefix}.index must be a TensorFlow checkpoint, got one that is cut short "
                         f"({type(error).__name__})") from None  # fmt: skip
    except OSError as error:
        raise ModelError(f"{prefix} must be a readable TensorFlow checkpoint, got: {error.strerror} "
                         f"({error.filename})") from None  # fmt: skip
    return dict(sorted(found.items()))


def _index(prefix: Path) -> tuple[int, dict[str, Entry]]:
    """Number of shards, and the entry of every tensor."""
    data = Path(f"{prefix}.index").read_bytes()
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise ModelError(f"{prefix}.index must be the index of a TensorFlow checkpoint, got no LevelDB table")
    _, _, at = _handle(data, len(data) - _FOOTER)
    offset, size, _ = _handle(data, at)
    shards, entries = 0, {}
    for _, handle in _block(data, offset, size, prefix):
        start, length, _ = _handle(handle, 0)
        for key, value in _block(data, start, length, prefix):
            if key:
                entries[key.decode()] = _entry(value)
            else:
                header = dict(_fields(value))
                shards = header.get(1, 1)
                if header.get(2, 0):
                    raise ModelError(f"{prefix}.index must be little-endian, got a big-endian checkpoint")
    return shards, entries


def _block(data: bytes, offset: int, size: int, prefix: Path) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block, keys shortened by what they share with the one before."""
    packing = data[offset + size]
    (stored,) = struct.unpack_from("<I", data, offset + size + 1)
    if masked(crc32c(data[offset : offset + size + 1])) != stored:
        raise ModelError(f"{prefix}.index must match its checksums, got a damaged block at byte {offset}")
    if packing:
        raise ModelError(f"{prefix}.index must hold uncompressed blocks, got compression {packing}")
    (restarts,) = struct.unpack_from("<I", data, offset + size - 4)
    at, end, key = offset, offset + size - 4 * (restarts + 1), b""
    while at < end:
        shared, at = _varint(data, at)
        own, at = _varint(data, at)
        length, at = _varint(data, at)
        key = key[:shared] + data[at : at + own]
        at += own
        yield key, data[at : at + length]
        at += length


def _tensor(prefix: Path, shards: int, key: str, entry: Entry) -> np.ndarray:
    if entry.sliced:
        raise ModelError(f"{prefix}: variable {key} must be stored whole, got slices of it")
    if entry.kind not in _TYPES:
        raise ModelError(f"{prefix}: variable {key} must be of a numeric type, got TensorFlow's type {entry.kind}")
    raw = _raw(prefix, shards, key, entry)
    kind = np.dtype(_TYPES[entry.kind])
    if entry.size != kind.itemsize * int(np.prod(entry.shape, dtype=np.int64)):
        raise ModelError(f"{prefix}: variable {key} must have the size of its shape {list(entry.shape)}, "
                         f"got {entry.size} bytes")  # fmt: skip
    if masked(crc32c(raw)) != entry.crc:
        raise ModelError(f"{prefix}: variable {key} must match its checksum, got damaged bytes")
    return np.frombuffer(raw, dtype=kind).reshape(entry.shape)


def _raw(prefix: Path, shards: int, key: str, entry: Entry) -> bytes:
    with open(f"{prefix}.data-{entry.shard:05d}-of-{shards:05d}", "rb") as file:
        file.seek(entry.offset)
        raw = file.read(entry.size)
    if len(raw) != entry.size:
        raise ModelError(f"{prefix}: variable {key} must have {entry.size} bytes, got {len(raw)}: the data file is "
                         "cut short")  # fmt: skip
    return raw


def _full_names(prefix: Path, shards: int, entries: dict[str, Entry]) -> dict[str, str]:
    """Checkpoint key -> full name, from the object graph; empty for a checkpoint of TensorFlow 1."""
    if _GRAPH not in entries:
        return {}
    raw = _raw(prefix, shards, _GRAPH, entries[_GRAPH])
    length, at = _varint(raw, 0)
    graph = raw[at + 4 : at + 4 + length]  # four bytes check the length
    checked = struct.pack("<I", length) + raw[at:]
    if len(graph) != length or masked(crc32c(checked)) != entries[_GRAPH].crc:
        raise ModelError(f"{prefix}: the object graph must match its checksum, got damaged bytes")
    names: dict[str, str] = {}
    for number, node in _fields(graph):
        for part, attribute in _fields(node) if number == 1 else ():
            if part == 2:
                known = dict(_fields(attribute))
                if 2 in known and 3 in known:
                    names[known[3].decode()] = known[2].decode()
    return names


def _entry(data: bytes) -> Entry:
    known = dict(_fields(data))
    shape = []
    for number, dim in _fields(known.get(2, b"")):
        if number == 2:
            shape.append(dict(_fields(dim)).get(1, 0))
    return Entry(known.get(1, 0), tuple(shape), known.get(3, 0), known.get(4, 0), known.get(5, 0), known.get(6, 0),
                 7 in known)  # fmt: skip


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Field number and value of a protocol buffer: an int for varint and fixed types, bytes for the rest."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif wire == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise IndexError(at)
            yield tag >> 3, data[at : at + length]
            at += length
        elif wire in (1, 5):
            form = "<Q" if wire == 1 else "<I"
            yield tag >> 3, struct.unpack_from(form, data, at)[0]
            at += struct.calcsize(form)
        else:
            raise IndexError(at)


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    """Offset and size of a block, and where the next handle begins."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return offset, size, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
