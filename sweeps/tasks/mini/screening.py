"""More specialized tasks: tissue with or without a growth, grades of a sick eye. A painter takes stream and labels."""

import numpy as np

from sweeps.drawn import canvas, colour, organisms
from sweeps.drawn.canvas import Pose, X, Y, uniform
from sweeps.drawn.crowds import spots

TISSUES = ("healthy", "growth")
# Lesions shown, at least and below, by grade.
LESIONS = ((0, 1), (1, 3), (3, 6), (6, 10), (10, 16))
GRADES = ("none", "mild", "moderate", "severe", "proliferative")


def tissue(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """A stained section full of nuclei; a growth has larger, rounder and more uneven ones near its middle.

    The stain, the number of nuclei and their mean size vary more than what a growth adds to them.
    """
    n = len(labels)
    tint = organisms.stain(rng, n, dark_share=0.0)
    image = organisms.slide(rng, tint.body)
    usual = uniform(rng, 0.09, 0.16, n)
    for place in spots(rng, n, 5, jitter=0.9, spread=1.1)[:18]:
        middle = np.hypot(place[:, 0], place[:, 1]) < 0.5
        sick = (labels == 1) & middle
        size = usual * np.where(sick, uniform(rng, 1.0, 2.1, n), uniform(rng, 0.75, 1.25, n))
        at = Pose(place[:, 0], place[:, 1], size.astype(np.float32), uniform(rng, -np.pi, np.pi, n))
        distance = organisms.membrane(rng, at, stretch=0.75, rough=0.1)
        shade = np.where(sick, uniform(rng, 0.6, 1.15, n), uniform(rng, 0.8, 1.1, n))[:, None]
        canvas.paint(image, canvas.cover(distance, at.radius), np.clip(tint.nucleus * shade, 0, 1).astype(np.float32))
    return canvas.finish(rng, image, noise=0.1)


def retina(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """The back of an eye: a bright disc, dark vessels, and as many small bright or dark lesions as the grade says."""
    n = len(labels)
    ground = colour.near(rng, n, 0.05, spread=0.03, saturation=(0.5, 0.9), value=(0.4, 0.8))
    image = colour.backdrop(rng, ground, strength=0.1)
    side = np.where(rng.random(n) < 0.5, np.float32(-1), np.float32(1))
    nerve = Pose(side * uniform(rng, 0.4, 0.6, n), uniform(rng, -0.2, 0.2, n), uniform(rng, 0.14, 0.22, n),
                 np.zeros(n, np.float32))  # fmt: skip
    for sign in (-1, 1):
        _vessel(rng, image, nerve, side, np.float32(sign), ground)
    organisms.spot(image, nerve, np.clip(ground * np.float32(1.5) + np.float32(0.1), 0, 1))
    low, high = np.array(LESIONS).T
    wanted = rng.integers(low[labels], high[labels])
    for index, place in enumerate(spots(rng, n, 4, jitter=0.8, spread=0.85)[: LESIONS[-1][1] - 1]):
        at = Pose(place[:, 0], place[:, 1], uniform(rng, 0.05, 0.11, n), np.zeros(n, np.float32))
        bright = (rng.random(n) < 0.5)[:, None]
        dye = np.where(bright, np.array([0.95, 0.9, 0.5], np.float32), ground * np.float32(0.35)).astype(np.float32)
        organisms.spot(image, at, dye, (index < wanted).astype(np.float32))
    outside = np.clip((np.hypot(X, Y) - np.float32(0.98)) * 16 + np.float32(0.5), 0, 1) + np.zeros(
        (n, 1, 1), np.float32
    )
    canvas.paint(image, outside, np.zeros((n, 3), np.float32))
    return canvas.finish(rng, image, noise=0.08)


def _vessel(rng: np.random.Generator, image: np.ndarray, nerve: Pose, side: np.ndarray, sign: np.float32,
            ground: np.ndarray) -> None:  # fmt: skip
    """One arch of a vessel from the nerve over the whole eye, above (-1) or below (+1)."""
    n = len(image)
    along = -side[:, None, None] * (X - nerve.x[:, None, None])
    height = uniform(rng, 0.4, 0.7, n)[:, None, None] * sign
    middle = nerve.y[:, None, None] + height * np.sqrt(np.clip(along, 0, None))
    gap = np.abs(Y - middle) - uniform(rng, 0.03, 0.06, n)[:, None, None]
    mask = np.clip(np.float32(0.5) - gap * 12, 0, 1) * (along > 0)
    canvas.paint(image, mask, ground * np.float32(0.5))
