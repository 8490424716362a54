"""``sweeps rank``: from a folder to a winner whose checkpoint plain timm loads; one-line errors; nothing done twice."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from typer.testing import CliRunner

from sweeps.cli import app
from sweeps.errors import ConfigError, DataError
from sweeps.hands import How
from sweeps.ranking import prepare, rank
from sweeps.ranking.data import task_entry
from sweeps.ranking.pool import models
from sweeps.store import Store
from sweeps.tasks.repositories import columns_of
from tests.conftest import ROOT, draw_folder

runner = CliRunner(env={"COLUMNS": "140", "TERM": "dumb", "NO_COLOR": "1"})
SMALL = ["embed.image_size=32", "embed.batch=16", "finetune.steps=6", "finetune.batch=8", "search.trials=1",
         "final.head=false"]  # fmt: skip
INLINE = How(executor="inline")
PLACE = {"place", "model", "reason", "tied", "scores", "chance_first", "picked", "val_accuracy", "test_accuracy"}
DOCUMENT = {"schema", "task", "strategy", "winner", "ranking", "within_a_point", "checkpoint", "report", "out",
            "seconds", "ran", "reused", "failures", "notes"}  # fmt: skip
WINNER = {"model", "method", "learning_rate", "val_accuracy", "test_accuracy", "low", "high", "right", "examples",
          "repeats", "licence"}  # fmt: skip


def call(*words):
    return runner.invoke(app, ["rank", *map(str, words)])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of images and a folder of two timm checkpoints with random weights."""
    folder = tmp_path_factory.mktemp("rank")
    draw_folder(folder / "data", sizes={"train": 10, "val": 5, "test": 6}, side=24)
    for seed, name in enumerate(("test_resnet", "test_efficientnet")):
        torch.manual_seed(seed)
        model = timm.create_model(name, num_classes=7)
        timm.models.save_for_hf(model, folder / "zoo" / name, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def ranked(place):
    """The command's answer on it, and the document it printed."""
    words = [word for each in SMALL for word in ("--set", each)]
    result = call(place / "data", "--zoo", place / "zoo", "--budget", 2, "--executor", "inline", "--out",
                  place / "out", "--json", *words)  # fmt: skip
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_document_holds_what_its_page_says(ranked):
    assert set(ranked) == DOCUMENT
    assert set(ranked["winner"]) == WINNER
    assert all(set(row) == PLACE for row in ranked["ranking"])
    assert [row["place"] for row in ranked["ranking"]] == [1, 2]
    assert {row["model"] for row in ranked["ranking"]} == {"test_resnet", "test_efficientnet"}
    winner = ranked["winner"]
    assert winner["low"] <= winner["test_accuracy"] == winner["right"] / winner["examples"] <= winner["high"]
    assert winner["examples"] == 18
    assert winner["method"] == "fine-tuned"
    assert len(winner["repeats"]) == 1
    assert ranked["within_a_point"] == 1.0  # every model was fine-tuned
    assert ranked["ran"]["export"] == 1
    assert not any(ranked["reused"].values())
    assert ranked["seconds"]["all"] > 0


_RELOAD = """
import sys, pathlib, timm, torch
from PIL import Image, ImageOps
folder, data = sys.argv[1:]
model = timm.create_model("local-dir:" + folder, pretrained=True).eval()
names = model.pretrained_cfg["label_names"]
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
files = sorted(pathlib.Path(data).glob("test/*/*"))
images = torch.stack([transform(ImageOps.exif_transpose(Image.open(file)).convert("RGB")) for file in files])
with torch.inference_mode():
    answers = model(images).argmax(1).tolist()
assert "sweeps" not in sys.modules
print(sum(names[answer] == file.parent.name for answer, file in zip(answers, files)), len(files))
"""


def test_plain_timm_loads_the_checkpoint_and_finds_the_same_accuracy(ranked, place, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", _RELOAD, ranked["checkpoint"], str(place / "data")], cwd=tmp_path,
                          capture_output=True, text=True, env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(ranked["winner"]["right"]), str(ranked["winner"]["examples"])]
    card = (place / "out" / "checkpoints" / "data" / "README.md").read_text()
    assert f"{ranked['winner']['test_accuracy']:.4f}" in card
    assert "class_0, class_1, class_2" in card


def test_a_checkpoint_whose_weights_are_gone_is_trained_again_to_the_same(ranked, place):
    out = place / "again"
    shutil.copytree(place / "out", out)
    shutil.rmtree(out / "cache")
    answer = rank(place / "data", str(place / "zoo"), out=out, budget=2, overrides=SMALL, how=INLINE)
    assert answer.ran == {"export": 1}
    (row,) = [row for row in Store(out).rows("checkpoints") if row["trained_again"]]
    assert row["test_accuracy"] == ranked["winner"]["test_accuracy"]
    for name in ("model.safetensors", "config.json"):
        kept, made = (folder / "checkpoints" / "data" / name for folder in (place / "out", out))
        assert kept.read_bytes() == made.read_bytes()


def test_the_same_question_measures_nothing(ranked, place):
    answer = rank(place / "data", str(place / "zoo"), out=place / "out", budget=2, overrides=SMALL, how=INLINE)
    assert answer.ran == {}
    assert answer.winner.model == ranked["winner"]["model"]
    assert [each.model for each in answer.picks] == [row["model"] for row in ranked["ranking"]]


def test_changed_data_embeds_the_new_rows_only(ranked, place, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(place / "data", data)
    shutil.copytree(place / "out", out)
    (data / "train" / "class_0" / "000.png").rename(data / "train" / "class_1" / "moved.png")  # relabelled
    (data / "train" / "class_2" / "003.png").unlink()  # removed
    pixels = np.random.default_rng(9).integers(0, 200, (24, 24, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(data / "train" / "class_2" / "new.png")
    answer = rank(data, str(place / "zoo"), out=out, finetune=False, overrides=SMALL[:2], how=INLINE)
    assert answer.winner is None
    rows = [row for row in Store(out).rows("features") if row["job"] not in
            {row["job"] for row in Store(place / "out").rows("features")}]  # fmt: skip
    assert [row["reused"] for row in rows] == [row["train"] + row["val"] - 1 for row in rows] == [44, 44]
    fresh = rank(data, str(place / "zoo"), out=tmp_path / "fresh", finetune=False, overrides=SMALL[:2], how=INLINE)
    for old, new in zip(answer.ranking, fresh.ranking, strict=True):
        assert old.model == new.model
        assert old.scores == pytest.approx(new.scores, rel=1e-3, abs=1e-4)  # 1e-6 of the features, through 5000 steps


def test_a_new_proxy_and_a_new_model_add_their_own_jobs_alone(ranked, place, tmp_path):
    out, zoo = tmp_path / "out", tmp_path / "zoo"
    shutil.copytree(place / "out", out)
    more = [*SMALL[:2], "proxies.ncc={}"]
    answer = rank(place / "data", str(place / "zoo"), out=out, finetune=False, overrides=more, how=INLINE)
    assert answer.ran == {"score": 2}
    assert answer.reused["embed"] == 2
    assert all("ncc" in each.scores for each in answer.ranking)
    shutil.copytree(place / "zoo", zoo)
    torch.manual_seed(7)
    timm.models.save_for_hf(timm.create_model("test_vit", num_classes=7), zoo / "test_vit", safe_serialization=True)
    wider = rank(place / "data", str(zoo), out=out, finetune=False, overrides=more, how=INLINE)
    assert wider.ran == {"embed": 1, "score": len(answer.ranking[0].scores)}
    before = {each.model: each.scores for each in answer.ranking}
    assert before.items() <= {each.model: each.scores for each in wider.ranking}.items()


def test_without_fine_tuning_it_ranks(ranked, place):
    answer = rank(place / "data", str(place / "zoo"), out=place / "out", finetune=False, overrides=SMALL[:2],
                  how=INLINE)  # fmt: skip
    assert answer.ran == {}
    assert answer.winner is None
    assert answer.checkpoint is None
    assert 0 <= answer.within_a_point <= 1


def test_no_fine_tuning_begins_that_would_not_end_in_time(ranked, place):
    settings = [*SMALL, "seed=1"]
    answer = rank(place / "data", str(place / "zoo"), out=place / "out", max_seconds=0.001, overrides=settings,
                  how=INLINE)  # fmt: skip
    assert not answer.ran
    assert answer.winner is None
    assert any("not scored" in note and "test_resnet" in note for note in answer.notes)
    assert answer.within_a_point is None


def test_the_preprocessing_is_timms_bit_for_bit():
    from sweeps.types import Model
    from sweeps.zoo.load import load

    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (high, wide, 3)).astype(np.uint8)) for high, wide in
              ((40, 70), (33, 33), (300, 20))]  # fmt: skip
    for mode in ("center", "squash", "border"):
        config = {"crop_mode": mode, "mean": (0.3, 0.4, 0.5), "std": (0.2, 0.21, 0.22), "input_size": (3, 48, 48),
                  "crop_pct": 0.9, "interpolation": "bicubic"}  # fmt: skip
        loaded = load(Model("m", "timm:test_resnet", args={"pretrained_cfg_overlay": config}, pretrained=False))
        theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(loaded.module))
        for image in images:
            ours = loaded.normalise(loaded.geometry.transform()(image).permute(1, 2, 0)[None])
            assert torch.equal(ours[0].contiguous(), theirs(image)), mode


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["absent/", "--no-finetune"], "the data must be a folder"),
        (["data", "--budget", "0"], "budget must be above 0"),
        (["data", "--max-seconds", "-1"], "max_seconds must be above 0"),
        (["data", "--budget", "1"], "budget must be at least 2 for the strategy 'hybrid_linear'"),
        (["data", "--strategy", "liner"], "did you mean 'linear'"),
        (["data", "--strategy", "oracle"], "can pick before anything is fine-tuned"),
        (["data", "--zoo", "mini_nonsense"], "models must name known models"),
        (["data", "--zoo", "data"], "must hold folders with a config.json"),
        (["data", "--text", "body"], "columns must be named for a table only"),
        (["data", "--set", "finetune.stepz=2"], "did you mean 'steps'"),
        (["data", "--json", "--dry-run"], "--json must come without --dry-run"),
    ],
)
def test_errors_are_one_line_and_exit_2(words, says, place, monkeypatch):
    monkeypatch.chdir(place)
    result = call(*words)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_plan_asks_nothing_and_runs_nothing(place, tmp_path):
    result = call(place / "data", "--zoo", place / "zoo", "--dry-run", "--out", tmp_path / "out", "--max-seconds", 60)
    assert result.exit_code == 0
    assert "2 of 2 models are fine-tuned" in result.output
    assert "at most 60 s" in result.output
    assert not (tmp_path / "out").exists()


def test_columns_are_guessed_or_asked_for(tmp_path):
    (tmp_path / "a.csv").write_text("review,stars,split\ngood,5,train\n")
    with pytest.raises(DataError, match="--label"):
        task_entry(tmp_path / "a.csv", {})
    found = task_entry(tmp_path / "a.csv", {"label": "stars"})
    assert (found["text"], found["label"], found["split"], found["name"]) == ("review", "stars", "split", "a")
    (tmp_path / "b.jsonl").write_text('{"file": "x/1.jpg", "class": "cat", "note": "n"}\n')
    assert task_entry(tmp_path / "b.jsonl", {}) | {"path": ""} == {
        "name": "b", "path": "", "image": "file", "label": "class"}  # fmt: skip
    (tmp_path / "c.tsv").write_text("one\ttwo\tlabel\na\tb\tc\n")
    with pytest.raises(DataError, match="--text or --image"):
        task_entry(tmp_path / "c.tsv", {})
    assert task_entry(tmp_path / "c.tsv", {"text": "two"})["text"] == "two"
    (tmp_path / "d.txt").write_text("x")
    with pytest.raises(DataError, match=r"must be one of .*\.csv"):
        task_entry(tmp_path / "d.txt", {})
    np.savez(tmp_path / "e.npz", images=np.zeros(1))
    assert set(task_entry(tmp_path / "e.npz", {})) == {"name", "path"}
    assert task_entry("owner/set", {"text": "t", "label": "l"}) == {
        "name": "set", "dataset": "owner/set", "text": "t", "label": "l"}  # fmt: skip


def test_the_columns_of_a_dataset_are_asked_for(tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    for split in ("train", "test"):
        (tmp_path / "set" / f"{split}.csv").write_text("review,stars\ngood,5\nbad,1\n")
    assert columns_of("set", {"dataset": str(tmp_path / "set")}) == {"review": False, "stars": False}
    monkeypatch.setattr("sweeps.tasks.repositories._fetched", lambda *_: tmp_path / "set")
    assert task_entry("owner/set", {"label": "stars"}) == {
        "name": "set", "dataset": "owner/set", "text": "review", "label": "stars"}  # fmt: skip
    (tmp_path / "set" / "train.csv").unlink()
    with pytest.raises(DataError, match="owner/set is no file or folder, and as a dataset of the hub"):
        task_entry("owner/set", {"label": "stars"})


def test_a_zoo_is_names_a_file_a_checkpoint_or_a_folder_of_them(place, tmp_path):
    assert models(["mini_*, resnet18.a1_in1k", "mini_resnet_v1_50.mininet"])["models"] == [
        "mini_*", "resnet18.a1_in1k", "mini_resnet_v1_50.mininet"]  # fmt: skip
    (tmp_path / "zoo.toml").write_text('models = ["mini_*"]\n[[model]]\nname = "x"\nsource = "local-dir:x"\n')
    assert models([str(tmp_path / "zoo.toml")]) == {
        "models": ["mini_*"], "model": [{"name": "x", "source": f"local-dir:{tmp_path / 'x'}"}]}  # fmt: skip
    (tmp_path / "bad.toml").write_text("nmae = 'x'\n")
    with pytest.raises(ConfigError, match="must be a known key"):
        models([str(tmp_path / "bad.toml")])
    assert len(models(["small-cpu"])["model"]) > 5
    one = models([str(place / "zoo" / "test_resnet")])["model"]
    assert [entry["source"] for entry in one] == [f"local-dir:{place / 'zoo' / 'test_resnet'}"]
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    assert models([str(tmp_path)])["model"][0]["source"].startswith("transformers:")


def test_the_recipe_follows_the_size_of_the_data(place):
    ready = prepare(place / "data", str(place / "zoo"))
    assert (ready.config.finetune.steps, ready.config.finetune.batch, ready.config.finetune.budget) == (60, 32, 2)
    assert ready.config.finetune.models == "hybrid_linear"
    timed = prepare(place / "data", "mini_resnet_v2_50.*", max_gpu_hours=0.5)
    assert timed.how.max_device_seconds == 1800
    assert timed.config.finetune.budget == len(timed.planned[0])


def test_the_page_names_every_key_of_the_document():
    page = (ROOT / "docs" / "rank.md").read_text(encoding="utf-8")
    assert not [key for key in sorted(DOCUMENT | WINNER | PLACE) if f"`{key}`" not in page]


def test_the_python_on_the_page_runs(place, tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "rank.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(place)
    short = f"{str(place / 'zoo')!r}, out={str(place / 'out')!r}, overrides={SMALL}, how=how"
    names: dict = {"how": INLINE}
    exec(compile(block.replace('"mini_*"', short), "rank.md", "exec"), names)
    assert names["answer"].checkpoint.is_dir()
