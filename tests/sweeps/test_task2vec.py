"""Task embeddings in the sweep: what is planned, the same numbers from every worker, faults in one line, the replay."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sweeps.cluster.worker import Setup, Worker
from sweeps.config import parse
from sweeps.errors import ConfigError, ModelError
from sweeps.hands import How
from sweeps.jobs.context import Context
from sweeps.jobs.embed import embed_job, feature_file
from sweeps.jobs.task2vec import run as embed_task
from sweeps.run import plan, run
from sweeps.settings import ModelEntry, TaskEntry
from sweeps.store import Store
from sweeps.tasks.registry import from_images
from sweeps.types import Job
from sweeps.zoo.load import load
from sweeps.zoo.registry import resolve_entry
from taskrel.task2vec import fisher, fit_head
from tests.conftest import DOUBLES, draw_folder, tiny_config

SETTINGS = {"method": "montecarlo", "images": 100, "batch": 8, "draws": 1, "seed": 0,
            "embed": {"batch": 16, "image_size": 16}}  # fmt: skip
STRATEGIES = ["linear", "task2vec", "hybrid_task2vec"]
INLINE = How(executor="inline")


def probe(function: str = "build", **args):
    return resolve_entry(
        ModelEntry(name=f"tiny-{function}", source=f"factory:tiny:{function}", path=str(DOUBLES),
                   args={"width": 6, **args})
    )  # fmt: skip


def job(task, model=None, **changes):
    return Job("task2vec", 1, model or probe(), task, SETTINGS | changes)


def units(task, context, model=None, **changes):
    (row,) = embed_task(job(task, model, **changes), context)["embeddings"]
    return np.array(row["units"])


@pytest.fixture
def context(tmp_path):
    torch.set_num_threads(1)
    return Context(tmp_path / "cache")


@pytest.fixture
def task(tmp_path):
    return from_images(TaskEntry(name="t", path=str(draw_folder(tmp_path / "t"))), seed=0)


@pytest.fixture
def embedded(two_tasks):
    """A sweep of two tasks with their embeddings."""
    draw_folder(two_tasks / "third", classes=3, seed=2)
    tuning = {"learning_rates": [0.1], "steps": 4, "batch": 8, "repeats": 1}
    return tiny_config(two_tasks, search=None, finetune=tuning, task2vec={"probe": "tiny_4"},
                       regret={"bootstrap": 20, "strategies": STRATEGIES, "answer": "linear"})  # fmt: skip


def test_one_job_for_each_task_and_none_without_the_section(embedded):
    _, tasks, jobs, _ = plan(parse(embedded))
    mine = [one for one in jobs if one.kind == "task2vec"]
    assert [one.task for one in mine] == list(tasks)
    assert {one.model.name for one in mine} == {"tiny_4"}
    features = {one.id: one for one in jobs if one.kind == "embed"}
    for one in mine:
        (needed,) = (features[need] for need in one.needs)
        assert (needed.model, needed.task) == (one.model, one.task)
    bare = embedded | {"task2vec": None, "regret": {}, "proxies": {"knn": {}, "linear": {}}}
    assert not [one for one in plan(parse(bare))[2] if one.kind == "task2vec"]


@pytest.mark.parametrize(("change", "same"), [({"steps": 3}, True), ({"draws": 2}, False), ({"images": 9}, False),
                                              ({"method": "variational"}, False)])  # fmt: skip
def test_a_setting_of_the_other_method_is_no_other_job(embedded, change, same):
    def ids(section):
        return {one.id for one in plan(parse(embedded | {"task2vec": section}))[2] if one.kind == "task2vec"}

    first = ids({"probe": "tiny_4"})
    assert (ids({"probe": "tiny_4", **change}) == first) == same
    assert first.isdisjoint(ids({"probe": "tiny_8"}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task2vec": {"probe": "tiny_5"}}, "task2vec.probe must be a model of the sweep, got 'tiny_5'; did you mean"),
        ({"task2vec": None}, r"strategy 'task2vec' needs a \[task2vec\] section, got none"),
        (
            {"task2vec": {"probe": "tiny_4", "drawz": 1}},
            "task2vec.drawz must be a known key, got 'drawz'; did you mean",
        ),
    ],
)
def test_refused_before_anything_runs(embedded, change, says):
    with pytest.raises(ConfigError, match=says):
        plan(parse(embedded | change))


def test_the_information_of_the_body_with_a_head_fitted_to_the_task(context, task):
    """By hand: features of all training images, a head on them, the Fisher information of that network."""
    loaded = load(probe(), classes=3, view={"image_size": 16})
    examples = context.examples(task, "train", loaded)
    inputs, labels = examples[slice(None)], examples.labels
    with torch.inference_mode():
        pooled = loaded.module.body(inputs).mean(dim=(2, 3))
    loaded.module.fc = fit_head(pooled.clone(), labels, 3)
    exact = fisher(loaded.module, [(inputs, labels)], head="fc", draws=None)
    found = units(task, context, draws=300)
    assert found.shape == (6,)
    assert (found > 0).all()
    assert found == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("method", [{"draws": 1}, {"method": "variational", "steps": 5}])
def test_the_same_numbers_from_every_worker_and_every_time(tmp_path, context, task, method):
    other = from_images(TaskEntry(name="u", path=str(draw_folder(tmp_path / "u", classes=4, seed=1))), seed=0)
    first = units(task, context, **method)
    elsewhere = units(other, context, **method)
    assert (units(task, context, **method) == first).all()
    assert (units(task, Context(tmp_path / "elsewhere"), **method) == first).all()
    assert not (elsewhere == first).any()


def test_at_most_so_many_images_are_looked_at(context, task):
    row = embed_task(job(task, images=10), context)["embeddings"][0]
    assert (row["images"], row["probe"], row["method"]) == (10, "tiny-build", "montecarlo")
    assert 0 <= row["head_accuracy"] <= 1
    assert row["units"] != units(task, context).tolist()


def test_a_task_of_one_class_is_a_failed_row_with_one_line(tmp_path, context, task):
    """Reading such a folder is refused; so it is the features kept for the task that have one class here."""
    kept = feature_file(embed_job(probe(), task, SETTINGS["embed"]), context)
    kept.parent.mkdir(parents=True)
    save_file({f"{split}.{part}": torch.zeros(5, 6) if part == "features" else torch.zeros(5, dtype=torch.int64)
               for split in ("train", "val") for part in ("features", "labels")}, kept)  # fmt: skip
    outcome = Worker(Setup(cache=context.cache, device="cpu")).run(job(task))
    assert not outcome.ok
    assert not outcome.rows
    assert outcome.job["error"] == "task 't' must have at least two classes to be embedded, got 1"


def test_a_probe_must_end_in_a_linear_layer(context, task):
    with pytest.raises(ModelError, match="probe 'tiny-convolved' must end in a linear layer, got Conv2d"):
        embed_task(job(task, probe("convolved", kernel=3)), context)


def test_a_head_that_is_a_convolution_of_one_pixel_is_a_linear_layer(context, task):
    """As in pre-activation ResNets; the probe has its own head back afterwards."""
    model = probe("convolved")
    assert units(task, context, model) == pytest.approx(units(task, context), rel=1e-4)
    loaded = context.model(model, classes=3, settings={"image_size": 16})
    embed_task(job(task, model), context)
    assert loaded.module.fc is loaded.head


def test_a_sweep_embeds_compares_and_replays(embedded, tmp_path):
    result = run(parse(embedded), tmp_path / "out", INLINE)
    assert not result.failures
    store = Store(result.out)
    assert {row["task"]: len(row["units"]) for row in store.rows("embeddings")} == dict.fromkeys(
        ("first", "second", "third"), 4
    )
    near = result.derived["neighbours"]
    assert [(row["task"], row["rank"]) for row in near] == [
        (t, r) for t in ("first", "second", "third") for r in (1, 2)
    ]
    nearest = {row["task"]: row["other"] for row in near if row["rank"] == 1}
    reached = {(row["task"], row["model"]): row["accuracy"] for row in result.derived["accuracies"]}
    chosen = [row for row in result.derived["regret"] if (row["strategy"], row["budget"]) == ("task2vec", 1)]
    assert len(chosen) == 3
    for row in chosen:
        there = nearest[row["task"]]
        assert row["picks"] == [max(("tiny_4", "tiny_8"), key=lambda model: (reached[there, model], -len(model)))]
        assert f"on '{there}'" in row["reasons"][0]
        assert row["cost_seconds"] > 0
    assert {row["strategy"] for row in result.derived["strategies"]} == set(STRATEGIES)
    text = result.report.read_text()
    assert "Which tasks are alike?" in text
    assert "Fisher information of tiny_4" in text
    counted = result.sql("select count(*) as n from embeddings join neighbours using (task)").to_pylist()
    assert counted == [{"n": 6}]
