"""The specialized tasks: blood cells on a smear, land use from above. A painter takes a stream and labels."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from sweeps.drawn import canvas, colour, organisms
from sweeps.drawn import terrain as land
from sweeps.drawn.canvas import Pose, uniform
from sweeps.drawn.crowds import spots

Cell = Callable[[np.random.Generator, np.ndarray, Pose, organisms.Stain], None]


def _body(
    rng: np.random.Generator,
    image: np.ndarray,
    at: Pose,
    tint: organisms.Stain,
    *,
    size: float = 1.0,
    stretch: float = 0.9,
    rough: float = 0.05,
) -> Pose:
    at = Pose(at.x, at.y, at.radius * np.float32(size), at.turn)
    distance = organisms.membrane(rng, at, stretch=stretch, rough=rough)
    canvas.paint(image, canvas.cover(distance, at.radius), tint.body)
    return at


def _granules(
    rng: np.random.Generator,
    image: np.ndarray,
    at: Pose,
    dye: np.ndarray,
    *,
    count: int,
    size: tuple[float, float],
) -> None:
    for _ in range(count):
        organisms.spot(image, organisms.inside(rng, at, reach=0.8, size=size), dye)


def _lymphocyte(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    at = _body(rng, image, at, tint, size=0.8)
    organisms.spot(image, organisms.inside(rng, at, reach=0.15, size=(0.68, 0.82)), tint.nucleus)


def _monocyte(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    at = _body(rng, image, at, tint, size=1.1)
    organisms.spot(image, organisms.beside(at, 0.1, 0.58), tint.nucleus)
    organisms.spot(image, organisms.beside(at, 0.5, 0.34), tint.body)


def _neutrophil(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    at = _body(rng, image, at, tint)
    for side in (-0.5, 0.0, 0.5):
        lobe = organisms.beside(at, side, 0.27)
        bend = np.float32(0.25 if side else -0.15) * at.radius
        off = Pose(lobe.x - bend * np.sin(at.turn), lobe.y + bend * np.cos(at.turn), lobe.radius, lobe.turn)
        organisms.spot(image, off, tint.nucleus)


_REDDER = np.array([0.2, -0.1, -0.15], dtype=np.float32)


def _eosinophil(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    at = _body(rng, image, at, tint)
    _granules(rng, image, at, np.clip(tint.body + _REDDER, 0, 1), count=9, size=(0.1, 0.16))
    for side in (-0.4, 0.4):
        organisms.spot(image, organisms.beside(at, side, 0.32), tint.nucleus)


def _basophil(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    at = _body(rng, image, at, tint)
    organisms.spot(image, organisms.inside(rng, at, reach=0.2, size=(0.45, 0.55)), (tint.nucleus + tint.body) / 2)
    _granules(rng, image, at, tint.nucleus, count=12, size=(0.1, 0.17))


def _erythroblast(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    at = _body(rng, image, at, tint, size=0.7)
    organisms.spot(image, organisms.inside(rng, at, reach=0.3, size=(0.4, 0.52)), tint.nucleus)


def _granulocyte(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    at = _body(rng, image, at, tint, size=1.1)
    organisms.spot(image, organisms.beside(at, 0.35, 0.52), tint.nucleus)
    _granules(rng, image, at, (tint.nucleus + tint.body) / 2, count=5, size=(0.07, 0.12))


def _platelets(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    for side in (-0.5, 0.1, 0.6):
        _body(rng, image, organisms.beside(at, side, 0.25), organisms.Stain(tint.ground, tint.nucleus, tint.body))


CELLS: Mapping[str, Cell] = MappingProxyType(
    {
        "lymphocyte": _lymphocyte,
        "monocyte": _monocyte,
        "neutrophil": _neutrophil,
        "eosinophil": _eosinophil,
        "basophil": _basophil,
        "erythroblast": _erythroblast,
        "granulocyte": _granulocyte,
        "platelets": _platelets,
    }
)


def cells(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """One cell near the middle of a stained smear, red cells around it."""
    n = len(labels)
    tint = organisms.stain(rng, n, dark_share=0.0)
    image = organisms.slide(rng, tint.ground)
    for place in spots(rng, n, 3, jitter=0.5, spread=1.3)[:5]:
        red = Pose(place[:, 0], place[:, 1], uniform(rng, 0.25, 0.38, n), uniform(rng, -np.pi, np.pi, n))
        distance = organisms.membrane(rng, red, stretch=0.92, rough=0.03)
        canvas.paint(
            image, canvas.cover(distance, red.radius) * np.float32(0.8), colour.near(rng, n, 0.98, value=(0.6, 0.9))
        )
    at = canvas.pose(rng, n, centre=0.22, radius=(0.42, 0.66))
    for label, cell in enumerate(CELLS.values()):
        mine = np.flatnonzero(labels == label)
        part = image[mine]
        own = Pose(at.x[mine], at.y[mine], at.radius[mine], at.turn[mine])
        cell(rng, part, own, organisms.Stain(tint.ground[mine], tint.body[mine], tint.nucleus[mine]))
        image[mine] = part
    return canvas.finish(rng, image, noise=0.16, blur=1.0, light=0.25)


def _annual(rng: np.random.Generator, n: int) -> np.ndarray:
    image = land.ground(rng, n, 0.2)
    land.strips(rng, image, cycles=(5.0, 8.0))
    return image


def _permanent(rng: np.random.Generator, n: int) -> np.ndarray:
    image = land.ground(rng, n, land.GRASS)
    canvas.paint(image, land.crowns(rng, n, (5.0, 8.0), 0.4), colour.near(rng, n, land.FOREST, value=(0.2, 0.4)))
    return image


def _forest(rng: np.random.Generator, n: int) -> np.ndarray:
    image = land.ground(rng, n, land.FOREST, value=(0.15, 0.35), knots=20)
    canvas.paint(
        image,
        land.crowns(rng, n, (4.0, 8.0), 3.0) * np.float32(0.7),
        colour.near(rng, n, land.FOREST, value=(0.2, 0.4)),
    )
    return image


def _shrubs(rng: np.random.Generator, n: int) -> np.ndarray:
    image = land.ground(rng, n, 0.22, knots=14)
    canvas.paint(
        image, land.crowns(rng, n, (3.0, 5.0), 3.5) * np.float32(0.6), colour.near(rng, n, 0.3, value=(0.25, 0.5))
    )
    return image


def _highway(rng: np.random.Generator, n: int) -> np.ndarray:
    image = land.fields(rng, n)
    grey = colour.near(rng, n, 0.6, spread=0.5, saturation=(0.0, 0.1), value=(0.35, 0.7))
    canvas.paint(image, land.band(rng, n, (0.05, 0.12), 0.12), grey)
    return image


def _river(rng: np.random.Generator, n: int) -> np.ndarray:
    image = land.fields(rng, n)
    canvas.paint(image, land.band(rng, n, (0.08, 0.2), 0.25), colour.near(rng, n, 0.5, spread=0.1, value=(0.25, 0.6)))
    return image


def _pasture(rng: np.random.Generator, n: int) -> np.ndarray:
    image = land.ground(rng, n, land.GRASS, knots=5)
    for place in spots(rng, n, 4, jitter=0.6)[:3]:
        tree = Pose(place[:, 0], place[:, 1], uniform(rng, 0.06, 0.14, n), np.zeros(n, np.float32))
        organisms.spot(image, tree, colour.near(rng, n, land.FOREST, value=(0.15, 0.35)))
    return image


def _built(rng: np.random.Generator, n: int, *, side: int, stretch: float, share: float) -> np.ndarray:
    image = land.ground(rng, n, 0.25, saturation=(0.05, 0.4), value=(0.3, 0.6), knots=14)
    turn = uniform(rng, 0, np.pi, n)
    for place in spots(rng, n, side, jitter=0.4, spread=1.05):
        at = Pose(place[:, 0], place[:, 1], uniform(rng, 0.45, 0.8, n) / side, turn)
        roof = colour.near(rng, n, 0.05, spread=0.5, saturation=(0.02, 0.4), value=(0.45, 0.9))
        land.block(image, at, stretch, roof, (rng.random(n) < share).astype(np.float32))
    return image


def _industrial(rng: np.random.Generator, n: int) -> np.ndarray:
    return _built(rng, n, side=3, stretch=0.55, share=0.6)


def _residential(rng: np.random.Generator, n: int) -> np.ndarray:
    return _built(rng, n, side=5, stretch=0.75, share=0.55)


def _lake(rng: np.random.Generator, n: int) -> np.ndarray:
    water = colour.near(rng, n, 0.5, spread=0.12, value=(0.15, 0.5))
    image = colour.backdrop(rng, water, strength=0.06)
    land_share = land.shore(rng, n) * (rng.random(n) < 0.4)[:, None, None]
    canvas.paint(image, land_share, land.ground(rng, n, land.GRASS))
    return image


TERRAIN: Mapping[str, Callable] = MappingProxyType(
    {
        "annual-crop": _annual,
        "permanent-crop": _permanent,
        "forest": _forest,
        "shrubs": _shrubs,
        "highway": _highway,
        "river": _river,
        "pasture": _pasture,
        "industrial": _industrial,
        "residential": _residential,
        "lake": _lake,
    }
)


def terrain(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Land use under haze and in shifted colours, so that hue alone does not tell."""
    n = len(labels)
    image = np.empty((n, canvas.SIZE, canvas.SIZE, 3), dtype=np.float32)
    for label, kind in enumerate(TERRAIN.values()):
        mine = np.flatnonzero(labels == label)
        image[mine] = kind(rng, len(mine))
    haze = np.broadcast_to(uniform(rng, 0.1, 0.6, n)[:, None, None], image.shape[:3])
    canvas.paint(image, haze, colour.near(rng, n, 0.55, spread=0.5, saturation=(0.0, 0.2), value=(0.4, 0.8)))
    image *= uniform(rng, 0.75, 1.25, n, 1, 1, 3)
    return canvas.finish(rng, image, noise=0.12, blur=0.8, light=0.25)
