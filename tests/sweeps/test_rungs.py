"""Halving over (model, rate) pairs: parts that make the whole run, who goes on, and the head on frozen features."""

import json
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from sweeps import picks
from sweeps.config import parse
from sweeps.costs import calibrated
from sweeps.errors import ConfigError
from sweeps.hands import How
from sweeps.jobs import embed, export, finetune, halfway, head, rung
from sweeps.jobs.context import Context
from sweeps.jobs.score import run as score
from sweeps.outlook import outlook
from sweeps.plan import grid, rungs
from sweeps.run import plan, run
from sweeps.settings import ModelEntry, TaskEntry
from sweeps.store import Store
from sweeps.tasks.registry import from_images
from sweeps.types import Job
from sweeps.zoo import checkpoint
from sweeps.zoo.registry import resolve_entry
from tests.conftest import DOUBLES, draw_folder, tiny_config

SGD = {"steps": 12, "batch": 8, "momentum": 0.9, "schedule": "step", "evaluations": 3, "image_size": 16, "repeat": 0,
       "seed": 5, "learning_rate": 0.1}  # fmt: skip
ADAMW = SGD | {"optimiser": "adamw", "weight_decay": 0.01, "schedule": "linear", "warmup": 0.2, "learning_rate": 0.01}
HALVED = {"models": "linear", "budget": 2, "halving": True, "learning_rates": [0.1, 0.01], "steps": 8, "batch": 8,
          "repeats": 1, "evaluations": 3}  # fmt: skip


def tiny(function="dropping", **args):
    return resolve_entry(
        ModelEntry(name=f"tiny-{function}", source=f"factory:tiny:{function}", path=str(DOUBLES), args=args)
    )


@pytest.fixture
def context(tmp_path):
    torch.set_num_threads(1)
    return Context(tmp_path / "cache")


@pytest.fixture
def task(tmp_path):
    return from_images(TaskEntry(name="t", path=str(draw_folder(tmp_path / "t"))), seed=0)


def part(task, settings, until):
    return Job("rung", 1, tiny(), task, {**settings, "origin": "rung", "until": until})


def last(task, settings):
    return Job("final", 1, tiny(), task, {**settings, "origin": "final"})


@pytest.mark.parametrize("settings", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_a_run_in_parts_is_the_run_without_a_break(context, task, tmp_path, settings):
    rows = [rung.run(part(task, settings, until), context)["runs"][0] for until in (3, 6, 12)]
    (kept,) = halfway.folder(last(task, settings), context.cache).iterdir()
    assert kept.name == "12.safetensors"
    ended = finetune.run(last(task, settings), context)["runs"][0]
    other = Context(tmp_path / "other")
    whole = finetune.run(last(task, settings), other)["runs"][0]
    assert ended["curve"] == whole["curve"]
    assert (ended["val_accuracy"], ended["test_accuracy"]) == (whole["val_accuracy"], whole["test_accuracy"])
    in_parts, at_once = (
        load_file(finetune.weights_file(last(task, settings), each.cache)) for each in (context, other)
    )
    assert all(torch.equal(in_parts[name], at_once[name]) for name in at_once)
    assert [row["status"] for row in rows] == ["stopped", "stopped", "ok"]
    assert [row["steps_done"] for row in rows] == [3, 6, 12]
    assert [row["test_accuracy"] for row in rows] == [None] * 3
    assert rows[1]["curve"] == whole["curve"][:2]
    assert rows[1]["val_accuracy"] == whole["curve"][1]["val_accuracy"]


def test_a_part_whose_beginning_is_gone_is_trained_from_the_start(context, task, tmp_path):
    rung.run(part(task, SGD, 3), context)
    elsewhere = Context(tmp_path / "another machine")
    here, there = (rung.run(part(task, SGD, 6), each)["runs"][0] for each in (context, elsewhere))
    assert here["curve"] == there["curve"]
    again = rung.run(part(task, SGD, 3), context)["runs"][0]  # a row that was lost: the state is further than that
    assert (again["steps_done"], again["curve"]) == (3, here["curve"][:1])


def test_a_part_that_diverges_says_so_and_leaves_no_state(context, task):
    job = Job("rung", 1, tiny("wild"), task, {**SGD, "origin": "rung", "until": 12})
    row = rung.run(job, context)["runs"][0]
    assert row["status"] == "diverged"
    assert not halfway.folder(job, context.cache).exists()


def test_the_better_half_goes_on_task_by_task(task, tmp_path):
    second = from_images(TaskEntry(name="u", path=str(draw_folder(tmp_path / "u"))), seed=0)
    jobs = [part(each, SGD | {"learning_rate": rate}, 3) for each in (task, second) for rate in (0.3, 0.1, 0.01)]
    reached = [0.5, 0.7, 0.6, 0.2, None, 0.2]

    def told(before):
        """Rows at the second look, with the first one's accuracies."""
        return [{"job": job.id, "val_accuracy": value,
                 "curve": [{"val_accuracy": first}, {"val_accuracy": value}] if value is not None else []}
                for job, first, value in zip(jobs, before, reached, strict=True)]  # fmt: skip

    kept = picks.better_half(jobs, told([0.1] * 6))
    assert kept == [jobs[1], jobs[2], jobs[5]]  # of 3 two; of the 2 that live one: of equals the smaller rate
    assert picks.better_half(jobs, told([0.9, 0.1, 0.1, 0.15, 0.1, 0.1]))[2] == jobs[3]  # who led at the look before
    assert picks.better_half(jobs, []) == []


def test_halving_trains_what_validates_better_and_tests_the_winner_alone(two_tasks, tmp_path):
    config = parse(tiny_config(two_tasks, search=None, finetune=HALVED, final={"repeats": 1, "checkpoint": False}))
    result = run(config, tmp_path / "out", How(executor="inline"))
    assert not result.failures
    store = Store(tmp_path / "out")
    runs = store.rows("runs")
    assert Counter((row["task"], row["steps_done"]) for row in runs if row["origin"] == "rung") == {
        (name, steps): count for name in ("first", "second") for steps, count in ((2, 4), (4, 2), (8, 1))
    }
    for name in ("first", "second"):
        early = [row for row in runs if (row["task"], row["steps_done"], row["origin"]) == (name, 2, "rung")]
        on = {(row["model"], row["learning_rate"]) for row in runs if row["task"] == name and row["steps_done"] == 4}
        worst = min(row["val_accuracy"] for row in early if (row["model"], row["learning_rate"]) in on)
        assert worst >= max(row["val_accuracy"] for row in early if (row["model"], row["learning_rate"]) not in on)
    assert [row["origin"] for row in runs if row["test_accuracy"] is not None] == ["final"] * 2
    final = {row["task"]: row for row in runs if row["origin"] == "final"}
    for row in runs:
        if row["origin"] == "rung" and row["status"] == "ok":
            assert row["curve"] == final[row["task"]]["curve"]
    assert {row["origin"] for row in result.answer} == {"final"}
    again = run(config, tmp_path / "out", How(executor="inline"))
    assert again.ran == {}


def test_halving_is_for_picks_and_one_repeat(two_tasks):
    for wrong in ({"models": "all"}, {"repeats": 2}):
        with pytest.raises(ConfigError, match="halving must come with a strategy as models and one repeat"):
            parse(tiny_config(two_tasks, finetune=HALVED | wrong))


def test_estimates_of_parts_go_by_their_length(two_tasks):
    config = parse(tiny_config(two_tasks, search=None, finetune=HALVED))
    models, tasks, _, _ = plan(config)
    (whole, *_) = grid(config, models[0], tasks[0])
    parts = rungs(config, whole)
    assert [job.settings["until"] for job in parts] == [2, 4, 8]
    assert parts[0].cost == pytest.approx(parts[1].cost)
    assert parts[0].cost < parts[2].cost < whole.cost
    assert sum(job.cost for job in parts) < whole.cost + 0.15  # the test split is for the winner
    measured = [{"job": parts[0].id, "kind": "rung", "model": models[0].name, "seconds": 3 * parts[0].cost}]
    guesses = calibrated([parts[2], whole], measured, [*parts, whole])
    assert guesses == {parts[2].id: pytest.approx(3 * parts[2].cost), whole.id: pytest.approx(3 * whole.cost)}


def test_the_plan_says_what_halving_saves(two_tasks, tmp_path):
    halved, full = (
        outlook(
            parse(tiny_config(two_tasks, search=None, finetune=HALVED | {"halving": each, "steps": 4000})),
            tmp_path / "none",
        )
        for each in (True, False)
    )
    assert halved.tuned[0] == full.tuned[0] == 2
    assert halved.tuned[1] < full.tuned[1]
    assert halved.tuned[2] == full.tuned[2]


# --- the head on frozen features ------------------------------------------------------------------------------------


def frozen(task, function="build", **more):
    settings = {"origin": "head", "image_size": 16, "embed": {"batch": 8, "image_size": 16}, "steps": 60, "batch": 16,
                "learning_rate": 0.1, "repeat": 0, "seed": 3} | more  # fmt: skip
    return Job("head", 1, tiny(function), task, settings)


@pytest.mark.parametrize("function", ["build", "convolved"])
def test_the_head_is_the_probe_put_into_the_model(context, task, function):
    job = frozen(task, function)
    row = head.run(job, context)["runs"][0]
    asked = {"proxy": "linear", "function": None, "seed": 3, "embed": job.settings["embed"],
             "options": {"learning_rates": [0.1], "steps": 60, "batch": 16, "repeats": 1}}  # fmt: skip
    probe = score(Job("score", 1, tiny(function), task, asked), context)["scores"][0]
    assert (row["status"], row["origin"]) == ("ok", "head")
    assert row["val_accuracy"] == probe["value"] > 0.5
    splits = embed.probes(embed.embed_job(tiny(function), task, job.settings["embed"]), context)
    state = load_file(finetune.weights_file(job, context.cache))
    logits = torch.as_tensor(splits["val"].features) @ state["fc.weight"].flatten(1).T + state["fc.bias"]
    right = (logits.argmax(1).numpy() == splits["val"].labels).mean()
    assert right == row["val_accuracy"]


@pytest.mark.parametrize(
    ("function", "more", "says"),
    [
        ("twisted", {}, "the features must be what enters the classifier"),
        ("build", {"learning_rate": 1e38}, "a linear head must end with finite weights, it diverged at 1e+38"),
    ],
)
def test_a_head_that_does_not_fit_is_a_row_with_the_reason(context, task, function, more, says):
    row = head.run(frozen(task, function, **more), context)["runs"][0]
    assert row["status"] == "unfit"
    assert says in row["reason"]
    assert row["val_accuracy"] is None
    assert not finetune.weights_file(frozen(task, function, **more), context.cache).exists()


def test_the_head_takes_the_place_of_what_validates_worse(two_tasks, tmp_path):
    changes = {"search": None, "finetune": HALVED | {"learning_rates": [1e-5]}, "proxies": {"linear": {"steps": 200}},
               "regret": {"strategies": [], "answer": "linear"}}  # fmt: skip
    config = parse(tiny_config(two_tasks, **changes, final={"repeats": 1, "head": True}))
    result = run(config, tmp_path / "out", How(executor="inline"))
    assert not result.failures
    store = Store(tmp_path / "out")
    runs, scores = store.rows("runs"), store.rows("scores")
    for row in store.rows("checkpoints"):
        (made,) = [each for each in runs if each["task"] == row["task"] and each["origin"] == "head"]
        assert (row["model"], row["val_accuracy"]) == (made["model"], made["val_accuracy"])
        assert made["test_accuracy"] is None  # the checkpoint is judged, once
        (answer,) = [each for each in result.answer if each["task"] == row["task"]]
        assert (answer["origin"], answer["test_accuracy"]) == ("head", row["test_accuracy"])
        here = [each for each in scores if each["task"] == row["task"]]
        best = min(here, key=lambda each: (-each["value"], each["model"]))  # rows of a table are in no order
        assert best["model"] == row["model"]
        assert made["learning_rate"] == json.loads(best["detail"])["learning_rate"]
    assert len(store.rows("checkpoints")) == 2
    assert not [row for row in runs if row["origin"] == "final"]  # nobody asks for its number
    assert all("linear head" in row["note"] for row in result.answer)
    card = (tmp_path / "out" / "checkpoints" / "first" / "README.md").read_text()
    assert "with a linear head for first" in card
    assert "only the linear head was trained" in card
    assert all(probe is None for probe in [picks.probed(plan(config)[1][0], scores, 1.0)])


def test_a_head_whose_weights_are_gone_is_fitted_again_to_the_same(context, task, tmp_path):
    job = frozen(task)
    head.run(job, context)
    out = Job("export", 1, job.model, task, job.settings)
    first = export.run(out, context)["checkpoints"][0]
    other = Context(tmp_path / "other")
    second = export.run(out, other)["checkpoints"][0]
    assert (first["trained_again"], second["trained_again"]) == (False, True)
    one, two = ((each.cache / "checkpoints" / out.id / "model.safetensors").read_bytes() for each in (context, other))
    assert one == two


def test_heads_need_the_probe(two_tasks):
    changes = {"search": None, "proxies": {"knn": {}}, "regret": {"strategies": [], "answer": "knn"}}
    config = parse(tiny_config(two_tasks, **changes, finetune=HALVED | {"models": "knn"}, final={"head": True}))
    with pytest.raises(ConfigError, match=r"final\.head needs the proxy 'linear'"):
        picks.check(config)


@pytest.mark.parametrize("doubt", [checkpoint.DOUBT, 10.0], ids=["few", "all"])
def test_close_calls_alone_are_asked_again_in_the_users_order(context, task, monkeypatch, doubt):
    """With everything in doubt all is computed as a user would: the same number."""
    job = frozen(task)
    head.run(job, context)
    asked = []
    keep = checkpoint.unsure
    monkeypatch.setattr(checkpoint, "DOUBT", doubt)
    monkeypatch.setattr(checkpoint, "unsure", lambda logits: asked.append(keep(logits)) or asked[-1])
    row = export.run(Job("export", 1, job.model, task, job.settings), context)["checkpoints"][0]
    assert row["val_accuracy"] == head.run(job, context)["runs"][0]["val_accuracy"]
    share = torch.cat(asked).double().mean()
    assert (share == 1) if doubt > 2 else (share < 0.5)


def test_what_is_in_doubt():
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.995], [0.0, 0.0], [-3.0, -3.02], [500.0, 490.0]])
    assert checkpoint.unsure(logits).tolist() == [False, True, True, True, False]
    assert checkpoint.unsure(torch.tensor([[2.0]])).tolist() == [True]
