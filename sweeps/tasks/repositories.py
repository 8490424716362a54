"""Hugging Face datasets as tables: by id through the hub's door, or by folder. Knows no class and no text.

Of a repository only the card and the files of the configuration that is asked for are fetched; what they say is read by
``datasets``, from that folder. Code that comes with a dataset is never run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from sweeps.errors import DataError, did_you_mean
from sweeps.hub import Repository
from sweeps.tasks.splits import ALIASES, SPLITS

CARD = "README.md"
# Where no card says which files.
DATA = ("*.parquet*", "*.csv*", "*.tsv*", "*.json*", "*.txt*", "*.arrow")
IMAGES = ("*.tar", "*.zip", "*.jpg", "*.jpeg", "*.png", "*.webp")


def tables_of(name: str, reading: Mapping[str, Any]) -> dict[str, pa.Table]:
    """The splits of a dataset as train, val and test; class numbers become the names that the dataset gives them."""
    return {split: labelled(part, reading["label"]) for split, part in parts_of(name, reading).items()}


def columns_of(name: str, reading: Mapping[str, Any]) -> dict[str, bool]:
    """The columns of a dataset, and whether each holds images; ``reading`` as for :func:`parts_of`, without columns.

    Raises:
        DataError: in one line, when it cannot be had or read.
    """
    from datasets import Image

    features = parts_of(name, {**reading, "image": True})["train"].features
    return {column: isinstance(kind, Image) for column, kind in features.items()}


def labelled(part: Any, label: str) -> pa.Table:
    """A split as a table; class numbers become the names that the dataset gives them."""
    found = part.with_format("arrow")[:]
    names = getattr(part.features.get(label), "names", None)
    return found if not names else found.set_column(found.column_names.index(label), label, called(found[label], names))


def called(numbers: pa.ChunkedArray, names: Sequence[str]) -> pa.ChunkedArray:
    """The names of class numbers; a negative one says that there is no label."""
    given = [names[one] if one is not None and one >= 0 else None for one in numbers.to_pylist()]
    return pa.chunked_array([pa.array(given, pa.string())])


def encoded(name: str, part: Any, column: str) -> Any:
    """A split whose column of images gives them as they are stored, not decoded.

    Raises:
        DataError: when it holds something else.
    """
    from datasets import Image

    if not isinstance(part.features[column], Image):
        raise DataError(f"task {name!r}: the column {column!r} must hold images, got {part.features[column]}")
    return part.cast_column(column, Image(decode=False))


def parts_of(name: str, reading: Mapping[str, Any]) -> dict[str, Any]:
    """The splits of a dataset as train, val and test: the library's own objects, which lie on disk.

    Args:
        name: of the task, for messages.
        reading: a ``[[task]]`` entry as plain data: dataset, subset, revision, splits, label.

    Raises:
        DataError: in one line, when it cannot be had or read, or lacks a split.
    """
    import datasets

    datasets.disable_progress_bars()
    place, subset, splits = reading["dataset"], reading.get("subset"), dict(reading.get("splits") or {})
    folder = Path(place) if is_folder(place) else _fetched(name, reading)
    if subset and not _card(folder) and (folder / subset).is_dir():
        folder, subset = folder / subset, None
    try:
        found = datasets.load_dataset(str(folder), subset)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise DataError(f"task {name!r}: the dataset must load from {place}, got {type(error).__name__}: {line}; files "
                        'made by a script are read with revision = "refs/convert/parquet"') from None  # fmt: skip
    if not splits:
        splits = {split: own for own in found if (split := ALIASES.get(own, own)) in SPLITS}
    for own in splits.values():
        if own not in found:
            raise DataError(f"task {name!r}: a split of the dataset must be known{did_you_mean(own, found)}")
    if "train" not in splits:
        raise DataError(f"task {name!r}: the dataset must have a split for train, got {sorted(found)}; name them under "
                        "splits")  # fmt: skip
    return {split: found[own] for split, own in splits.items()}


def is_folder(place: str) -> bool:
    """Whether a dataset is a folder; an id of the hub otherwise."""
    return place.startswith((".", "/")) or Path(place).is_dir()


def pinned(name: str, reading: Mapping[str, Any]) -> dict[str, Any]:
    """The same entry with the commit that its revision stands for, so that every worker reads the same."""
    if not reading.get("dataset") or is_folder(reading["dataset"]):
        return dict(reading)
    repository = Repository(f"task {name!r}", reading["dataset"], "dataset")
    return {**reading, "revision": repository.commit(reading.get("revision") or "")}


def _fetched(name: str, reading: Mapping[str, Any]) -> Path:
    """The folder with the files of one configuration of a dataset of the hub, and its card."""
    place, subset, data = reading["dataset"], reading.get("subset"), (*DATA, *(IMAGES if reading.get("image") else ()))
    repository = Repository(f"task {name!r}", place, "dataset")
    commit = repository.commit(reading.get("revision") or "")
    card = _card(repository.fetch(commit, (CARD,)))
    named = [each for each in card if each.get("config_name") == (subset or "default") or each.get("default")]
    of_subset = [f"{start}{subset}{end}" for start in ("", "*/") for end in ("/*", ".*")]
    wanted = _files_of((named or card)[0]) if card else of_subset if subset else data
    return repository.fetch(commit, (CARD, *wanted))


def _card(folder: Path) -> list[dict[str, Any]]:
    """The configurations that a dataset's card declares."""
    from huggingface_hub import DatasetCard

    return (DatasetCard.load(folder / CARD).data.get("configs") or []) if (folder / CARD).is_file() else []


def _files_of(configuration: Mapping[str, Any]) -> list[str]:
    """The patterns of the files of a card's configuration: one, several, or one or several per split."""
    root = f"{configuration['data_dir']}/" if configuration.get("data_dir") else ""
    given = configuration.get("data_files") or "*"
    found: list[str] = []
    for part in given if isinstance(given, list) else [given]:
        paths = part["path"] if isinstance(part, dict) else part
        found += paths if isinstance(paths, list) else [paths]
    return [root + path for path in found]
