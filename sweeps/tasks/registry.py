"""Names -> Task entries: the embedded tasks, image folders and texts. Reads names and bytes, decodes no image."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from sweeps.config import SweepConfig
from sweeps.errors import ConfigError, DataError, did_you_mean
from sweeps.fingerprint import fingerprint, folder_digest
from sweeps.settings import TaskEntry
from sweeps.tasks.hub import HUB_TASKS
from sweeps.tasks.mini import TASKS
from sweeps.types import Row, Task

SPLITS = ("train", "val", "test")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})
# Shares of a folder that comes without splits.
SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}

TEXTS = "sweeps.tasks.mini_text"  # the embedded text tasks

Listing = dict[str, list[tuple[Path, int]]]


@cache
def embedded() -> Mapping[str, Task]:
    """The tasks shipped with the package: images, then texts."""
    found = {
        name: Task(name=name, source=f"mini:{name}", classes=facts.classes, sizes=dict(facts.sizes),
                   revision=f"mini-{facts.version}", group=facts.group, summary=facts.summary)
        for name, facts in TASKS.items()
    }  # fmt: skip
    if find_spec(TEXTS) is not None:
        found |= {
            name: Task(name=name, source=f"mini_text:{name}", classes=facts.classes, sizes=dict(facts.sizes),
                       revision=f"mini_text-{facts.version}", group=facts.group, summary=facts.summary, modality="text")
            for name, facts in import_module(TEXTS).TASKS.items()
        }  # fmt: skip
    return found


def resolve(config: SweepConfig) -> tuple[tuple[Task, ...], dict[str, str]]:
    """Every task of a sweep, in the order of the config, and the faults of those that cannot be read.

    Returns:
        The readable tasks, and task name -> one line that says what is wrong with it.

    Raises:
        ConfigError: for a name or pattern that matches nothing, or a name given twice.
    """
    found: dict[str, Task] = {}
    faults: dict[str, str] = {}
    for name in config.tasks:
        matches = {known: task for known, task in embedded().items() if fnmatchcase(known, name)}
        found.update(matches)
        entries = [] if matches else [entry for known, entry in HUB_TASKS.items() if fnmatchcase(known, name)]
        if not matches and not entries:
            known = {**embedded(), **HUB_TASKS}
            raise ConfigError(f"tasks must name known tasks{did_you_mean(name, known)}; an image folder or a file of "
                              "texts goes into a [[task]] entry with its path")  # fmt: skip
        _read(entries, config.seed, found, faults)
    for entry in config.task:
        if entry.name in found or entry.name in faults:
            raise ConfigError(f"a task name must be unique, got {entry.name!r} twice")
        _read([entry], config.seed, found, faults)
    return tuple(found.values()), faults


def _read(entries: Iterable[TaskEntry], seed: int, found: dict[str, Task], faults: dict[str, str]) -> None:
    for entry in entries:
        try:
            found[entry.name] = from_folder(entry, seed) if entry.text is None else from_texts(entry, seed)
        except DataError as error:
            faults[entry.name] = str(error)


def from_texts(entry: TaskEntry, seed: int) -> Task:
    """The task that lies in a file, a folder of files or a dataset of texts.

    Raises:
        DataError: in one line, for whatever is missing or wrong.
    """
    from sweeps.tasks import repositories, texts

    reading = repositories.pinned(entry.name, entry.model_dump(exclude={"name", "group", "summary"}, exclude_none=True))
    splits, classes = texts.read(entry.name, reading, seed)
    return Task(
        name=entry.name, source=f"table:{entry.path}" if entry.path else f"dataset:{entry.dataset}", classes=classes,
        sizes={split: len(part.texts) for split, part in splits.items()}, revision=texts.revision(splits, classes),
        group=entry.group, seed=seed, summary=entry.summary, modality="text", reading=reading,
    )  # fmt: skip


def from_folder(entry: TaskEntry, seed: int) -> Task:
    """The task that lies in an image folder.

    Raises:
        DataError: when the folder is missing, holds one class, a class is empty or a class is missing in train.
    """
    folder = Path(entry.path or "")
    listing, classes = list_folder(entry.name, folder, seed)
    files = [path for split in listing.values() for path, _ in split]
    return Task(
        name=entry.name, source=f"folder:{folder}", classes=classes,
        sizes={split: len(rows) for split, rows in listing.items()},
        revision=fingerprint([folder_digest(folder, files), list(classes), listed(listing, folder)]),
        group=entry.group, seed=seed, summary=entry.summary,
    )  # fmt: skip


def listed(listing: Listing, folder: Path) -> dict[str, list[str]]:
    """Which files each split holds, as plain data."""
    return {split: [path.relative_to(folder).as_posix() for path, _ in rows] for split, rows in listing.items()}


def list_folder(name: str, folder: Path, seed: int) -> tuple[Listing, tuple[str, ...]]:
    """Files and labels per split, and the class names in label order (sorted folder names).

    A folder with train/, val/ and test/ is taken as it is; one with class folders only is split 60/15/25 per class
    from the seed; one with train/ and test/ but no val/ gives a fifth of train to val.
    """
    if not folder.is_dir():
        raise DataError(f"task {name!r}: path must be a folder, got {folder}")
    have = [split for split in SPLITS if (folder / split).is_dir()]
    if "train" in have and "test" not in have:
        raise DataError(f"task {name!r}: the folder must hold test/ beside train/, got only {', '.join(have)}")
    roots = {split: folder / split for split in have} if "train" in have else {"": folder}
    found = {split: _class_files(name, root) for split, root in roots.items()}
    classes = tuple(sorted(found[next(iter(found))]))
    if len(classes) < 2:
        raise DataError(f"task {name!r}: train must hold at least 2 classes, got {len(classes)} in {folder}")
    for split, files in found.items():
        if unknown := sorted(set(files) - set(classes)):
            raise DataError(f"task {name!r}: {split} must hold classes of train only, got {unknown[0]!r}")
        if missing := sorted(set(classes) - set(files)):
            raise DataError(
                f"task {name!r}: {split} must hold every class, {missing[0]!r} is missing in {roots[split]}"
            )
    if "" in found:
        return _split(name, found[""], classes, SHARES, seed), classes
    listing = {split: _flat(files, classes) for split, files in found.items()}
    if "val" not in listing:
        parts = _split(name, found["train"], classes, {"train": 0.8, "val": 0.2}, seed)
        listing = {"train": parts["train"], "val": parts["val"], "test": listing["test"]}
    return listing, classes


def _class_files(name: str, root: Path) -> dict[str, list[Path]]:
    classes = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"task {name!r}: every class folder must hold images, got none in {folder}; "
                            "remove the folder or add images")  # fmt: skip
        classes[folder.name] = files
    return classes


def _flat(files: Mapping[str, list[Path]], classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    return [(path, label) for label, name in enumerate(classes) for path in files[name]]


def _split(name: str, files: Mapping[str, list[Path]], classes: tuple[str, ...], shares: Mapping[str, float],
           seed: int) -> Listing:  # fmt: skip
    """Split every class by the same shares, at least one image each, in an order drawn from the seed."""
    parts: Listing = {split: [] for split in shares}
    for label, class_name in enumerate(classes):
        paths = files[class_name]
        if len(paths) < len(shares):
            raise DataError(f"task {name!r}: a class must hold at least {len(shares)} images to be split, "
                            f"got {len(paths)} in {class_name!r}")  # fmt: skip
        order = np.random.default_rng([seed, label]).permutation(len(paths))
        counts = {split: max(1, int(share * len(paths))) for split, share in shares.items() if split != "train"}
        start = 0
        for split, count in [*counts.items(), ("train", len(paths) - sum(counts.values()))]:
            parts[split] += [(paths[index], label) for index in order[start : start + count]]
            start += count
    return {split: sorted(rows) for split, rows in parts.items()}


def facts(task: Task) -> Row:
    """The task's row of the ``tasks`` table."""
    return {
        "task": task.name, "source": task.source, "group": task.group, "classes": len(task.classes),
        **{split: task.sizes.get(split, 0) for split in SPLITS}, "class_names": list(task.classes), "seed": task.seed,
        "revision": task.revision, "summary": task.summary, "modality": task.modality,
    }  # fmt: skip
