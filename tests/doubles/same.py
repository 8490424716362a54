"""Whether two outputs hold the same rows."""

import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from sweeps.store import VOLATILE, Store


def same_tables(left: Store, right: Store, tables: Iterable[str]) -> list[str]:
    """The differences between two stores, one line each, columns of time and place left out. Empty means equal."""
    differences = []
    for name in tables:
        one, two = (_comparable(store.read(name)) for store in (left, right))
        for key in sorted(one.keys() ^ two.keys()):
            differences.append(f"{name}: only in {'the first' if key in one else 'the second'}: {key[:200]}")
        differences += [f"{name}: {key[:200]} {one[key]} times, then {two[key]}"
                        for key in sorted(one.keys() & two.keys()) if one[key] != two[key]]  # fmt: skip
    return differences


def _comparable(table: pa.Table) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in table.to_pylist():
        key = json.dumps({name: _plain(value) for name, value in row.items() if name not in VOLATILE}, sort_keys=True)
        counts[key] = counts.get(key, 0) + 1
    return counts


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
