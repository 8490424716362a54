"""VTAB-1k: the labels that factors make, the images that each source gives, and preparing that can be stopped."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from sweeps.cli import app
from sweeps.config import parse
from sweeps.errors import ConfigError, DataError
from sweeps.hands import How
from sweeps.run import run
from sweeps.settings import TaskEntry
from sweeps.tasks import prepare as preparing
from sweeps.tasks import prepared, vtab, vtab_sources
from sweeps.tasks.prepared import manifest
from sweeps.tasks.registry import from_images, resolve
from sweeps.tasks.vtab import VTAB
from tests.conftest import SHARED, tiny_config
from tests.doubles import collections
from tests.doubles.collections import number
from tests.doubles.hub import Hub

runner = CliRunner(env={"COLUMNS": "160", "TERM": "dumb", "NO_COLOR": "1"})
KNOWN = VTAB["vtab1k/kitti"]


def call(*words):
    return runner.invoke(app, ["tasks", "prepare", *map(str, words)])


def examples(folder):
    """Split -> labels, and the encoded images, of a prepared task."""
    found = from_images(TaskEntry(name="t", path=str(folder)), 0)
    pictures = prepared.pictures("t", folder)
    images = {split: list(pictures.gallery.read(rows)) for split, rows in pictures.rows.items()}
    assert {split: len(each) for split, each in images.items()} == dict(found.sizes)
    return {split: labels.tolist() for split, labels in pictures.labels.items()}, images


# ---- what there is


@pytest.mark.published
def test_the_tasks_are_those_of_the_paper():
    with open(SHARED / "published" / "vtab_tasks.csv") as file:
        rows = [(row["task"], row["group"], int(row["classes"])) for row in csv.DictReader(file)]
    assert [(task.title, task.group, task.classes) for task in VTAB.values()] == rows


def test_every_task_has_its_names_and_its_source():
    assert len(VTAB) == len({task.hub for task in VTAB.values()}) == 19
    for task in VTAB.values():
        assert len(task.names) in (0, task.classes)
        assert len(set(task.names)) == len(task.names)


# ---- labels, by drawn tables of factors


def bins(value, edges):
    """The class by counting: how many edges are passed, the first for nothing."""
    return sum(edge < value for edge in edges) - 1


@given(st.lists(st.floats(0.01, 99), min_size=3, max_size=10))
def test_clevr_counts_and_measures_the_nearest(depths):
    scene = {"objects": [{"pixel_coords": [0.0, 1.0, depth]} for depth in depths]}
    assert vtab.clevr_count(scene) == len(depths) - 3
    assert vtab.clevr_distance(scene) == bins(min(depths), [0, 8, 8.5, 9, 9.5, 10, 100])
    assert 0 <= vtab.clevr_count(scene) < 8
    assert 0 <= vtab.clevr_distance(scene) < 6


@pytest.mark.parametrize(("depth", "label"), [(7.9, 0), (8.0, 0), (8.01, 1), (8.6, 2), (9.2, 3), (9.9, 4), (10.1, 5)])
def test_a_threshold_belongs_to_the_class_below(depth, label):
    assert vtab.clevr_distance({"objects": [{"pixel_coords": [0, 0, depth]}]}) == label


@given(st.lists(st.tuples(st.sampled_from(["Car", "Van", "Truck", "Tram", "DontCare"]), st.floats(-9, 90))))
def test_kitti_measures_the_nearest_vehicle(objects):
    ahead = [z for kind, z in objects if kind in ("Car", "Van", "Truck")]
    expected = 3 if not ahead else 0 if min(ahead) <= 8 else 1 if min(ahead) <= 20 else 2
    assert vtab.kitti_distance(objects) == expected


def test_a_value_below_all_thresholds_is_refused():
    with pytest.raises(ValueError, match=r"must be above -100\.0, got -101"):
        vtab.kitti_distance([("Car", -101.0)])


def test_wider_bins():
    assert vtab.dsprites_location(np.arange(32)).tolist() == [raw // 2 for raw in range(32)]
    turned = vtab.dsprites_orientation(np.arange(40))
    assert turned.tolist() == [int(np.floor(raw / 2.5)) for raw in range(40)]
    assert np.bincount(turned).tolist() == [3, 2] * 8
    assert vtab.smallnorb_azimuth(np.arange(0, 36, 2)).tolist() == list(range(18))
    assert vtab.smallnorb_elevation(np.arange(9)).tolist() == list(range(9))


# ---- the four collections whose labels are made by rule, from their own files


def raw_task(tmp_path, name):
    assert call(f"vtab1k/{name}", "--out", tmp_path / "out", "--from", tmp_path / "from").exit_code == 0
    return examples(tmp_path / "out" / "vtab1k" / name)


@pytest.mark.parametrize("name", ["dsprites_loc", "dsprites_ori"])
def test_dsprites_from_its_file(tmp_path, name):
    latents = collections.dsprites(tmp_path / "from")
    with np.load(tmp_path / "from" / vtab_sources.vtab_raw.DSPRITES) as file:
        shapes = {image.tobytes(): row for row, image in enumerate(file["imgs"])}
    labels, images = raw_task(tmp_path, name)
    seen = []
    for split, count in (("train", 800), ("val", 200), ("test", 256)):
        assert len(labels[split]) == count
        for image, label in zip(images[split], labels[split], strict=True):
            pixels = np.asarray(Image.open(io.BytesIO(image)))
            assert set(np.unique(pixels)) <= {0, 255}
            row = shapes[(pixels // 255).astype(np.uint8).tobytes()]
            assert label == (latents[row, 4] // 2 if name == "dsprites_loc" else int(latents[row, 3] / 2.5))
            seen.append(row)
    assert len(set(seen)) == 1256


@pytest.mark.parametrize("name", ["clevr_count", "clevr_dist"])
def test_clevr_from_its_scenes(tmp_path, name):
    scenes = collections.clevr(tmp_path / "from")
    flat = scenes["train"] + scenes["val"]
    labels, images = raw_task(tmp_path, name)
    for split, part in labels.items():
        rows = [number(image) for image in images[split]]
        assert all((row >= 2100) == (split == "test") for row in rows)
        depths = [[each["pixel_coords"][2] for each in flat[row]["objects"]] for row in rows]
        assert part == [len(each) - 3 if name == "clevr_count" else bins(min(each), [0, 8, 8.5, 9, 9.5, 10])
                        for each in depths]  # fmt: skip
    assert len(labels["test"]) == 50


@pytest.mark.parametrize("name", ["smallnorb_azi", "smallnorb_ele"])
def test_smallnorb_from_its_matrices(tmp_path, name):
    collections.smallnorb(tmp_path / "from")
    labels, images = raw_task(tmp_path, name)
    assert {split: len(part) for split, part in labels.items()} == {"train": 800, "val": 200, "test": 500}
    for split, part in labels.items():
        pixels = [np.asarray(Image.open(io.BytesIO(image)))[0] for image in images[split]]
        assert part == [int(row[1] // 2 if name == "smallnorb_azi" else row[0]) for row in pixels]


def test_kitti_from_its_labels(tmp_path):
    objects = collections.kitti(tmp_path / "from")
    labels, images = raw_task(tmp_path, "kitti")
    rows = [number(image) for split in images for image in images[split]]
    assert len(rows) == len(set(rows)) == 1000 + 210
    assert [label for part in labels.values() for label in part] == [vtab.kitti_distance(objects[row]) for row in rows]


def test_original_files_that_are_broken_are_one_line(tmp_path):
    collections.smallnorb(tmp_path / "from")
    matrix = next((tmp_path / "from").glob("*training-info*"))
    matrix.write_bytes(matrix.read_bytes()[:50])
    result = call("vtab1k/smallnorb_azi", "--out", tmp_path / "out", "--from", tmp_path / "from")
    assert result.exit_code == 1
    assert "the original files must be readable" in result.output


# ---- ready-made lists, and repositories

LABELS = {"train": [row % 4 for row in range(800)], "val": [row % 3 for row in range(200)], "test": [0, 1, 2, 3] * 10}


@pytest.fixture
def lists(tmp_path):
    collections.ready_made(tmp_path / "from" / "kitti", LABELS)
    return tmp_path / "from"


def test_ready_made_lists_are_the_studys_images(tmp_path, lists):
    result = call("vtab1k/kitti", "--out", tmp_path / "out", "--from", lists)
    assert result.exit_code == 0, result.output
    assert "1 to prepare: about 0.00 GB" in result.output
    assert 'tasks = ["vtab1k/kitti"]' in result.output
    labels, images = examples(tmp_path / "out" / "vtab1k" / "kitti")
    assert labels == LABELS
    assert [number(image) for split in images for image in images[split]] == list(range(1040))
    about = manifest(tmp_path / "out" / "vtab1k" / "kitti")
    assert about["classes"] == ["within 8 m", "8 m to 20 m", "beyond 20 m", "no vehicle"]
    assert about["notes"] == ["its test has 40 images, the study's 711"]
    assert about["selection"] == "the study's images, as the lists name them"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda it: (it / "images/val200/000003.jpg").unlink(), "every image of val200.txt must be there, got"),
        (lambda it: (it / "test.txt").write_text("nonsense\n"), "a line must be a path and a label, got 'nonsense'"),
        (lambda it: (it / "test.txt").unlink(), "test.txt must be readable"),
        (lambda it: (it / "train800val200.txt").write_text("a 1\n"), "must be train800.txt and val200.txt, got other"),
        (lambda it: (it / "images/test/000001.jpg").write_bytes(b"x"), "every image must decode, got images/test/"),
        (lambda it: (it / "test.txt").write_text("images/test/000001.jpg 4\n"), "a label must be from 0 to 3, got 4"),
    ],
)
def test_lists_that_cannot_be_read_are_one_line(tmp_path, lists, spoil, says):
    spoil(lists / "kitti")
    result = call("vtab1k/kitti", "--out", tmp_path / "out", "--from", lists)
    assert result.exit_code == 1
    assert says in result.output.replace("\n", " ")
    assert not prepared.is_prepared(tmp_path / "out" / "vtab1k" / "kitti")
    assert not list((tmp_path / "out").rglob(".tmp-*"))


ROWS = {"train": [row % 32 for row in range(1500)], "test": [31 - row % 32 for row in range(90)]}


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_a_copy_of_a_repository_is_binned_again(tmp_path, form):
    getattr(collections, form)(tmp_path / "from" / "wds_vtab-dsprites_label_x_position", ROWS)
    labels, images = raw_task(tmp_path, "dsprites_loc")
    assert labels["train"] == [label // 2 for label in ROWS["train"][:800]]
    assert labels["val"] == [label // 2 for label in ROWS["train"][800:1000]]
    assert labels["test"] == [label // 2 for label in ROWS["test"]]
    assert [number(image) for image in images["train"] + images["val"]] == list(range(1000))
    assert [number(image) for image in images["test"]] == list(range(1500, 1590))


def test_a_repository_that_is_binned_already_is_refused(tmp_path):
    rows = {split: [label // 2 for label in part] for split, part in ROWS.items()}
    collections.parquet(tmp_path / "from" / "wds_vtab-dsprites_label_x_position", rows)
    result = call("vtab1k/dsprites_loc", "--out", tmp_path / "out", "--from", tmp_path / "from")
    assert result.exit_code == 1
    assert "must have 32 raw classes to make 16 of, got 16" in result.output.replace("\n", " ")


def test_validation_of_its_own_is_taken(tmp_path):
    rows = {"train": [0, 1] * 500, "validation": [1, 2] * 150, "test": [0, 1, 2, 3]}
    collections.parquet(tmp_path / "from" / "wds_vtab-kitti_closest_vehicle_distance", rows)
    labels, images = raw_task(tmp_path, "kitti")
    assert labels["val"] == [1, 2] * 100
    assert number(images["val"][0]) == 1000


def test_from_the_hub(tmp_path, monkeypatch):
    names = [f"breed {label}" for label in range(37)]
    made = collections.webdataset(tmp_path / "made", {"train": [row % 37 for row in range(2000)],
                                                      "test": list(range(37))}, names=names)  # fmt: skip
    with Hub() as hub:
        hub.point(monkeypatch, tmp_path / "home")
        commit = hub.add("clip-benchmark/wds_vtab-pets", made, kind="dataset")
        result = call("vtab1k/oxford_iiit_pet", "--out", tmp_path / "out")
        assert result.exit_code == 0, result.output
        assert not [each for each in hub.asked("GET") if each.path.endswith("train/2.tar")]
        assert call("vtab1k/eurosat", "--out", tmp_path / "out").exit_code == 1
        hub.forget()
        assert call("vtab1k/oxford_iiit_pet", "--out", tmp_path / "out").exit_code == 0
        assert not hub.requests
    about = manifest(tmp_path / "out" / "vtab1k" / "oxford_iiit_pet")
    assert about["source"] == {"kind": "hub", "place": "clip-benchmark/wds_vtab-pets", "revision": commit}
    assert about["classes"] == names
    assert "where the study takes the last fifth of train" in about["selection"]
    labels, _ = examples(tmp_path / "out" / "vtab1k" / "oxford_iiit_pet")
    assert labels["val"] == [row % 37 for row in range(800, 1000)]


def test_what_cannot_be_had_says_how_to_get_it(tmp_path):
    result = call("vtab1k/resisc45", "--out", tmp_path / "out", "--from", tmp_path)
    assert result.exit_code == 1
    line = result.output.replace("\n", " ")
    assert "resisc45: the folder must hold resisc45/train800.txt (ready-made), or a copy of clip-benchmark/" in line
    assert "NWPU-RESISC45.rar comes from its authors' page" in line


# ---- stopped, checked, short of room


def test_a_killed_run_goes_on_with_the_split_it_was_at(tmp_path, lists, monkeypatch):
    seen = []

    def killed(split, count):
        seen.append(split)
        if split == "test" and count == 20:
            raise KeyboardInterrupt

    (need,) = preparing.needs(["vtab1k/kitti"], tmp_path / "out", lists)
    with pytest.raises(KeyboardInterrupt):
        preparing.prepare(need, tmp_path / "out", killed)
    folder = tmp_path / "out" / "vtab1k" / "kitti"
    assert not prepared.is_prepared(folder)
    assert {path.name for path in folder.glob("*.parquet")} == {"train.parquet", "val.parquet"}
    (folder / ".tmp-killed").write_text("left by a kill")
    steps = []
    (need,) = preparing.needs(["vtab1k/kitti"], tmp_path / "out", lists)
    preparing.prepare(need, tmp_path / "out", lambda split, count: steps.append(split))
    assert set(seen) == {"train", "val", "test"}
    assert set(steps) == {"test"}
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "test.parquet", "train.parquet",
                                                              "val.parquet"]  # fmt: skip
    assert examples(folder)[0] == LABELS


def test_a_spoilt_file_is_found_and_made_again(tmp_path, lists):
    words = ("vtab1k/kitti", "--out", tmp_path / "out", "--from", lists)
    call(*words)
    folder = tmp_path / "out" / "vtab1k" / "kitti"
    whole = from_images(TaskEntry(name="t", path=str(folder)), 0)
    assert "vtab1k/kitti: whole" in call("vtab1k/kitti", "--out", tmp_path / "out", "--verify").output
    content = bytearray((folder / "val.parquet").read_bytes())
    content[200] ^= 1
    (folder / "val.parquet").write_bytes(content)
    checked = call("vtab1k/kitti", "--out", tmp_path / "out", "--verify")
    assert checked.exit_code == 1
    assert "val.parquet is not what was written: its checksum differs" in checked.output.replace("\n", " ")
    before = (folder / "train.parquet").stat().st_mtime_ns
    assert call(*words).exit_code == 0
    assert (folder / "train.parquet").stat().st_mtime_ns == before
    assert "1 whole, every checksum holds" in call(*words).output
    assert from_images(TaskEntry(name="t", path=str(folder)), 0).content == whole.content


def test_a_disk_that_is_full_is_one_line(tmp_path, lists, monkeypatch):
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 10**9, 1000))
    result = call("vtab1k/kitti", "--out", tmp_path / "out", "--from", lists)
    assert result.exit_code == 2
    assert "preparing needs 0.00 GB in" in result.output.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_unknown_names_and_folders_are_one_line(tmp_path):
    assert "did you mean 'vtab1k'" in call("vtab1", "--out", tmp_path).output
    assert "--from must be a folder" in call("vtab1k", "--out", tmp_path, "--from", tmp_path / "no").output


# ---- in a sweep


def config(**more):
    return parse({"name": "x", "models": ["m"], "tasks": ["vtab1k"], **more})


def test_a_group_is_its_prepared_tasks(tmp_path, lists):
    call("vtab1k/kitti", "--out", tmp_path / "out", "--from", lists)
    tasks, faults = resolve(config(data=str(tmp_path / "out")))
    assert [task.name for task in tasks] == ["vtab1k/kitti"]
    assert tasks[0].group == "structured"
    assert tasks[0].notes == ("task 'vtab1k/kitti': its test has 40 images, the study's 711",)
    assert len(faults) == 18
    assert "sweeps tasks prepare" in faults["vtab1k/dtd"]
    assert len(resolve(config(data=str(tmp_path / "out"), tasks=["vtab1k/k*"]))[0]) == 1
    with pytest.raises(ConfigError, match="data must name the folder of prepared tasks, got none for 'vtab1k'"):
        resolve(config())


def test_a_class_without_training_images_is_no_fault(tmp_path):
    """Sun397 has 397 classes and 800 images; the drawn one lacks class 3 in train."""
    collections.ready_made(tmp_path / "from" / "kitti", LABELS | {"train": [row % 3 for row in range(800)]})
    call("vtab1k/kitti", "--out", tmp_path / "out", "--from", tmp_path / "from")
    tiny = tiny_config(tmp_path / "from", task=[], tasks=["vtab1k/kitti"], data=str(tmp_path / "out"), search=None)
    tiny["model"], tiny["proxies"] = tiny["model"][:1], {"knn": {}, "logme": {}, "gbc": {}, "linear": {"steps": 30}}
    result = run(parse(tiny), tmp_path / "swept", How(executor="inline"))
    assert not result.failures
    assert "its test has 40 images" in result.notes[0]
    (answer,) = result.answer
    assert 0 <= answer["test_accuracy"] <= 0.75
    assert result.sql("select notes from tasks").to_pylist()[0]["notes"] == [result.notes[0]]


def test_a_prepared_file_of_another_size_is_refused(tmp_path, lists):
    call("vtab1k/kitti", "--out", tmp_path / "out", "--from", lists)
    folder = tmp_path / "out" / "vtab1k" / "kitti"
    with open(folder / "test.parquet", "ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"test\.parquet changed; prepare it again"):
        from_images(TaskEntry(name="t", path=str(folder)), 0)
    (folder / "manifest.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(DataError, match="must be of format 1"):
        from_images(TaskEntry(name="t", path=str(folder)), 0)


def test_the_list_has_them():
    result = runner.invoke(app, ["tasks"])
    assert result.exit_code == 0
    assert "vtab1k/smallnorb_ele" in result.output
    assert "73728" in result.output
