"""What kind of data lies at a place: a folder, a table, arrays or a dataset of the hub -> a ``[[task]]`` entry."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeps.errors import DataError

TABLES = frozenset({".csv", ".tsv", ".jsonl", ".json", ".parquet"})
ARRAYS = frozenset({".npz", ".npy"})
_PICTURE = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?|gif|ppm|pgm)$", re.IGNORECASE)
# What columns are usually called, the likeliest first.
_LABEL = ("label", "labels", "class", "target", "category", "y", "class_name", "coarse_label", "fine_label")
_TEXT = ("text", "sentence", "content", "review", "document", "title", "question", "utterance", "sentence1")
_IMAGE = ("image", "img", "path", "file", "filename", "file_name", "image_path", "filepath")
_SPLIT = ("split", "set", "fold", "partition")


def task_entry(data: str | Path, columns: Mapping[str, str | None]) -> dict[str, Any]:
    """The entry of a sweep that describes the data.

    Args:
        data: an image folder; a file of texts or of image paths, or a folder with one such file per split; arrays; or
            the id of a dataset of the hub.
        columns: ``name``, ``text``, ``image``, ``pair``, ``label``, ``split``, ``subset``, ``revision``, as far as
            the user says; what is not said is guessed from the names and contents of the columns.

    Raises:
        DataError: when there is nothing, or the columns cannot be guessed.
    """
    given = {key: value for key, value in columns.items() if value}
    path = Path(data).expanduser()
    if not path.exists():
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(data)) and not path.suffix:
            return _dataset(str(data), given)
        raise DataError(f"the data must be a folder, a table ({', '.join(sorted(TABLES))}), arrays (.npz) or the id of "
                        f"a dataset of the hub, got {data}, which is not there")  # fmt: skip
    named = {"name": given.pop("name", None) or path.resolve().stem, "path": str(path.resolve())}
    tables = [path] if path.is_file() else sorted(one for one in path.iterdir() if one.suffix.lower() in TABLES)
    if path.suffix.lower() in ARRAYS or (path.is_dir() and (not tables or _folders(path))):
        if given:
            raise DataError(f"columns must be named for a table only, got {', '.join(given)} for {path}")
        return named
    if not tables or tables[0].suffix.lower() not in TABLES:
        raise DataError(f"a file of data must be one of {', '.join(sorted(TABLES | {'.npz'}))}, got {path}")
    return named | _columns(str(path), *_look(tables[0]), given)


def _folders(path: Path) -> bool:
    return any(one.is_dir() and not one.name.startswith(".") for one in path.iterdir())


def _look(path: Path) -> tuple[list[str], Mapping[str, Any]]:
    """Names of the columns of a table, and its first row."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.dataset

    try:
        if path.suffix.lower() in (".jsonl", ".json"):
            with open(path, encoding="utf-8") as file:
                row = json.loads(next(line for line in file if line.strip()))
            return list(row), row
        if path.suffix.lower() == ".parquet":
            table = pa.dataset.dataset(path, format="parquet").head(1)
        else:
            parsing = pa.csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",",
                                          newlines_in_values=True)  # fmt: skip
            with pa.csv.open_csv(path, parse_options=parsing) as reader:
                table = pa.Table.from_batches([reader.read_next_batch()]).slice(0, 1)
        return table.column_names, (table.to_pylist() or [{}])[0]
    except (pa.ArrowException, OSError, ValueError, StopIteration, AttributeError) as error:
        line = (str(error).strip() or "it is empty").splitlines()[0][:200]
        raise DataError(f"the table must be readable, got {path}: {line}") from None


def _columns(place: str, names: Sequence[str], first: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Which column is what: as said, else by its name, else the only one left."""
    found = {key: value for key, value in given.items() if key not in ("text", "image")}
    label = given.get("label") or _named(names, _LABEL)
    if label is None:
        raise DataError(f"the column of the labels must be named with --label, got {place} with {', '.join(names)}")
    found["label"] = label
    if "split" not in given and (split := _named(names, _SPLIT)):
        found["split"] = split
    rest = [name for name in names if name not in (label, found.get("split"))]
    pictures = [name for name in rest if _is_picture(first.get(name))]
    if "text" not in given and ("image" in given or pictures):
        return found | {"image": given.get("image") or pictures[0]}
    text = given.get("text") or _named(rest, _TEXT) or (rest[0] if len(rest) == 1 else None)
    if text is None:
        raise DataError("the column of the texts or images must be named with --text or --image, got "
                        f"{place} with {', '.join(names)}")  # fmt: skip
    return found | {"text": text}


def _named(names: Sequence[str], usual: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in usual if name in lower), None)


def _is_picture(value: Any) -> bool:
    """A path that ends like an image, or the bytes of one as datasets keep them."""
    return isinstance(value, bytes | dict) or (isinstance(value, str) and bool(_PICTURE.search(value)))


def _dataset(place: str, given: dict[str, str]) -> dict[str, Any]:
    """A dataset of the hub; its columns are asked for when the user does not name them."""
    entry = {"name": given.pop("name", None) or place.rpartition("/")[2], "dataset": place}
    if "label" in given and ("text" in given or "image" in given):
        return entry | given
    from sweeps.tasks.repositories import columns_of

    try:
        features = columns_of(entry["name"], {"dataset": place, **given})
    except DataError as error:
        raise DataError(f"the data must be there: {place} is no file or folder, and as a dataset of the hub: {error}"
                        ) from None  # fmt: skip
    first: dict[str, Any] = {name: {} for name, pictures in features.items() if pictures}
    return entry | _columns(place, list(features), first, given)
