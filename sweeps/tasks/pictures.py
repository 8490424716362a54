"""Labelled images that were looked at become the splits of a task. Knows no file.

What can be mended is mended and said in a note, one line each: images that do not decode, files that are no images,
copies across splits, a class too small to split. More than a small share of images left out is a fault.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweeps.errors import DataError
from sweeps.fingerprint import fingerprint
from sweeps.tasks.galleries import Gallery, Rows
from sweeps.tasks.inspection import LARGE, SMALL, Seen
from sweeps.tasks.splits import SHARES, SPLITS, shares

LEFT_OUT = 0.01  # the largest share of the images that may be left out for a fault of theirs; two always may
UNBALANCED = 20  # largest class : smallest class from which it is said

ODDITIES = {
    "grey-scale": "grey-scale, made RGB",
    "CMYK": "CMYK, made RGB",
    "16-bit": "of 16 bits a pixel, of which the upper 8 are taken",
    "animated": "animated, of which the first frame is taken",
    "turned": "turned upright as EXIF says",
    "small": f"under {SMALL} pixels on a side, enlarged",
    "large": f"above {LARGE // 1_000_000} million pixels, decoded one at a time",
}


@dataclass(frozen=True)
class Found:
    """Labelled images before any is looked at.

    ``labels`` names the class of each, ``given`` its split ("" for all when there are none), ``strays`` are files that
    are no images. ``complete`` says that every split must hold every class.
    """

    gallery: Gallery
    labels: Sequence[str]
    given: Sequence[str]
    classes: tuple[str, ...]
    strays: Sequence[str] = ()
    complete: bool = False


@dataclass(frozen=True)
class Pictures:
    """The images of a task by split: rows of the gallery, rising, and labels; and what there is to say about them."""

    gallery: Gallery
    rows: Mapping[str, Rows]
    labels: Mapping[str, Rows]
    classes: tuple[str, ...]
    revision: str
    notes: tuple[str, ...] = ()


def arrange(name: str, found: Found, seen: Sequence[Seen], seed: int) -> Pictures:
    """Leave out what cannot be used, split, and say so.

    Args:
        name: of the task, for messages.
        found: the images.
        seen: a look at each of them.
        seed: of the split, where there is none.

    Raises:
        DataError: in one line, when more than a few images cannot be used, or a class or a split has none left.
    """
    notes, place = _Notes(name), {label: number for number, label in enumerate(found.classes)}
    labels = np.array([place[each] for each in found.labels], dtype=np.int64)
    sound = _decoding(name, found, seen, notes)
    sound, labels, classes = _splittable(name, found, sound, labels, notes)
    rows = _split(name, sound, labels, found, classes, seed)
    _check(name, rows, labels, classes, found.complete)
    _apart(rows, labels, seen, notes)
    _check(name, rows, labels, classes, False)
    for kind, says in ODDITIES.items():
        notes.add([row for row in sound if kind in seen[row].odd], found.gallery, says)
    if found.strays:
        notes.say(f"{_count(len(found.strays), 'file')} left out as no image: {_some(found.strays)}")
    counts = np.bincount(labels[rows["train"]], minlength=len(classes))
    if counts.max() >= UNBALANCED * counts.min():
        notes.say(
            f"the classes of train are unbalanced, {counts.max()} of {classes[counts.argmax()]!r} to "
            f"{counts.min()} of {classes[counts.argmin()]!r}; accuracy counts images and not classes"
        )
    part = {split: labels[where] for split, where in rows.items()}
    content = {split: [[seen[row].digest, int(labels[row])] for row in where] for split, where in rows.items()}
    return Pictures(found.gallery, rows, part, classes, fingerprint([list(classes), content]), tuple(notes.lines))


class _Notes:
    """Lines about a task."""

    def __init__(self, name: str) -> None:
        self.name, self.lines = name, list[str]()

    def say(self, text: str) -> None:
        self.lines.append(f"task {self.name!r}: {text}")

    def add(self, rows: Sequence[int], gallery: Gallery, text: str, why: Sequence[str] = ()) -> None:
        """One line about some images, naming the first few of them."""
        if rows:
            shown = [gallery.name(row) + (f" ({why[place]})" if why else "") for place, row in enumerate(rows[:3])]
            self.say(f"{_count(len(rows), 'image')} {text}: {_some(shown, len(rows))}")


def _some(names: Sequence[str], count: int | None = None) -> str:
    more = (len(names) if count is None else count) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def _count(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _allowed(images: int) -> int:
    return max(2, int(LEFT_OUT * images))


def _decoding(name: str, found: Found, seen: Sequence[Seen], notes: _Notes) -> Rows:
    """Rows that decode; the others are named."""
    broken = [row for row, one in enumerate(seen) if one.fault]
    why = [seen[row].fault for row in broken[:3]]
    if len(broken) > _allowed(len(seen)):
        shown = [f"{found.gallery.name(row)} ({reason})" for row, reason in zip(broken[:3], why, strict=True)]
        raise DataError(
            f"task {name!r}: at most {LEFT_OUT:.0%} of the images (or two) may fail to decode, got {len(broken)} of "
            f"{len(seen)}: {_some(shown, len(broken))}; remove or replace them"
        )
    notes.add(broken, found.gallery, "left out that cannot be decoded", why)
    return np.array([row for row, one in enumerate(seen) if not one.fault], dtype=np.int64)


def _splittable(
    name: str, found: Found, sound: Rows, labels: Rows, notes: _Notes
) -> tuple[Rows, Rows, tuple[str, ...]]:
    """Without the classes that have too few images for the splits to be drawn, if that is few images: rows, labels,
    class names.
    """
    given = np.array(found.given)[sound]
    drawn, needed = ("", len(SHARES)) if not given.any() else ("train", 1 if "val" in given else 2)
    counts = np.bincount(labels[sound[given == drawn]], minlength=len(found.classes))
    small = np.flatnonzero(counts < needed)
    if not len(small) or needed == 1:
        return sound, labels, found.classes
    kept = np.flatnonzero(counts >= needed)
    if len(kept) < 2 or np.isin(labels[sound], small).sum() > _allowed(len(labels)):
        raise DataError(f"task {name!r}: a class must hold at least {needed} images to be split, got "
                        f"{counts[small[0]]} in {found.classes[small[0]]!r}")  # fmt: skip
    shown = [f"{found.classes[label]!r} ({counts[label]})" for label in small]
    notes.say(f"a class of fewer than {needed} images cannot be split and is left out: {_some(shown)}")
    classes = tuple(found.classes[label] for label in kept)
    return sound[~np.isin(labels[sound], small)], np.searchsorted(kept, labels), classes


def _split(name: str, sound: Rows, labels: Rows, found: Found, classes: tuple[str, ...], seed: int) -> dict[str, Rows]:
    """Three splits: as they come, a fifth of train for val, or all from the seed, class by class."""
    if not any(found.given):
        return shares(name, sound, labels, classes, SHARES, seed, "images")
    given = np.array(found.given)[sound]
    have = {split: sound[given == split] for split in SPLITS if (given == split).any()}
    if "train" not in have or "test" not in have:
        raise DataError(f"task {name!r}: train and test must both be there, got only {', '.join(have)}")
    if "val" not in have:
        train = shares(name, have["train"], labels, classes, {"train": 0.8, "val": 0.2}, seed, "images")
        have = {**train, "test": have["test"]}
    return {split: have[split] for split in SPLITS}


def _check(name: str, rows: Mapping[str, Rows], labels: Rows, classes: tuple[str, ...], complete: bool) -> None:
    """Every class must be in train, and in the others if they come so."""
    if len(classes) < 2:
        raise DataError(f"task {name!r}: train must hold at least 2 classes, got {len(classes)}")
    for split, where in rows.items():
        counts = np.bincount(labels[where], minlength=len(classes))
        if (complete or split == "train") and not counts.all():
            raise DataError(f"task {name!r}: {split} must hold every class, {classes[counts.argmin()]!r} has no image "
                            "there that can be used")  # fmt: skip
        if not counts.any():
            raise DataError(f"task {name!r}: {split} must hold images, got none that can be used")


def _apart(rows: dict[str, Rows], labels: Rows, seen: Sequence[Seen], notes: _Notes) -> None:
    """No image of a later split stays in an earlier one: what is tested is not trained on."""
    for place, split in enumerate(SPLITS[:-1]):
        later = {seen[row].digest: (row, other) for other in SPLITS[place + 1 :] for row in rows[other].tolist()}
        copies = [row for row in rows[split].tolist() if seen[row].digest in later]
        if not copies:
            continue
        where = sorted({later[seen[row].digest][1] for row in copies})
        others = sum(int(labels[row] != labels[later[seen[row].digest][0]]) for row in copies)
        otherwise = f"; {others} labelled otherwise there" if others else ""
        notes.say(f"{_count(len(copies), 'image')} of {split} left out, of the same bytes as one of "
                  f"{' or '.join(where)}{otherwise}")  # fmt: skip
        rows[split] = np.setdiff1d(rows[split], copies)
