"""Writes TensorFlow checkpoints for the tests, from the format's description and nothing of the reader."""

import struct
from pathlib import Path

import numpy as np


def sealed(data: bytes) -> int:
    """Masked CRC-32C, bit by bit in a table of 256."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


def _remainder(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


TABLE = [_remainder(index) for index in range(256)]


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    """A varint field of a protocol buffer."""
    return varint(field << 3) + varint(value)


def nested(field: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def _block(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Prefix-compressed keys, a restart every third entry."""
    out, restarts, last = b"", [], b""
    for index, (key, value) in enumerate(pairs):
        shared = 0
        if index % 3 == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return out + struct.pack(f"<{len(restarts)}I", *restarts) + struct.pack("<I", len(restarts))


def write(prefix: Path, arrays: dict[str, np.ndarray], *, graph: bool = False, shards: int = 1, block: int = 5) -> None:
    """A checkpoint of these variables; with ``graph`` as TensorFlow 2 lays it out, under places in an object graph."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    kinds = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}
    data = [b""] * shards
    entries: dict[bytes, bytes] = {}

    def add(key: str, kind: int, shape: tuple[int, ...], raw: bytes, crc: int, shard: int) -> None:
        dims = b"".join(nested(2, number(1, size)) for size in shape)
        entries[key.encode()] = (
            number(1, kind) + nested(2, dims) + (number(3, shard) if shard else b"") + number(4, len(data[shard]))
            + number(5, len(raw)) + varint(6 << 3 | 5) + struct.pack("<I", crc)
        )  # fmt: skip
        data[shard] += raw

    nodes = b""
    for index, (name, array) in enumerate(arrays.items()):
        key = f"variables/{index}/.ATTRIBUTES/VARIABLE_VALUE" if graph else name
        if graph:
            attribute = nested(1, b"VARIABLE_VALUE") + nested(2, name.encode()) + nested(3, key.encode())
            nodes += nested(1, nested(2, attribute))
        raw = array.tobytes()
        add(key, kinds[array.dtype.name], array.shape, raw, sealed(raw), index % shards)
    if graph:
        seal = struct.pack("<I", sealed(struct.pack("<I", len(nodes))))
        raw = varint(len(nodes)) + seal + nodes
        add("_CHECKPOINTABLE_OBJECT_GRAPH", 7, (), raw, sealed(struct.pack("<I", len(nodes)) + seal + nodes), 0)

    pairs = [(b"", number(1, shards) + nested(3, number(1, 1))), *sorted(entries.items())]
    table, handles = b"", []

    def place(content: bytes) -> bytes:
        nonlocal table
        handle = varint(len(table)) + varint(len(content))
        table += content + b"\0" + struct.pack("<I", sealed(content + b"\0"))
        return handle

    for start in range(0, len(pairs), block):
        part = pairs[start : start + block]
        handles.append((part[-1][0] + b"~", place(_block(part))))
    footer = place(_block([])) + place(_block(handles))
    table += footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)
    Path(f"{prefix}.index").write_bytes(table)
    for shard, raw in enumerate(data):
        Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}").write_bytes(raw)
