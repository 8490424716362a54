"""Canonical bytes -> content id. Knows nothing about jobs; raises on anything that has no stable form."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def canonical(value: Any) -> Any:
    """The JSON-able form of ``value`` in which equal content has equal text.

    Raises:
        TypeError: for anything but None, bool, int, float, str, list, tuple and mappings with string keys.
        ValueError: for NaN and infinities, which have no JSON form.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a fingerprinted number must be finite, got {value}")
        return value
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a fingerprinted mapping must have string keys")
        return {key: canonical(value[key]) for key in sorted(value)}
    raise TypeError(f"a fingerprinted value must be plain data, got {type(value).__name__}")


def canonical_json(value: Any) -> str:
    """``value`` as JSON text, keys sorted, no spaces."""
    return json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def fingerprint(value: Any) -> str:
    """32 hexadecimal digits that name the content of ``value`` (blake2b of its canonical JSON)."""
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=16).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
