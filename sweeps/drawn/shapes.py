"""Outlines: signed distances (negative inside) in an object's own coordinates, about the unit disc.

Each function takes two arrays (u to the right, v downwards) and returns one. Knows nothing about size, place or colour.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

Outline = Callable[[np.ndarray, np.ndarray], np.ndarray]


def box(
    u: np.ndarray, v: np.ndarray, x: float = 0.0, y: float = 0.0, wide: float = 0.8, high: float = 0.8
) -> np.ndarray:
    """An upright box around (x, y) with half sizes."""
    return np.maximum(np.abs(u - np.float32(x)) - np.float32(wide), np.abs(v - np.float32(y)) - np.float32(high))


def disc(u: np.ndarray, v: np.ndarray, x: float = 0.0, y: float = 0.0, radius: float = 1.0) -> np.ndarray:
    """A disc around (x, y)."""
    return np.hypot(u - np.float32(x), v - np.float32(y)) - np.float32(radius)


def gable(
    u: np.ndarray, v: np.ndarray, x: float = 0.0, top: float = -1.0, base: float = 1.0, wide: float = 1.0
) -> np.ndarray:
    """A triangle standing on its base, tip at the top."""
    rise = (np.float32(base) - v) / np.float32(base - top)
    return np.maximum(np.abs(u - np.float32(x)) - np.float32(wide) * (1 - rise), v - np.float32(base))


def polygon(sides: int) -> Outline:
    """The regular polygon with so many sides."""
    step = np.float32(2 * np.pi / sides)

    def outline(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        angle = np.arctan2(u, v) % step - step / 2
        return np.hypot(u, v) * np.cos(angle) - np.cos(step / 2)

    return outline


def star(points: int, inner: float) -> Outline:
    """The star with so many points; `inner` is the radius of its dents."""

    def outline(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        part = np.arctan2(u, v) * np.float32(points / (2 * np.pi)) % 1
        reach = np.float32(inner) + np.float32(1 - inner) * np.abs(part - np.float32(0.5)) * 2
        return (np.hypot(u, v) - reach) * np.float32(0.7)

    return outline


def rosette(petals: int, depth: float) -> Outline:
    """A round form with so many lobes (a gear, a flower)."""

    def outline(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        angle = np.arctan2(u, v) * np.float32(petals)
        return (np.hypot(u, v) - np.float32(1 - depth) - np.float32(depth) * np.cos(angle)) * np.float32(0.8)

    return outline


def ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A thick circle."""
    return np.abs(np.hypot(u, v) - np.float32(0.76)) - np.float32(0.22)


def frame(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A square with a square hole."""
    return np.abs(np.maximum(np.abs(u), np.abs(v)) - np.float32(0.64)) - np.float32(0.19)


def ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """An ellipse, twice as long as wide."""
    return (np.hypot(u, v * 2) - 1) * np.float32(0.6)


def capsule(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A rod with round ends."""
    return np.hypot(np.maximum(np.abs(u) - np.float32(0.7), 0), v) - np.float32(0.27)


def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A plus sign."""
    return np.minimum(box(u, v, wide=0.95, high=0.3), box(u, v, wide=0.3, high=0.95))


def heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A heart, tip down."""
    side = np.abs(u)
    lobes = np.hypot(side - np.float32(0.42), v + np.float32(0.32)) - np.float32(0.48)
    body = np.maximum(side + v * np.float32(0.9) - np.float32(0.75), -v - np.float32(0.25)) * np.float32(0.7)
    return np.minimum(lobes, body)


def crescent(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A new moon."""
    return np.maximum(np.hypot(u, v) - 1, np.float32(0.85) - np.hypot(u - np.float32(0.5), v))


def half(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Half a disc."""
    return np.maximum(np.hypot(u, v + np.float32(0.4)) - 1, -v - np.float32(0.4))


def arrow(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """An arrow to the right."""
    head = np.maximum(np.abs(v) + u * np.float32(0.8) - np.float32(0.8), np.float32(0.1) - u)
    return np.minimum(head, box(u, v, x=-0.4, wide=0.6, high=0.25))


def chevron(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A bent bar, like a rank badge."""
    bend = u + np.abs(v) * np.float32(0.8)
    return np.maximum(np.abs(bend - np.float32(0.3)) - np.float32(0.35), np.abs(v) - np.float32(0.85))


def drop(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A drop, tip up."""
    return np.minimum(disc(u, v, y=0.35, radius=0.6), gable(u, v, top=-1.0, base=0.2, wide=0.56) * np.float32(0.8))


def corner(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """An L."""
    return np.minimum(box(u, v, x=-0.5, wide=0.3, high=0.9), box(u, v, y=0.6, wide=0.8, high=0.3))


def tee(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A T."""
    return np.minimum(box(u, v, y=-0.6, wide=0.85, high=0.28), box(u, v, y=0.15, wide=0.28, high=0.8))


def rhombus(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A lozenge, twice as long as wide."""
    return (np.abs(u) + np.abs(v) * 2 - 1) * np.float32(0.5)


OUTLINES: Mapping[str, Outline] = MappingProxyType(
    {
        "disc": disc,
        "ring": ring,
        "triangle": polygon(3),
        "square": polygon(4),
        "pentagon": polygon(5),
        "hexagon": polygon(6),
        "star4": star(4, 0.4),
        "star5": star(5, 0.45),
        "star7": star(7, 0.55),
        "gear": rosette(8, 0.14),
        "clover": rosette(3, 0.35),
        "frame": frame,
        "ellipse": ellipse,
        "capsule": capsule,
        "cross": cross,
        "heart": heart,
        "crescent": crescent,
        "half": half,
        "arrow": arrow,
        "chevron": chevron,
        "drop": drop,
        "corner": corner,
        "tee": tee,
        "rhombus": rhombus,
    }
)
