"""Losses that images teach by themselves: rotation, exemplar, relative patch location, jigsaw."""

from abc import abstractmethod
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from .objective import CHUNK, Objective, split
from .views import relit, shifted, strong, to_float


def nt_xent(views: Tensor, temperature: float) -> Tensor:
    """Cross-entropy, in nats, of finding each view's twin among all other views of the batch.

    Args:
        views: [2 n, d]; rows i and n + i are two views of image i.
        temperature: divides the cosine similarities.

    Source: Chen et al. 2020, equation 1.
    """
    n = len(views) // 2
    unit = functional.normalize(views, dim=1)
    similarity = unit @ unit.T / temperature
    similarity = similarity.masked_fill(torch.eye(2 * n, dtype=torch.bool), -torch.inf)
    twin = torch.arange(2 * n).roll(n)
    return functional.cross_entropy(similarity, twin)


class Pretext(Objective):
    """A loss on views of whole images, whose features other losses may use too."""

    @abstractmethod
    def solve(self, pixels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Features [k n, d] of k views of every image, all first views first, and the loss in nats."""

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        return self.solve(pixels, rng)[1]


class Rotation(Pretext):
    """Which of four quarter turns an image was given (Gidaris et al. 2018)."""

    def __init__(self, body: nn.Module, classes: int = 0) -> None:
        super().__init__(body)
        self.head = nn.Linear(self.wide, 4)

    def _turned(self, pixels: Tensor, turns: Tensor) -> Tensor:
        every = torch.stack([torch.rot90(pixels, k, (1, 2)) for k in range(4)])
        return every[turns, torch.arange(len(pixels))]

    def solve(self, pixels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """One view per image, turned."""
        turns = torch.randint(0, 4, (len(pixels),), generator=rng)
        images = relit(to_float(shifted(self._turned(pixels, turns), rng)), rng, 0.15)
        features = self.body(images)
        return features, functional.cross_entropy(self.head(features), turns)

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """Four-way accuracy, each image once, the turns in rotation."""
        turns = torch.arange(len(pixels)) % 4
        right = sum(
            int((self.head(self.body(to_float(self._turned(part, truth)))).argmax(1) == truth).sum())
            for part, truth in split(pixels, turns)
        )
        return right / len(turns)


class Exemplar(Pretext):
    """Every image is its own class: find the other view of the same image (Dosovitskiy et al. 2014, by NT-Xent)."""

    TEMPERATURE = 0.2

    def __init__(self, body: nn.Module, classes: int = 0) -> None:
        super().__init__(body)
        self.projector = nn.Sequential(nn.Linear(self.wide, self.wide), nn.ReLU(), nn.Linear(self.wide, 64))

    def _features(self, pixels: Tensor, rng: torch.Generator) -> Tensor:
        images = to_float(pixels)
        return self.body(torch.cat([strong(images, rng), strong(images, rng)]))

    def solve(self, pixels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two views per image."""
        features = self._features(pixels, rng)
        return features, nt_xent(self.projector(features), self.TEMPERATURE)

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """How often a view's nearest neighbour among those of 250 images is its twin."""
        rng, hits, total = torch.Generator().manual_seed(0), 0, 0
        for part in pixels.split(CHUNK):
            one, two = functional.normalize(self.projector(self._features(part, rng)), dim=1).chunk(2)
            hits += int(((one @ two.T).argmax(1) == torch.arange(len(part))).sum())
            total += len(part)
        return hits / total


SIDE, STARTS, SEEN_AS = 9, (0, 11, 22), 16
"""A cell of the 3 x 3 grid: its patch's side, where the three begin (one pixel of jitter is added), what it is
enlarged to so that the body's last map has a pixel left."""


def cut(pixels: Tensor, cells: Tensor, rng: torch.Generator) -> Tensor:
    """Patches of a 3 x 3 grid, each moved by up to a pixel, so that borders do not simply continue.

    Args:
        pixels: uint8 [n, 32, 32, 3].
        cells: [n, k] in 0..8, row by row.

    Returns:
        uint8 [n, k, 9, 9, 3].
    """
    starts, reach = torch.tensor(STARTS), torch.arange(SIDE)
    move = torch.randint(0, 2, (2, *cells.shape), generator=rng)
    rows = (starts[cells // 3] + move[0])[..., None] + reach
    columns = (starts[cells % 3] + move[1])[..., None] + reach
    n = torch.arange(len(pixels))[:, None, None, None]
    return pixels[n, rows[:, :, :, None], columns[:, :, None, :]]


class _Patched(Objective):
    """Patches seen one by one by the body, then together by a head."""

    def __init__(self, body: nn.Module, patches: int, answers: int) -> None:
        super().__init__(body)
        self.head = nn.Sequential(
            nn.Linear(patches * self.wide, self.wide), nn.BatchNorm1d(self.wide), nn.ReLU(),
            nn.Linear(self.wide, answers),
        )  # fmt: skip

    @abstractmethod
    def question(self, answers: Tensor) -> Tensor:
        """The cells [n, k] whose patches are shown, from the right answers [n]."""

    def _scores(self, pixels: Tensor, answers: Tensor, rng: torch.Generator, light: float) -> Tensor:
        patches = cut(pixels, self.question(answers), rng)
        images = functional.interpolate(to_float(patches.flatten(0, 1)), size=SEEN_AS, mode="bilinear")
        # Each patch in its own light: a slope of brightness over the image would give the answer away.
        features = self.body(relit(images, rng, light))
        return self.head(features.unflatten(0, patches.shape[:2]).flatten(1))

    def _ask(self, pixels: Tensor, answers: Tensor, rng: torch.Generator) -> Tensor:
        return functional.cross_entropy(self._scores(pixels, answers, rng, 0.15), answers)

    def _right(self, pixels: Tensor, count: int) -> float:
        answers, rng = torch.arange(len(pixels)) % count, torch.Generator().manual_seed(0)
        right = sum(
            int((self._scores(part, truth, rng, 0.0).argmax(1) == truth).sum())
            for part, truth in split(pixels, answers)
        )
        return right / len(pixels)


class PatchLocation(_Patched):
    """On which of eight sides of the middle patch another one lies (Doersch et al. 2015)."""

    AROUND = (0, 1, 2, 3, 5, 6, 7, 8)

    def __init__(self, body: nn.Module, classes: int = 0) -> None:
        super().__init__(body, 2, len(self.AROUND))

    def question(self, answers: Tensor) -> Tensor:
        """The middle cell and the answer's."""
        return torch.stack([torch.full_like(answers, 4), torch.tensor(self.AROUND)[answers]], 1)

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        return self._ask(pixels, torch.randint(0, len(self.AROUND), (len(pixels),), generator=rng), rng)

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """Eight-way accuracy, each image once, the sides in rotation."""
        return self._right(pixels, len(self.AROUND))


@cache
def orders() -> Tensor:
    """72 permutations of nine of which any two agree in at most one place, [72, 9].

    The maps x -> a x + b, a not 0, of the field of nine elements: two different ones agree where a x + b = c x + d, in
    one place at most. No larger set is that far apart: at most 9 * 8 permutations can differ pairwise in how they send
    two given places.
    """
    # i * i = -1 has no solution modulo 3, so pairs p + q i of residues are the field; p + q i is number 3 p + q.
    p, q = torch.arange(9) // 3, torch.arange(9) % 3
    product = (p[:, None] * p - q[:, None] * q) % 3 * 3 + (p[:, None] * q + q[:, None] * p) % 3
    total = (p[:, None] + p) % 3 * 3 + (q[:, None] + q) % 3
    return torch.stack([total[b][product[a]] for a in range(1, 9) for b in range(9)])


class Jigsaw(_Patched):
    """In which of 72 orders the nine patches of an image lie (Noroozi and Favaro 2016)."""

    def __init__(self, body: nn.Module, classes: int = 0) -> None:
        super().__init__(body, 9, len(orders()))

    def question(self, answers: Tensor) -> Tensor:
        """All nine cells in the answer's order."""
        return orders()[answers]

    def forward(self, pixels: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        return self._ask(pixels, torch.randint(0, len(orders()), (len(pixels),), generator=rng), rng)

    @torch.inference_mode()
    def held_out(self, pixels: Tensor, labels: Tensor) -> float:
        """72-way accuracy, each image once, the orders in rotation."""
        return self._right(pixels, len(orders()))
