"""The structured tasks: labels are known factors of how the image was made. A painter takes a stream and labels."""

import numpy as np

from sweeps.drawn import canvas, colour, crowds, scenes
from sweeps.drawn.canvas import Pose, uniform

COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
PLACES = tuple(f"x{index}" for index in range(10))
TURNS = tuple(f"{18 * index}-{18 * (index + 1)} degrees" for index in range(10))
# Edges of the distance bins, geometric: the apparent size shrinks by about the same factor from bin to bin.
EDGES = np.array([1.0, 1.35, 1.8, 2.4, 3.2, 4.3, 5.8], dtype=np.float32)
DISTANCES = tuple(f"{low:g}-{high:g}" for low, high in zip(EDGES[:-1].tolist(), EDGES[1:].tolist(), strict=True))

_FORMS = ("disc", "square", "triangle", "cross", "heart", "star5", "corner", "drop")
_LONG = ("ellipse", "capsule", "rhombus")
_THINGS = ("car", "house", "tent", "person", "barrel", "pine")


def _ground(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A backdrop and its colour."""
    paper = colour.free(rng, n)
    return colour.backdrop(rng, paper, strength=0.15), paper


def count(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """One to eight objects of any form, size and colour, none touching."""
    n = len(labels)
    image, paper = _ground(rng, n)
    for index, place in enumerate(crowds.spots(rng, n, 4, jitter=0.4, spread=0.9)[: len(COUNTS)]):
        at = Pose(place[:, 0], place[:, 1], uniform(rng, 0.12, 0.22, n), uniform(rng, -np.pi, np.pi, n))
        crowds.patch(rng, image, at, crowds.apart(rng, paper), _FORMS, (index <= labels).astype(np.float32))
    return canvas.finish(rng, image, noise=0.1)


def location(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """One object anywhere; the label is the bin of its centre's x, over the middle 80 % of the width."""
    n = len(labels)
    image, paper = _ground(rng, n)
    x = (labels.astype(np.float32) + uniform(rng, 0, 1, n)) * np.float32(1.6 / len(PLACES)) - np.float32(0.8)
    at = Pose(x, uniform(rng, -0.75, 0.75, n), uniform(rng, 0.15, 0.35, n), uniform(rng, -np.pi, np.pi, n))
    crowds.patch(rng, image, at, crowds.apart(rng, paper), _FORMS)
    return canvas.finish(rng, image, noise=0.1)


def orientation(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """One long object, alike after half a turn; the label is the bin of its axis."""
    n = len(labels)
    image, paper = _ground(rng, n)
    turn = (labels.astype(np.float32) + uniform(rng, 0, 1, n)) * np.float32(np.pi / len(TURNS))
    at = Pose(uniform(rng, -0.45, 0.45, n), uniform(rng, -0.45, 0.45, n), uniform(rng, 0.35, 0.6, n), turn)
    crowds.patch(rng, image, at, crowds.apart(rng, paper), _LONG)
    return canvas.finish(rng, image, noise=0.1)


def distance(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """A scene with up to three things; the label is the bin of the nearest one's distance.

    Things differ in their own size and the horizon in its height, so neither apparent size nor foot tells alone.
    """
    n = len(labels)
    skyline = scenes.horizon(rng, n)
    image = scenes.outdoors(rng, skyline)
    nearest = EDGES[labels] * (EDGES[labels + 1] / EDGES[labels]) ** uniform(rng, 0, 1, n)
    for share, far in ((0.5, (1.4, 2.0)), (0.5, (1.1, 1.5)), (1.0, (1.0, 1.0))):
        at = scenes.place(
            skyline, uniform(rng, -0.75, 0.75, n), nearest * uniform(rng, *far, n), uniform(rng, 0.75, 1.3, n)
        )
        scenes.mixed(rng, image, _THINGS, at, (rng.random(n) < share).astype(np.float32))
    return canvas.finish(rng, image)
