"""The hub's door, against a hub on this machine: pinned, whole, resumed, cached, or one line that says why not."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

from sweeps.config import parse
from sweeps.errors import DataError, ModelError
from sweeps.hands import How
from sweeps.hub import Repository
from sweeps.run import run
from sweeps.settings import ModelEntry, TaskEntry
from sweeps.store import Store
from sweeps.tasks import texts
from sweeps.tasks.registry import from_texts
from sweeps.tasks.registry import resolve as resolve_tasks
from sweeps.zoo.load import load
from sweeps.zoo.registry import resolve_entry
from tests.conftest import ROOT, SHARED
from tests.doubles import language
from tests.doubles.hub import STRANGER, TOKEN, Cut, Hub, Spoilt, Status

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def server():
    with Hub() as hub:
        yield hub


@pytest.fixture
def hub(server, monkeypatch, tmp_path):
    """The server with nothing in it, and an empty cache."""
    server.repos.clear()
    server.moved.clear()
    server.forget()
    server.point(monkeypatch, tmp_path / "home")
    return server


@pytest.fixture
def folder(tmp_path):
    """Two small files, one in LFS and one that nobody wants."""
    path = tmp_path / "folder"
    path.mkdir()
    (path / "config.json").write_text('{"a": 1}')
    (path / "vocab.txt").write_text("a b c")
    (path / "flax_model.msgpack").write_bytes(b"x" * 9)
    (path / WEIGHTS).write_bytes(os.urandom(30_000))
    return path


def repository(place="me/tiny", kind="model"):
    return Repository(f"{kind} 'x'", place, kind)


def fetched(place="me/tiny", revision="", patterns=("*.json", "*.txt", "*.safetensors")):
    there = repository(place)
    return there.fetch(there.commit(revision), patterns)


def same(found, folder, names=("config.json", "vocab.txt", WEIGHTS)):
    return {path.name for path in found.iterdir()} == set(names) and all(
        (found / name).read_bytes() == (folder / name).read_bytes() for name in names
    )


def test_a_revision_is_pinned_once(hub, folder, monkeypatch, tmp_path):
    first = hub.add("me/tiny", folder)
    (folder / "config.json").write_text('{"a": 2}')
    hub.add("me/tiny", folder, revision="v2")
    assert repository().commit() == first
    assert repository().commit("v2") != first
    hub.forget()
    (folder / "config.json").write_text('{"a": 3}')
    third = hub.add("me/tiny", folder)
    assert (repository().commit(), repository().commit("main"), repository().commit(third)) == (first, first, third)
    assert not hub.requests
    hub.point(monkeypatch, tmp_path / "elsewhere")
    assert repository().commit() == third


def test_files_come_whole_once_and_only_those_asked_for(hub, folder):
    commit = hub.add("me/tiny", folder)
    found = fetched()
    assert same(found, folder)
    assert found.name == commit
    assert len(hub.asked("GET", "cdn")) == 1
    assert not any("msgpack" in each.path for each in hub.requests)
    hub.forget()
    assert fetched() == found
    assert not hub.requests
    assert (fetched(patterns=("*.msgpack",)) / "flax_model.msgpack").is_file()
    assert len(hub.asked("HEAD")) == 1


def test_a_renamed_repository_and_long_lists(hub, folder, monkeypatch, tmp_path):
    hub.add("me/tiny", folder)
    hub.moved["tiny"] = "me/tiny"
    assert same(fetched("tiny"), folder)
    monkeypatch.setattr(hub, "page", 1)
    hub.point(monkeypatch, tmp_path / "elsewhere")
    assert same(fetched(), folder)


def test_a_download_that_is_cut_goes_on_where_it_was(hub, folder):
    hub.add("me/tiny", folder)
    hub.trouble(WEIGHTS, Cut(20_000))
    assert same(fetched(), folder)
    assert [(each.range, each.status) for each in hub.asked("GET", "cdn")] == [(None, 200), ("bytes=16384-", 206)]


def test_a_busy_hub_is_asked_again(hub, folder):
    hub.add("me/tiny", folder)
    hub.trouble("/revision/main", Status(503), times=2)
    hub.trouble("recursive=true&expand=false", Status(429, {"Retry-After": "0"}))
    hub.trouble("config.json", Status(429, {"Retry-After": "0"}), times=2, method="HEAD")
    hub.trouble("vocab.txt", Status(500), method="HEAD")
    hub.trouble(WEIGHTS, Status(503), place="cdn")
    assert same(fetched(), folder)


@pytest.mark.parametrize("name", [WEIGHTS, "vocab.txt"])
@pytest.mark.parametrize("trouble", [Spoilt(), Spoilt(short=3)], ids=["changed", "short"])
def test_what_is_not_what_the_hub_states_is_fetched_again(hub, folder, name, trouble):
    hub.add("me/tiny", folder)
    hub.trouble(name, trouble)
    assert same(fetched(), folder)


@pytest.mark.parametrize(
    ("path", "trouble", "method", "says"),
    [
        (WEIGHTS, Spoilt(), "GET", "must have the checksum that the hub states, it came 4 times with another"),
        (WEIGHTS, Spoilt(short=3), "GET", "a file came shorter than the hub states, 4 times"),
        (WEIGHTS, Cut(0), "GET", "got no answer from http.*without sending complete message body.*is there a network"),
        (WEIGHTS, Status(500), "HEAD", "the hub answered 500 each time; try again later"),
        ("/revision/main", Status(429, {"Retry-After": "0"}), "GET", "the hub answered 429 each time"),
        ("config.json", Status(401), "HEAD", "the hub refused the token"),
    ],
)
def test_what_stays_wrong_is_one_line_and_leaves_nothing_behind(hub, folder, path, trouble, method, says):
    hub.add("me/tiny", folder)
    hub.trouble(path, trouble, times=99, method=method)
    with pytest.raises(ModelError, match=f"^model 'x': .*{says}") as caught:
        fetched()
    assert len(str(caught.value).splitlines()) == 1
    hub.forget()
    assert same(fetched(), folder)


@pytest.mark.parametrize(
    ("place", "revision", "token", "says"),
    [
        ("me/gated", "", None, "me/gated is gated: accept its terms on the repository's page, then log in"),
        ("me/gated", "", STRANGER, "me/gated is gated: this account has no access yet"),
        ("me/private", "", None, "me/private must be a folder or a model of the hub that you may read, got none"),
        ("me/private", "", STRANGER, "me/private must be a folder or a model of the hub that you may read, got none"),
        ("me/none", "", None, "me/none must be a folder or a model of the hub that you may read, got none"),
        ("me/tiny", "v9", None, "revision 'v9' must be a branch, tag or commit of me/tiny, got no such"),
        ("me/tiny", "0" * 40, None, "revision '0{40}' must be a branch, tag or commit of me/tiny, got no such"),
        ("not/an/id", "", None, "not/an/id must be a folder or a model of the hub"),
        ("me/tiny", "", "hf_expired", "me/tiny: the hub refused the token .401.; log in again"),
    ],
)
def test_what_may_not_be_read_is_one_line(hub, folder, monkeypatch, tmp_path, place, revision, token, says):
    hub.add("me/tiny", folder)
    hub.add("me/gated", folder, gated=True)
    hub.add("me/private", folder, private=True)
    hub.point(monkeypatch, tmp_path / "home", token=token)
    with pytest.raises(ModelError, match=f"^model 'x': {says}") as caught:
        fetched(place, revision)
    assert len(str(caught.value).splitlines()) == 1


def test_a_token_opens_gates_and_is_told_to_nobody(hub, folder, monkeypatch, tmp_path, caplog):
    hub.add("me/gated", folder, gated=True)
    hub.add("me/private", folder, private=True)
    hub.point(monkeypatch, tmp_path / "home", token=TOKEN)
    with caplog.at_level(logging.DEBUG, logger="huggingface_hub"):
        assert same(fetched("me/gated"), folder)
        assert same(fetched("me/private"), folder)
        hub.trouble("/revision/v2", Status(400, {"X-Error-Message": f"what is {TOKEN}?"}))
        with pytest.raises(ModelError) as caught:
            fetched("me/gated", "v2")
    assert {each.token for each in hub.asked(place="cdn")} == {None}
    assert {each.token for each in hub.asked(place="hub")} == {TOKEN}
    assert TOKEN not in caplog.text + str(caught.value)


def test_room_on_the_disk_is_looked_at_first(hub, folder, monkeypatch):
    hub.add("me/tiny", folder)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100_020_000))
    with pytest.raises(ModelError, match=r"me/tiny needs 0\.0 MB in .*, got 100\.0 MB free; make room or set HF_HOME"):
        fetched()
    assert not hub.asked("HEAD")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100_040_000))
    assert same(fetched(), folder)


def test_a_cache_that_may_not_be_written(hub, folder, monkeypatch, tmp_path):
    hub.add("me/tiny", folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    with pytest.raises(ModelError, match=r"the cache .*file/hub must be readable and writable, got"):
        fetched()


def test_offline_the_cache_is_enough(hub, folder, monkeypatch, tmp_path):
    commit = hub.add("me/tiny", folder)
    (fetched(patterns=("*.json",)) / "config.json").read_text()
    hub.point(monkeypatch, tmp_path / "home", offline=True)
    with pytest.raises(
        ModelError, match=r"whole in the cache .*home/hub while offline \(HF_HUB_OFFLINE\), got neither"
    ):
        fetched()
    hub.point(monkeypatch, tmp_path / "home")
    found = fetched()
    hub.point(monkeypatch, tmp_path / "home", offline=True)
    hub.forget()
    assert fetched() == fetched(revision=commit) == found
    assert not hub.requests
    with pytest.raises(ModelError, match="me/other must be a folder, or whole in the cache"):
        fetched("me/other")


def test_without_a_network_the_cache_is_enough(folder, monkeypatch, tmp_path):
    with Hub() as gone:
        gone.add("me/tiny", folder)
        gone.add("me/other", folder)
        gone.point(monkeypatch, tmp_path / "home")
        found = fetched()
    assert fetched() == found
    with pytest.raises(ModelError, match=r"me/other must be .*, got no answer from http://127.* is there a network\?"):
        fetched("me/other")


def test_a_language_model_of_the_hub_is_the_one_in_the_folder(hub, tmp_path):
    import torch

    path = language.folder(tmp_path / "bert", "bert", classes=4)
    (path / "pytorch_model.bin").write_bytes(b"a pickle that nobody needs")
    (path / "onnx").mkdir()
    (path / "onnx" / "model.onnx").write_bytes(b"x" * 99)
    commit = hub.add("me/bert", path)
    model = resolve_entry(ModelEntry(name="m", source="transformers:me/bert"))
    assert (model.revision, model.content["source"]) == (commit, "transformers:me/bert")
    ours, theirs = load(model), load(resolve_entry(ModelEntry(name="m", source=f"transformers:{path}")))
    assert not any(name in each.path for each in hub.requests for name in (".bin", ".onnx"))
    inputs = {"input_ids": torch.tensor([[2, 5, 9, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.int64)}
    assert all(torch.equal(one, two) for one, two in zip(ours.embed(inputs), theirs.embed(inputs), strict=True))
    hub.forget()
    load(resolve_entry(ModelEntry(name="m", source="transformers:me/bert")))
    assert not hub.requests
    torch.save(ours.source.state_dict(), path / "pytorch_model.bin")
    (path / WEIGHTS).unlink()
    hub.add("me/pickled", path)
    pickled = load(resolve_entry(ModelEntry(name="m", source="transformers:me/pickled")))
    assert torch.equal(pickled.embed(inputs)[0], ours.embed(inputs)[0])
    hub.add("me/nothing", language.jsonl(tmp_path / "empty" / "a.jsonl").parent)
    with pytest.raises(ModelError, match=r"me/nothing must hold config\.json, got none; it is no transformers model"):
        load(resolve_entry(ModelEntry(name="m", source="transformers:me/nothing")))


def timm_folder(path, name="test_resnet"):
    import timm
    import torch

    torch.manual_seed(3)
    timm.models.save_for_hf(timm.create_model(name, num_classes=5), path, safe_serialization=True)
    return path


def test_timm_models_of_the_hub_are_those_in_the_folder(hub, tmp_path):
    import torch

    path = timm_folder(tmp_path / "tiny")
    commits = {place: hub.add(place, path) for place in ("me/tiny", "timm/test_resnet.r160_in1k")}
    images = torch.rand(2, 3, 64, 64)

    def found(source, **more):
        model = resolve_entry(ModelEntry(name="m", source=source, **more))
        return model, load(model)

    _, local = found(f"local-dir:{path}")
    expected, probabilities = local.embed(images)
    own, loaded = found("hf-hub:me/tiny")
    assert own.revision == commits["me/tiny"]
    assert all(torch.equal(one, two) for one, two in zip(loaded.embed(images), (expected, probabilities), strict=True))
    named, loaded = found("timm:test_resnet.r160_in1k", args={"num_classes": 0})
    assert named.revision == commits["timm/test_resnet.r160_in1k"]
    assert torch.equal(loaded.embed(images)[0], expected)
    hub.forget()
    found("hf-hub:me/tiny@main")
    found("timm:test_resnet.r160_in1k", args={"num_classes": 0})
    assert not hub.requests
    with pytest.raises(ModelError, match=r"^model 'm': me/none must be a folder or a model of the hub"):
        found("hf-hub:me/none")
    hub.add("me/text", language.jsonl(tmp_path / "empty" / "a.jsonl").parent)
    with pytest.raises(ModelError, match=r"me/text must hold .*, got none; it is no timm model"):
        found("hf-hub:me/text")
    unknown = resolve_entry(ModelEntry(name="m", source="timm:test_vit.r160_in1k"))  # planned, and fails as a job
    assert unknown.revision.startswith("timm-")
    with pytest.raises(
        ModelError, match=r"^model 'm': timm/test_vit\.r160_in1k must be a folder or a model of the hub"
    ):
        load(unknown)


CARD = """---
configs:
- config_name: small
  data_files:
  - split: train
    path: data/small-train.csv
  - split: validation
    path: [data/small-val*.csv]
  - split: test
    path: data/small-test.csv
- config_name: large
  data_files: huge/*.csv
  default: true
---
"""


def csv(path, count=30, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = zip(*language.sentences(count, seed), strict=True)
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))


def task(place, **more):
    texts._cached.cache_clear()
    return from_texts(TaskEntry(name="x", dataset=place, text="text", **more), seed=0)


def test_a_dataset_of_the_hub(hub, tmp_path, monkeypatch):
    """With a card: the files of the configuration. Without: those of its folder, or all data."""
    root = tmp_path / "data"
    for number, split in enumerate(("train", "val", "test")):
        csv(root / "data" / f"small-{split}.csv", 30 + 3 * number, number)
        csv(root / "plain" / f"{split}.csv", 12 + 3 * number, number)
    csv(root / "huge" / "part.csv", 60)
    (root / "script.py").write_text("raise SystemExit")
    hub.add("me/plain", root / "plain", kind="dataset")
    hub.add("me/parquet", root, kind="dataset", revision="refs/convert/parquet")
    (root / "README.md").write_text(CARD)
    commit = hub.add("me/carded", root, kind="dataset")

    small = task("me/carded", subset="small")
    assert (small.sizes, small.classes) == ({"train": 30, "val": 33, "test": 36}, ("negative", "positive", "strange"))
    assert small.reading["revision"] == commit
    assert not any("huge" in each.path or ".py" in each.path for each in hub.asked("HEAD"))
    assert sum(task("me/carded").sizes.values()) == 60
    hub.forget()
    assert task("me/carded", subset="small") == small
    assert task("me/plain").sizes == {"train": 12, "val": 15, "test": 18}
    known = task("me/parquet", subset="plain", revision="refs/convert/parquet")
    assert known.sizes == {"train": 12, "val": 15, "test": 18}
    assert not [each for each in hub.requests if "carded" in each.path]
    hub.forget()
    hub.point(monkeypatch, tmp_path / "home", offline=True)
    texts._cached.cache_clear()
    assert len(texts.split_of(small, "test").texts) == 36
    assert not hub.requests


def test_the_papers_tasks_are_read_as_their_repositories_are_laid_out(hub, tmp_path):
    """GLUE: one folder per subset, named in its card; TREC: made by a script, so read from the hub's conversion."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(path, labels, **columns):
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"label" if "trec" not in str(path) else "coarse_label": labels, **columns}), path)

    glue, trec = tmp_path / "glue", tmp_path / "trec"
    for split, numbers in (("train", [0, 1] * 10), ("validation", [0, 1] * 3), ("test", [-1] * 4)):
        one, two = ([f"{word} {index}" for index in range(len(numbers))] for word in ("why", "how"))
        write(glue / "qqp" / f"{split}-00000-of-00001.parquet", numbers, question1=one, question2=two, idx=numbers)
        write(glue / "cola" / f"{split}-00000-of-00001.parquet", numbers, sentence=one, idx=numbers)
        write(trec / "default" / split / "0000.parquet", numbers, text=one, fine_label=numbers)
    (trec / "default" / "validation" / "0000.parquet").unlink()
    subsets = [{"config_name": name, "data_files": [{"split": split, "path": f"{name}/{split}-*"}
                for split in ("train", "validation", "test")]} for name in ("qqp", "cola")]  # fmt: skip
    (glue / "README.md").write_text(f"---\nconfigs: {json.dumps(subsets)}\n---\n")
    for split in ("train", "test"):
        labels = [0, 1] * 10
        write(trec / "default" / split / "0000.parquet", labels, text=[f"{index} is" for index in labels])
    hub.add("nyu-mll/glue", glue, kind="dataset")
    hub.add("CogComp/trec", trec, kind="dataset", revision="refs/convert/parquet")
    found, faults = resolve_tasks(parse({"name": "x", "models": ["m"], "tasks": ["hub/glue_qqp", "hub/trec"]}))
    assert not faults
    assert [task.sizes for task in found] == [{"train": 16, "val": 4, "test": 6}, {"train": 16, "val": 4, "test": 20}]
    assert texts.split_of(found[0], "test").pairs[:2] == ["how 0", "how 1"]
    assert not any("cola" in each.path for each in hub.asked("HEAD"))


def test_a_dataset_that_cannot_be_had_is_one_line(hub, tmp_path):
    (tmp_path / "scripted").mkdir()
    (tmp_path / "scripted" / "scripted.py").write_text("raise SystemExit")
    csv(tmp_path / "private" / "train.csv")
    hub.add("me/scripted", tmp_path / "scripted", kind="dataset")
    hub.add("me/private", tmp_path / "private", kind="dataset", private=True)
    hub.add("me/gated", tmp_path / "private", kind="dataset", gated=True)
    for place, says in (
        ("me/none", "me/none must be a folder or a data set of the hub that you may read"),
        ("me/private", "me/private must be a folder or a data set of the hub that you may read"),
        ("me/gated", "me/gated is gated: accept its terms"),
        ("me/scripted", 'the dataset must load from me/scripted.*files made by a script .* "refs/convert/parquet"'),
    ):
        with pytest.raises(DataError, match=f"^task 'x': {says}") as caught:
            task(place)
        assert len(str(caught.value).splitlines()) == 1


def test_a_sweep_from_the_hub_and_again_without_it(hub, tmp_path, monkeypatch):
    """Gated: with a token, which no table holds; a repository that may not be read is a failed task."""
    path = language.folder(tmp_path / "bert", "bert")
    for number, split in enumerate(("train", "val", "test")):
        csv(tmp_path / "data" / f"{split}.csv", 30, number)
    commit = hub.add("me/bert", path, gated=True)
    hub.add("me/data", tmp_path / "data", kind="dataset")
    hub.point(monkeypatch, tmp_path / "home", token=TOKEN)
    config = parse({
        "name": "x", "models": ["transformers:me/bert"], "proxies": {"knn": {}}, "search": None,
        "task": [{"name": "data", "dataset": "me/data", "text": "text"},
                 {"name": "none", "dataset": "me/none", "text": "text"}],
        "finetune": {"repeats": 1, "evaluations": 1, "text": {"learning_rates": [1e-3], "steps": 2}},
        "regret": {"strategies": ["oracle", "random"], "bootstrap": 10, "answer": "oracle"},
    })  # fmt: skip
    first = run(config, tmp_path / "one", How(executor="inline"))
    assert [row["task"] for row in first.failures] == ["none"]
    assert [(row["model"], row["revision"]) for row in Store(first.out).rows("models")] == [("me/bert", commit)]
    written = b"".join(path.read_bytes() for path in first.out.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written
    assert b"me/none must be a folder or a data set of the hub" in written
    hub.forget()
    texts._cached.cache_clear()
    run(parse(json.loads(config.model_dump_json()) | {"task": [config.task[0].model_dump(exclude_none=True)]}),
        tmp_path / "two", How(executor="inline"))  # fmt: skip
    assert not hub.requests


@pytest.mark.real
def test_a_real_model_of_the_hub(hub):
    import torch

    path = SHARED / "real" / "models" / "timm" / "mobilenetv2_100.coral"
    hub.add("google/mobilenet", path)
    hub.trouble(WEIGHTS, Cut(3_000_000))
    images = torch.rand(1, 3, 64, 64)
    ours, theirs = (load(resolve_entry(ModelEntry(name="m", source=source))).embed(images)
                    for source in ("hf-hub:google/mobilenet", f"local-dir:{path}"))  # fmt: skip
    assert all(torch.equal(one, two) for one, two in zip(ours, theirs, strict=True))
    assert [each.range for each in hub.asked("GET", "cdn")] == [None, "bytes=2998272-"]


def test_workers_of_one_machine_that_ask_at_once_download_once(hub, folder, tmp_path):
    commit = hub.add("me/tiny", folder)
    code = f"from sweeps.hub import Repository; Repository('m', 'me/tiny', 'model').fetch('{commit}', ['{WEIGHTS}'])"
    hub.forget()
    processes = [subprocess.Popen([sys.executable, "-c", code], env=hub.environment(tmp_path / "node"), cwd=ROOT)
                 for _ in range(3)]  # fmt: skip
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(hub.asked("GET", "cdn")) == 1
