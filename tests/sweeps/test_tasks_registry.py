"""Image folders become tasks, or say in one line why not."""

import shutil

import numpy as np
import pytest
from PIL import Image

from sweeps.config import parse
from sweeps.errors import ConfigError, DataError
from sweeps.settings import TaskEntry
from sweeps.tasks.albums import read
from sweeps.tasks.load import pixels
from sweeps.tasks.registry import embedded, from_images, resolve
from sweeps.zoo.vision import Geometry
from tests.conftest import draw_folder

GEOMETRY = Geometry(16, "bilinear", 1.0, "center")


def entry(folder) -> TaskEntry:
    return TaskEntry(name="mine", path=str(folder))


def test_ready_made_splits(tmp_path):
    task = from_images(entry(draw_folder(tmp_path / "t")), seed=0)
    assert task.classes == ("class_0", "class_1", "class_2")
    assert task.sizes == {"train": 36, "val": 18, "test": 18}


def files(folder, seed=0) -> dict[str, list[str]]:
    """The files of each split."""
    found = read("t", {"path": str(folder)}, seed)
    return {split: [found.gallery.name(row) for row in rows] for split, rows in found.rows.items()}


def test_one_folder_is_split_from_the_seed(tmp_path):
    folder = draw_folder(tmp_path / "t", sizes={"all": 20}) / "all"
    listing = files(folder)
    assert {split: len(rows) for split, rows in listing.items()} == {"val": 9, "test": 15, "train": 36}
    assert len({path for rows in listing.values() for path in rows}) == 60
    assert files(folder) == listing
    assert files(folder, seed=1) != listing


def test_val_is_drawn_from_train_when_absent(tmp_path):
    draw_folder(tmp_path / "t", sizes={"train": 10, "test": 4})
    task = from_images(entry(tmp_path / "t"), seed=0)
    assert task.sizes == {"train": 24, "val": 6, "test": 12}


def test_revision_follows_the_content_and_not_the_place(tmp_path):
    draw_folder(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    one, two = (from_images(entry(tmp_path / name), seed=0) for name in "ab")
    assert one.content == two.content
    Image.new("RGB", (4, 4)).save(tmp_path / "b" / "train" / "class_0" / "000.png")
    assert from_images(entry(tmp_path / "b"), seed=0).content != one.content


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: shutil.rmtree(folder), "path must be a folder"),
        (lambda folder: shutil.rmtree(folder / "test"), r"must hold test/ beside train/, got only train, val"),
        (lambda folder: (folder / "train" / "empty").mkdir(), "every class folder must hold images, got none in"),
        (lambda folder: shutil.rmtree(folder / "val" / "class_1"), "val must hold every class, 'class_1' is missing"),
        (lambda folder: shutil.rmtree(folder / "train" / "class_1"), "must hold classes of train only, got 'class_1'"),
        (lambda folder: [shutil.rmtree(folder / split / f"class_{label}") for split in ("train", "val", "test")
                         for label in (1, 2)], "must hold at least 2 classes, got 1"),
    ],
    ids=["missing", "no test", "empty class", "label missing in val", "label missing in train", "one class"],
)  # fmt: skip
def test_faults_are_one_clear_line(tmp_path, spoil, says):
    spoil(draw_folder(tmp_path / "t"))
    with pytest.raises(DataError, match=says) as caught:
        from_images(entry(tmp_path / "t"), seed=0)
    assert len(str(caught.value).splitlines()) == 1
    assert "'mine'" in str(caught.value)


def test_a_bad_task_does_not_stop_the_others(tmp_path):
    draw_folder(tmp_path / "good")
    config = parse({"name": "x", "models": ["m"], "task": [{"name": "good", "path": str(tmp_path / "good")},
                                                         {"name": "bad", "path": str(tmp_path / "bad")}]})  # fmt: skip
    tasks, faults = resolve(config)
    assert [task.name for task in tasks] == ["good"]
    assert "path must be a folder" in faults["bad"]


def test_unknown_names_get_a_hint():
    with pytest.raises(ConfigError, match="did you mean 'mini/digits'"):
        resolve(parse({"name": "x", "models": ["m"], "tasks": ["mini/digit"]}))
    groups = {modality: {task.group for task in embedded().values() if task.modality == modality}
              for modality in ("image", "text")}  # fmt: skip
    assert groups == {"image": {"natural", "specialized", "structured"}, "text": {"language"}}


def test_pixels_are_decoded_once_and_mapped(tmp_path):
    task = from_images(entry(draw_folder(tmp_path / "t", side=16)), seed=0)
    images, labels = pixels(task, "val", GEOMETRY, tmp_path / "cache")
    assert images.shape == (18, 16, 16, 3)
    assert isinstance(images, np.memmap)
    assert not images.flags.writeable
    expected = np.asarray(Image.open(tmp_path / "t" / "val" / "class_1" / "002.png"))
    assert np.array_equal(images[8], expected)
    assert labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    shutil.rmtree(tmp_path / "t")  # a second read needs no files
    assert np.array_equal(pixels(task, "val", GEOMETRY, tmp_path / "cache")[0], images)
