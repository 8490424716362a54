"""Images from anywhere become one task, and a folder with problems is mended aloud or refused in one line."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sweeps.config import parse
from sweeps.errors import ConfigError, DataError
from sweeps.settings import TaskEntry
from sweeps.tasks.galleries import Files
from sweeps.tasks.load import pixels
from sweeps.tasks.registry import facts, from_images
from sweeps.zoo.vision import Geometry
from tests.conftest import ROOT, draw_folder

GEOMETRY = Geometry(16, "bilinear", 1.0, "center")
COUNT = 60


def task(seed=0, **entry):
    return from_images(TaskEntry(**{"name": "mine", **entry}), seed)


def drawn(count=COUNT):
    """uint8 [n, 16, 16, 3], all different, and names of three classes."""
    images = np.random.default_rng(0).integers(0, 255, (count, 16, 16, 3), dtype=np.uint8)
    return images, ["abc"[row % 3] for row in range(count)]


def png(image) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def as_table(folder, kind):
    """The drawn images in a file of paths, or of bytes; returns what a [[task]] entry says of it."""
    images, labels = drawn()
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"images/{row}.png" for row in range(COUNT)]
    if kind in ("csv", "jsonl", "paths.parquet"):
        (folder / "images").mkdir()
        for name, image in zip(names, images, strict=True):
            (folder / name).write_bytes(png(image))
    file = folder / f"t.{kind}"
    if kind == "csv":
        with open(file, "w", newline="") as out:
            csv.writer(out).writerows([("image", "label"), *zip(names, labels, strict=True)])
    elif kind == "jsonl":
        file.write_text("".join(json.dumps({"image": name, "label": label}) + "\n"
                                for name, label in zip(names, labels, strict=True)))  # fmt: skip
    elif kind == "paths.parquet":
        pq.write_table(pa.table({"image": names, "label": labels}), file)
    elif kind == "bytes.parquet":
        pq.write_table(pa.table({"image": [png(image) for image in images], "label": labels}), file)
    elif kind == "hub.parquet":
        made = datasets.Dataset.from_dict(
            {"image": [{"bytes": png(image), "path": None} for image in images],
             "label": ["abc".index(label) for label in labels]},
            features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list("abc"))}),
        )  # fmt: skip
        made.to_parquet(str(file))
    return {"path": str(file), "image": "image"}


def as_arrays(folder, kind):
    images, labels = drawn()
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "npz":
        np.savez_compressed(folder / "t.npz", images=images, labels=np.array(labels))
        return {"path": str(folder / "t.npz")}
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", np.array(labels))
    return {"path": str(folder)}


KINDS = ["csv", "jsonl", "paths.parquet", "bytes.parquet", "hub.parquet", "npz", "npy", "dataset"]


def somewhere(folder, kind):
    if kind == "dataset":
        (folder / "data").mkdir(parents=True)
        shutil.copy(as_table(folder.parent / "from", "hub.parquet")["path"], folder / "data" / "train.parquet")
        return {"dataset": str(folder), "image": "image"}
    return as_arrays(folder, kind) if kind in ("npz", "npy") else as_table(folder, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_images_from_anywhere_are_the_same_task(tmp_path, kind):
    found = task(**somewhere(tmp_path / kind, kind))
    assert found.classes == ("a", "b", "c")
    assert found.sizes == {"train": 36, "val": 9, "test": 15}
    assert found.notes == ()
    images, labels = drawn()
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    seen = []
    for split, size in found.sizes.items():
        decoded, marks = pixels(found, split, GEOMETRY, tmp_path / "cache")
        assert len(decoded) == len(marks) == size
        assert [found.classes[mark] for mark in marks] == [known[image.tobytes()] for image in decoded]
        seen += [image.tobytes() for image in decoded]
    assert len(set(seen)) == COUNT
    assert task(**somewhere(tmp_path / "again" / kind, kind)).content == found.content


def test_encoded_images_have_one_revision_wherever_they_lie(tmp_path):
    found = {kind: task(**somewhere(tmp_path / kind, kind)).revision for kind in KINDS if kind not in ("npz", "npy")}
    assert len(set(found.values())) == 1


def test_arrays_with_splits_as_medmnist_has_them(tmp_path):
    images, _ = drawn()
    parts = {"train": slice(0, 40), "val": slice(40, 48), "test": slice(48, 60)}
    held = {f"{split}_images": images[part, ..., 0] for split, part in parts.items()}
    held |= {f"{split}_labels": (np.arange(60)[part] % 4)[:, None] for split, part in parts.items()}
    np.savez(tmp_path / "m.npz", **held)
    found = task(path=str(tmp_path / "m.npz"))
    assert found.sizes == {"train": 40, "val": 8, "test": 12}
    assert found.classes == ("0", "1", "2", "3")
    decoded, labels = pixels(found, "val", GEOMETRY, tmp_path / "cache")
    assert np.array_equal(decoded, np.repeat(images[40:48, ..., :1], 3, axis=3))
    assert labels.tolist() == [0, 1, 2, 3] * 2


def test_splits_from_a_column(tmp_path):
    entry = as_table(tmp_path, "bytes.parquet")
    whole = pq.read_table(entry["path"])
    said = ["train"] * 30 + ["valid"] * 15 + ["test"] * 15
    pq.write_table(whole.append_column("part", pa.array(said)), entry["path"])
    assert task(**entry, split="part").sizes == {"train": 30, "val": 15, "test": 15}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ({"image": "imag"}, "a column must be there, got 'imag'; did you mean 'image'"),
        ({"label": "lable"}, "a column must be there, got 'lable'; did you mean 'label'"),
        ({"image": "label"}, r"may fail to decode, got 60 of 60: a \(No such file or directory\)"),
        ({"image": None}, r"image \(or text\) must name the column of the images in a file"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(tmp_path, spoil, says):
    with pytest.raises(DataError, match=says) as caught:
        task(**as_table(tmp_path, "csv") | spoil)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((6, 3, 8, 8), np.uint8), r"must be uint8 \[n, height, width\].* got uint8 \[6, 3, 8, 8\]"),
        (np.zeros((6, 8, 8), np.float32), "got float32"),
        (np.zeros((5, 8, 8), np.uint8), "every image must have a label, got 5 images and 6 labels"),
        (np.zeros((8, 8, 6), np.uint8).T, "must be stored row by row"),
    ],
)
def test_arrays_that_cannot_be_read_are_one_line(tmp_path, images, says):
    np.savez(tmp_path / "t.npz", images=images, labels=np.arange(6) % 2)
    with pytest.raises(DataError, match=says):
        task(path=str(tmp_path / "t.npz"))


def test_image_and_text_are_not_both():
    with pytest.raises(ConfigError, match="either image or text must name a column"):
        parse({"name": "x", "models": ["m"], "task": [{"name": "t", "path": "a", "image": "i", "text": "t"}]})


# ---- a folder with problems


@pytest.fixture
def folder(tmp_path):
    return draw_folder(tmp_path / "t", classes=3, sizes={"train": 60, "val": 10, "test": 10})


def first(folder, name="000.png"):
    return folder / "train" / "class_0" / name


SPOILED = {
    "corrupt": (lambda it: first(it).write_bytes(first(it).read_bytes()[:90]),
                "1 image left out that cannot be decoded: train/class_0/000.png"),
    "not an image": (lambda it: first(it).write_text("hello"), r"000.png \(cannot identify image file\)"),
    "empty": (lambda it: first(it).write_bytes(b""), "that cannot be decoded"),
    "stray": (lambda it: first(it, "notes.txt").write_text("x"), "1 file left out as no image: train"),
    "grey": (lambda it: Image.new("L", (20, 30), 128).save(first(it)), "1 image grey-scale, made RGB"),
    "cmyk": (lambda it: Image.new("CMYK", (16, 16)).save(first(it, "odd.jpg")), "1 image CMYK"),
    "16-bit": (lambda it: Image.fromarray(np.full((16, 16), 40000, np.uint16)).save(first(it)), "of 16 bits"),
    "animated": (lambda it: Image.new("RGB", (16, 16), "red").save(
        first(it, "a.gif"), save_all=True, append_images=[Image.new("RGB", (16, 16), "blue")]), "first frame"),
    "1x1": (lambda it: Image.new("RGB", (1, 1)).save(first(it)), "under 8 pixels on a side"),
    "huge": (lambda it: Image.new("1", (9000, 6000)).save(first(it)), "above 50 million pixels"),
    "bomb": (lambda it: Image.new("1", (20000, 10000)).save(first(it)), "decompression bomb"),
    "copies": (lambda it: shutil.copy(it / "test" / "class_0" / "003.png", first(it)),
               "1 image of train left out, of the same bytes as one of test$"),
    "copies, otherwise": (lambda it: shutil.copy(it / "test" / "class_1" / "003.png", first(it)),
                          "same bytes as one of test; 1 labelled otherwise there"),
    "copies in val": (lambda it: shutil.copy(it / "test" / "class_0" / "003.png", it / "val" / "class_0" / "000.png"),
                      "1 image of val left out, of the same bytes as one of test"),
}  # fmt: skip
LEFT_OUT = {"corrupt": "train", "not an image": "train", "empty": "train", "bomb": "train", "copies": "train",
            "copies, otherwise": "train", "copies in val": "val"}  # fmt: skip
ADDED = ("cmyk", "animated")


@pytest.mark.parametrize("kind", SPOILED)
def test_every_problem_is_mended_and_said_in_one_line(folder, tmp_path, kind):
    spoil, says = SPOILED[kind]
    spoil(folder)
    found = task(path=str(folder))
    (note,) = [line for line in found.notes if "grey-scale" not in line or kind == "grey"]
    assert len(note.splitlines()) == 1
    assert re.search(says, note), note
    sizes = {"train": 180, "val": 30, "test": 30}
    if kind in LEFT_OUT:
        sizes[LEFT_OUT[kind]] -= 1
    if kind in ADDED:
        sizes["train"] += 1
    assert found.sizes == sizes
    assert facts(found)["notes"] == list(found.notes)
    for split, size in sizes.items():
        images, labels = pixels(found, split, GEOMETRY, tmp_path / "cache")
        assert len(images) == len(labels) == size


def test_sixteen_bits_become_eight_and_not_white(folder, tmp_path):
    SPOILED["16-bit"][0](folder)
    images, _ = pixels(task(path=str(folder)), "train", GEOMETRY, tmp_path / "cache")
    assert np.unique(images[0]).tolist() == [40000 >> 8]


def test_an_image_is_turned_as_its_exif_says(folder, tmp_path):
    pixels_of = np.zeros((16, 16, 3), np.uint8)
    pixels_of[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels_of).save(first(folder), exif=exif)
    found = task(path=str(folder))
    assert "1 image turned upright as EXIF says" in found.notes[0]
    images, _ = pixels(found, "train", GEOMETRY, tmp_path / "cache")
    assert np.array_equal(images[0], pixels_of[::-1])


def test_more_than_a_small_share_of_corrupt_images_is_a_fault(folder):
    for index in range(3):
        first(folder, f"{index:03d}.png").write_bytes(b"nothing")
    with pytest.raises(
        DataError, match=r"at most 1% of the images \(or two\) may fail to decode, got 3 of 240: train/"
    ):
        task(path=str(folder))


def test_a_class_that_loses_all_its_images_is_a_fault(tmp_path):
    folder = draw_folder(tmp_path / "t", sizes={"train": 2, "val": 2, "test": 2})
    for index in range(2):
        first(folder, f"{index:03d}.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="train must hold every class, 'class_0' has no image there that can be used"):
        task(path=str(folder))


def test_a_class_with_one_image_is_left_out(tmp_path):
    folder = draw_folder(tmp_path / "t", sizes={"all": 20}) / "all"
    (folder / "alone").mkdir()
    shutil.copy(folder / "class_0" / "000.png", folder / "alone" / "x.png")
    found = task(path=str(folder))
    assert found.classes == ("class_0", "class_1", "class_2")
    assert sum(found.sizes.values()) == 60
    assert "a class of fewer than 3 images cannot be split and is left out: 'alone' (1)" in found.notes[0]
    for index in range(3):
        (folder / f"few_{index}").mkdir()
        shutil.copy(folder / "class_0" / "000.png", folder / f"few_{index}" / "x.png")
    with pytest.raises(DataError, match="a class must hold at least 3 images to be split, got 1 in 'alone'"):
        task(path=str(folder))


def test_unbalanced_classes_are_said(tmp_path):
    folder = draw_folder(tmp_path / "t", classes=1, sizes={"all": 1000}, side=2) / "all"
    few = draw_folder(tmp_path / "f", classes=2, sizes={"all": 3}, side=2, seed=1) / "all" / "class_1"
    shutil.copytree(few, folder / "rare")
    found = task(path=str(folder))
    assert any("unbalanced, 600 of 'class_0' to 1 of 'rare'" in note for note in found.notes)


def test_the_second_look_reads_no_image(folder, monkeypatch):
    for path in folder.rglob("*.png"):
        os.utime(path, (1, 1))
    once = task(path=str(folder))
    monkeypatch.setattr(Files, "read", lambda self, rows: iter(()) if not len(rows) else pytest.fail("read again"))
    assert task(path=str(folder)) == once


def test_a_changed_image_is_looked_at_again(folder):
    once = task(path=str(folder))
    Image.new("RGB", (16, 16)).save(first(folder))
    assert task(path=str(folder)).revision != once.revision


def test_a_cache_that_cannot_be_written_is_no_fault(folder, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "file"))
    assert task(path=str(folder)).sizes["train"] == 180


MEASURE = """
import resource, sys
import numpy as np
from pathlib import Path
from sweeps.settings import TaskEntry
from sweeps.tasks.registry import from_images
from sweeps.tasks.load import pixels


class Enlarged:  # as a model's geometry, without torch
    size, key = 224, "enlarged"

    def __init__(self, image=None):
        self.image = image

    def transform(self):
        return lambda image: Enlarged(np.asarray(image.resize((224, 224))))

    def permute(self, *order):
        return self

    def numpy(self):
        return self.image


task = from_images(TaskEntry(name="t", path=sys.argv[1]), 0)
begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for split in task.sizes:
    pixels(task, split, Enlarged(), Path(sys.argv[2]))
print(begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    folder = draw_folder(tmp_path / "t", classes=2, sizes={"all": 450}, side=8) / "all"
    words = [sys.executable, "-c", MEASURE, str(folder), str(tmp_path / "cache")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    before, after = map(int, done.stdout.split())
    decoded = 900 * 224 * 224 * 3 / 1024
    assert after - before < decoded / 2, done.stderr
