"""Bounds in the sweep: the plan, the job, the search over tau, scores of bounds and their agreement with accuracy."""

from pathlib import Path

import numpy as np
import pytest

from sweeps import picks
from sweeps.config import SweepConfig, parse
from sweeps.errors import ConfigError
from sweeps.hands import How
from sweeps.jobs.bound import run as bound_job
from sweeps.jobs.context import Context
from sweeps.plan import TauPlan, measurements
from sweeps.report import relatedness, terms
from sweeps.run import run
from sweeps.store import Store
from sweeps.tasks import registry as tasks_registry
from sweeps.types import Job, Row
from sweeps.zoo import registry as zoo_registry

MODELS = ("mini_mobilenet_v1.mininet", "mini_resnet_v2_50.expert_cells")
TASKS = ("mini/digits", "mini/textures")


def config(**bound: object) -> SweepConfig:
    section = {"references": ["mini/textures"], "taus": [1.0], "per_class": 10, **bound}
    return parse({
        "name": "bounds", "models": MODELS, "tasks": TASKS, "proxies": {"knn": {}}, "bound": section,
        "finetune": {"learning_rates": [0.1], "steps": 2, "batch": 16, "repeats": 1, "evaluations": 1},
        "regret": {"strategies": ["knn", "relatedness", "random"], "answer": "knn", "bootstrap": 20},
    })  # fmt: skip


def planned(sweep: SweepConfig) -> tuple[Job, ...]:
    tasks, _ = tasks_registry.resolve(sweep)
    return measurements(sweep, zoo_registry.resolve(sweep), tasks)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bounds")
    run(config(search={"trials": 2}), out, How(executor="inline"))
    return out


def test_every_task_but_the_reference_is_bounded_and_taus_for_comparison_are_always_there() -> None:
    jobs = [job for job in planned(config()) if job.kind == "bound"]
    assert {(job.model.name, job.task.name, job.reference.name if job.reference else "") for job in jobs} == {
        (model, "mini/digits", "mini/textures") for model in MODELS}  # fmt: skip
    assert {tuple(job.settings["taus"]) for job in jobs} == {(0.02, 0.1, 1.0)}
    embeds = {job.id for job in planned(config()) if job.kind == "embed"}
    assert all(len(job.needs) == 2 and set(job.needs) <= embeds for job in jobs)


def test_a_reference_that_is_not_of_the_sweep_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"bound\.references must be tasks of the sweep.*mini/textures"):
        planned(config(references=["mini/texture"]))


def test_strategies_may_read_bounds_only_where_there_are_any() -> None:
    picks.check(config())
    with pytest.raises(ConfigError, match="known"):
        picks.check(config().model_copy(update={"bound": None}))


def test_rows_hold_the_terms_and_every_bound_holds(swept: Path) -> None:
    rows = Store(swept).rows("bounds")
    labelled = [row for row in rows if row["mode"] == "labelled"]
    assert len(labelled) == 2 * 3
    for row in labelled:
        parts = row["reference_loss"] + row["label_mismatch"] + row["distribution_mismatch"]
        assert row["total"] == pytest.approx(parts)
        assert row["target_loss"] <= row["total"] <= row["start"] + 1e-9
        assert row["projected"] <= row["by_label"] + 1e-9 <= row["total"] + 2e-9
        assert row["vacuous"] == (row["total"] >= row["trivial"])
        assert row["held_out_loss"] <= row["held_out"]
        assert row["trivial"] == pytest.approx(np.log(10), rel=0.01)
        assert row["seconds"] > 0
    aligned = [row for row in rows if row["mode"] == "aligned"]
    assert len(aligned) == 2 * 3
    for row in aligned:
        (plain,) = [one for one in labelled if (one["model"], one["tau"]) == (row["model"], row["tau"])]
        assert row["total"] == pytest.approx(row["reference_loss"] + row["label_mismatch"] + row["wasserstein"])
        assert row["target_loss"] <= row["total"] <= row["start"] + 1e-9
        assert row["total"] < plain["total"]
        assert row["held_out_loss"] <= row["held_out"] < plain["held_out"]
    unlabelled = [row for row in rows if row["mode"] == "unlabelled"]
    assert len(unlabelled) == 2
    assert all(row["target_loss"] is None and 0 < row["confidence"] <= 1 for row in unlabelled)


def test_the_search_tries_caps_for_the_least_held_out_bound(swept: Path) -> None:
    rows = Store(swept).rows("bounds")
    searched = [row for row in rows if row["mode"] == "searched"]
    assert len(searched) == 2 * 2
    assert all(0.002 <= row["tau"] <= 2 and row["search"] and row["held_out"] > 0 for row in searched)
    found = Store(swept).rows("plan")
    assert {row["job"] for row in found if row["kind"] == "tau"} == {row["search"] for row in searched}
    again = run(config(search={"trials": 2}), swept, How(executor="inline"))
    assert not again.failures
    assert len(Store(swept).rows("bounds")) == len(rows)  # nothing is measured twice


def test_bounds_become_scores_and_a_section(swept: Path) -> None:
    store = Store(swept)
    names = {row["proxy"] for row in store.rows("proxies")}
    assert {
        "relatedness",
        "relatedness_0.1",
        "relatedness_least",
        "relatedness_loss",
        "relatedness_unlabelled",
        "relatedness_logits",
        "relatedness_aligned",
        "relatedness_aligned_0.1",
    } <= names
    page = (swept / "report.html").read_text()
    assert "How related are the tasks?" in page
    assert "distribution mismatch" in page
    least = {(row["model"], row["task"]): row["held_out"] for row in store.rows("bounds") if row["held_out"]}
    assert least  # the text above says what they come to
    assert "the bound holds in 2 of 2 cases" in page
    assert "bound-bars-aligned" in page


WAYS = {
    "fewer reference classes than target classes": ({"classes": "random", "count": 4}, "labelled", 4),
    "classes by relatedness": ({"classes": "related", "count": 6}, "labelled", 6),
    "as many classes as the target": ({"classes": "random"}, "labelled", 10),
    "estimated sizes": ({"prior": "estimated"}, "unlabelled", 10),
    "given sizes": ({"prior": "given"}, "unlabelled", 10),
    "pseudo-labels by the reference": ({"start": "reference"}, "unlabelled", 10),
    "LearnedAll": ({"released": 2}, "released", None),
    "LearnedA": ({"released": 2, "released_mode": "LearnedA"}, "released", None),
    "FixedAll": ({"released": 2, "released_mode": "FixedAll"}, "released", None),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_reached_from_the_sweep_file(way: str, swept: Path) -> None:
    asked, mode, used = WAYS[way]
    sweep = config(released_head=3, aligned=False, **asked)
    job = next(job for job in planned(sweep) if job.kind == "bound")
    rows = bound_job(job, Context(cache=swept / "cache"))["bounds"]
    found = [row for row in rows if row["mode"] == mode and row["tau"] == 0.02]
    assert len(found) == 1
    assert found[0]["total"] > 0
    assert found[0].get("classes_reference") == used
    assert (mode == "released") == ("reported" in found[0])


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"start": "reference"}, "pseudo-labels by the reference need 10 classes of it, got 3"),
        ({"released": 1, "released_mode": "FixedAll"}, "FixedAll needs 10 reference classes, got 3"),
    ],
)
def test_what_a_small_reference_cannot_do_is_a_row_with_its_reason(
    asked: dict[str, object], reason: str, swept: Path
) -> None:
    sweep = config(classes="random", count=3, released_head=3, aligned=False, **asked)
    job = next(job for job in planned(sweep) if job.kind == "bound")
    rows = bound_job(job, Context(cache=swept / "cache"))["bounds"]
    assert [row["reason"] for row in rows if row.get("reason")] == [reason]
    assert terms.said([{"holds": None, "vacuous": None, "total": None, **row} for row in rows], {})


def test_a_count_needs_a_choice() -> None:
    with pytest.raises(ConfigError, match="count must be left out where classes is 'all'"):
        config(count=3)


def test_a_tau_plan_is_the_same_job_for_the_same_settings() -> None:
    sweep = config(search={"trials": 2, "head": "penalty"})
    assert sweep.bound is not None
    assert sweep.bound.search is not None
    job = next(job for job in planned(sweep) if job.kind == "bound")
    cell = TauPlan(job, sweep.bound.search)
    assert set(cell.space) == {"tau", "learning_rate"}
    one, two = (cell.trial(0, {"tau": 0.1, "learning_rate": 1e-4}) for _ in range(2))
    assert one.id == two.id != cell.trial(0, {"tau": 0.2, "learning_rate": 1e-4}).id
    assert TauPlan.value({"held_out": 2.5}) == -2.5
    assert TauPlan.value({"held_out": None}) is None


def bound(model: str, task: str, tau: float, total: float | None, mode: str = "labelled", **more: object) -> Row:
    row = dict.fromkeys(
        ("reference_loss", "label_mismatch", "distribution_mismatch", "held_out", "target_loss", "reported", "logits")
    )
    return {**row, "model": model, "task": task, "tau": tau, "total": total, "mode": mode, "reference": "r",
            "seconds": 1.0, "trivial": 2.0, "vacuous": True, **more}  # fmt: skip


def test_a_score_is_what_the_least_bound_over_references_lies_below_guessing() -> None:
    rows = [bound("a", "t", 0.02, 2.0), bound("a", "t", 0.02, 1.5), bound("b", "t", 0.02, None)]
    found = [row for row in relatedness.scores(rows, [], ["t"], ["a", "b"]) if row["proxy"] == "relatedness"]
    assert [(row["model"], row["value"]) for row in found] == [("a", 0.5)]


def test_the_tuned_cap_is_chosen_on_other_tasks() -> None:
    best = {"t": "a", "u": "a", "v": "b"}
    rows = []
    for task, winner in best.items():
        for model in "ab":
            right = 1.0 if model == winner else 2.0
            # At 0.02 the bound is right on t and u, at 1 on v.
            rows += [bound(model, task, 0.02, right if task != "v" else 3 - right),
                     bound(model, task, 1.0, right if task == "v" else 3 - right)]  # fmt: skip
    accuracies = [{"task": task, "model": model, "accuracy": 0.9 if model == winner else 0.5}
                  for task, winner in best.items() for model in "ab"]  # fmt: skip
    assert relatedness.tuned_taus(rows, accuracies, ["t", "u", "v"], ["a", "b"]) == {"t": 0.02, "u": 0.02, "v": 0.02}
    assert relatedness.tuned_taus(rows, accuracies[:2], ["t"], ["a", "b"]) == {}


def test_what_a_score_costs_is_every_reference() -> None:
    rows = [bound("a", "t", 0.02, 2.0), bound("a", "t", 0.02, 1.5), bound("a", "t", 0.1, 1.5)]
    found = {row["proxy"]: row["seconds"] for row in relatedness.scores(rows, [], ["t"], ["a"])}
    assert (found["relatedness"], found["relatedness_0.1"]) == (2.0, 1.0)


def test_the_cheap_alternatives_stand_beside_it() -> None:
    tasks, models = ["t"], ["a", "b", "c"]
    scores, plain = ([{"proxy": name, "task": "t", "model": model, "value": sign * m} for m, model in enumerate(models)]
                     for name, sign in (("relatedness", 1.0), ("logme", -1.0)))  # fmt: skip
    accuracies = [{"task": "t", "model": model, "accuracy": m / 10} for m, model in enumerate(models)]
    found = relatedness.agreement(scores, plain, accuracies, tasks, models)
    assert {row["score"]: row["spearman"] for row in found} == {"relatedness": 1, "logme": -1}
    assert relatedness.agreement([], plain, accuracies, tasks, models) == []


def test_agreement_is_over_models_and_over_tasks() -> None:
    tasks, models = ["t", "u", "v"], ["a", "b", "c"]
    scores = [{"proxy": "relatedness", "task": task, "model": model, "value": t + m}
              for t, task in enumerate(tasks) for m, model in enumerate(models)]  # fmt: skip
    accuracies = [{"task": task, "model": model, "accuracy": (t - m + 3) / 10}
                  for t, task in enumerate(tasks) for m, model in enumerate(models)]  # fmt: skip
    found = {(row["over"], row["of"]): row["pearson"]
             for row in relatedness.agreement(scores, [], accuracies, tasks, models)}  # fmt: skip
    assert [found["models", task] for task in tasks] == pytest.approx([-1, -1, -1])
    assert [found["tasks", model] for model in models] == pytest.approx([1, 1, 1])


def test_nothing_is_drawn_or_said_without_bounds() -> None:
    assert terms.bars([], [], ["t"], ["m"]) == terms.curves([], ["t"], ["m"]) == ""
    assert terms.said([], {}) == []


def test_of_many_models_the_least_bounds_are_drawn_and_the_best_model() -> None:
    models = [f"m{number:02d}" for number in range(20)]
    shares = {"reference_loss": 0.5, "label_mismatch": 0.25, "distribution_mismatch": 0.25}
    rows = [{"mode": "labelled", "tau": 0.02, "task": "t", "model": model, "total": 1.0 + place, "trivial": 2.0,
             **{term: share * (1.0 + place) for term, share in shares.items()}}
            for place, model in enumerate(models)]  # fmt: skip
    accuracies = [{"task": "t", "model": model, "accuracy": place / 20} for place, model in enumerate(models)]
    few, every = (terms.bars(rows[:most], accuracies, ["t"], models) for most in (16, 20))
    assert "16 of 20 models" in every
    assert "16 models" in few
    for place, model in enumerate(models):
        assert (f"{model}, reference loss" in every) == (place < 15 or place == 19)
        assert (f"{model}, reference loss" in few) == (place < 16)
