"""Solids in a turned view: upright boxes, their visible faces painted in their own light. Knows nothing about labels.

Orthographic: a point (x, y, z) of the world, z up, is turned by the azimuth around the upright axis, then tipped by the
elevation (0 seen from the side, a quarter turn from above).
"""

from dataclasses import dataclass

import numpy as np

from .canvas import Pose, X, Y, cover, paint


@dataclass(frozen=True)
class View:
    """From where `n` solids are seen: their places and scale on the canvas, azimuth and elevation in radians, [n]."""

    at: Pose
    azimuth: np.ndarray
    elevation: np.ndarray

    def project(self, point: np.ndarray) -> np.ndarray:
        """Points [n, k, 3] of the world on the canvas, [n, k, 2]."""
        cos, sin = np.cos(self.azimuth)[:, None], np.sin(self.azimuth)[:, None]
        x, y, z = point[..., 0], point[..., 1], point[..., 2]
        across, away = cos * x - sin * y, sin * x + cos * y
        high = np.cos(self.elevation)[:, None] * z + np.sin(self.elevation)[:, None] * away
        scale = self.at.radius[:, None]
        flat = np.stack([self.at.x[:, None] + scale * across, self.at.y[:, None] - scale * high], -1)
        return flat.astype(np.float32)


def convex(corners: np.ndarray) -> np.ndarray:
    """The cover [n, 32, 32] in [0, 1] of a convex polygon given by its corners [n, k, 2], in either turn."""
    ahead = np.roll(corners, -1, axis=1) - corners
    area = (corners[..., 0] * np.roll(corners[..., 1], -1, 1) - np.roll(corners[..., 0], -1, 1) * corners[..., 1]).sum(
        1
    )
    turn = np.where(area > 0, np.float32(1), np.float32(-1))[:, None]
    length = np.maximum(np.hypot(ahead[..., 0], ahead[..., 1]), np.float32(1e-6))
    distance = np.full((len(corners), *X.shape[1:]), -np.inf, dtype=np.float32)
    for index in range(corners.shape[1]):
        out = (turn * ahead[:, index] / length[:, index, None])[:, :, None, None]
        dx, dy = X - corners[:, index, 0, None, None], Y - corners[:, index, 1, None, None]
        distance = np.maximum(distance, out[:, 1] * dx - out[:, 0] * dy)
    return cover(distance, np.ones(len(corners), np.float32))


# Per face of a box: its normal, and its corners as signs along x, y, z.
_FACES = (
    ((1, 0, 0), ((1, -1, 0), (1, 1, 0), (1, 1, 1), (1, -1, 1))),
    ((-1, 0, 0), ((-1, -1, 0), (-1, 1, 0), (-1, 1, 1), (-1, -1, 1))),
    ((0, 1, 0), ((-1, 1, 0), (1, 1, 0), (1, 1, 1), (-1, 1, 1))),
    ((0, -1, 0), ((-1, -1, 0), (1, -1, 0), (1, -1, 1), (-1, -1, 1))),
    ((0, 0, 1), ((-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1))),
)


def box(image: np.ndarray, view: View, base: np.ndarray, half: np.ndarray, tints: dict[str, np.ndarray]) -> None:
    """Paint one upright box per image, in place.

    Args:
        image: [n, 32, 32, 3].
        base: [n, 3], the middle of its bottom.
        half: [n, 3], half its length (x), half its width (y), and its height (z).
        tints: "front" (the face towards +x), "side" and "top" -> colour [n, 3].
    """
    for normal, signs in _FACES:
        corners = view.project(base[:, None] + np.array(signs, np.float32) * half[:, None])
        x, y, z = normal
        # Towards the viewer: the normal, turned and tipped as the points are, has a part along the line of sight.
        away = np.sin(view.azimuth) * x + np.cos(view.azimuth) * y
        facing = np.sin(view.elevation) * z - np.cos(view.elevation) * away
        name = "top" if z else "front" if x > 0 else "side"
        light = np.float32(1.0) if z else np.float32(0.55) + np.float32(0.35) * np.clip(facing, 0, 1)[:, None]
        paint(image, convex(corners) * (facing > 0)[:, None, None], np.clip(tints[name] * light, 0, 1))
