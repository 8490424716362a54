"""Microscopy: a slide under the lamp, cells with membranes, nuclei and granules.

Knows nothing about classes; a cell is described by a few numbers per image.
"""

from dataclasses import dataclass

import numpy as np

from . import colour
from .canvas import Pose, cover, frame, paint, uniform
from .textures import smooth


@dataclass(frozen=True)
class Stain:
    """The colours of one slide, each [n, 3]."""

    ground: np.ndarray
    body: np.ndarray
    nucleus: np.ndarray


def stain(rng: np.random.Generator, n: int, dark_share: float = 0.4) -> Stain:
    """Bright-field slides (pale ground, pink to violet cells) mixed with fluorescence (dark ground, lit cells)."""
    dark = (rng.random(n) < dark_share)[:, None]
    pale = Stain(
        colour.near(rng, n, 0.9, spread=0.15, saturation=(0.02, 0.2), value=(0.75, 1.0)),
        colour.near(rng, n, 0.9, spread=0.12, saturation=(0.2, 0.55), value=(0.6, 0.9)),
        colour.near(rng, n, 0.77, spread=0.1, saturation=(0.45, 0.9), value=(0.2, 0.5)),
    )
    lit = Stain(
        colour.free(rng, n, value=(0.0, 0.15)),
        colour.hsv(uniform(rng, 0.2, 0.7, n), uniform(rng, 0.4, 1, n), uniform(rng, 0.3, 0.6, n)),
        colour.hsv(uniform(rng, 0.2, 0.9, n), uniform(rng, 0.2, 0.9, n), uniform(rng, 0.75, 1, n)),
    )
    return Stain(
        np.where(dark, lit.ground, pale.ground),
        np.where(dark, lit.body, pale.body),
        np.where(dark, lit.nucleus, pale.nucleus),
    )


def slide(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """An empty slide [n, 32, 32, 3]: cloudy, with a little debris."""
    n = len(ground)
    image = colour.backdrop(rng, ground, strength=0.1)
    debris = np.clip((smooth(rng, n, 14) - np.float32(0.82)) * 5, 0, 1) * uniform(rng, 0, 0.6, n)[:, None, None]
    paint(image, debris, np.float32(0.6) * ground)
    return image


def membrane(rng: np.random.Generator, at: Pose, *, stretch: float, rough: float, lobes: int = 5) -> np.ndarray:
    """Signed distance [n, 32, 32] of a cell: an ellipse with a wavy edge.

    Args:
        stretch: width over length, in (0, 1].
        rough: height of the waves, as a share of the radius.
        lobes: waves around the edge.
    """
    u, v = frame(at)
    v = v / np.float32(stretch)
    if not rough:
        return (np.hypot(u, v) - 1) * np.float32(stretch)
    phase = uniform(rng, -np.pi, np.pi, len(at.x))[:, None, None]
    edge = 1 + np.float32(rough) * np.sin(np.arctan2(v, u) * np.float32(lobes) + phase)
    return (np.hypot(u, v) - edge) * np.float32(stretch)


def inside(rng: np.random.Generator, at: Pose, *, reach: float, size: tuple[float, float]) -> Pose:
    """Poses of something small within each cell, `reach` of its radius off the centre at most."""
    n = len(at.x)
    angle, away = uniform(rng, -np.pi, np.pi, n), uniform(rng, 0, reach, n) * at.radius
    return Pose(
        at.x + away * np.cos(angle),
        at.y + away * np.sin(angle),
        at.radius * uniform(rng, *size, n),
        uniform(rng, -np.pi, np.pi, n),
    )


def beside(at: Pose, shift: float, size: float) -> Pose:
    """Poses moved along each cell's long axis by `shift` radii and scaled."""
    return Pose(
        at.x + np.float32(shift) * at.radius * np.cos(at.turn),
        at.y + np.float32(shift) * at.radius * np.sin(at.turn),
        at.radius * np.float32(size),
        at.turn,
    )


def spot(image: np.ndarray, at: Pose, tint: np.ndarray, fade: np.ndarray | float = 1.0) -> None:
    """Paint a round spot (a nucleus, a granule) per image."""
    u, v = frame(at)
    fade = np.asarray(fade, dtype=np.float32).reshape(-1, 1, 1)
    paint(image, cover(np.hypot(u, v) - 1, at.radius) * fade, tint)


def rim(image: np.ndarray, distance: np.ndarray, radius: np.ndarray, tint: np.ndarray, width: float = 0.16) -> None:
    """Paint a line along an outline given by its signed distance."""
    paint(image, cover(np.abs(distance) - np.float32(width), radius), tint)
