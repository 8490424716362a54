"""The canvas: coordinates, poses, masks, painting, and the last step from float to uint8.

Coordinates run from -1 to 1, x to the right and y downwards. Knows nothing about what is drawn.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

SIZE = 32
PIXEL = 2.0 / SIZE

_AXIS = (np.arange(SIZE, dtype=np.float32) + np.float32(0.5)) * np.float32(PIXEL) - np.float32(1)
X, Y = (a[None] for a in np.meshgrid(_AXIS, _AXIS))
X.flags.writeable = Y.flags.writeable = False


def generator(*words: str | int) -> np.random.Generator:
    """A random stream that depends on the words alone, not on what was drawn before.

    The words are hashed with SHA-256 (Python's own hash changes from process to process).
    """
    digest = hashlib.sha256("\x1f".join(str(word) for word in words).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> np.ndarray:
    """Uniform float32 draws in [low, high), of the given shape."""
    return rng.random(shape, dtype=np.float32) * np.float32(high - low) + np.float32(low)


@dataclass(frozen=True)
class Pose:
    """Where `n` objects stand: centre, radius (canvas units) and turn (radians), each [n] float32."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    turn: np.ndarray


def pose(
    rng: np.random.Generator,
    n: int,
    *,
    centre: float = 0.25,
    radius: tuple[float, float] = (0.5, 0.85),
    turn: float = np.pi,
) -> Pose:
    """Random poses: centre within +-centre, radius in the range, turn within +-turn."""
    return Pose(
        uniform(rng, -centre, centre, n),
        uniform(rng, -centre, centre, n),
        uniform(rng, *radius, n),
        uniform(rng, -turn, turn, n),
    )


def frame(at: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Every pixel in the object's own coordinates, in units of its radius: two [n, 32, 32] arrays."""
    cos = (np.cos(at.turn) / at.radius)[:, None, None]
    sin = (np.sin(at.turn) / at.radius)[:, None, None]
    dx = X - at.x[:, None, None]
    dy = Y - at.y[:, None, None]
    return cos * dx + sin * dy, cos * dy - sin * dx


def cover(distance: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Share of each pixel covered, [n, 32, 32] in [0, 1], from a signed distance (negative inside).

    Args:
        distance: [n, 32, 32], in units of the object's radius.
        radius: [n], canvas units; one pixel of soft edge remains whatever the scale.
    """
    scale = (radius / np.float32(PIXEL))[:, None, None]
    return np.clip(np.float32(0.5) - distance * scale, 0, 1)


def paint(image: np.ndarray, mask: np.ndarray, colour: np.ndarray) -> None:
    """Lay a colour over the image, in place, as thickly as the mask says.

    Args:
        image: [n, 32, 32, 3].
        mask: [n, 32, 32] in [0, 1].
        colour: [n, 3], or [n, 32, 32, 3] for a patterned paint.
    """
    if colour.ndim == 2:
        colour = colour[:, None, None, :]
    image += mask[..., None] * (colour - image)


def blend(field: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """An image [n, 32, 32, 3] going from one colour [n, 3] to another along a field [n, 32, 32] in [0, 1]."""
    low, high = low[:, None, None, :], high[:, None, None, :]
    return low + field[..., None] * (high - low)


def _soften(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mix with the 1-2-1 average of the neighbours, by a share per image."""
    for axis in (1, 2):
        ahead = np.concatenate((np.take(image, range(1, SIZE), axis), np.take(image, [-1], axis)), axis)
        behind = np.concatenate((np.take(image, [0], axis), np.take(image, range(SIZE - 1), axis)), axis)
        image = image + share[:, None, None, None] * ((ahead + behind) * np.float32(0.5) - image)
    return image


def finish(
    rng: np.random.Generator, image: np.ndarray, *, noise: float = 0.08, blur: float = 0.6, light: float = 0.15
) -> np.ndarray:
    """The photograph of a painting, uint8 [n, 32, 32, 3]: blurred, exposed and grainy by random amounts.

    Args:
        noise: largest standard deviation of the grain (each image draws its own).
        blur: largest share of the neighbours' mean.
        light: largest change of brightness and of contrast.
    """
    n = len(image)
    image = _soften(image, uniform(rng, 0, blur, n))
    gain = uniform(rng, 1 - light, 1 + light, n)[:, None, None, None]
    offset = uniform(rng, -light / 2, light / 2, n)[:, None, None, None]
    grain = uniform(rng, 0.01, noise, n)[:, None, None, None]
    image = (image - np.float32(0.5)) * gain + np.float32(0.5) + offset
    image += grain * rng.standard_normal(image.shape, dtype=np.float32)
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
