"""Colours: free, contrasting and earthy draws, and backdrops. Knows nothing about forms."""

import numpy as np

from .canvas import X, Y, blend, uniform
from .textures import smooth

_WEIGHTS = np.array([0.30, 0.59, 0.11], dtype=np.float32)


def hsv(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """RGB colours [n, 3] in [0, 1] from hue (turns, any real), saturation and value [n]."""
    offsets = np.array([5, 3, 1], dtype=np.float32)
    k = (offsets + (hue * 6)[:, None]) % 6
    fall = np.clip(np.minimum(k, 4 - k), 0, 1)
    return (value[:, None] * (1 - saturation[:, None] * fall)).astype(np.float32)


def free(rng: np.random.Generator, n: int, value: tuple[float, float] = (0.1, 1.0)) -> np.ndarray:
    """Any colour, [n, 3]."""
    return hsv(uniform(rng, 0, 1, n), uniform(rng, 0, 1, n), uniform(rng, *value, n))


def near(
    rng: np.random.Generator,
    n: int,
    hue: float,
    *,
    spread: float = 0.05,
    saturation: tuple[float, float] = (0.3, 0.8),
    value: tuple[float, float] = (0.35, 0.85),
) -> np.ndarray:
    """Colours around a hue given in turns, [n, 3]."""
    return hsv(uniform(rng, hue - spread, hue + spread, n), uniform(rng, *saturation, n), uniform(rng, *value, n))


def pair(rng: np.random.Generator, n: int, gap: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Two colours [n, 3] whose brightness differs by at least about `gap`; which is darker is a coin toss."""
    first, second = free(rng, n), free(rng, n)
    bright = (first @ _WEIGHTS, second @ _WEIGHTS)
    short = np.clip(np.float32(gap) - np.abs(bright[0] - bright[1]), 0, None)[:, None] / 2
    sign = np.where(bright[0] >= bright[1], 1, -1).astype(np.float32)[:, None]
    # Pushing both apart can leave the cube: then the other end of the pair moves instead.
    first, second = first + sign * short, second - sign * short
    over = np.clip(np.maximum(first, second).max(1, keepdims=True) - 1, 0, None)
    under = np.clip(-np.minimum(first, second).min(1, keepdims=True), 0, None)
    return np.clip(first - over + under, 0, 1), np.clip(second - over + under, 0, 1)


def backdrop(rng: np.random.Generator, colour: np.ndarray, strength: float = 0.25) -> np.ndarray:
    """A quiet background [n, 32, 32, 3] around a colour [n, 3]: a slope of light plus cloudy noise."""
    n = len(colour)
    angle = uniform(rng, -np.pi, np.pi, n)[:, None, None]
    slope = (np.cos(angle) * X + np.sin(angle) * Y) * uniform(rng, 0, 0.5, n)[:, None, None]
    cloud = (smooth(rng, n, 6) - np.float32(0.5)) * uniform(rng, 0, 1.2, n)[:, None, None]
    other = np.clip(colour + uniform(rng, -strength, strength, n, 3), 0, 1)
    return blend(np.clip(slope + cloud + np.float32(0.3), 0, 1), colour, other)
