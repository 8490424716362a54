"""VTAB-1k: the 19 tasks, their sizes and sources, and the rules that make labels of factors. Data and arithmetic only.

The rules are those of the study's loaders: an index of a threshold, or a raw value in wider bins.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

GROUP = "vtab1k"
TRAIN, VAL = 800, 200
CLEVR_DISTANCES = (0.0, 8.0, 8.5, 9.0, 9.5, 10.0, 100.0)  # of the nearest object, as pixel_coords[2] has it
KITTI_DISTANCES = (-100.0, 8.0, 20.0, 999.0)  # metres ahead of the camera
NO_VEHICLE = 1000.0
VEHICLES = frozenset({"Car", "Van", "Truck"})

Labels = npt.NDArray[np.int64]


def last_below(value: float, thresholds: Sequence[float]) -> int:
    """Index of the last threshold that is below a value.

    Raises:
        ValueError: when none is.
    """
    below = [place for place, threshold in enumerate(thresholds) if threshold < value]
    if not below:
        raise ValueError(f"a value must be above {thresholds[0]}, got {value}")
    return below[-1]


def clevr_count(scene: Mapping[str, Any]) -> int:
    """Objects of a scene, of which there are 3 to 10, from zero."""
    return len(scene["objects"]) - 3


def clevr_distance(scene: Mapping[str, Any]) -> int:
    """How far the nearest object of a scene is, in six steps."""
    return last_below(min(each["pixel_coords"][2] for each in scene["objects"]), CLEVR_DISTANCES)


def kitti_distance(objects: Sequence[tuple[str, float]]) -> int:
    """How far the nearest car, van or truck is ahead: nearer than 8 m, than 20 m, farther; or there is none.

    Args:
        objects: type and z, in metres from the camera, of each object in the image.
    """
    ahead = [z for kind, z in objects if kind in VEHICLES]
    return last_below(min([*ahead, NO_VEHICLE]), KITTI_DISTANCES)


def dsprites_location(x: npt.ArrayLike) -> Labels:
    """The 32 horizontal positions, two to a class."""
    return np.asarray(x, dtype=np.int64) // 2


def dsprites_orientation(turn: npt.ArrayLike) -> Labels:
    """The 40 orientations in 16 classes: floor(raw / 2.5), so of three and two by turns."""
    return np.asarray(turn, dtype=np.int64) * 2 // 5


def smallnorb_azimuth(raw: npt.ArrayLike) -> Labels:
    """The 18 azimuths, stored as 0, 2, ..., 34."""
    return np.asarray(raw, dtype=np.int64) // 2


def smallnorb_elevation(raw: npt.ArrayLike) -> Labels:
    """The 9 elevations, stored as 0 to 8."""
    return np.asarray(raw, dtype=np.int64)


@dataclass(frozen=True)
class Known:
    """One task: ``test`` is how many images the study tests on, ``val`` where its 200 for validation come from.

    ``hub`` holds it whole, with ``raw`` classes there that ``rule`` makes labels of; ``manual`` says what only a
    person can download.
    """

    name: str
    title: str
    group: str
    classes: int
    test: int
    val: str
    hub: str
    summary: str
    names: tuple[str, ...] = ()
    raw: int = 0
    rule: Callable[[npt.ArrayLike], Labels] | None = None
    manual: str = ""


_WDS = "clip-benchmark/wds_vtab-"
_RESISC = "NWPU-RESISC45.rar comes from its authors' page"
_RETINA = "the images come from Kaggle's competition diabetic-retinopathy-detection, after accepting its rules"
_COUNTS = tuple(f"{count} objects" for count in range(3, 11))
_STEPS = tuple(f"{low:g} to {high:g}" for low, high in pairwise(CLEVR_DISTANCES))
_AHEAD = ("within 8 m", "8 m to 20 m", "beyond 20 m", "no vehicle")
_X = tuple(f"x {2 * place} to {2 * place + 1} of 31" for place in range(16))
_TURNS = tuple(f"{place * 22.5:g} to {(place + 1) * 22.5:g} degrees" for place in range(16))
_AZIMUTHS = tuple(f"{20 * place} degrees" for place in range(18))
_ELEVATIONS = tuple(f"{30 + 5 * place} degrees" for place in range(9))
_OWN, _TENTH, _FIFTH = "its validation part", "the last tenth of train", "the last fifth of train"

VTAB: Mapping[str, Known] = MappingProxyType({
    f"{GROUP}/{task.name}": task for task in (
        Known("caltech101", "Caltech101", "natural", 102, 6084, _TENTH, _WDS + "caltech101", "Things, and clutter."),
        Known("cifar", "CIFAR-100", "natural", 100, 10000, _TENTH, _WDS + "cifar100", "Things, 32 pixels wide."),
        Known("dtd", "DTD", "natural", 47, 1880, _OWN, _WDS + "dtd", "Textures."),
        Known("oxford_flowers102", "Flowers102", "natural", 102, 6149, _OWN, _WDS + "flowers", "Flowers."),
        Known("oxford_iiit_pet", "Pets", "natural", 37, 3669, _FIFTH, _WDS + "pets", "Breeds of cats and dogs."),
        Known("sun397", "Sun397", "natural", 397, 21750, _OWN, "clip-benchmark/wds_sun397", "Places."),
        Known("svhn", "SVHN", "natural", 10, 26032, _TENTH, _WDS + "svhn", "Digits of house numbers."),
        Known("patch_camelyon", "Camelyon", "specialized", 2, 32768, _OWN, _WDS + "pcam", "Tumour tissue or none."),
        Known("eurosat", "EuroSAT", "specialized", 10, 5400, "60 % to 80 % of train", _WDS + "eurosat",
              "Land use, from a satellite."),
        Known("resisc45", "Resisc45", "specialized", 45, 6300, "60 % to 80 % of train", _WDS + "resisc45",
              "Land, from the air.", manual=_RESISC),
        Known("diabetic_retinopathy", "Retinopathy", "specialized", 5, 42670, _OWN, _WDS + "diabetic_retinopathy",
              "Grade of a disease of the eye.", manual=_RETINA),
        Known("clevr_count", "Clevr-Count", "structured", 8, 15000, _TENTH, _WDS + "clevr_count_all",
              "How many objects.", _COUNTS),
        Known("clevr_dist", "Clevr-Dist", "structured", 6, 15000, _TENTH, _WDS + "clevr_closest_object_distance",
              "How far the nearest object.", _STEPS),
        Known("dmlab", "DMLab", "structured", 6, 22735, _OWN, _WDS + "dmlab",
              "Near, far or very far, to a good or a bad thing."),
        Known("dsprites_loc", "dSpr-Loc", "structured", 16, 73728, "80 % to 90 %", _WDS + "dsprites_label_x_position",
              "Where a shape is, from left to right.", _X, 32, dsprites_location),
        Known("dsprites_ori", "dSpr-Orient", "structured", 16, 73728, "80 % to 90 %",
              _WDS + "dsprites_label_orientation", "How a shape is turned.", _TURNS, 40, dsprites_orientation),
        Known("kitti", "KITTI-Dist", "structured", 4, 711, _OWN, _WDS + "kitti_closest_vehicle_distance",
              "How far the nearest vehicle.", _AHEAD),
        Known("smallnorb_azi", "sNORB-Azim", "structured", 18, 12150, "the first half of test",
              _WDS + "smallnorb_label_azimuth", "From which side a toy is seen.", _AZIMUTHS),
        Known("smallnorb_ele", "sNORB-Elev", "structured", 9, 12150, "the first half of test",
              _WDS + "smallnorb_label_elevation", "From how high a toy is seen.", _ELEVATIONS),
    )
})  # fmt: skip
