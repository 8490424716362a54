"""The texture family: one field of a kind over the whole image, two colours, any scale and turn."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from sweeps.drawn import canvas, colour, textures

KINDS = MappingProxyType(
    {
        "stripes": textures.stripes,
        "bars": textures.bars,
        "checks": textures.checks,
        "plaid": textures.plaid,
        "lattice": textures.lattice,
        "rings": textures.rings,
        "rays": textures.rays,
        "dots": textures.dots,
        "bricks": textures.bricks,
        "waves": textures.waves,
        "wood": textures.wood,
        "clouds": textures.clouds,
        "grain": textures.grain,
        "camouflage": textures.camouflage,
        "mosaic": textures.mosaic,
        "pebbles": textures.pebbles,
    }
)


def _paint(rng: np.random.Generator, n: int, *, kind: str) -> np.ndarray:
    first, second = colour.pair(rng, n, gap=0.25)
    image = colour.blend(KINDS[kind](rng, n), first, second)
    return canvas.finish(rng, image, noise=0.14)


CLASSES: Mapping[str, partial] = MappingProxyType({kind: partial(_paint, kind=kind) for kind in KINDS})
