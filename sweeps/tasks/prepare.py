"""Prepare tasks once: room first, then split by split, each whole or not at all; a second run goes on and checks.

Knows where a group's tasks come from by its table, and nothing of how a source is read.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sweeps.errors import ConfigError, DataError, SweepError, did_you_mean
from sweeps.tasks import prepared, vtab_sources
from sweeps.tasks.inspection import look
from sweeps.tasks.prepared import MANIFEST, Example, Part
from sweeps.tasks.splits import SPLITS
from sweeps.tasks.vtab import TRAIN, VAL, VTAB, Known
from sweeps.tasks.vtab_sources import Source

UNFINISHED = ".unfinished.json"
ROOM = 100_000_000  # bytes of the disk to leave free

Step = Callable[[str, int], None]  # told of a task's split and how many images of it came


@dataclass(frozen=True)
class Need:
    """What is to be done for one task: ``source`` is None when it is whole already, ``fault`` when it cannot be."""

    name: str
    known: Known
    source: Source | None = None
    fault: str = ""


def matching(name: str) -> list[str]:
    """The tasks that a group, a name or a pattern stands for.

    Raises:
        ConfigError: when there are none.
    """
    found = [task for task in VTAB if fnmatchcase(task, name) or task.startswith(f"{name}/")]
    if not found:
        groups = {task.partition("/")[0] for task in VTAB}
        raise ConfigError(f"a task to prepare must be known{did_you_mean(name, {*groups, *VTAB})}")
    return found


def needs(names: Sequence[str], out: Path, folder: Path | None) -> list[Need]:
    """What each task needs: nothing when every checksum of it holds, else its source."""
    found = []
    for name in names:
        known, place = VTAB[name], out / name
        try:
            if prepared.is_prepared(place):
                if not (faults := prepared.faults(place)):
                    found.append(Need(name, known))
                    continue
                _keep(place, [part for part in _parts(place, MANIFEST) if not any(part.file in one for one in faults)])
            found.append(Need(name, known, vtab_sources.find(known, folder)))
        except SweepError as error:
            found.append(Need(name, known, fault=_line(known, folder, error)))
    return found


def check_room(todo: Sequence[Need], out: Path) -> tuple[int, int]:
    """Bytes that preparing takes, and bytes that are free.

    Raises:
        DataError: in one line, when it does not fit.
    """
    needed = sum(need.source.bytes for need in todo if need.source is not None)
    place = next(each for each in (out.absolute(), *out.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(place).free
    if needed and needed + ROOM > free:
        raise DataError(f"preparing needs {needed / 1e9:.2f} GB in {out}, got {free / 1e9:.2f} GB free; choose another "
                        "disk with --out, or fewer tasks")  # fmt: skip
    return needed, free


def prepare(need: Need, out: Path, step: Step) -> None:
    """Write one task: each split as its source gives it, then the manifest. Splits of a killed run are kept.

    Raises:
        DataError: when the source gives what it must not, in one line.
    """
    known, source, place = need.known, need.source, out / need.name
    assert source is not None
    place.mkdir(parents=True, exist_ok=True)
    for left in place.glob(".tmp-*"):
        left.unlink()
    state = {"kind": source.kind, "place": source.place, "revision": source.revision}
    kept = {Path(part.file).stem: part for part in _parts(place, UNFINISHED, state)}
    for split in SPLITS:
        if split not in kept:
            examples = _checked(known, source, split, step)
            kept[split] = prepared.write_split(place, split, examples)
            _keep(place, list(kept.values()), state)
    for split, least in (("train", TRAIN), ("val", VAL)):
        if kept[split].images != least:
            raise DataError(f"{known.name}: {split} must hold {least} images, got {kept[split].images} from "
                            f"{source.place}")  # fmt: skip
    notes = [] if kept["test"].images == known.test else [
        f"its test has {kept['test'].images} images, the study's {known.test}"]  # fmt: skip
    prepared.write_manifest(place, {
        "task": need.name, "title": known.title, "group": known.group, "summary": known.summary,
        "classes": list(source.classes), "source": state, "selection": source.selection, "notes": notes,
        "splits": {split: asdict(kept[split]) for split in SPLITS},
    })  # fmt: skip
    (place / UNFINISHED).unlink(missing_ok=True)


def _checked(known: Known, source: Source, split: str, step: Step) -> Iterator[Example]:
    """Examples with the study's labels; every image decodes and every label is a class."""
    rule = known.rule if source.kind in ("hub", "copy") else None
    highest = -1
    for count, (image, name, given) in enumerate(source.splits[split](), 1):
        if fault := look(image).fault:
            raise DataError(f"{known.name}: every image must decode, got {name} of {split} ({fault})")
        highest = max(highest, given)
        label = int(rule(given)) if rule is not None else int(given)
        if not 0 <= label < known.classes:
            raise DataError(f"{known.name}: a label must be from 0 to {known.classes - 1}, got {given} of {name}")
        yield image, name, label
        step(split, count)
    if split == "test" and rule is not None and highest != known.raw - 1:
        raise DataError(
            f"{known.name}: {source.place} must have {known.raw} raw classes to make {known.classes} of, "
            f"got {highest + 1}"
        )


def _parts(place: Path, file: str, state: dict[str, str] | None = None) -> list[Part]:
    """The splits that a manifest, or what a killed run left, says are whole; ``state`` is the source to agree with."""
    try:
        said: dict[str, Any] = json.loads((place / file).read_text(encoding="utf-8"))
        if state is not None and said["source"] != state:
            return []
        parts = [Part(**part) for part in said["splits"].values()]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [
        part for part in parts if (place / part.file).is_file() and (place / part.file).stat().st_size == part.bytes
    ]


def _keep(place: Path, parts: Sequence[Part], state: dict[str, str] | None = None) -> None:
    """Note which splits are whole; a manifest that no longer holds goes."""
    if state is None:
        state = json.loads((place / MANIFEST).read_text(encoding="utf-8"))["source"]
    splits = {Path(part.file).stem: asdict(part) for part in parts}
    prepared.write_manifest(place, {"source": state, "splits": splits}, UNFINISHED)
    (place / MANIFEST).unlink(missing_ok=True)


def _line(known: Known, folder: Path | None, error: SweepError) -> str:
    hint = "" if folder is not None else "; or give what you have with --from"
    manual = f" ({known.manual})" if known.manual else ""
    return f"{error}{hint}{manual}"
