"""Names -> Task entries: the embedded tasks, the prepared ones, and those of the sweep's own entries."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sweeps.config import SweepConfig
from sweeps.errors import ConfigError, DataError, did_you_mean
from sweeps.settings import TaskEntry
from sweeps.tasks.hub import HUB_TASKS
from sweeps.tasks.mini import TASKS
from sweeps.tasks.prepared import is_prepared
from sweeps.tasks.splits import SPLITS
from sweeps.tasks.vtab import VTAB
from sweeps.types import Row, Task

TEXTS = "sweeps.tasks.mini_text"  # the embedded text tasks


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
            entries = prepared_entries(name, config.data)
        if not matches and not entries:
            known = {**embedded(), **HUB_TASKS, **VTAB}
            raise ConfigError(f"tasks must name known tasks{did_you_mean(name, known)}; an image folder or a file of "
                              "texts goes into a [[task]] entry with its path")  # fmt: skip
        _read(entries, config.seed, found, faults)
    for entry in config.task:
        if entry.name in found or entry.name in faults:
            raise ConfigError(f"a task name must be unique, got {entry.name!r} twice")
        _read([entry], config.seed, found, faults)
    return tuple(found.values()), faults


def prepared_entries(name: str, data: str | None) -> list[TaskEntry]:
    """Entries for the prepared tasks that a group, a name or a pattern stands for.

    Raises:
        ConfigError: when it stands for some, and nothing says where they are.
    """
    found = {task: known for task, known in VTAB.items() if fnmatchcase(task, name) or task.startswith(f"{name}/")}
    if found and data is None:
        raise ConfigError(f"data must name the folder of prepared tasks, got none for {name!r}; make one with "
                          f"'sweeps tasks prepare {name} --out prepared' and say data = \"prepared\"")  # fmt: skip
    return [TaskEntry(name=task, path=f"{data}/{task}", group=known.group, summary=known.summary)
            for task, known in found.items()]  # fmt: skip


def _read(entries: Iterable[TaskEntry], seed: int, found: dict[str, Task], faults: dict[str, str]) -> None:
    for entry in entries:
        try:
            if entry.name in VTAB and not is_prepared(Path(entry.path or "")):
                raise DataError(f"task {entry.name!r}: it must be prepared, got none in {entry.path}; see "
                                "'sweeps tasks prepare --help'")  # fmt: skip
            found[entry.name] = from_images(entry, seed) if entry.text is None else from_texts(entry, seed)
        except DataError as error:
            faults[entry.name] = str(error)


def from_texts(entry: TaskEntry, seed: int) -> Task:
    """The task that lies in a file, a folder of files or a dataset of texts.

    Raises:
        DataError: in one line, for whatever is missing or wrong.
    """
    from sweeps.tasks import repositories, texts

    reading = repositories.pinned(entry.name, _reading(entry))
    splits, classes = texts.read(entry.name, reading, seed)
    sizes = {split: len(part.texts) for split, part in splits.items()}
    return _task(entry, reading, seed, classes=classes, sizes=sizes, revision=texts.revision(splits, classes),
                 modality="text")  # fmt: skip


def from_images(entry: TaskEntry, seed: int) -> Task:
    """The task that lies in an image folder, a table or a dataset of images, arrays, or a prepared folder.

    Raises:
        DataError: in one line, for whatever is missing or wrong and cannot be mended.
    """
    from sweeps.tasks import albums, repositories

    reading = repositories.pinned(entry.name, _reading(entry))
    found = albums.read(entry.name, reading, seed)
    sizes = {split: len(labels) for split, labels in found.labels.items()}
    return _task(entry, reading, seed, classes=found.classes, sizes=sizes, revision=found.revision, notes=found.notes)


def _reading(entry: TaskEntry) -> dict[str, Any]:
    return entry.model_dump(exclude={"name", "group", "summary"}, exclude_none=True)


def _task(entry: TaskEntry, reading: dict[str, Any], seed: int, **found: Any) -> Task:
    source = f"path:{entry.path}" if entry.path else f"dataset:{entry.dataset}"
    return Task(name=entry.name, source=source, group=entry.group, seed=seed, summary=entry.summary,
                reading=reading, **found)  # fmt: skip


def facts(task: Task) -> Row:
    """The task's row of the ``tasks`` table."""
    return {
        "task": task.name, "source": task.source, "group": task.group, "classes": len(task.classes),
        **{split: task.sizes.get(split, 0) for split in SPLITS}, "class_names": list(task.classes), "seed": task.seed,
        "revision": task.revision, "summary": task.summary, "modality": task.modality, "notes": list(task.notes),
    }  # fmt: skip
