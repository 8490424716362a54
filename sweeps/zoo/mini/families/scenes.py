"""The scene family: outdoor views named after what stands in them, at any distance."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from sweeps.drawn import canvas, colour, scenes

STANDING = ("house", "tree", "pine", "car", "person", "tower", "lamp", "cactus")


def _standing(rng: np.random.Generator, n: int, *, name: str) -> np.ndarray:
    skyline = scenes.horizon(rng, n)
    image = scenes.outdoors(rng, skyline)
    canvas.paint(
        image,
        scenes.ridge(rng, skyline, 0.2) * (rng.random(n) < 0.4)[:, None, None],
        colour.near(rng, n, 0.5, spread=0.2, saturation=(0.05, 0.4)),
    )
    for low, high, share in ((3.0, 5.0, 0.6), (1.0, 3.0, 1.0)):
        at = scenes.place(
            skyline,
            canvas.uniform(rng, -0.7, 0.7, n),
            canvas.uniform(rng, low, high, n),
            canvas.uniform(rng, 0.8, 1.25, n),
        )
        scenes.populate(rng, image, name, at, (rng.random(n) < share).astype(np.float32))
    return canvas.finish(rng, image)


def _sea(rng: np.random.Generator, n: int) -> np.ndarray:
    skyline = scenes.horizon(rng, n)
    image = scenes.outdoors(rng, skyline, ground=0.57)
    at = scenes.place(skyline, canvas.uniform(rng, -0.6, 0.6, n), canvas.uniform(rng, 1, 3, n), np.ones(n, np.float32))
    scenes.populate(rng, image, "boat", at)
    return canvas.finish(rng, image)


def _mountains(rng: np.random.Generator, n: int) -> np.ndarray:
    skyline = scenes.horizon(rng, n) + np.float32(0.25)
    image = scenes.outdoors(rng, skyline)
    for height in (0.55, 0.25):
        rock = colour.near(rng, n, 0.5, spread=0.3, saturation=(0.02, 0.3), value=(0.2, 0.8))
        canvas.paint(image, scenes.ridge(rng, skyline, height), rock)
    return canvas.finish(rng, image)


def _road(rng: np.random.Generator, n: int) -> np.ndarray:
    skyline = scenes.horizon(rng, n)
    image = scenes.outdoors(rng, skyline)
    asphalt = colour.near(rng, n, 0.6, spread=0.5, saturation=(0.0, 0.1), value=(0.2, 0.6))
    canvas.paint(image, scenes.path(rng, skyline, 0.6), asphalt)
    return canvas.finish(rng, image)


def _sunset(rng: np.random.Generator, n: int) -> np.ndarray:
    skyline = scenes.horizon(rng, n) + np.float32(0.2)
    image = scenes.outdoors(rng, skyline, sky=0.04)
    radius = canvas.uniform(rng, 0.15, 0.35, n)
    sun = canvas.Pose(canvas.uniform(rng, -0.6, 0.6, n), skyline - radius * 0.8, radius, np.zeros(n, np.float32))
    u, v = canvas.frame(sun)
    canvas.paint(image, canvas.cover(np.hypot(u, v) - 1, radius), colour.near(rng, n, 0.13, value=(0.9, 1.0)))
    return canvas.finish(rng, image)


def _city(rng: np.random.Generator, n: int) -> np.ndarray:
    skyline = scenes.horizon(rng, n) + np.float32(0.2)
    image = scenes.outdoors(rng, skyline)
    for _ in range(6):
        distance = canvas.uniform(rng, 2.0, 5.0, n)
        at = scenes.place(skyline, canvas.uniform(rng, -0.9, 0.9, n), distance, np.full(n, 1.8, np.float32))
        scenes.populate(rng, image, "tower", at)
    return canvas.finish(rng, image)


CLASSES: Mapping[str, partial] = MappingProxyType(
    {
        **{name: partial(_standing, name=name) for name in STANDING},
        "sea": partial(_sea),
        "mountains": partial(_mountains),
        "road": partial(_road),
        "sunset": partial(_sunset),
        "city": partial(_city),
    }
)
