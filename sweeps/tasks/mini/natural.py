"""The natural tasks: handwritten digits (real), letters, textures, flowers. A painter takes a stream and labels."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from sweeps.drawn import canvas, colour
from sweeps.drawn import textures as fields
from sweeps.drawn.canvas import Pose, generator, uniform
from sweeps.drawn.glyphs import bank, glyphs

DIGITS = tuple("0123456789")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
# None of these prints the upstream glyphs, which are all upright DejaVu.
FONTS = ("cmr10", "cmss10", "cmtt10", "cmmi10", "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBolIta")

TEXTURES: Mapping = MappingProxyType(
    {
        "weave": fields.weave,
        "scales": fields.scales,
        "triangles": fields.triangles,
        "crosses": fields.crosses,
        "spiral": fields.spiral,
        "marble": fields.marble,
        "zigzag": fields.zigzag,
        "cracks": fields.cracks,
        "scratches": fields.scratches,
        "confetti": fields.confetti,
    }
)

# Petals, and whether they are pointed.
FLOWERS: Mapping[str, tuple[int, bool]] = MappingProxyType(
    {
        f"{name}-{form}": (count, form == "pointed")
        for name, count in (("three", 3), ("four", 4), ("five", 5), ("six", 6), ("eight", 8))
        for form in ("round", "pointed")
    }
)


def digits(seed: int, sizes: Mapping[str, int], version: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """scikit-learn's 1797 digits of 8 x 8, dealt to the splits class by class, enlarged and coloured."""
    from sklearn.datasets import load_digits

    source = load_digits()
    order = generator("mini/digits", version, "deal", seed).permutation(len(source.target))
    # Rank within the class first, class second: any run of the deck has its classes even.
    rank = np.empty(len(order), dtype=np.int64)
    for digit in range(10):
        mine = order[source.target[order] == digit]
        rank[mine] = np.arange(len(mine))
    deck = order[np.argsort(rank[order], kind="stable")]
    out, start = {}, 0
    for split, size in sizes.items():
        rng = generator("mini/digits", version, split, seed)
        chosen = rng.permutation(deck[start : start + size])
        start += size
        out[split] = (_written(rng, source.images[chosen]), source.target[chosen].astype(np.int64))
    return out


def _enlarged(small: np.ndarray) -> np.ndarray:
    """Digits [n, 8, 8] in 0..16 as sheets for `glyphs` [n, 40, 40] in [0, 1], by straight interpolation."""
    place = np.clip((np.arange(40) + 0.5) * 10 / 40 - 0.5, 0, 8.999)
    low = place.astype(int)
    weights = np.zeros((40, 10), dtype=np.float32)
    weights[np.arange(40), low] = 1 - (place - low)
    weights[np.arange(40), low + 1] = place - low
    framed = np.zeros((len(small), 10, 10), dtype=np.float32)
    framed[:, 1:9, 1:9] = small / 16
    return weights @ framed @ weights.T


def _crowded(
    rng: np.random.Generator, sheets: np.ndarray, which: np.ndarray, beside: np.ndarray, *, turn: float, lean: float
) -> np.ndarray:
    """Glyphs in ink on mottled paper, each between two neighbours that are half out of the picture.

    Args:
        which: [n] indices into the sheets: what is to be read.
        beside: [2, n] indices: what stands left and right, each shown in seven of ten pictures.
    """
    n = len(which)
    ink, paper = colour.pair(rng, n, gap=0.2)
    image = colour.backdrop(rng, paper, strength=0.3)
    at = canvas.pose(rng, n, centre=0.2, radius=(0.65, 1.1), turn=turn)
    shear = uniform(rng, -lean, lean, n)
    for side, other in zip((-1, 1), beside, strict=True):
        reach = np.float32(side) * at.radius * uniform(rng, 1.05, 1.35, n)
        stand = Pose(at.x + reach * np.cos(at.turn), at.y + reach * np.sin(at.turn), at.radius, at.turn)
        shown = (rng.random(n) < 0.7)[:, None, None]
        canvas.paint(image, glyphs(sheets, other, stand, shear) * shown, ink)
    canvas.paint(image, glyphs(sheets, which, at, shear), ink)
    return canvas.finish(rng, image, noise=0.14)


def _written(rng: np.random.Generator, small: np.ndarray) -> np.ndarray:
    """Pictures of handwritten digits [n, 8, 8]; the neighbours come from the same split."""
    n = len(small)
    return _crowded(rng, _enlarged(small), np.arange(n), rng.integers(0, n, (2, n)), turn=0.15, lean=0.1)


def letters(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Lower-case letters in a word: turned, leaning, between neighbours in the same font."""
    font = rng.integers(0, len(FONTS), len(labels)) * len(LETTERS)
    beside = font + rng.integers(0, len(LETTERS), (2, len(labels)))
    return _crowded(rng, bank(FONTS, "".join(LETTERS)), font + labels, beside, turn=0.3, lean=0.3)


def textures(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """One surface over the whole image, faint and grainy."""
    n = len(labels)
    field = np.empty((n, canvas.SIZE, canvas.SIZE), dtype=np.float32)
    for label, kind in enumerate(TEXTURES.values()):
        mine = np.flatnonzero(labels == label)
        field[mine] = kind(rng, len(mine))
    first, second = colour.pair(rng, n, gap=0.12)
    return canvas.finish(rng, colour.blend(field, first, second), noise=0.2)


def flowers(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """One blossom seen from above, before leaves."""
    n = len(labels)
    leaf = colour.near(rng, n, 0.3, spread=0.12, value=(0.15, 0.6))
    image = colour.backdrop(rng, leaf, strength=0.2)
    at = canvas.pose(rng, n, centre=0.25, radius=(0.55, 0.95))
    u, v = canvas.frame(at)
    kinds = list(FLOWERS.values())
    petals = np.array([kinds[label][0] for label in labels], dtype=np.float32)[:, None, None]
    pointed = np.array([kinds[label][1] for label in labels])[:, None, None]
    swing = np.abs(np.cos(np.arctan2(v, u) * petals / 2))
    reach = np.where(
        pointed, np.float32(0.3) + np.float32(0.7) * swing**2.5, np.float32(0.35) + np.float32(0.6) * np.sqrt(swing)
    )
    petal = colour.free(rng, n, value=(0.5, 1.0))
    canvas.paint(image, canvas.cover((np.hypot(u, v) - reach) * np.float32(0.7), at.radius), petal)
    heart = Pose(at.x, at.y, at.radius * uniform(rng, 0.15, 0.35, n), at.turn)
    u, v = canvas.frame(heart)
    canvas.paint(image, canvas.cover(np.hypot(u, v) - 1, heart.radius), colour.near(rng, n, 0.12, value=(0.3, 1.0)))
    return canvas.finish(rng, image, noise=0.15)
