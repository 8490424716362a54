"""Textures: scalar fields [n, 32, 32] in [0, 1], one function per kind, scale and turn drawn at random.

Knows nothing about colour; `colour.blend` of two colours along a field makes the picture.
"""

from functools import lru_cache

import numpy as np

from .canvas import SIZE, X, Y, uniform

TAU = np.float32(2 * np.pi)


@lru_cache(maxsize=64)
def _stretch(k: int) -> np.ndarray:
    """The [32, k] weights that stretch k knots over the canvas with a smooth-step between neighbours."""
    place = np.linspace(0, k - 1, SIZE)
    low = np.minimum(place.astype(int), k - 2)
    t = place - low
    t = t * t * (3 - 2 * t)
    weights = np.zeros((SIZE, k), dtype=np.float32)
    weights[np.arange(SIZE), low] = 1 - t
    weights[np.arange(SIZE), low + 1] = t
    return weights


def smooth(rng: np.random.Generator, n: int, knots: int) -> np.ndarray:
    """Value noise: random knots joined smoothly; few knots make clouds, many make grain."""
    weights = _stretch(knots)
    return weights @ rng.random((n, knots, knots), dtype=np.float32) @ weights.T


def fractal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Noise over four octaves, stretched to about [0, 1]."""
    octaves = [smooth(rng, n, knots) * np.float32(0.5**i) for i, knots in enumerate((4, 7, 13, 25))]
    total = np.sum(octaves, axis=0)
    return np.clip((total / np.float32(1.875) - np.float32(0.5)) * np.float32(1.8) + np.float32(0.5), 0, 1)


def plane(
    rng: np.random.Generator, n: int, cycles: tuple[float, float], turn: tuple[float, float] = (0.0, np.pi)
) -> tuple[np.ndarray, np.ndarray]:
    """Turned, scaled and shifted coordinates [n, 32, 32], in cycles of a pattern with so many cycles per image."""
    scale = (uniform(rng, *cycles, n) / 2)[:, None, None]
    angle = uniform(rng, *turn, n)[:, None, None]
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    shift = rng.random((2, n, 1, 1), dtype=np.float32)
    return cos * X + sin * Y + shift[0], cos * Y - sin * X + shift[1]


def wave(phase: np.ndarray) -> np.ndarray:
    """A sine in [0, 1] of a phase in cycles."""
    return np.float32(0.5) + np.float32(0.5) * np.sin(TAU * phase)


def edge(field: np.ndarray, level: float = 0.5, sharp: float = 6.0) -> np.ndarray:
    """A field hardened around a level."""
    return np.clip((field - np.float32(level)) * np.float32(sharp) + np.float32(0.5), 0, 1)


def stripes(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (3.0, 7.0)) -> np.ndarray:
    """Soft stripes."""
    return wave(plane(rng, n, cycles)[0])


def bars(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.0, 5.0)) -> np.ndarray:
    """Hard stripes of random duty."""
    return edge(wave(plane(rng, n, cycles)[0]) + uniform(rng, -0.25, 0.25, n)[:, None, None])


def checks(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.0, 4.5)) -> np.ndarray:
    """A chess board."""
    u, v = plane(rng, n, cycles)
    return edge(np.float32(0.5) + np.float32(0.5) * np.sin(TAU * u) * np.sin(TAU * v), sharp=12)


def plaid(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.0, 4.5)) -> np.ndarray:
    """Two crossing sets of stripes, added."""
    u, v = plane(rng, n, cycles)
    return (wave(u) + wave(v)) / 2


def lattice(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.5, 5.0)) -> np.ndarray:
    """Three sets of stripes at 60 degrees: a honeycomb."""
    u, v = plane(rng, n, cycles)
    half, tall = np.float32(0.5), np.float32(np.sqrt(0.75))
    return (wave(u) + wave(tall * v - half * u) + wave(-tall * v - half * u)) / 3


def rings(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.5, 6.0)) -> np.ndarray:
    """Concentric rings around a random centre."""
    u, v = X - uniform(rng, -0.6, 0.6, n, 1, 1), Y - uniform(rng, -0.6, 0.6, n, 1, 1)
    return wave(np.hypot(u, v) * uniform(rng, *cycles, n)[:, None, None] / 2 + uniform(rng, 0, 1, n, 1, 1))


def rays(rng: np.random.Generator, n: int, spokes: tuple[int, int] = (5, 13)) -> np.ndarray:
    """Spokes around a random centre."""
    u, v = X - uniform(rng, -0.5, 0.5, n, 1, 1), Y - uniform(rng, -0.5, 0.5, n, 1, 1)
    count = rng.integers(*spokes, n).astype(np.float32)[:, None, None]
    return edge(wave(np.arctan2(v, u) / TAU * count + uniform(rng, 0, 1, n, 1, 1)), sharp=3)


def spiral(rng: np.random.Generator, n: int, arms: tuple[int, int] = (1, 4)) -> np.ndarray:
    """Spiral arms around a random centre."""
    u, v = X - uniform(rng, -0.4, 0.4, n, 1, 1), Y - uniform(rng, -0.4, 0.4, n, 1, 1)
    count = rng.integers(*arms, n).astype(np.float32)[:, None, None]
    hand = (rng.integers(0, 2, n) * 2 - 1).astype(np.float32)[:, None, None]
    return wave(np.arctan2(v, u) / TAU * count + hand * np.hypot(u, v) * uniform(rng, 1.5, 3, n)[:, None, None])


def dots(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (3.0, 6.0)) -> np.ndarray:
    """Round dots on a square grid."""
    u, v = plane(rng, n, cycles)
    u, v = u % 1 - np.float32(0.5), v % 1 - np.float32(0.5)
    return np.clip((uniform(rng, 0.22, 0.36, n)[:, None, None] - np.hypot(u, v)) * 8 + np.float32(0.5), 0, 1)


def bricks(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.5, 5.0)) -> np.ndarray:
    """Courses of bricks, each shifted by half a brick."""
    u, v = plane(rng, n, cycles)
    row = np.floor(v)
    along = (u / 2 + row / 2) % 1
    gap = np.minimum(np.minimum(along, 1 - along) * 2, np.minimum(v - row, 1 - v + row))
    return np.clip((gap - np.float32(0.08)) * 10, 0, 1)


def zigzag(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.5, 5.0)) -> np.ndarray:
    """Stripes that go up and down like saw teeth."""
    u, v = plane(rng, n, cycles)
    return edge(wave(v + np.abs(u % 1 - np.float32(0.5)) * np.float32(1.2)), sharp=3)


def waves(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.5, 5.0)) -> np.ndarray:
    """Stripes that swing like water."""
    u, v = plane(rng, n, cycles)
    return wave(v + np.float32(0.35) * np.sin(TAU * u * np.float32(0.6)))


def marble(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.0, 4.0)) -> np.ndarray:
    """Stripes bent by noise."""
    return wave(plane(rng, n, cycles)[0] + np.float32(1.6) * fractal(rng, n))


def wood(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (3.0, 6.0)) -> np.ndarray:
    """Long rings bent by noise."""
    u, v = plane(rng, n, cycles)
    return wave(np.hypot(u * np.float32(0.25), v) + np.float32(0.9) * smooth(rng, n, 5))


def clouds(rng: np.random.Generator, n: int) -> np.ndarray:
    """Soft large blotches."""
    return np.clip((smooth(rng, n, 4) - np.float32(0.5)) * np.float32(1.6) + np.float32(0.5), 0, 1)


def grain(rng: np.random.Generator, n: int) -> np.ndarray:
    """Fine noise."""
    return smooth(rng, n, 22)


def camouflage(rng: np.random.Generator, n: int, knots: int = 7) -> np.ndarray:
    """Noise cut at one level: islands."""
    return edge(smooth(rng, n, knots), sharp=12)


def _seeds(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    """Distances from every pixel to `count` random points, [count, n, 32, 32]."""
    at = uniform(rng, -1.1, 1.1, 2, count, n, 1, 1)
    return np.hypot(X - at[0], Y - at[1])


def mosaic(rng: np.random.Generator, n: int, count: int = 9) -> np.ndarray:
    """Tiles of the nearest random point, each of one grey."""
    distance = _seeds(rng, n, count)
    greys = rng.random((count, n), dtype=np.float32)
    nearest = distance.argmin(0)
    return greys[nearest, np.arange(n)[:, None, None]]


def cracks(rng: np.random.Generator, n: int, count: int = 9) -> np.ndarray:
    """Thin lines between the regions of random points."""
    two = np.partition(_seeds(rng, n, count), 1, axis=0)
    return np.clip((two[1] - two[0]) * 7, 0, 1)


def pebbles(rng: np.random.Generator, n: int, count: int = 10) -> np.ndarray:
    """Rounded stones: brighter towards each random point."""
    return np.clip(_seeds(rng, n, count).min(0) * np.float32(2.2), 0, 1)


def weave(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.0, 4.0)) -> np.ndarray:
    """Threads that go over and under."""
    u, v = plane(rng, n, cycles)
    over = np.floor(u) + np.floor(v)
    across = np.where(over % 2 == 0, u % 1, v % 1)
    return np.clip(np.sin(np.float32(np.pi) * across), 0, 1)


def scales(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.5, 5.0)) -> np.ndarray:
    """Overlapping fish scales."""
    u, v = plane(rng, n, cycles)
    row = np.floor(v)
    side = (u + row / 2) % 1 - np.float32(0.5)
    return np.hypot(side, v - row).astype(np.float32) % 1


def triangles(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.0, 4.0)) -> np.ndarray:
    """A tiling by triangles in two tones."""
    u, v = plane(rng, n, cycles)
    return edge((u % 1 + v % 1) / 2, sharp=8)


def crosses(rng: np.random.Generator, n: int, cycles: tuple[float, float] = (2.5, 4.5)) -> np.ndarray:
    """Small plus signs on a grid."""
    u, v = plane(rng, n, cycles)
    u, v = np.abs(u % 1 - np.float32(0.5)), np.abs(v % 1 - np.float32(0.5))
    gap = np.maximum(np.minimum(u, v) - np.float32(0.1), np.maximum(u, v) - np.float32(0.36))
    return np.clip(np.float32(0.5) - gap * 10, 0, 1)


def scratches(rng: np.random.Generator, n: int, count: int = 6) -> np.ndarray:
    """A few straight hairs across the image."""
    angle, shift = uniform(rng, 0, np.pi, count, n, 1, 1), uniform(rng, -0.9, 0.9, count, n, 1, 1)
    gap = np.abs(np.cos(angle) * X + np.sin(angle) * Y - shift).min(0)
    return np.clip(1 - gap * 11, 0, 1)


def confetti(rng: np.random.Generator, n: int, count: int = 14) -> np.ndarray:
    """Small discs thrown at random."""
    return np.clip((np.float32(0.16) - _seeds(rng, n, count).min(0)) * 16 + np.float32(0.5), 0, 1)
