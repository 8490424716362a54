"""Land seen from above: ground cover, strips, roads, roofs, trees, water.

Knows nothing about classes; every function paints on an image or returns a mask.
"""

import numpy as np

from . import colour
from .canvas import Pose, X, Y, cover, frame, paint, uniform
from .shapes import box
from .textures import edge, fractal, plane, smooth

GRASS, FOREST, SOIL, SAND, WATER = 0.27, 0.36, 0.08, 0.12, 0.57


def ground(
    rng: np.random.Generator,
    n: int,
    hue: float,
    *,
    saturation: tuple[float, float] = (0.2, 0.6),
    value: tuple[float, float] = (0.3, 0.65),
    knots: int = 9,
) -> np.ndarray:
    """Mottled ground [n, 32, 32, 3] of about one hue."""
    base = colour.near(rng, n, hue, spread=0.05, saturation=saturation, value=value)
    other = np.clip(base * uniform(rng, 0.65, 1.35, n, 1), 0, 1)
    return colour.blend(smooth(rng, n, knots), base, other)


def strips(
    rng: np.random.Generator,
    image: np.ndarray,
    cycles: tuple[float, float] = (2.0, 4.0),
    turn: tuple[float, float] = (0.0, np.pi),
) -> None:
    """Ploughed strips across the image."""
    n = len(image)
    tone = colour.near(rng, n, SOIL + 0.1, spread=0.12, value=(0.25, 0.7))
    u, _ = plane(rng, n, cycles, turn)
    paint(image, edge(u % 1, sharp=10) * uniform(rng, 0.4, 0.9, n)[:, None, None], tone)


def fields(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (1.0, 2.0)) -> np.ndarray:
    """A patchwork of rectangular plots, each of its own green, yellow or brown."""
    u, v = plane(rng, n, cycles, (0.0, np.pi))
    cell = (np.floor(u).astype(int) % 4) * 4 + np.floor(v).astype(int) % 4
    tones = colour.hsv(
        uniform(rng, 0.06, 0.36, n * 16), uniform(rng, 0.2, 0.6, n * 16), uniform(rng, 0.3, 0.8, n * 16)
    ).reshape(n, 16, 3)
    return tones[np.arange(n)[:, None, None], cell]


def band(rng: np.random.Generator, n: int, width: tuple[float, float], bend: float) -> np.ndarray:
    """A mask of one band (road, river) across the image; `bend` is how far it meanders."""
    angle = uniform(rng, 0, np.pi, n)[:, None, None]
    along, across = np.cos(angle) * X + np.sin(angle) * Y, np.cos(angle) * Y - np.sin(angle) * X
    swing = np.float32(bend) * np.sin(along * uniform(rng, 1.5, 4, n)[:, None, None] + uniform(rng, -3, 3, n, 1, 1))
    middle = uniform(rng, -0.4, 0.4, n, 1, 1) + swing
    return np.clip((uniform(rng, *width, n)[:, None, None] - np.abs(across - middle)) * 16 + np.float32(0.5), 0, 1)


def basin(rng: np.random.Generator, n: int, level: tuple[float, float]) -> np.ndarray:
    """A mask of water with a ragged shore: one lake around a random centre."""
    u, v = X - uniform(rng, -0.4, 0.4, n, 1, 1), Y - uniform(rng, -0.4, 0.4, n, 1, 1)
    shore = np.hypot(u, v) + (fractal(rng, n) - np.float32(0.5)) * np.float32(0.7)
    return np.clip((uniform(rng, *level, n)[:, None, None] - shore) * 14 + np.float32(0.5), 0, 1)


def shore(rng: np.random.Generator, n: int) -> np.ndarray:
    """A mask of the sea on one side of a ragged coast."""
    angle = uniform(rng, -np.pi, np.pi, n)[:, None, None]
    across = np.cos(angle) * X + np.sin(angle) * Y + uniform(rng, -0.35, 0.35, n, 1, 1)
    return np.clip((across + (smooth(rng, n, 6) - np.float32(0.5)) * np.float32(0.6)) * 14 + np.float32(0.5), 0, 1)


def block(image: np.ndarray, at: Pose, stretch: float, tint: np.ndarray, fade: np.ndarray | None = None) -> None:
    """Paint one roof (a turned rectangle with a thin shadow) per image."""
    u, v = frame(at)
    shadow = cover(box(u - np.float32(0.2), v - np.float32(0.2), wide=1.0, high=stretch), at.radius)
    roof = cover(box(u, v, wide=1.0, high=stretch), at.radius)
    if fade is not None:
        shadow, roof = shadow * fade[:, None, None], roof * fade[:, None, None]
    paint(image, shadow * np.float32(0.6), np.zeros_like(tint))
    paint(image, roof, tint)


def crowns(rng: np.random.Generator, n: int, cycles: tuple[float, float], jitter: float) -> np.ndarray:
    """A mask of tree crowns on a turned grid; jitter 0 is an orchard, large jitter a wood."""
    u, v = plane(rng, n, cycles)
    if jitter:
        u = u + (smooth(rng, n, 8) - np.float32(0.5)) * np.float32(jitter)
        v = v + (smooth(rng, n, 8) - np.float32(0.5)) * np.float32(jitter)
    u, v = u % 1 - np.float32(0.5), v % 1 - np.float32(0.5)
    return np.clip((uniform(rng, 0.25, 0.42, n)[:, None, None] - np.hypot(u, v)) * 7 + np.float32(0.5), 0, 1)
