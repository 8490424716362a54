"""Files and datasets of texts become tasks, or say in one line why not."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeps.config import parse
from sweeps.errors import ConfigError, DataError
from sweeps.settings import TaskEntry
from sweeps.tasks.hub import HUB_TASKS
from sweeps.tasks.registry import from_texts, resolve
from sweeps.tasks.texts import split_of
from tests.conftest import SHARED
from tests.doubles.language import sentences


def rows(count=60, **columns):
    texts, labels = sentences(count)
    return {"text": texts, "label": labels, **columns}


def write(path, columns):
    """A file of the kind that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif path.suffix == ".jsonl":
        lines = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    return path


def task(path, seed=0, **more):
    return from_texts(TaskEntry(**{"name": "mine", "path": str(path), "text": "text", **more}), seed)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_file_gives_the_same_task(tmp_path, suffix):
    columns = rows()
    columns["text"][7] = 'he said "good1, bad2"\nand\twent – très loin'
    found = task(write(tmp_path / f"t.{suffix}", columns))
    assert found.classes == ("negative", "positive", "strange")
    assert found.sizes == {"train": 36, "val": 9, "test": 15}
    known = dict(zip(columns["text"], columns["label"], strict=True))
    seen = []
    for split in found.sizes:
        part = split_of(found, split)
        assert [found.classes[label] for label in part.labels] == [known[text] for text in part.texts]
        seen += part.texts
    assert sorted(seen) == sorted(columns["text"])
    assert found.content == task(write(tmp_path / "elsewhere" / "again.csv", columns)).content
    assert found.content != task(tmp_path / f"t.{suffix}", seed=1).content


def test_a_split_column_and_files_per_split(tmp_path):
    names = ["train"] * 30 + ["dev"] * 15 + ["test"] * 15
    by_column = task(write(tmp_path / "one.csv", rows(part=names)), split="part")
    assert by_column.sizes == {"train": 30, "val": 15, "test": 15}
    every = rows()
    for name, span in (("train", slice(0, 30)), ("validation", slice(30, 45)), ("test", slice(45, 60))):
        write(tmp_path / "folder" / f"{name}.jsonl", {key: value[span] for key, value in every.items()})
    assert task(tmp_path / "folder").content == by_column.content
    named = {"train": "train.jsonl", "val": "validation.jsonl", "test": "test.jsonl"}
    assert task(tmp_path / "folder", splits=named).content == by_column.content
    (tmp_path / "folder" / "validation.jsonl").unlink()
    assert task(tmp_path / "folder").sizes == {"train": 24, "val": 6, "test": 15}


def test_labels_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    columns = rows(label=[10 - index % 3 for index in range(60)])
    assert task(write(tmp_path / "t.parquet", columns)).classes == ("8", "9", "10")
    assert task(write(tmp_path / "t.csv", columns)).classes == ("8", "9", "10")


def test_pairs(tmp_path):
    found = task(write(tmp_path / "t.csv", rows(other=[f"other {index}" for index in range(60)])), pair="other")
    part = split_of(found, "val")
    assert len(part.pairs) == len(part.texts) == 9
    assert all(pair.startswith("other ") for pair in part.pairs)


def spoiled(key, place, value):
    columns = rows()
    columns[key] = [*columns[key][:place], value, *columns[key][place + 1 :]]
    return columns


@pytest.mark.parametrize(
    ("suffix", "columns", "more", "says"),
    [
        ("csv", rows(), {"text": "texts"}, "a column must be there, got 'texts'; did you mean 'text'?"),
        ("csv", rows(), {"label": "stars"}, "a column must be there, got 'stars'"),
        ("csv", rows(), {"pair": "second"}, "a column must be there, got 'second'"),
        ("csv", rows(), {"split": "part"}, "a column must be there, got 'part'"),
        ("csv", rows(part=["train"] * 59 + ["trian"]), {"split": "part"},
         "the column 'part' must say train, val or test, got 'trian' in row 60"),
        ("csv", spoiled("text", 4, "  "), {}, "every text must hold something, got none in column 'text', row 5"),
        ("jsonl", spoiled("text", 4, None), {}, "every text must hold something, got none in column 'text', row 5"),
        ("csv", spoiled("label", 2, ""), {}, "every example must have a label, got '' in row 3"),
        ("jsonl", spoiled("label", 2, None), {}, "every example must have a label, got None in row 3"),
        ("parquet", rows(label=[0.0, float("nan"), *[1.0] * 58]), {}, "must have a label, got nan in row 2"),
        ("csv", rows(label=["same"] * 60), {}, "train must hold at least 2 classes, got 1"),
        ("csv", rows(label=["a", "b", *["c"] * 58]), {}, "must hold at least 3 texts to be split, got 1 in 'a'"),
        ("parquet", rows(text=list(range(60))), {}, "the column 'text' must hold text, got int64"),
        ("csv", rows(part=["train"] * 60), {"split": "part"}, None),
        ("csv", rows(part=["train"] * 40 + ["val"] * 20), {"split": "part"}, "test must be there beside train"),
        ("csv", rows(part=["train", "test"] * 30, label=[*["a", "b"] * 29, "a", "z"]), {"split": "part"},
         "train must hold at least 2 classes, got 1"),
        ("txt", rows(), {}, "a file must be one of .csv, .tsv"),
    ],
)  # fmt: skip
def test_faults_are_one_clear_line(tmp_path, suffix, columns, more, says):
    path = write(tmp_path / f"t.{suffix}", columns)
    if says is None:
        assert task(path, **more).sizes == {"train": 36, "val": 9, "test": 15}
        return
    with pytest.raises(DataError) as caught:
        task(path, **more)
    assert says in str(caught.value)
    assert str(caught.value).startswith("task 'mine': ")
    assert "\n" not in str(caught.value)


def test_places_that_are_not_there(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.parquet").write_bytes(b"PAR0")
    for path, says in (
        (tmp_path / "absent.csv", "path must be a file or a folder"),
        (tmp_path / "empty", "the folder must hold train.csv"),
        (tmp_path / "bad.parquet", "every file must be readable"),
    ):
        with pytest.raises(DataError, match=says):
            task(path)
    with pytest.raises(DataError, match=r"a file must be there, got .*x\.csv"):
        task(tmp_path / "empty", splits={"train": "x.csv"})


def test_entries_that_say_too_much_or_too_little():
    for more, says in (
        ({}, "either path or dataset must be given, got neither"),
        ({"path": "a", "dataset": "b"}, "either path or dataset must be given, got both"),
        ({"path": "a", "pair": "b"}, r"text \(or image\) must name a column, got pair without it"),
        ({"path": "a", "text": "t", "split": "s", "splits": {"train": "x"}}, "must not both be given"),
        ({"path": "a", "text": "t", "splits": {"dev": "x"}}, "splits.dev"),
    ):
        with pytest.raises(ConfigError, match=says):
            parse({"name": "x", "models": ["m"], "task": [{"name": "t", **more}]})


@pytest.fixture
def dataset(tmp_path):
    """A dataset folder as one has it on disk: parquet files without a script, class numbers with names."""
    import datasets

    texts, labels = sentences(60)
    names = datasets.ClassLabel(names=["strange", "positive", "negative"])
    for split, span in (("train", slice(0, 40)), ("validation", slice(40, 60))):
        part = datasets.Dataset.from_dict(
            {"sentence": texts[span], "label": [names.str2int(label) for label in labels[span]]},
            features=datasets.Features({"sentence": datasets.Value("string"), "label": names}),
        )
        part.to_parquet(tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet")
    return tmp_path / "set"


def test_a_dataset_by_its_place(dataset):
    entry = {"name": "d", "dataset": str(dataset), "text": "sentence"}
    found = from_texts(TaskEntry(**entry, splits={"train": "train", "test": "validation"}), seed=0)
    assert found.classes == ("negative", "positive", "strange")
    assert found.sizes == {"train": 34, "val": 6, "test": 20}
    assert split_of(found, "test").texts == sentences(60)[0][40:]
    for more, says in (
        (
            {"splits": {"train": "training"}},
            "a split of the dataset must be known, got 'training'; did you mean 'train'",
        ),
        ({"text": "text"}, "a column must be there, got 'text'"),
        ({"dataset": "nobody/nothing"}, "the dataset must load from nobody/nothing, got"),
    ):
        with pytest.raises(DataError) as caught:
            from_texts(TaskEntry(**entry | more), seed=0)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_papers_tasks_are_known_by_name():
    assert {"hub/yelp5", "hub/sst5", "hub/ag_news", "hub/dbpedia", "hub/trec", "hub/glue_cola"} < set(HUB_TASKS)
    assert HUB_TASKS["hub/glue_mnli"].splits == {"train": "train", "test": "validation_matched"}
    assert HUB_TASKS["hub/glue_mrpc"].pair == "sentence2"
    with pytest.raises(ConfigError, match="did you mean 'hub/ag_news'"):
        resolve(parse({"name": "x", "models": ["m"], "tasks": ["hub/agnews"]}))


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "classes", "sizes"),
    [
        ("sst5", 5, {"train": 800, "val": 200, "test": 1000}),
        ("sst5/full", 5, {"train": 8544, "val": 1101, "test": 2210}),
        ("trec6", 6, {"train": 800, "val": 200, "test": 500}),
        ("clinc150", 150, {"train": 2250, "val": 450, "test": 1500}),
    ],
)
def test_real_tasks(name, classes, sizes):
    """The numbers are those of the README there; labels.txt holds the names of the classes."""
    folder = SHARED / "real" / "tasks" / "text" / name
    found = task(folder)
    assert found.sizes == sizes
    assert len(found.classes) == classes
    listing = next(path for path in (folder / "labels.txt", folder.parent / "labels.txt") if path.is_file())
    assert set(found.classes) == set(listing.read_text(encoding="utf-8").split("\n")) - {""}
    with open(folder / "val.csv", encoding="utf-8", newline="") as file:
        plain = list(csv.DictReader(file))
    part = split_of(found, "val")
    assert part.texts == [row["text"] for row in plain]
    assert [found.classes[label] for label in part.labels] == [row["label"] for row in plain]
