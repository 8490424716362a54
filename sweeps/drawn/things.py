"""Things that stand in scenes: houses, trees, cars ... each a list of painted parts in its own coordinates.

The foot of a thing is at v = +1 and its top near v = -1. Knows nothing about where things stand.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from .canvas import Pose, cover, frame, paint
from .shapes import Outline, box, disc, gable

Part = tuple[Outline, str]


def _part(outline: Callable[..., np.ndarray], role: str, **where: float) -> Part:
    return partial(outline, **where), role


THINGS: Mapping[str, tuple[Part, ...]] = MappingProxyType(
    {
        "house": (
            _part(box, "main", y=0.35, wide=0.75, high=0.65),
            _part(gable, "second", top=-1.0, base=-0.25, wide=1.0),
            _part(box, "dark", y=0.6, wide=0.2, high=0.4),
        ),
        "tree": (
            _part(box, "wood", y=0.5, wide=0.14, high=0.5),
            _part(disc, "leaf", y=-0.3, radius=0.72),
        ),
        "pine": (
            _part(box, "wood", y=0.8, wide=0.12, high=0.2),
            _part(gable, "leaf", top=-1.0, base=0.0, wide=0.5),
            _part(gable, "leaf", top=-0.5, base=0.7, wide=0.7),
        ),
        "car": (
            _part(box, "main", y=0.5, wide=1.0, high=0.25),
            _part(box, "second", y=0.1, wide=0.5, high=0.25),
            _part(disc, "dark", x=-0.55, y=0.78, radius=0.24),
            _part(disc, "dark", x=0.55, y=0.78, radius=0.24),
        ),
        "boat": (
            _part(box, "dark", y=0.75, wide=0.9, high=0.22),
            _part(box, "wood", y=-0.1, wide=0.06, high=0.8),
            _part(gable, "main", x=0.3, top=-0.9, base=0.4, wide=0.45),
        ),
        "person": (
            _part(disc, "skin", y=-0.7, radius=0.26),
            _part(box, "main", y=-0.05, wide=0.3, high=0.42),
            _part(box, "dark", x=-0.16, y=0.68, wide=0.12, high=0.34),
            _part(box, "dark", x=0.16, y=0.68, wide=0.12, high=0.34),
        ),
        "tower": (
            _part(box, "main", y=0.1, wide=0.34, high=0.9),
            _part(box, "second", y=-0.75, wide=0.5, high=0.14),
            _part(box, "dark", y=0.1, wide=0.1, high=0.16),
        ),
        "lamp": (
            _part(box, "dark", y=0.2, wide=0.08, high=0.8),
            _part(disc, "main", y=-0.7, radius=0.3),
        ),
        "cactus": (
            _part(box, "leaf", y=0.1, wide=0.2, high=0.9),
            _part(box, "leaf", x=-0.5, y=-0.15, wide=0.14, high=0.35),
            _part(box, "leaf", x=0.5, y=-0.3, wide=0.14, high=0.35),
            _part(box, "leaf", y=0.1, wide=0.5, high=0.12),
        ),
        "tent": (
            _part(gable, "main", top=-0.6, base=1.0, wide=1.0),
            _part(gable, "dark", top=0.1, base=1.0, wide=0.35),
        ),
        "barrel": (
            _part(box, "main", wide=0.6, high=1.0),
            _part(box, "dark", y=-0.5, wide=0.62, high=0.1),
            _part(box, "dark", y=0.5, wide=0.62, high=0.1),
        ),
    }
)


def stand(image: np.ndarray, name: str, at: Pose, colours: Mapping[str, np.ndarray], fade: np.ndarray) -> None:
    """Paint one thing per image, in place.

    Args:
        image: [n, 32, 32, 3].
        name: a key of `THINGS`.
        colours: role -> [n, 3].
        fade: [n] in [0, 1], how opaque the thing is (0 leaves the image as it was).
    """
    u, v = frame(at)
    for outline, role in THINGS[name]:
        paint(image, cover(outline(u, v), at.radius) * fade[:, None, None], colours[role])
