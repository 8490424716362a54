"""The nineteen embedded tasks, shaped like VTAB-1k: 800 images to train, 200 to validate, up to 1000 to test.

`TASKS` are the facts, `draw` the images. All but one are drawn; "mini/digits" are scikit-learn's real handwritten
digits. Fonts, surfaces and compositions differ from the upstream sets of `sweeps.zoo.mini`, and no random stream is
shared. Knows nothing about models. Importing this loads numpy alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from sweeps.drawn.canvas import generator

from . import natural, screening, sights, spaces, specialized, structured

Splits = dict[str, tuple[np.ndarray, np.ndarray]]

SIZES = {"train": 800, "val": 200, "test": 1000}


@dataclass(frozen=True)
class Facts:
    """What is known of a task without drawing it.

    Attributes:
        name: such as "mini/digits".
        group: "natural", "specialized" or "structured".
        classes: names in label order.
        sizes: split -> number of images.
        summary: one sentence for a reader.
        version: raised by hand whenever an image of the task changes.
    """

    name: str
    group: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]
    summary: str
    version: int = 1


def _facts(name: str, classes: tuple[str, ...], summary: str, test: int = 1000) -> Facts:
    return Facts(f"mini/{name}", "", classes, MappingProxyType(SIZES | {"test": test}), summary)


_NATURAL = (
    _facts("digits", natural.DIGITS, "Real handwritten digits (scikit-learn), enlarged, between neighbours.", test=797),
    _facts("letters", natural.LETTERS, "Small letters of a word in book, typewriter and script fonts."),
    _facts("textures", tuple(natural.TEXTURES), "Ten woven, cracked, scaly ... surfaces."),
    _facts("flowers", tuple(natural.FLOWERS), "Blossoms, by number and form of petals."),
    _facts("badges", sights.BADGES, "Eight outlines, hollow or patterned, before a busy backdrop."),
    _facts("places", tuple(sights.PLACES), "Outdoor views, by which two kinds of things stand in them."),
    _facts("faces", tuple(sights.FACES), "Faces of ten animals."),
)
_SPECIALIZED = (
    _facts("cells", tuple(specialized.CELLS), "Blood cells of eight kinds on a smear."),
    _facts("terrain", tuple(specialized.TERRAIN), "Land use from above, hazy, ten kinds."),
    _facts("tissue", screening.TISSUES, "Whether nuclei near the middle of a section are a growth's."),
    _facts("retina", screening.GRADES, "Five grades of a sick eye, by its lesions."),
)
_STRUCTURED = (
    _facts("count", structured.COUNTS, "How many objects there are, one to eight."),
    _facts("location", structured.PLACES, "How far to the right an object is, ten bins."),
    _facts("orientation", structured.TURNS, "How an object is turned, ten bins of half a turn."),
    _facts("distance", structured.DISTANCES, "How far the nearest thing in a scene is, six bins."),
    _facts("azimuth", spaces.AZIMUTHS, "Which way a toy car points, twelve bins of a turn."),
    _facts("elevation", spaces.ELEVATIONS, "From how high a toy car is seen, six bins."),
    _facts("range", spaces.RANGES, "How far the car in a scene is, whatever stands nearer, four bins."),
    _facts("maze", spaces.FINDS, "What lies in a corridor, and how far, two kinds in three bins."),
)
TASKS: Mapping[str, Facts] = MappingProxyType(
    {
        facts.name: replace(facts, group=group)
        for group, several in (("natural", _NATURAL), ("specialized", _SPECIALIZED), ("structured", _STRUCTURED))
        for facts in several
    }
)

_PAINTERS = {
    "mini/letters": natural.letters,
    "mini/textures": natural.textures,
    "mini/flowers": natural.flowers,
    "mini/badges": sights.badges,
    "mini/places": sights.places,
    "mini/faces": sights.faces,
    "mini/cells": specialized.cells,
    "mini/terrain": specialized.terrain,
    "mini/tissue": screening.tissue,
    "mini/retina": screening.retina,
    "mini/count": structured.count,
    "mini/location": structured.location,
    "mini/orientation": structured.orientation,
    "mini/distance": structured.distance,
    "mini/azimuth": spaces.azimuth,
    "mini/elevation": spaces.elevation,
    "mini/range": spaces.distance_of_a_car,
    "mini/maze": spaces.maze,
}


def draw(name: str, seed: int) -> Splits:
    """The task's images and labels: split -> (uint8 [n, 32, 32, 3], int64 [n]), classes even in every split.

    Each split has its own random stream, made from (task, version, split, seed): a split does not depend on whether
    or when the others are drawn.

    Raises:
        ValueError: unknown name.
    """
    if name not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {name!r}")
    facts = TASKS[name]
    if name == "mini/digits":
        return natural.digits(seed, facts.sizes, facts.version)
    splits: Splits = {}
    for split, size in facts.sizes.items():
        rng = generator(name, facts.version, split, seed)
        labels = rng.permutation(np.arange(size, dtype=np.int64) % len(facts.classes))
        splits[split] = (_PAINTERS[name](rng, labels), labels)
    return splits
