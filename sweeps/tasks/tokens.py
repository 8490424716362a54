"""Text task -> token ids: encoded once per tokenizer, kept as flat memory-mapped arrays per split.

Every model with the same tokenizer and every job on the same machine reads the same files; a second worker that wants
them while the first still encodes waits for it. Knows no tokenizer, only what one must do.
"""

import os
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from sweeps.errors import DataError
from sweeps.fingerprint import fingerprint
from sweeps.tasks.texts import split_of
from sweeps.types import Task

CHUNK = 4096  # texts encoded at a time
ARRAYS = ("ids", "types", "ends", "labels")  # the labels are written last: they say that a split is whole


class Encoder(Protocol):
    """What :class:`sweeps.zoo.language.Tokenizer` offers."""

    @property
    def key(self) -> list[Any]: ...
    def encode(self, texts: list[str], pairs: list[str] | None) -> tuple[list[list[int]], list[list[int]] | None]: ...


@dataclass(frozen=True)
class Tokens:
    """One split: int32 ids and uint8 types [all tokens], int64 ends [n] of each text, int64 labels [n]."""

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[n] tokens of each text."""
        return np.diff(self.ends, prepend=0)

    @cached_property
    def highest(self) -> int:
        """The highest id there is."""
        return int(self.ids.max())

    def padded(self, index: npt.NDArray[np.int64], padding: int) -> tuple[npt.NDArray[Any], ...]:
        """Ids, types and mask of some texts, int64 [k, tokens], padded on the right to the longest of them."""
        lengths = self.lengths[index]
        steps = np.arange(lengths.max())
        there = steps < lengths[:, None]
        places = np.where(there, (self.ends[index] - lengths)[:, None] + steps, 0)
        ids = np.where(there, self.ids[places], padding).astype(np.int64)
        return ids, np.where(there, self.types[places], 0).astype(np.int64), there.astype(np.int64)


def tokens(task: Task, split: str, encoder: Encoder, cache: Path) -> Tokens:
    """The tokens of one split.

    Raises:
        DataError: for texts that cannot be read, or one that gives no token.
    """
    folder = cache / "tokens" / fingerprint([task.content, encoder.key])
    files = [folder / f"{split}.{name}.npy" for name in ARRAYS]
    if not files[-1].exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{split}.lock"):
            if not files[-1].exists():
                for file, array in zip(files, _encode(task, split, encoder), strict=True):
                    temporary = file.with_name(f".tmp-{uuid.uuid4().hex}.npy")
                    np.save(temporary, array)
                    os.replace(temporary, file)
    return Tokens(*(np.load(file, mmap_mode="r") for file in files))


def _encode(task: Task, split: str, encoder: Encoder) -> tuple[npt.NDArray[Any], ...]:
    found = split_of(task, split)
    ids, types, lengths = [], [], []
    for start in range(0, len(found.texts), CHUNK):
        chunk = slice(start, start + CHUNK)
        numbers, seconds = encoder.encode(found.texts[chunk], found.pairs[chunk] if found.pairs else None)
        lengths += [len(each) for each in numbers]
        ids.append(np.fromiter((one for each in numbers for one in each), dtype=np.int32))
        types.append(np.zeros(len(ids[-1]), np.uint8) if seconds is None
                     else np.fromiter((one for each in seconds for one in each), dtype=np.uint8))  # fmt: skip
    if 0 in lengths:
        raise DataError(f"task {task.name!r}: every text must give at least one token, got none for "
                        f"{found.texts[lengths.index(0)][:60]!r} in {split}")  # fmt: skip
    return np.concatenate(ids), np.concatenate(types), np.cumsum(lengths, dtype=np.int64), found.labels
