"""The upstream sets: "world" (every class of every family), subsets of it, and "mininet".

"world" stands for the large set behind the experts, "mininet" for ImageNet: fewer classes, balanced over some
families, and its own images. Knows nothing about models. Draws depend on (upstream, split, seed, class) alone.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

import sweeps.drawn
from sweeps.drawn.canvas import SIZE, generator

from . import families
from .families import FAMILIES

TRAIN_PER_CLASS = 480
VAL_PER_CLASS = 50
_AT_ONCE = 120

MININET = {"glyphs": 10, "shapes": 8, "textures": 8, "scenes": 8, "layouts": 6}
# Parts and unions of families, by patterns on "family/class": the subsets of the experts that know no single family.
SUBSETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "numerals": ("glyphs/[0-9]",),
        "letters": ("glyphs/[a-z]",),
        "signs": ("glyphs/*", "shapes/*"),
        "figures": ("shapes/*", "layouts/*"),
        "objects": ("shapes/*", "scenes/*"),
        "surfaces": ("textures/*", "terrain/*"),
        "outdoors": ("scenes/*", "terrain/*"),
        "crowds": ("cells/*", "layouts/*"),
    }
)
UPSTREAMS = ("world", *FAMILIES, *SUBSETS, "mininet")


@dataclass(frozen=True)
class Images:
    """Labelled images: pixels uint8 [n, 32, 32, 3], labels int64 [n] into classes ("family/class")."""

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]


def classes(upstream: str) -> tuple[str, ...]:
    """The classes of an upstream set, as "family/class", in label order."""
    if upstream == "world":
        return tuple(name for family in FAMILIES for name in classes(family))
    if upstream == "mininet":
        # Every other class of a family: neither the easiest nor the first ones only.
        chosen = {family: list(FAMILIES[family]) for family in MININET}
        return tuple(
            f"{family}/{name}"
            for family, count in MININET.items()
            for name in (chosen[family][::2] + chosen[family][1::2])[:count]
        )
    if upstream in SUBSETS:
        return tuple(name for name in classes("world") if any(fnmatchcase(name, part) for part in SUBSETS[upstream]))
    if upstream not in FAMILIES:
        raise ValueError(f"upstream must be one of {', '.join(UPSTREAMS)}, got {upstream!r}")
    return tuple(f"{upstream}/{name}" for name in FAMILIES[upstream])


def draw(upstream: str, split: str, seed: int, *, per_class: int | None = None) -> Images:
    """Draw one split of an upstream set.

    Args:
        upstream: one of `UPSTREAMS`; a family or subset is exactly its part of "world".
        split: "train" or "val"; the two share no random stream.
        seed: the seed of the whole world.
        per_class: images per class; by default 480 to train, 50 to validate. The first images are the same
            whatever the count only in steps of 120.
    """
    if split not in ("train", "val"):
        raise ValueError(f'split must be "train" or "val", got {split!r}')
    count = per_class or (TRAIN_PER_CLASS if split == "train" else VAL_PER_CLASS)
    names = classes(upstream)
    # Families and "world" share their streams; "mininet" has its own, so that no image is in both.
    set_name = "mininet" if upstream == "mininet" else "world"
    pixels = np.empty((len(names), count, SIZE, SIZE, 3), dtype=np.uint8)
    for index, name in enumerate(names):
        family, kind = name.split("/")
        rng = generator(set_name, split, seed, name)
        for start in range(0, count, _AT_ONCE):
            size = min(_AT_ONCE, count - start)
            pixels[index, start : start + size] = FAMILIES[family][kind](rng, size)
    labels = np.repeat(np.arange(len(names), dtype=np.int64), count)
    return Images(pixels.reshape(-1, SIZE, SIZE, 3), labels, names)


@lru_cache(maxsize=1)
def _source_digest() -> str:
    """Ten hex digits of the source of everything that draws, so that a cached draw cannot outlive its code."""
    digest = hashlib.sha256()
    for folder in (Path(sweeps.drawn.__file__).parent, Path(families.__file__).parent):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:10]


def cached(upstream: str, split: str, seed: int, *, per_class: int | None = None) -> Images:
    """What `draw` gives, kept in the temporary folder so that several processes draw it once.

    "world" and its subsets are put together from the families' files. Files are written whole, then renamed.
    """
    names = classes(upstream)
    if upstream == "world" or upstream in SUBSETS:
        parts, families_in = [], [family for family in FAMILIES if any(name.startswith(f"{family}/") for name in names)]
        for family in families_in:
            whole = cached(family, split, seed, per_class=per_class)
            wanted = [index for index, name in enumerate(whole.classes) if name in names]
            parts.append(whole.pixels.reshape(len(whole.classes), -1, SIZE, SIZE, 3)[wanted])
        pixels = np.concatenate(parts)
        labels = np.repeat(np.arange(len(names), dtype=np.int64), pixels.shape[1])
        return Images(pixels.reshape(-1, SIZE, SIZE, 3), labels, names)
    folder = Path(tempfile.gettempdir()) / f"sweeps-mini-{os.getuid()}"
    path = folder / f"{upstream}-{split}-{seed}-{per_class or 'all'}-{_source_digest()}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, draw(upstream, split, seed, per_class=per_class).pixels)
        part.replace(path)
    pixels = np.load(path)
    return Images(pixels, np.repeat(np.arange(len(names), dtype=np.int64), len(pixels) // len(names)), names)
