"""More natural tasks: badges, places, faces of animals. A painter takes a stream and labels."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from sweeps.drawn import canvas, colour, scenes, textures
from sweeps.drawn.canvas import uniform
from sweeps.drawn.shapes import OUTLINES, box, disc, gable

# The outlines that are no class of the upstream shapes.
BADGES = ("pentagon", "star4", "half", "chevron", "drop", "corner", "tee", "rhombus")

# What stands in a place, near and far; no two share both. Upstream scenes show one kind of thing each.
PLACES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "village": ("house", "tree"),
        "campsite": ("tent", "pine"),
        "street": ("car", "house"),
        "park": ("person", "tree"),
        "farm": ("barrel", "house"),
        "camp in the desert": ("tent", "cactus"),
        "avenue": ("car", "lamp"),
        "depot": ("barrel", "tower"),
        "market": ("person", "house"),
        "garrison": ("tent", "tower"),
    }
)

Part = tuple[Callable[..., np.ndarray], str]


def _pair(outline: Callable[..., np.ndarray], role: str, x: float, **where: float) -> tuple[Part, Part]:
    return (partial(outline, x=-x, **where), role), (partial(outline, x=x, **where), role)


def _oval(
    u: np.ndarray, v: np.ndarray, x: float = 0.0, y: float = 0.0, wide: float = 0.2, high: float = 0.5
) -> np.ndarray:
    du, dv = (u - np.float32(x)) / np.float32(wide), (v - np.float32(y)) / np.float32(high)
    return (np.hypot(du, dv) - 1) * np.float32(min(wide, high))


_HEAD: Part = (partial(disc, y=0.2, radius=0.7), "fur")
_EYES = _pair(disc, "dark", 0.27, y=0.05, radius=0.11)
_NOSE: Part = (partial(disc, y=0.4, radius=0.12), "dark")

FACES: Mapping[str, tuple[Part, ...]] = MappingProxyType(
    {
        "cat": (*_pair(gable, "fur", 0.45, top=-1.0, base=0.0, wide=0.32), _HEAD, *_EYES, _NOSE),
        "rabbit": (*_pair(_oval, "fur", 0.3, y=-0.6, wide=0.17, high=0.5), _HEAD, *_EYES, _NOSE),
        "bear": (*_pair(disc, "fur", 0.52, y=-0.38, radius=0.25), _HEAD, (partial(disc, y=0.42, radius=0.3), "pale"),
                 *_EYES, _NOSE),
        "mouse": (*_pair(disc, "fur", 0.6, y=-0.45, radius=0.42), _HEAD, *_EYES, _NOSE),
        "dog": (_HEAD, *_pair(_oval, "second", 0.68, y=0.15, wide=0.2, high=0.5), *_EYES, _NOSE),
        "owl": (*_pair(gable, "fur", 0.5, top=-0.7, base=-0.1, wide=0.18), _HEAD,
                *_pair(disc, "pale", 0.3, y=0.05, radius=0.28), *_EYES,
                (partial(gable, top=0.25, base=0.5, wide=0.12), "second")),
        "pig": (*_pair(gable, "second", 0.5, top=-0.75, base=-0.1, wide=0.25), _HEAD, *_EYES,
                (partial(_oval, y=0.4, wide=0.34, high=0.22), "second"),
                *_pair(disc, "dark", 0.12, y=0.4, radius=0.08)),
        "fox": (*_pair(gable, "fur", 0.5, top=-0.95, base=0.1, wide=0.34), _HEAD,
                (partial(gable, top=0.05, base=0.85, wide=0.5), "pale"), *_EYES, _NOSE),
        "panda": (*_pair(disc, "dark", 0.52, y=-0.38, radius=0.25), (partial(disc, y=0.2, radius=0.7), "pale"),
                  *_pair(disc, "dark", 0.3, y=0.08, radius=0.22), _NOSE),
        "koala": (*_pair(disc, "fur", 0.72, y=-0.1, radius=0.36), _HEAD, *_EYES,
                  (partial(box, y=0.32, wide=0.14, high=0.24), "dark")),
    }
)  # fmt: skip


def badges(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """One outline in any turn, hollow or patterned, before a busy backdrop."""
    n = len(labels)
    ink, paper = colour.pair(rng, n, gap=0.15)
    second = np.clip(paper + uniform(rng, -0.25, 0.25, n, 3), 0, 1)
    image = colour.blend(textures.camouflage(rng, n), paper, second)
    at = canvas.pose(rng, n, centre=0.35, radius=(0.35, 0.8))
    u, v = canvas.frame(at)
    distance = np.empty(u.shape, dtype=np.float32)
    for label, name in enumerate(BADGES):
        mine = labels == label
        distance[mine] = OUTLINES[name](u[mine], v[mine])
    mask = canvas.cover(distance, at.radius)
    hollow = (rng.random(n) < 0.3)[:, None, None]
    mask = np.where(hollow, mask - canvas.cover(distance + np.float32(0.2), at.radius), mask)
    other = np.clip(ink + uniform(rng, -0.2, 0.2, n, 3), 0, 1)
    canvas.paint(image, mask, colour.blend(textures.waves(rng, n), ink, other))
    return canvas.finish(rng, image, noise=0.16)


def places(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Outdoor views by what stands in them together: two kinds of things, each once or twice, at any distance."""
    image = np.empty((len(labels), canvas.SIZE, canvas.SIZE, 3), dtype=np.float32)
    for label, names in enumerate(PLACES.values()):
        mine = np.flatnonzero(labels == label)
        image[mine] = _place(rng, len(mine), names)
    return canvas.finish(rng, image, noise=0.12)


def _place(rng: np.random.Generator, n: int, names: tuple[str, str]) -> np.ndarray:
    skyline = scenes.horizon(rng, n)
    image = scenes.outdoors(rng, skyline)
    side = np.where(rng.random(n) < 0.5, np.float32(-1), np.float32(1))
    for name, low, high, share, which in (
        (names[1], 2.2, 4.0, 0.5, 1), (names[0], 2.2, 4.0, 0.5, -1), (names[1], 1.3, 2.2, 1.0, 1),
        (names[0], 1.2, 2.0, 1.0, -1),
    ):  # fmt: skip
        x = side * np.float32(which) * uniform(rng, 0.15, 0.75, n)
        at = scenes.place(skyline, x, uniform(rng, low, high, n), uniform(rng, 0.75, 1.15, n))
        scenes.populate(rng, image, name, at, (rng.random(n) < share).astype(np.float32))
    return image


def faces(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """The face of an animal, leaning, of any colour of fur; kinds differ in ears, snout and eyes."""
    n = len(labels)
    leaf = colour.free(rng, n, value=(0.2, 0.9))
    image = colour.backdrop(rng, leaf, strength=0.3)
    at = canvas.pose(rng, n, centre=0.2, radius=(0.5, 0.8), turn=0.5)
    fur = colour.near(rng, n, 0.08, spread=0.08, saturation=(0.1, 0.7), value=(0.3, 0.9))
    tints = {
        "fur": fur, "second": np.clip(fur * uniform(rng, 0.55, 0.85, n, 1), 0, 1),
        "pale": colour.near(rng, n, 0.1, saturation=(0.0, 0.2), value=(0.8, 1.0)),
        "dark": colour.free(rng, n, value=(0.0, 0.2)),
    }  # fmt: skip
    for label, parts in enumerate(FACES.values()):
        mine = np.flatnonzero(labels == label)
        own = canvas.Pose(at.x[mine], at.y[mine], at.radius[mine], at.turn[mine])
        part_image = image[mine]
        u, v = canvas.frame(own)
        for outline, role in parts:
            canvas.paint(part_image, canvas.cover(outline(u, v), own.radius), tints[role][mine])
        image[mine] = part_image
    return canvas.finish(rng, image, noise=0.15)
