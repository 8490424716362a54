"""Feature files of the user's own -> ``taskrel.score`` or ``taskrel.rank``: proxies without a sweep.

One file per model: ``.npz`` with ``features`` and, in one of the files or in a file of their own, ``labels``; and as
they are there ``val_features``, ``val_labels`` and ``source_probs``. Or a ``.npy`` matrix of features alone.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweeps.errors import DataError, did_you_mean
from taskrel.aggregate import COMBINED
from taskrel.api import CORE, Scores, rank, score
from taskrel.proxies import PROXIES
from taskrel.types import Probe

KEYS = ("features", "labels", "val_features", "val_labels", "source_probs")


def score_files(files: Sequence[Path], labels: Path | None, proxies: Sequence[str], seed: int) -> Scores:
    """Scores of one file, or ranks of several.

    Args:
        files: one per model; a model is called by the name of its file.
        labels: ``.npy``, or ``.csv`` / ``.txt`` with one label per line; by default those of the first file with some.
        proxies: names; by default all that apply to one file, the core set for several.
        seed: of everything random.

    Raises:
        DataError: for a file that cannot be read or does not fit, or an unknown proxy.
    """
    for name in proxies:
        known = {**PROXIES, **COMBINED} if len(files) > 1 else PROXIES
        if name not in known:
            raise DataError(f"proxies must be known{did_you_mean(name, known)}")
    names = [path.stem for path in files]
    if len(set(names)) < len(names):
        raise DataError(f"files must have distinct names, got {sorted({n for n in names if names.count(n) > 1})} twice")
    read = {path.stem: _read(path) for path in files}
    common = _labels(labels) if labels is not None else _first(read, "labels")
    if common is None:
        raise DataError(f"labels must be given, got none in {files[0]}; name a file of them with --labels")
    held = _first(read, "val_labels")
    try:
        probes = {name: Probe(arrays["features"], arrays.get("labels", common), arrays.get("source_probs"))
                  for name, arrays in read.items()}  # fmt: skip
        val = {name: Probe(arrays["val_features"], arrays.get("val_labels", held))
               for name, arrays in read.items() if "val_features" in arrays and held is not None}  # fmt: skip
        if len(files) == 1:
            return score(probes[names[0]], proxies=proxies or None, val=val.get(names[0]), seed=seed)
        return rank(probes, proxies=proxies or (*CORE, "rank_mean"), val=val, seed=seed)
    except ValueError as fault:
        raise DataError(str(fault)) from None


def _first(read: Mapping[str, Mapping[str, Any]], key: str) -> Any:
    return next((arrays[key] for arrays in read.values() if key in arrays), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"features": found}
        with found:
            arrays = {key: found[key] for key in found.files}
    except (OSError, ValueError) as fault:
        raise DataError(f"{path} must be a readable .npz or .npy file, got: {fault}") from None
    for key in arrays:
        if key not in KEYS:
            raise DataError(f"{path} must hold known arrays{did_you_mean(key, KEYS)}")
    if "features" not in arrays:
        raise DataError(f"{path} must hold an array 'features', got {sorted(arrays)}")
    return arrays


def _labels(path: Path) -> Any:
    """The labels of a file: integers where every line is one, else text."""
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        with open(path, newline="", encoding="utf-8") as file:
            lines = [row[0].strip() for row in csv.reader(file) if row]
    except (OSError, ValueError) as fault:
        raise DataError(f"{path} must be a readable file of labels, got: {fault}") from None
    try:
        return np.array([int(line) for line in lines])
    except ValueError:
        return np.array(lines, dtype=np.str_)
