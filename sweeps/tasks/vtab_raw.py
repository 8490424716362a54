"""The original files of four collections whose labels are made by rule: dSprites, CLEVR, small NORB, KITTI.

Their order is the authors' and not that of the pinned TFDS versions, so images are drawn from the study's parts by a
fixed seed: parts, sizes and labels are the study's, the 800 and 200 images are others.
"""

import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from sweeps.errors import DataError
from sweeps.tasks import vtab
from sweeps.tasks.galleries import Arrays, array_header
from sweeps.tasks.prepared import Example
from sweeps.tasks.vtab import TRAIN, VAL, Known

SEED = 0
DSPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
NORB = ("smallnorb-5x46789x9x18x6x2x96x96-training", "smallnorb-5x01235x9x18x6x2x96x96-testing")
ORIGINALS = {
    "dsprites_loc": DSPRITES, "dsprites_ori": DSPRITES, "clevr_count": "CLEVR_v1.0/", "clevr_dist": "CLEVR_v1.0/",
    "smallnorb_azi": f"{NORB[0]}-dat.mat ...", "smallnorb_ele": f"{NORB[0]}-dat.mat ...",
    "kitti": "training/image_2 and training/label_2",
}  # fmt: skip
_KINDS = {np.uint8: 0x1E3D4C55, np.int32: 0x1E3D4C54}  # of the .mat files of small NORB

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Raw:
    """Where the files are, and their examples by split."""

    place: Path
    bytes: int
    splits: Mapping[str, Callable[[], Iterator[Example]]] = field(repr=False)
    selection: str = f"drawn with seed {SEED} from the study's parts; the images for train and val are other ones"


def find(task: Known, folder: Path) -> Raw | None:
    """The original files of a task in a folder, if they are there.

    Raises:
        DataError: when they are and cannot be read.
    """
    try:
        if task.name.startswith("dsprites") and (folder / DSPRITES).is_file():
            return _dsprites(task, folder / DSPRITES)
        for place in (folder, folder / "CLEVR_v1.0"):
            if task.name.startswith("clevr") and (place / "scenes").is_dir():
                return _clevr(task, place)
        if task.name.startswith("smallnorb") and any(_mat(folder, NORB[0], "dat")):
            return _smallnorb(task, folder)
        if task.name == "kitti" and (folder / "training" / "label_2").is_dir():
            return _kitti(folder / "training")
    except (OSError, ValueError, KeyError, IndexError, EOFError) as error:
        raise DataError(f"{task.name}: the original files must be readable, got {type(error).__name__}: {error} in "
                        f"{folder}") from None  # fmt: skip
    return None


def parts(count: int, *ends: float) -> list[Rows]:
    """A drawn order of so many rows, cut at these shares of it."""
    order = np.random.default_rng(SEED).permutation(count)
    return [np.asarray(part) for part in np.split(order, [int(end * count) for end in ends])]


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def _dsprites(task: Known, file: Path) -> Raw:
    """Shapes of one bit a pixel, made white; latents are (colour, shape, scale, orientation, x, y)."""
    shape, _ = array_header(file, "imgs")
    with np.load(file, allow_pickle=False) as held:
        latents = held["latents_classes"]
    labels = (vtab.dsprites_location(latents[:, 4]) if task.name == "dsprites_loc"
              else vtab.dsprites_orientation(latents[:, 3]))  # fmt: skip
    train, val, test = parts(shape[0], 0.8, 0.9)
    chosen = {"train": train[:TRAIN], "val": val[:VAL], "test": test}

    def read(split: str) -> Iterator[Example]:
        rows = np.sort(chosen[split])
        for row, pixels in zip(rows, Arrays(file, ["imgs"], [shape]).read(rows), strict=True):
            assert isinstance(pixels, np.ndarray)
            yield _png(pixels * np.uint8(255)), f"{row}.png", int(labels[row])

    return Raw(file, 400 * (len(test) + TRAIN + VAL), _by_split(read))


def _clevr(task: Known, folder: Path) -> Raw:
    """Scenes with the place of every object; the official validation is the test here."""
    rule = vtab.clevr_count if task.name == "clevr_count" else vtab.clevr_distance
    scenes = {part: json.loads((folder / "scenes" / f"CLEVR_{part}_scenes.json").read_text())["scenes"]
              for part in ("train", "val")}  # fmt: skip
    first, last = parts(len(scenes["train"]), 0.9)
    chosen: dict[str, list[Any]] = {
        "train": [scenes["train"][row] for row in np.sort(first[:TRAIN])],
        "val": [scenes["train"][row] for row in np.sort(last[:VAL])],
        "test": scenes["val"],
    }

    def read(split: str) -> Iterator[Example]:
        for scene in chosen[split]:
            name = scene["image_filename"]
            image = folder / "images" / ("val" if split == "test" else "train") / name
            yield image.read_bytes(), name, rule(scene)

    return Raw(folder, 170_000 * sum(map(len, chosen.values())), _by_split(read))


def _smallnorb(task: Known, folder: Path) -> Raw:
    """The left of each pair of images; validation is drawn from the first half of the drawn test."""
    column, rule = (2, vtab.smallnorb_azimuth) if task.name == "smallnorb_azi" else (1, vtab.smallnorb_elevation)
    labels = [rule(_matrix(folder, part, "info", np.int32)[:, column]) for part in NORB]
    half, test = parts(len(labels[1]), 0.5)
    chosen = {"train": (0, parts(len(labels[0]))[0][:TRAIN]), "val": (1, half[:VAL]), "test": (1, test)}

    def read(split: str) -> Iterator[Example]:
        part, rows = chosen[split]
        images = _matrix(folder, NORB[part], "dat", np.uint8)
        for row in np.sort(rows):
            yield _png(images[row, 0]), f"{NORB[part]}-{row}.png", int(labels[part][row])

    return Raw(folder, 6000 * (len(test) + TRAIN + VAL), _by_split(read))


def _mat(folder: Path, part: str, what: str) -> list[Path]:
    return [path for end in (".mat", ".mat.gz") if (path := folder / f"{part}-{what}{end}").is_file()]


def _matrix(folder: Path, part: str, what: str, kind: type[np.generic]) -> npt.NDArray[Any]:
    """A matrix: kind, number of dimensions, at least three dimensions, and the values, all little-endian."""
    found = _mat(folder, part, what)
    if not found:
        raise FileNotFoundError(f"{part}-{what}.mat is missing")
    with (gzip.open if found[0].suffix == ".gz" else open)(found[0], "rb") as file:
        magic, dimensions = np.frombuffer(file.read(8), "<i4")
        if magic != _KINDS[kind]:
            raise ValueError(f"{found[0].name} starts with {magic:#x}")
        shape = np.frombuffer(file.read(4 * max(3, dimensions)), "<i4")[:dimensions]
        return np.frombuffer(file.read(), np.dtype(kind).newbyteorder("<")).reshape(shape)


def _kitti(folder: Path) -> Raw:
    """A line an object: type first, z thirteenth after it. TFDS parts by video; these are drawn image by image."""
    files = sorted((folder / "label_2").glob("*.txt"))
    lines = [[line.split() for line in file.read_text().splitlines() if line.strip()] for file in files]
    labels = [vtab.kitti_distance([(words[0], float(words[13])) for words in each]) for each in lines]
    train, val, test = parts(len(files), 0.8, 0.9)
    chosen = {"train": train[:TRAIN], "val": val[:VAL], "test": test}

    def read(split: str) -> Iterator[Example]:
        for row in np.sort(chosen[split]):
            name = f"{files[row].stem}.png"
            yield (folder / "image_2" / name).read_bytes(), name, labels[row]

    return Raw(folder, 850_000 * (len(test) + TRAIN + VAL), _by_split(read))


def _by_split(read: Callable[[str], Iterator[Example]]) -> dict[str, Callable[[], Iterator[Example]]]:
    return {split: lambda split=split: read(split) for split in ("train", "val", "test")}  # type: ignore[misc]
