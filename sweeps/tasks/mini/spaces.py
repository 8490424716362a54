"""More structured tasks: how a solid is turned and tipped, how far a car, how far a find in a maze.

A painter takes a stream and labels.
"""

import numpy as np

from sweeps.drawn import canvas, colour, crowds, scenes, solids
from sweeps.drawn.canvas import Pose, X, Y, uniform

AZIMUTHS = tuple(f"{30 * index}-{30 * (index + 1)} degrees" for index in range(12))
ELEVATIONS = tuple(f"{12 * index + 6}-{12 * (index + 1) + 6} degrees" for index in range(6))
# Edges of the car's range, geometric; the road shows how deep the scene is.
EDGES = np.array([1.0, 1.5, 2.3, 3.5, 5.5], dtype=np.float32)
RANGES = tuple(f"{low:g}-{high:g}" for low, high in zip(EDGES[:-1].tolist(), EDGES[1:].tolist(), strict=True))
DEPTHS = ("near", "far", "very far")
FINDS = tuple(f"{find}, {depth}" for find in ("reward", "penalty") for depth in DEPTHS)
_STEPS = np.array([1.0, 1.6, 2.6, 4.2], dtype=np.float32)
_ASIDE = ("tree", "house", "lamp", "person")


def azimuth(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """A toy car seen from any height; the label is the bin of the direction in which it points."""
    turn = (labels + uniform(rng, 0, 1, len(labels))) * np.float32(2 * np.pi / len(AZIMUTHS))
    return _toys(rng, turn.astype(np.float32), np.radians(uniform(rng, 25, 55, len(labels))))


def elevation(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """The same toy pointing anywhere; the label is the bin of the height from which it is seen."""
    low = np.float32(6) + labels.astype(np.float32) * np.float32(12)
    tip = np.radians(low + uniform(rng, 0, 12, len(labels)))
    return _toys(rng, uniform(rng, 0, 2 * np.pi, len(labels)), tip.astype(np.float32))


def _toys(rng: np.random.Generator, turn: np.ndarray, tip: np.ndarray) -> np.ndarray:
    """A long body with a cabin behind its middle; lengths, colours, place and scale vary."""
    n = len(turn)
    paper = colour.free(rng, n)
    image = colour.backdrop(rng, paper, strength=0.15)
    at = canvas.pose(rng, n, centre=0.2, radius=(0.4, 0.62), turn=0.0)
    view = solids.View(at, turn, tip)
    base = np.zeros((n, 3), np.float32)
    length, width, height = uniform(rng, 0.85, 1.1, n), uniform(rng, 0.4, 0.6, n), uniform(rng, 0.3, 0.5, n)
    hull, glass = crowds.apart(rng, paper), colour.free(rng, n)
    front = np.clip(1 - hull + uniform(rng, -0.2, 0.2, n, 3), 0, 1)
    base[:, 2] = -height
    solids.box(image, view, base, np.stack([length, width, height], 1), {"front": front, "side": hull, "top": hull})
    cabin = np.stack([-0.3 * length, 0 * length, 0 * length], 1).astype(np.float32)
    size = np.stack([length * 0.5, width * 0.85, uniform(rng, 0.3, 0.5, n)], 1).astype(np.float32)
    solids.box(image, view, cabin, size, {"front": glass, "side": glass, "top": hull})
    return canvas.finish(rng, image, noise=0.1)


def distance_of_a_car(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """A road with one car among other things; the label is the bin of the car's distance, whatever stands nearer."""
    n = len(labels)
    skyline = scenes.horizon(rng, n)
    image = scenes.outdoors(rng, skyline)
    grey = colour.near(rng, n, 0.6, spread=0.5, saturation=(0.0, 0.1), value=(0.25, 0.6))
    canvas.paint(image, scenes.path(rng, skyline, 0.6), grey)
    far = EDGES[labels] * (EDGES[labels + 1] / EDGES[labels]) ** uniform(rng, 0, 1, n)
    others = [(uniform(rng, 1.2, 5.5, n), (rng.random(n) < 0.7).astype(np.float32)) for _ in range(3)]
    # What is farther is painted first, image by image: either behind the car or before it.
    for behind in (True, False):
        for distance, shown in others:
            at = scenes.place(skyline, uniform(rng, 0.45, 0.95, n) * _side(rng, n), distance, uniform(rng, 0.6, 1.0, n))
            scenes.mixed(rng, image, _ASIDE, at, shown * ((distance > far) == behind))
        if behind:
            at = scenes.place(skyline, uniform(rng, -0.35, 0.35, n), far, uniform(rng, 0.75, 1.25, n))
            scenes.populate(rng, image, "car", at)
    return canvas.finish(rng, image)


def _side(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.where(rng.random(n) < 0.5, np.float32(-1), np.float32(1))


def maze(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """A corridor in perspective with openings and one find in it, at three depths: a ball, or a spiked one."""
    n = len(labels)
    wall, floor, ceiling = (colour.free(rng, n, value=(0.3, 0.9)) for _ in range(3))
    x, y = uniform(rng, -0.25, 0.25, n), uniform(rng, -0.25, 0.25, n)
    dx, dy = X - x[:, None, None], Y - y[:, None, None]
    # How deep a pixel's wall, floor or ceiling is: a corridor two units wide and high, one unit off, is at 1 / share.
    share = np.maximum(np.abs(dx), np.abs(dy)).clip(0.06)
    image = np.where((np.abs(dx) >= np.abs(dy))[..., None], wall[:, None, None], floor[:, None, None])
    image = np.where(((np.abs(dx) < np.abs(dy)) & (dy < 0))[..., None], ceiling[:, None, None], image)
    depth = 1 / share
    courses = np.where((np.floor(depth * 1.5).astype(int) % 2)[..., None] == 0, np.float32(1), np.float32(0.85))
    image = (image * courses * np.clip(1.25 - 0.1 * depth, 0.25, 1)[..., None]).astype(np.float32)
    for sign in (-1, 1):
        start = uniform(rng, 1.2, 3.5, n)[:, None, None]
        open_here = (np.abs(dx) >= np.abs(dy)) & (np.sign(dx) == sign) & (depth > start) & (depth < start + 0.8)
        canvas.paint(
            image, (open_here & (rng.random(n) < 0.5)[:, None, None]).astype(np.float32), wall * np.float32(0.3)
        )
    kind, step = labels // len(DEPTHS), labels % len(DEPTHS)
    far = _STEPS[step] * (_STEPS[step + 1] / _STEPS[step]) ** uniform(rng, 0, 1, n)
    size = (np.float32(0.4) * uniform(rng, 0.75, 1.25, n) / far).astype(np.float32)
    at = Pose(x + uniform(rng, -0.4, 0.4, n) / far, y + (np.float32(0.75) / far) - size / 2, size,
              uniform(rng, -np.pi, np.pi, n))  # fmt: skip
    dye = colour.free(rng, n, value=(0.6, 1.0))
    for index, outline in enumerate(("disc", "star7")):
        crowds.patch(rng, image, at, dye, (outline,), (kind == index).astype(np.float32))
    return canvas.finish(rng, image, noise=0.08)
