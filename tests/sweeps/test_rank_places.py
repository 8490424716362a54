"""``sweeps rank`` where things lie elsewhere: arrays, datasets of the hub, Ray's workers, object storage, zoo files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from sweeps import checkpoints
from sweeps.cli import app
from sweeps.cluster.worker import Setup, Worker
from sweeps.hands import Hands, How
from sweeps.ranking import rank
from sweeps.remote import Remote
from sweeps.store import Store
from tests.conftest import DOUBLES, ROOT, draw_folder
from tests.doubles import language
from tests.doubles.hub import Hub
from tests.doubles.s3 import Server, program

SMALL = ["embed.image_size=32", "embed.batch=16", "finetune.steps=4", "finetune.batch=8", "finetune.evaluations=2",
         "proxies.linear.steps=40", "proxies.linear.repeats=1"]  # fmt: skip
INLINE = How(executor="inline")
BOUND = 40  # MB that ranking may add for 8,000 images beyond those that it looks at; 1 to 4 were measured
FILES = {"model.safetensors", "config.json", "README.md"}
needs_server = pytest.mark.skipif(program() is None, reason="moto's server is not installed: make setup")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of images and two timm checkpoints with random weights."""
    folder = tmp_path_factory.mktemp("places")
    draw_folder(folder / "data", sizes={"train": 8, "val": 4, "test": 4}, side=16)
    for seed, name in enumerate(("test_resnet", "test_efficientnet")):
        torch.manual_seed(seed)
        timm.models.save_for_hf(timm.create_model(name, num_classes=7), folder / "zoo" / name, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def peace(place):
    """The answer in one process, into a folder."""
    return rank(place / "data", str(place / "zoo"), out=place / "peace", overrides=SMALL, how=INLINE)


@pytest.fixture(scope="module")
def server():
    keys = pytest.MonkeyPatch()
    for key, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("EC2_METADATA_DISABLED", "true")):
        keys.setenv(f"AWS_{key}", value)
    found = Server()
    yield found
    found.close()
    keys.undo()


def same_weights(one, two):
    left, right = (load_file(Path(folder) / "model.safetensors") for folder in (one, two))
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@needs_server
def test_the_checkpoint_ends_in_the_output_on_s3(server, place, peace, tmp_path, monkeypatch):
    uri = server.uri("ranked")
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "node"))
    answer = rank(place / "data", str(place / "zoo"), out=uri, overrides=SMALL, how=INLINE)
    assert str(answer.checkpoint).startswith("s3://")
    assert "checkpoints/data" in str(answer.checkpoint)
    assert json.loads(json.dumps(answer.to_dict()))["out"] == uri
    there = Remote(uri)
    assert set(there.list("checkpoints/data")) == {f"checkpoints/data/{name}" for name in FILES}
    (tmp_path / "model.safetensors").write_bytes(there.get("checkpoints/data/model.safetensors"))
    assert same_weights(tmp_path, peace.checkpoint)
    assert answer.winner.test_accuracy == peace.winner.test_accuracy

    # Another machine, with nothing in its cache: what the storage has is not made again.
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "other"))
    for name in there.list("checkpoints/data"):
        there.delete(name)
    again = rank(place / "data", str(place / "zoo"), out=uri, overrides=SMALL, how=INLINE)
    assert again.ran == {}
    assert len(there.list("checkpoints/data")) == len(FILES)


@pytest.mark.ray
@pytest.mark.slow
def test_on_ray_the_answer_is_the_same(place, peace, tmp_path):
    answer = rank(place / "data", str(place / "zoo"), out=tmp_path / "out", overrides=SMALL, how=How(workers=2))
    assert not answer.failures
    assert answer.winner == peace.winner
    assert [each.model for each in answer.ranking] == [each.model for each in peace.ranking]
    assert {path.name for path in Path(answer.checkpoint).iterdir()} == FILES
    assert same_weights(answer.checkpoint, peace.checkpoint)


def test_a_worker_that_does_not_see_the_drivers_cache_sends_the_checkpoint(place, peace, tmp_path, monkeypatch):
    """As on a cluster without a shared folder: the worker's cache is on its own machine."""
    make = Hands._make

    def elsewhere(hands):
        executor = make(hands)
        setup = executor.worker.setup
        executor.worker = Worker(Setup(cache=tmp_path / "worker", mark=setup.mark, provenance=setup.provenance))
        return executor

    monkeypatch.setattr(Hands, "_make", elsewhere)
    answer = rank(place / "data", str(place / "zoo"), out=tmp_path / "out", overrides=SMALL, how=INLINE)
    assert (tmp_path / "worker" / "features").is_dir()
    assert not (tmp_path / "out" / "cache" / "features").exists()
    assert {path.name for path in Path(answer.checkpoint).iterdir()} == FILES
    assert same_weights(answer.checkpoint, peace.checkpoint)


def test_a_mark_is_the_drivers_alone(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    said = checkpoints.mark(tmp_path / "one")
    assert checkpoints.marked(tmp_path / "one", said)
    assert not checkpoints.marked(tmp_path / "two", said)
    checkpoints.mark(tmp_path / "two")
    assert not checkpoints.marked(tmp_path / "two", said)
    assert checkpoints.marked(tmp_path / "two", None)


def test_a_new_checkpoint_replaces_the_old_one_whole(tmp_path):
    store = Store(tmp_path / "out")
    for number, names in enumerate((("a", "b"), ("b", "c"))):
        checkpoints.write(tmp_path / "made", dict.fromkeys(names, b"%d" % number))
        checkpoints.deliver(tmp_path / "made", store, "task")
        kept = tmp_path / "out" / "checkpoints" / "task"
        assert checkpoints.contents(kept) == dict.fromkeys(names, b"%d" % number)
        assert not list(kept.parent.glob(".tmp*"))


@pytest.mark.parametrize("form", ["npz", "npy"])
def test_arrays_are_ranked(place, tmp_path, form):
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = random.integers(0, 150, (60, 16, 16, 3)).astype(np.uint8)
    images[np.arange(60), :, :, labels] += 90
    data = tmp_path / ("arrays.npz" if form == "npz" else "arrays")
    if form == "npz":
        np.savez(data, images=images, labels=labels)
    else:
        data.mkdir()
        np.save(data / "images.npy", images)
        np.save(data / "labels.npy", labels)
    answer = rank(data, str(place / "zoo"), out=tmp_path / "out", overrides=SMALL, how=INLINE)
    assert answer.task == "arrays"
    assert not answer.failures
    assert answer.winner.test_accuracy > 0.5
    assert {path.name for path in Path(answer.checkpoint).iterdir()} == FILES


def test_a_dataset_of_the_hub_is_ranked(tmp_path, monkeypatch):
    root = tmp_path / "data"
    for number, split in enumerate(("train", "val", "test")):
        root.mkdir(exist_ok=True)
        rows = zip(*language.sentences(24 + 3 * number, number), strict=True)
        (root / f"{split}.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    model = language.folder(tmp_path / "zoo" / "bert", "bert")
    with Hub() as hub:
        hub.point(monkeypatch, tmp_path / "home")
        hub.add("me/reviews", root, kind="dataset")
        answer = rank("me/reviews", str(model), budget=1, strategy="linear", out=tmp_path / "out", how=INLINE,
                      overrides=["finetune.steps=2", "finetune.text.batch=4", *SMALL[-2:]])  # fmt: skip
    assert answer.task == "reviews"
    assert not answer.failures
    assert answer.winner.examples == 30
    assert (Path(answer.checkpoint) / "head.safetensors").is_file()


MANY = """
import io, resource, sys
from pathlib import Path
import numpy as np
from PIL import Image
from sweeps.hands import How
from sweeps.ranking import rank

folder, number = Path(sys.argv[1]), int(sys.argv[2])
random, stock = np.random.default_rng(0), []
for label in range(5):
    (folder / "data" / f"class_{label}").mkdir(parents=True)
    image = io.BytesIO()
    Image.fromarray(random.integers(0, 200, (16, 16, 3)).astype(np.uint8)).save(image, "PNG")
    stock.append(image.getvalue())
for index in range(number):  # what follows the image makes each file another one
    (folder / "data" / f"class_{index % 5}" / f"{index}.png").write_bytes(stock[index % 5] + index.to_bytes(4, "big"))
begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
answer = rank(folder / "data", sys.argv[3], finetune=False, strategy="linear", out=folder / "out",
              overrides=sys.argv[4:], how=How(executor="inline"))
assert not answer.failures
print(begun // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_stays_under_the_bound_that_the_page_states(tmp_path):
    """Features are of at most ``embed.examples``, mapped pixels are let go of: what grows is the list of the images."""
    zoo = tmp_path / "zoo.toml"
    zoo.write_text(
        f'[[model]]\nname = "tiny"\nsource = "factory:tiny:build"\npath = "{DOUBLES}"\nargs = {{width = 8}}\n'
    )
    peaks = {}
    for number in (1000, 9000):
        words = [sys.executable, "-c", MANY, tmp_path / str(number), str(number), zoo, *SMALL[:1], *SMALL[-2:],
                 "embed.examples=600"]  # fmt: skip
        done = subprocess.run(list(map(str, words)), cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        before, after = map(int, done.stdout.split()[-2:])
        peaks[number] = after - before
    assert peaks[9000] - peaks[1000] < BOUND


def test_a_zoo_file_with_more_than_models_is_one_clear_line(place, tmp_path):
    sweep = tmp_path / "sweep.toml"
    sweep.write_text('name = "x"\n[finetune]\nsteps = 3\n[[model]]\nname = "a"\nsource = "timm:resnet18"\n')
    found = CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(
        app, ["rank", str(place / "data"), "--zoo", str(sweep), "--dry-run"]
    )
    assert found.exit_code == 2
    (line,) = [line for line in found.output.splitlines() if line.strip()]
    assert "sweep.toml" in line
    assert "a zoo holds models alone" in line
    assert "finetune, name" in line
