"""The shape family: one solid, hollow or patterned outline at any turn, on a quiet backdrop."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from sweeps.drawn import canvas, colour, textures
from sweeps.drawn.shapes import OUTLINES

NAMES = (
    "disc", "ring", "triangle", "square", "hexagon", "star5", "star7", "gear", "clover", "frame", "ellipse", "capsule",
    "cross", "heart", "crescent", "arrow",
)  # fmt: skip


def _paint(rng: np.random.Generator, n: int, *, name: str) -> np.ndarray:
    ink, paper = colour.pair(rng, n, gap=0.22)
    image = colour.backdrop(rng, paper)
    at = canvas.pose(rng, n, centre=0.35, radius=(0.4, 0.85))
    distance = OUTLINES[name](*canvas.frame(at))
    mask = canvas.cover(distance, at.radius)
    hollow = (rng.random(n) < 0.25)[:, None, None]
    # A ring or a frame drawn hollow would be two thin lines: still the same outline, so no exception.
    mask = np.where(hollow, mask - canvas.cover(distance + np.float32(0.22), at.radius), mask)
    second = np.clip(ink + canvas.uniform(rng, -0.2, 0.2, n, 3), 0, 1)
    canvas.paint(image, mask, colour.blend(textures.stripes(rng, n), ink, second))
    return canvas.finish(rng, image, noise=0.12)


CLASSES: Mapping[str, partial] = MappingProxyType({name: partial(_paint, name=name) for name in NAMES})
