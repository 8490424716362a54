"""Miniature copies of public collections, in the formats of the real ones: for preparing VTAB-1k without a network."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def png(number: int, side: int = 4) -> bytes:
    """An image whose first pixels say its number."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[0, 0] = number // 65536, number // 256 % 256, number % 256
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def number(image: bytes) -> int:
    """What :func:`png` was told."""
    red, green, blue = Image.open(io.BytesIO(image)).convert("RGB").getpixel((0, 0))
    return red * 65536 + green * 256 + blue


def webdataset(folder: Path, labels: dict[str, list[int]], shard: int = 700, names: list[str] | None = None) -> Path:
    """A repository of clip-benchmark: ``<split>/<k>.tar`` of images and labels, numbered through."""
    start = 0
    for split, numbers in labels.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        for place in range(0, len(numbers), shard):
            with tarfile.open(folder / split / f"{place // shard}.tar", "w") as archive:
                for offset, label in enumerate(numbers[place : place + shard]):
                    key = f"s{place + offset:07d}"
                    for suffix, content in (("cls", str(label).encode()), ("webp", png(start + place + offset))):
                        member = tarfile.TarInfo(f"{key}.{suffix}")
                        member.size = len(content)
                        archive.addfile(member, io.BytesIO(content))
        start += len(numbers)
    (folder / "classnames.txt").write_text("\n".join(names or []))
    return folder


def parquet(folder: Path, labels: dict[str, list[int]]) -> Path:
    """The same as the hub's conversion: ``data/<split>-<k>-of-<n>.parquet``."""
    start = 0
    (folder / "data").mkdir(parents=True)
    for split, numbers in labels.items():
        images = [{"bytes": png(start + row), "path": None} for row in range(len(numbers))]
        pq.write_table(
            pa.table({"image": images, "label": numbers}), folder / "data" / f"{split}-00000-of-00001.parquet"
        )
        start += len(numbers)
    return folder


def ready_made(folder: Path, labels: dict[str, list[int]]) -> Path:
    """The folders of the PETL code bases; ``labels`` of train, val and test."""
    lines: dict[str, list[str]] = {}
    start = 0
    for split, file in (("train", "train800"), ("val", "val200"), ("test", "test")):
        (folder / "images" / file).mkdir(parents=True)
        lines[split] = []
        for row, label in enumerate(labels[split]):
            name = f"images/{file}/{row:06d}.jpg"
            (folder / name).write_bytes(png(start + row))
            lines[split].append(f"{name} {label}\n")
        (folder / f"{file}.txt").write_text("".join(lines[split]))
        start += len(labels[split])
    (folder / "train800val200.txt").write_text("".join(lines["train"] + lines["val"]))
    return folder


def dsprites(folder: Path, count: int = 2560) -> np.ndarray:
    """The .npz of dSprites; returns the latents [n, 6]."""
    random = np.random.default_rng(0)
    latents = np.stack([random.integers(0, size, count) for size in (1, 3, 6, 40, 32, 32)], axis=1)
    images = random.integers(0, 2, (count, 8, 8), dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz", imgs=images, latents_classes=latents)
    return latents


def clevr(folder: Path, train: int = 2100, val: int = 50) -> dict[str, list[dict]]:
    """Scenes and images of CLEVR; returns the scenes."""
    random, start, found = np.random.default_rng(0), 0, {}
    (folder / "CLEVR_v1.0" / "scenes").mkdir(parents=True)
    for part, count in (("train", train), ("val", val)):
        (folder / "CLEVR_v1.0" / "images" / part).mkdir(parents=True)
        found[part] = []
        for index in range(count):
            objects = [{"pixel_coords": [1, 1, float(random.uniform(7, 12))]} for _ in range(random.integers(3, 11))]
            name = f"CLEVR_{part}_{index:06d}.png"
            (folder / "CLEVR_v1.0" / "images" / part / name).write_bytes(png(start + index))
            found[part].append({"image_filename": name, "objects": objects})
        start += count
        scenes = folder / "CLEVR_v1.0" / "scenes" / f"CLEVR_{part}_scenes.json"
        scenes.write_text(json.dumps({"scenes": found[part]}))
    return found


def smallnorb(folder: Path, count: int = 1000) -> dict[str, np.ndarray]:
    """The .mat files of small NORB; returns info [n, 4] of either part."""
    random, found = np.random.default_rng(0), {}
    for part, name in (("train", "smallnorb-5x46789x9x18x6x2x96x96-training"),
                       ("test", "smallnorb-5x01235x9x18x6x2x96x96-testing")):  # fmt: skip
        columns = [random.integers(0, 10, count), random.integers(0, 9, count), 2 * random.integers(0, 18, count),
                   random.integers(0, 6, count)]  # fmt: skip
        info = np.stack(columns, axis=1).astype("<i4")
        images = np.zeros((count, 2, 6, 6), np.uint8)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = info[:, 1], info[:, 2]
        for what, matrix, magic in (("info", info, 0x1E3D4C54), ("dat", images, 0x1E3D4C55)):
            shape = [*matrix.shape, *[1] * (3 - matrix.ndim)]
            content = np.array([magic, matrix.ndim, *shape], "<i4").tobytes() + matrix.tobytes()
            folder.mkdir(parents=True, exist_ok=True)
            if what == "dat":
                (folder / f"{name}-{what}.mat").write_bytes(content)
            else:
                with gzip.open(folder / f"{name}-{what}.mat.gz", "wb") as file:
                    file.write(content)
        found[part] = info
    return found


def kitti(folder: Path, count: int = 2100) -> list[list[tuple[str, float]]]:
    """Labels and images of KITTI; returns type and z of every object."""
    random, found = np.random.default_rng(0), []
    kinds = ("Car", "Van", "Truck", "Pedestrian", "Cyclist", "DontCare")
    for what in ("label_2", "image_2"):
        (folder / "training" / what).mkdir(parents=True)
    for index in range(count):
        objects = [
            (kinds[random.integers(6)], round(float(random.uniform(1, 60)), 2)) for _ in range(random.integers(4))
        ]
        lines = [f"{kind} 0.00 0 -1.5 1 2 3 4 1.5 1.6 3.9 -2.5 1.7 {z} 1.5\n" for kind, z in objects]
        (folder / "training" / "label_2" / f"{index:06d}.txt").write_text("".join(lines))
        (folder / "training" / "image_2" / f"{index:06d}.png").write_bytes(png(index))
        found.append(objects)
    return found
