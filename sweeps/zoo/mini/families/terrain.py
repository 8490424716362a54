"""The terrain family: land use seen from above."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from sweeps.drawn import canvas, colour, terrain
from sweeps.drawn.crowds import spots


def _roofs(
    rng: np.random.Generator,
    image: np.ndarray,
    *,
    side: int,
    stretch: float,
    size: tuple[float, float],
    hue: float,
    share: float,
) -> None:
    n = len(image)
    where, turn = spots(rng, n, side, jitter=0.3, spread=1.05), canvas.uniform(rng, 0, np.pi, n)
    for place in where:
        at = canvas.Pose(place[:, 0], place[:, 1], canvas.uniform(rng, *size, n) / side, turn)
        tint = colour.near(rng, n, hue, saturation=(0.05, 0.5), value=(0.5, 0.95))
        terrain.block(image, at, stretch, tint, (rng.random(n) < share).astype(np.float32))


def _paint(rng: np.random.Generator, n: int, *, kind: str) -> np.ndarray:
    return canvas.finish(rng, _KINDS[kind](rng, n))


def _meadow(rng: np.random.Generator, n: int) -> np.ndarray:
    return terrain.ground(rng, n, terrain.GRASS, knots=6)


def _ploughed(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, terrain.SOIL)
    terrain.strips(rng, image, cycles=(3.0, 7.0))
    return image


def _plots(rng: np.random.Generator, n: int) -> np.ndarray:
    return terrain.fields(rng, n)


def _wood(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, terrain.FOREST, value=(0.12, 0.3))
    leaf = colour.near(rng, n, terrain.FOREST, value=(0.2, 0.5))
    canvas.paint(image, terrain.crowns(rng, n, (4.0, 7.0), 2.5), leaf)
    return image


def _orchard(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, terrain.SOIL)
    canvas.paint(image, terrain.crowns(rng, n, (3.0, 6.0), 0.0), colour.near(rng, n, terrain.FOREST, value=(0.2, 0.5)))
    return image


def _road(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, terrain.GRASS)
    asphalt = colour.near(rng, n, 0.6, spread=0.5, saturation=(0, 0.1), value=(0.4, 0.7))
    canvas.paint(image, terrain.band(rng, n, (0.08, 0.16), 0.05), asphalt)
    return image


def _crossing(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, terrain.GRASS)
    asphalt = colour.near(rng, n, 0.6, spread=0.5, saturation=(0, 0.1), value=(0.4, 0.7))
    for _ in range(2):
        canvas.paint(image, terrain.band(rng, n, (0.08, 0.16), 0.0), asphalt)
    return image


def _river(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, terrain.GRASS)
    canvas.paint(image, terrain.band(rng, n, (0.1, 0.22), 0.35), colour.near(rng, n, terrain.WATER, value=(0.2, 0.6)))
    return image


def _lake(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, terrain.GRASS)
    canvas.paint(image, terrain.basin(rng, n, (0.4, 0.75)), colour.near(rng, n, terrain.WATER, value=(0.2, 0.6)))
    return image


def _coast(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, terrain.SAND)
    canvas.paint(image, terrain.shore(rng, n), colour.near(rng, n, terrain.WATER, value=(0.2, 0.6)))
    return image


def _village(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, terrain.GRASS)
    _roofs(rng, image, side=4, stretch=0.7, size=(0.4, 0.6), hue=0.03, share=0.6)
    return image


def _factory(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, 0.6, saturation=(0.0, 0.1), value=(0.35, 0.6))
    _roofs(rng, image, side=2, stretch=0.5, size=(0.6, 0.9), hue=0.55, share=0.7)
    return image


def _desert(rng: np.random.Generator, n: int) -> np.ndarray:
    image = terrain.ground(rng, n, terrain.SAND, value=(0.55, 0.85), knots=5)
    terrain.strips(rng, image, cycles=(1.0, 2.5))
    return image


_KINDS = MappingProxyType(
    {
        "meadow": _meadow, "ploughed": _ploughed, "plots": _plots, "wood": _wood, "orchard": _orchard, "road": _road,
        "crossing": _crossing, "river": _river, "lake": _lake, "coast": _coast, "village": _village,
        "factory": _factory, "desert": _desert,
    }
)  # fmt: skip

CLASSES: Mapping[str, partial] = MappingProxyType({kind: partial(_paint, kind=kind) for kind in _KINDS})
