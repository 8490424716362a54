"""The glyph family: ten digits and fourteen small letters in upright print, crowded by their neighbours.

The letters task uses other fonts and all letters (`sweeps.tasks.mini`); no font appears on both sides.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from sweeps.drawn import canvas, colour
from sweeps.drawn.canvas import Pose, uniform
from sweeps.drawn.glyphs import bank, glyphs

FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSansMono")
CHARACTERS = "0123456789abdeghknqrstyz"


def _paint(rng: np.random.Generator, n: int, *, character: str) -> np.ndarray:
    ink, paper = colour.pair(rng, n, gap=0.18)
    image = colour.backdrop(rng, paper, strength=0.35)
    font, lean = rng.integers(0, len(FONTS), n), uniform(rng, -0.35, 0.35, n)
    at = canvas.pose(rng, n, centre=0.2, radius=(0.55, 1.05), turn=0.5)
    everything = bank(FONTS, CHARACTERS)
    # What stands left and right, as on a house number, half out of the picture: it must be ignored.
    for side in (-1, 1):
        reach = np.float32(side) * at.radius * uniform(rng, 0.95, 1.3, n)
        beside = Pose(at.x + reach * np.cos(at.turn), at.y + reach * np.sin(at.turn), at.radius, at.turn)
        other = font * len(CHARACTERS) + rng.integers(0, len(CHARACTERS), n)
        shown = (rng.random(n) < 0.7)[:, None, None]
        canvas.paint(image, glyphs(everything, other, beside, lean) * shown, ink)
    canvas.paint(image, glyphs(bank(FONTS, character), font, at, lean), ink)
    return canvas.finish(rng, image, noise=0.16)


CLASSES: Mapping[str, partial] = MappingProxyType(
    {character: partial(_paint, character=character) for character in CHARACTERS}
)
