"""The layout family: several small objects of any form and colour, named after how they are arranged.

What the objects are does not matter; where they are and how many does.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from sweeps.drawn import canvas, colour, crowds
from sweeps.drawn.canvas import Pose, uniform

OUTLINES = ("disc", "square", "triangle", "star5", "cross", "ring", "heart", "ellipse")
# Where up to k objects stand: x, y, radius, each [k, n], and which are shown, [k, n].
Placed = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Layout = Callable[[np.random.Generator, int], Placed]


def _line(rng: np.random.Generator, n: int, *, turn: float) -> Placed:
    count, angle = rng.integers(3, 6, n), np.float32(turn) + uniform(rng, -0.2, 0.2, n)
    step = np.arange(5, dtype=np.float32)[:, None]
    along = (step - (count - 1) / 2) * np.float32(0.42)
    off = uniform(rng, -0.4, 0.4, n)
    x, y = along * np.cos(angle) - off * np.sin(angle), along * np.sin(angle) + off * np.cos(angle)
    return x, y, np.broadcast_to(uniform(rng, 0.14, 0.2, n), x.shape), step < count


def _circle(rng: np.random.Generator, n: int) -> Placed:
    count, start = rng.integers(4, 8, n), uniform(rng, -np.pi, np.pi, n)
    step = np.arange(7, dtype=np.float32)[:, None]
    angle, reach = start + step * 2 * np.float32(np.pi) / count, uniform(rng, 0.5, 0.7, n)
    x, y = reach * np.cos(angle), reach * np.sin(angle)
    return x, y, np.broadcast_to(uniform(rng, 0.12, 0.18, n), x.shape), step < count


def _grid(rng: np.random.Generator, n: int) -> Placed:
    side = np.arange(9)[:, None]
    pitch = uniform(rng, 0.45, 0.6, n)
    x, y = (side % 3 - 1) * pitch + uniform(rng, -0.2, 0.2, n), (side // 3 - 1) * pitch + uniform(rng, -0.2, 0.2, n)
    return x, y, np.broadcast_to(uniform(rng, 0.14, 0.18, n), x.shape), np.ones(x.shape, bool)


def _scatter(rng: np.random.Generator, n: int, *, low: int, high: int) -> Placed:
    where = crowds.spots(rng, n, 4, jitter=0.5)[: high - 1]
    shown = np.arange(high - 1)[:, None] < rng.integers(low, high, n)
    return where[..., 0], where[..., 1], uniform(rng, 0.12, 0.22, high - 1, n), shown


def _half(rng: np.random.Generator, n: int, *, axis: int, sign: int) -> Placed:
    where = crowds.spots(rng, n, 3, jitter=0.5)[:4]
    where[..., axis] = where[..., axis] * np.float32(0.45) + np.float32(0.5 * sign)
    shown = np.arange(4)[:, None] < rng.integers(2, 5, n)
    return where[..., 0], where[..., 1], uniform(rng, 0.12, 0.2, 4, n), shown


def _large_and_small(rng: np.random.Generator, n: int) -> Placed:
    where = crowds.spots(rng, n, 2, jitter=0.3)[:2]
    radius = np.stack([uniform(rng, 0.4, 0.5, n), uniform(rng, 0.12, 0.18, n)])
    return where[..., 0], where[..., 1], radius, np.ones(radius.shape, bool)


def _nested(rng: np.random.Generator, n: int) -> Placed:
    x, y = uniform(rng, -0.3, 0.3, 1, n), uniform(rng, -0.3, 0.3, 1, n)
    radius = np.stack([uniform(rng, 0.5, 0.7, n), uniform(rng, 0.2, 0.3, n)])
    return np.concatenate([x, x]), np.concatenate([y, y]), radius, np.ones(radius.shape, bool)


def _paint(rng: np.random.Generator, n: int, *, layout: Layout) -> np.ndarray:
    paper = colour.free(rng, n)
    image = colour.backdrop(rng, paper, strength=0.12)
    xs, ys, radii, shown = layout(rng, n)
    for x, y, radius, on in zip(xs, ys, radii, shown, strict=True):
        at = Pose(x.astype(np.float32), y.astype(np.float32), radius, uniform(rng, -np.pi, np.pi, n))
        crowds.patch(rng, image, at, crowds.apart(rng, paper), OUTLINES, on.astype(np.float32))
    return canvas.finish(rng, image)


_LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "row": partial(_line, turn=0.0),
        "column": partial(_line, turn=np.pi / 2),
        "rising": partial(_line, turn=-np.pi / 4),
        "falling": partial(_line, turn=np.pi / 4),
        "circle": _circle,
        "grid": _grid,
        "few": partial(_scatter, low=1, high=3),
        "some": partial(_scatter, low=4, high=6),
        "many": partial(_scatter, low=8, high=12),
        "left": partial(_half, axis=0, sign=-1),
        "right": partial(_half, axis=0, sign=1),
        "upper": partial(_half, axis=1, sign=-1),
        "lower": partial(_half, axis=1, sign=1),
        "unequal": _large_and_small,
        "nested": _nested,
    }
)

CLASSES: Mapping[str, partial] = MappingProxyType(
    {name: partial(_paint, layout=layout) for name, layout in _LAYOUTS.items()}
)
