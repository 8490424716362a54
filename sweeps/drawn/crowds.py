"""Several objects on one canvas: places that do not collide, and painting of mixed outlines.

Knows nothing about what the objects mean.
"""

import numpy as np

from . import colour
from .canvas import Pose, cover, frame, paint, uniform
from .shapes import OUTLINES


def spots(rng: np.random.Generator, n: int, side: int, *, jitter: float, spread: float = 0.95) -> np.ndarray:
    """Places [side * side, n, 2] in random order, one per cell of a jittered grid, so that none collide.

    Args:
        jitter: largest move, as a share of a cell.
        spread: half width of the grid in canvas units.
    """
    cell = 2 * spread / side
    axis = (np.arange(side, dtype=np.float32) + 0.5) * cell - spread
    centres = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    order = rng.permuted(np.tile(np.arange(side * side), (n, 1)), axis=1).T
    move = uniform(rng, -jitter / 2, jitter / 2, side * side, n, 2) * np.float32(cell)
    return (centres[order] + move).astype(np.float32)


def patch(
    rng: np.random.Generator,
    image: np.ndarray,
    at: Pose,
    paint_colour: np.ndarray,
    names: tuple[str, ...],
    fade: np.ndarray | None = None,
) -> None:
    """Paint one flat object per image, each image drawing its outline among the names."""
    chosen = rng.integers(0, len(names), len(image))
    mask = np.zeros(image.shape[:3], dtype=np.float32)
    for index, name in enumerate(names):
        mine = np.flatnonzero(chosen == index)
        if len(mine):
            own = Pose(at.x[mine], at.y[mine], at.radius[mine], at.turn[mine])
            mask[mine] = cover(OUTLINES[name](*frame(own)), own.radius)
    if fade is not None:
        mask *= fade[:, None, None]
    paint(image, mask, paint_colour)


def apart(rng: np.random.Generator, ground: np.ndarray, gap: float = 0.3) -> np.ndarray:
    """Colours [n, 3] that stand out from a ground colour [n, 3] in at least one channel by `gap`."""
    drawn = colour.free(rng, len(ground))
    channel = rng.integers(0, 3, len(ground))
    row = np.arange(len(ground))
    far = np.where(ground[row, channel] > 0.5, ground[row, channel] - gap, ground[row, channel] + gap)
    close = np.abs(drawn - ground).max(1) < gap
    drawn[row[close], channel[close]] = far[close]
    return drawn
