"""The cell family: microscopy slides named after the form, the nuclei or the grouping of the cells."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from sweeps.drawn import canvas, organisms
from sweeps.drawn.canvas import Pose
from sweeps.drawn.crowds import spots

Cell = Callable[[np.random.Generator, np.ndarray, Pose, organisms.Stain], None]


def _body(
    rng: np.random.Generator,
    image: np.ndarray,
    at: Pose,
    tint: organisms.Stain,
    *,
    stretch: float = 0.85,
    rough: float = 0.05,
    lobes: int = 5,
) -> None:
    distance = organisms.membrane(rng, at, stretch=stretch, rough=rough, lobes=lobes)
    canvas.paint(image, canvas.cover(distance, at.radius), tint.body)


def _plain(
    rng: np.random.Generator,
    image: np.ndarray,
    at: Pose,
    tint: organisms.Stain,
    *,
    nuclei: int = 1,
    size: tuple[float, float] = (0.3, 0.45),
    stretch: float = 0.85,
    rough: float = 0.05,
    lobes: int = 5,
) -> None:
    _body(rng, image, at, tint, stretch=stretch, rough=rough, lobes=lobes)
    for _ in range(nuclei):
        organisms.spot(image, organisms.inside(rng, at, reach=0.3 if nuclei == 1 else 0.6, size=size), tint.nucleus)


def _paired(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    _body(rng, image, at, tint)
    for side in (-0.42, 0.42):
        organisms.spot(image, organisms.beside(at, side, 0.32), tint.nucleus)


def _hollow(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    distance = organisms.membrane(rng, at, stretch=0.9, rough=0.04)
    organisms.rim(image, distance + np.float32(0.1), at.radius, tint.body, width=0.2)


def _dividing(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    for side in (-0.55, 0.55):
        half = organisms.beside(at, side, 0.62)
        _body(rng, image, half, tint)
        organisms.spot(image, organisms.beside(at, side, 0.25), tint.nucleus)


def _budding(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    for side, size in ((-0.2, 0.75), (0.75, 0.4)):
        _body(rng, image, organisms.beside(at, side, size), tint)


def _lobed(rng: np.random.Generator, image: np.ndarray, at: Pose, tint: organisms.Stain) -> None:
    _body(rng, image, at, tint)
    for side in (-0.45, 0.0, 0.45):
        organisms.spot(image, organisms.beside(at, side, 0.28), tint.nucleus)


def _paint(
    rng: np.random.Generator, n: int, *, cell: Cell, count: tuple[int, int] = (2, 5), side: int = 3, jitter: float = 0.6
) -> np.ndarray:
    tint = organisms.stain(rng, n)
    image = organisms.slide(rng, tint.ground)
    where, wanted = spots(rng, n, side, jitter=jitter, spread=1.0), rng.integers(*count, n)
    radius = canvas.uniform(rng, 0.8, 1.15, n) / side
    for index in range(count[1] - 1):
        turn = canvas.uniform(rng, -np.pi, np.pi, n)
        at = Pose(where[index, :, 0], where[index, :, 1], radius, turn)
        shown = np.flatnonzero(wanted > index)
        part = image[shown]
        mine = Pose(*(value[shown] for value in (at.x, at.y, at.radius, at.turn)))
        cell(rng, part, mine, organisms.Stain(tint.ground[shown], tint.body[shown], tint.nucleus[shown]))
        image[shown] = part
    return canvas.finish(rng, image)


CLASSES: Mapping[str, partial] = MappingProxyType(
    {
        "round": partial(_paint, cell=_plain),
        "bare": partial(_paint, cell=partial(_plain, nuclei=0)),
        "binucleate": partial(_paint, cell=_paired),
        "lobed": partial(_paint, cell=_lobed),
        "granular": partial(_paint, cell=partial(_plain, nuclei=6, size=(0.1, 0.18))),
        "blast": partial(_paint, cell=partial(_plain, size=(0.65, 0.8))),
        "hollow": partial(_paint, cell=_hollow),
        "spindle": partial(_paint, cell=partial(_plain, stretch=0.35, size=(0.2, 0.28))),
        "rods": partial(_paint, cell=partial(_plain, nuclei=0, stretch=0.3), count=(5, 10), side=4),
        "cocci": partial(_paint, cell=partial(_plain, nuclei=0, stretch=1.0, rough=0.0), count=(6, 13), side=5),
        "spiky": partial(_paint, cell=partial(_plain, nuclei=0, rough=0.22, lobes=9)),
        "dividing": partial(_paint, cell=_dividing),
        "budding": partial(_paint, cell=_budding),
    }
)
