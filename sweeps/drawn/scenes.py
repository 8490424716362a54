"""Outdoor scenes in perspective: sky, horizon, ground, and things that shrink with distance.

A thing at distance z (1 = right in front) has its foot at `horizon + (front - horizon) / z` and radius `near / z`.
Knows nothing about classes.
"""

from collections.abc import Mapping

import numpy as np

from . import colour
from .canvas import Pose, X, Y, paint, uniform
from .textures import smooth
from .things import stand

FRONT = 0.95
NEAR = 0.62


def roles(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """One colour per role of a thing's parts, [n, 3] each."""
    return {
        "main": colour.free(rng, n, value=(0.35, 1.0)),
        "second": colour.free(rng, n, value=(0.3, 1.0)),
        "dark": colour.free(rng, n, value=(0.0, 0.25)),
        "wood": colour.near(rng, n, 0.08, value=(0.2, 0.45)),
        "leaf": colour.near(rng, n, 0.33, spread=0.08, saturation=(0.4, 0.9), value=(0.2, 0.65)),
        "skin": colour.near(rng, n, 0.07, saturation=(0.2, 0.6), value=(0.4, 0.95)),
    }


def horizon(rng: np.random.Generator, n: int) -> np.ndarray:
    """The height of the horizon, [n], in canvas coordinates."""
    return uniform(rng, -0.55, 0.1, n)


def outdoors(
    rng: np.random.Generator, skyline: np.ndarray, ground: float | None = None, sky: float | None = None
) -> np.ndarray:
    """Sky over ground, [n, 32, 32, 3].

    Args:
        skyline: [n], height of the horizon.
        ground: hue of the ground in turns, or none for any of grass, sand, snow-like greys.
        sky: hue of the sky, or none for blue to grey to dusk.
    """
    n = len(skyline)
    high = colour.near(rng, n, 0.58 if sky is None else sky, spread=0.08, saturation=(0.05, 0.7), value=(0.45, 1.0))
    low = np.clip(high + uniform(rng, 0.0, 0.3, n, 1), 0, 1)
    hues = uniform(rng, 0.08, 0.36, n) if ground is None else uniform(rng, ground - 0.04, ground + 0.04, n)
    floor = colour.hsv(hues, uniform(rng, 0.1, 0.7, n), uniform(rng, 0.25, 0.8, n))
    line = skyline[:, None, None]
    image = colour.blend(np.clip((Y + 1) / (line + np.float32(1.2)), 0, 1) + X * 0, high, low)
    mottled = floor[:, None, None, :] * (np.float32(0.85) + np.float32(0.3) * smooth(rng, n, 12)[..., None])
    below = np.clip((Y - line) * 16 + np.float32(0.5), 0, 1) + X * 0
    paint(image, below, np.clip(mottled, 0, 1))
    return image


def place(skyline: np.ndarray, x: np.ndarray, distance: np.ndarray, size: np.ndarray) -> Pose:
    """Where a thing stands, from its distance [n] (>= 1), sideways place and own size factor."""
    radius = (np.float32(NEAR) / distance * size).astype(np.float32)
    foot = skyline + (np.float32(FRONT) - skyline) / distance
    return Pose(x, foot - radius, radius, np.zeros_like(x))


def populate(rng: np.random.Generator, image: np.ndarray, name: str, at: Pose, fade: np.ndarray | None = None) -> None:
    """Paint one thing of a kind per image, in fresh colours."""
    n = len(image)
    stand(image, name, at, roles(rng, n), np.ones(n, np.float32) if fade is None else fade)


def mixed(
    rng: np.random.Generator, image: np.ndarray, names: tuple[str, ...], at: Pose, fade: np.ndarray | None = None
) -> None:
    """Paint one thing per image, each image drawing its own kind among the names."""
    chosen = rng.integers(0, len(names), len(image))
    colours: Mapping[str, np.ndarray] = roles(rng, len(image))
    fade = np.ones(len(image), np.float32) if fade is None else fade
    for index, name in enumerate(names):
        mine = np.flatnonzero(chosen == index)
        if len(mine):
            part = image[mine]
            pose = Pose(at.x[mine], at.y[mine], at.radius[mine], at.turn[mine])
            stand(part, name, pose, {role: value[mine] for role, value in colours.items()}, fade[mine])
            image[mine] = part


def ridge(rng: np.random.Generator, skyline: np.ndarray, height: float) -> np.ndarray:
    """A mask [n, 32, 32] of mountains that rise from the horizon."""
    n = len(skyline)
    tops = smooth(rng, n, 7)[:, :1, :] * np.float32(height) * 2
    line = skyline[:, None, None]
    return np.clip((Y - line + tops) * 16 + np.float32(0.5), 0, 1) * (line + np.float32(0.03) > Y)


def path(rng: np.random.Generator, skyline: np.ndarray, width: float) -> np.ndarray:
    """A mask [n, 32, 32] of a road that narrows towards the horizon."""
    n = len(skyline)
    line = skyline[:, None, None]
    down = np.clip((Y - line) / (1 - line), 0, 1)
    goal, start = uniform(rng, -0.4, 0.4, n, 1, 1), uniform(rng, -0.4, 0.4, n, 1, 1)
    middle = goal + (start - goal) * down
    return np.clip((down * np.float32(width) - np.abs(X - middle)) * 16 + np.float32(0.5), 0, 1) * (down > 0)
