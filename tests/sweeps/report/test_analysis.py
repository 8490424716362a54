"""The derived tables of the tiny sweep equal the numbers worked out by hand (see ``conftest.py``)."""

from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from sweeps.report.analysis import Derived, write
from sweeps.report.regrets import interval
from sweeps.store import DERIVED, Store
from sweeps.types import Row
from tests.sweeps.report.conftest import judge, tiny_tables
from tests.sweeps.report.made_up import HOSTILE, filled, job, planned, run

TIGHT = 1e-9


def one(rows: list[Row], **wanted: object) -> Row:
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


def test_an_accuracy_is_the_median_of_what_the_better_validating_rate_tests(derived: Derived) -> None:
    rows = derived.tables["accuracies"]
    wanted = {("a", "t1"): [0.70, 0.74], ("b", "t1"): [0.80, 0.84], (HOSTILE, "t1"): [0.30, 0.40],
              ("scratch", "t1"): [0.20, 0.20], ("a", "t2"): [0.90, 0.90], ("scratch", "t2"): [0.50, 0.50]}  # fmt: skip
    found = {(row["model"], row["task"]): row for row in rows if row["accuracy"] is not None}
    assert found.keys() == wanted.keys()
    for cell, repeats in wanted.items():
        assert found[cell]["repeats"] == repeats
        assert found[cell]["accuracy"] == pytest.approx(sum(repeats) / 2, abs=TIGHT)


def test_ties_in_validation_go_to_the_smaller_rate_and_a_diverged_rate_loses(derived: Derived) -> None:
    row = one(derived.tables["accuracies"], model="b", task="t1")
    assert row["learning_rate"] == 0.01
    assert row["val_accuracy"] == pytest.approx(0.80, abs=TIGHT)
    assert row["seconds"] == pytest.approx(20.0, abs=TIGHT)


def test_a_cell_that_diverged_everywhere_is_a_null_and_noted(derived: Derived) -> None:
    row = one(derived.tables["accuracies"], model="b", task="t2")
    assert (row["accuracy"], row["repeats"], row["learning_rate"]) == (None, [], None)
    assert any("b on t2" in note and "diverged" in note for note in derived.notes)


def test_an_incomplete_cell_is_no_row_and_noted(derived: Derived) -> None:
    assert not [row for row in derived.tables["accuracies"] if (row["model"], row["task"]) == (HOSTILE, "t2")]
    assert any(f"{HOSTILE} on t2" in note and "lack a run that failed" in note for note in derived.notes)


def test_regret_waits_while_a_model_of_the_pool_is_not_tried(out: Path) -> None:
    """The best of half a pool is no oracle; a pool of which every model was tried is judged all the same."""
    tables = tiny_tables()
    for name in ("jobs", "runs"):
        tables[name] = [row for row in tables[name] if row["job"] != "finetune b t1 0.1 1"]
    found = judge(filled(out, tables))
    assert not [row for row in found.tables["regret"] if (row["pool"], row["task"]) == ("all", "t1")]
    assert [row for row in found.tables["regret"] if (row["pool"], row["task"]) == ("other", "t1")]
    assert "regret in pool all waits for fine-tuning on t1" in found.notes
    answer = one(found.tables["answer"], task="t1")
    assert (answer["model"], answer["oracle"], answer["regret"]) == (HOSTILE, None, None)
    assert "the regret waits for 1 model of the pool" in answer["note"]


def test_rows_of_other_plans_do_not_count(derived: Derived) -> None:
    assert 0.999 not in [value for row in derived.tables["accuracies"] for value in row["repeats"]]
    assert "an older sweep" not in [row["job"] for row in derived.evidence.jobs]


@pytest.mark.parametrize(
    ("strategy", "budget", "picks", "value", "regret", "relative"),
    [
        ("agnostic", 1, ["a"], 0.72, 0.10, 0.10 / 0.28),
        ("agnostic", 2, ["a", "b"], 0.82, 0.0, 0.0),
        ("linear", 1, [HOSTILE], 0.35, 0.47, 0.47 / 0.65),
        ("linear", 2, [HOSTILE, "b"], 0.82, 0.0, 0.0),
        ("hybrid_linear", 2, ["a", HOSTILE], 0.72, 0.10, 0.10 / 0.28),
        ("oracle", 1, ["b"], 0.82, 0.0, 0.0),
        ("random", 1, [], 0.63, 0.19, (0.10 / 0.28 + 0.47 / 0.65) / 3),
        ("random", 2, [], (0.82 + 0.72 + 0.82) / 3, 0.10 / 3, 0.10 / 0.28 / 3),
    ],
)
def test_regret_equals_the_numbers_worked_out_by_hand(
    derived: Derived, strategy: str, budget: int, picks: list[str], value: float, regret: float, relative: float
) -> None:
    row = one(derived.tables["regret"], pool="all", task="t1", strategy=strategy, budget=budget)
    assert row["picks"] == picks
    assert len(row["reasons"]) == max(1, len(picks))
    assert (row["oracle_model"], row["models"], row["dropped"]) == ("b", 3, 0)
    assert row["oracle"] == pytest.approx(0.82, abs=TIGHT)
    assert row["value"] == pytest.approx(value, abs=TIGHT)
    assert row["regret"] == pytest.approx(regret, abs=TIGHT)
    assert row["relative_regret"] == pytest.approx(relative, abs=TIGHT)


def test_the_interval_is_of_the_medians_of_all_draws_of_the_repeats(derived: Derived) -> None:
    """Two repeats can be drawn in four ways, so the percentiles are the extremes of four numbers."""
    relative = []
    for draw in product(range(2), repeat=2):
        a, b = median([0.70, 0.74][i] for i in draw), median([0.80, 0.84][i] for i in draw)
        relative.append((b - a) / (1 - a))
    row = one(derived.tables["regret"], pool="all", task="t1", strategy="agnostic", budget=1)
    assert row["low"] == pytest.approx(min(relative), abs=TIGHT)
    assert row["high"] == pytest.approx(max(relative), abs=TIGHT)


def test_models_without_an_accuracy_are_dropped_and_counted(derived: Derived) -> None:
    row = one(derived.tables["regret"], pool="all", task="t2", strategy="agnostic", budget=1)
    assert (row["oracle_model"], row["regret"], row["models"], row["dropped"]) == ("a", 0.0, 1, 2)


def test_a_budget_beyond_the_pool_is_left_out_with_a_note(derived: Derived) -> None:
    assert not [row for row in derived.tables["regret"] if row["task"] == "t2" and row["budget"] == 2]
    assert any("budget 2" in note and "pool all" in note and "t2" in note for note in derived.notes)


def test_a_strategy_without_its_proxy_is_left_out_with_a_note(derived: Derived) -> None:
    assert "knn" not in {row["strategy"] for row in derived.tables["regret"]}
    assert any("strategy knn" in note and "no model has a kNN score" in note for note in derived.notes)


def test_a_hybrid_has_no_budget_of_one(derived: Derived) -> None:
    assert {row["budget"] for row in derived.tables["regret"] if row["strategy"] == "hybrid_linear"} == {2}


def test_from_scratch_baselines_are_nobodys_candidates(derived: Derived) -> None:
    tables = derived.tables
    named = {name for row in tables["regret"] for name in (row["oracle_model"], *row["picks"])}
    assert "scratch" not in named | {row["model"] for row in tables["answer"]}
    assert [row["scratch_accuracy"] for row in tables["answer"]] == pytest.approx([0.20, 0.50], abs=TIGHT)


def test_strategies_are_means_over_tasks(derived: Derived) -> None:
    row = one(derived.tables["strategies"], pool="all", strategy="agnostic", budget=1)
    assert (row["tasks"], row["tasks_above_quarter"], row["tasks_at_zero"]) == (2, 1, 1)
    assert row["mean_regret"] == pytest.approx(0.05, abs=TIGHT)
    assert row["mean_relative_regret"] == pytest.approx(0.10 / 0.28 / 2, abs=TIGHT)
    assert row["low"] == pytest.approx(0.0, abs=TIGHT)  # both draws of a task may be t2
    assert row["high"] == pytest.approx(0.10 / 0.26, abs=TIGHT)  # or both t1, with the lower repeats


def test_cost_is_what_the_strategy_reads_and_what_it_fine_tunes(derived: Derived) -> None:
    costs = {name: one(derived.tables["regret"], pool="all", task="t1", strategy=name, budget=2)["cost_seconds"]
             for name in ("agnostic", "linear", "hybrid_linear", "random", "oracle")}  # fmt: skip
    # Four runs of 5 s a cell; a score of 1 s for each of three models, or for the two that the hybrid scores.
    assert costs == {"agnostic": 40.0, "linear": 43.0, "hybrid_linear": 42.0, "random": 40.0, "oracle": None}


def test_correlations_equal_the_textbook(derived: Derived) -> None:
    row = one(derived.tables["correlations"], task="t1", proxy="linear")
    scores, reached = np.array([0.5, 0.6, 0.9]), np.array([0.72, 0.82, 0.35])
    x, y = scores - scores.mean(), reached - reached.mean()
    assert row["pearson"] == pytest.approx(float(x @ y / np.sqrt((x @ x) * (y @ y))), abs=TIGHT)
    assert row["spearman"] == pytest.approx(1 - 6 * (1 + 1 + 4) / (3 * 8), abs=TIGHT)
    assert (row["models"], row["reason"]) == (3, None)
    short = one(derived.tables["correlations"], task="t2", proxy="linear")
    assert (short["models"], short["weighted_tau"]) == (1, None)
    assert "at least 2 models" in short["reason"]


def test_the_answer_takes_a_confirmed_search_and_keeps_its_negative_regret(derived: Derived) -> None:
    row = one(derived.tables["answer"], task="t1")
    assert (row["model"], row["learning_rate"], row["origin"], row["repeats"]) == (HOSTILE, 0.03, "confirm", 2)
    assert (row["picks"], row["strategy"], row["budget"]) == (["a", HOSTILE], "hybrid_linear", 2)
    assert (row["test_accuracy"], row["low"], row["high"]) == pytest.approx((0.85, 0.83, 0.87), abs=TIGHT)
    assert row["val_accuracy"] == pytest.approx(0.81, abs=TIGHT)
    assert row["regret"] == pytest.approx(-0.03, abs=TIGHT)
    assert row["relative_regret"] == pytest.approx(-0.03 / 0.18, abs=TIGHT)
    assert "least and greatest of 2 repeats" in row["note"]
    assert "below zero" in row["note"]


def test_a_search_trial_that_nobody_confirmed_is_not_used_and_said_so(derived: Derived) -> None:
    note = one(derived.tables["answer"], task="t1")["note"]
    assert "learning rate 0.05 validates at 95.0% but is not confirmed" in note
    assert "99.0%" not in note  # stopped early: it never got to the end


def test_the_answer_of_the_grid_when_a_pick_has_no_result(derived: Derived) -> None:
    row = one(derived.tables["answer"], task="t2")
    assert (row["model"], row["learning_rate"], row["origin"]) == ("a", 0.1, "grid")
    assert (row["test_accuracy"], row["regret"]) == pytest.approx((0.90, 0.0), abs=TIGHT)
    assert row["picks"] == ["a", "b"]
    assert "no complete result yet for b" in row["note"]
    assert "the best of the 1 of 3 models with a complete grid" in row["note"]


def test_a_learning_rate_that_diverged_in_a_repeat_gives_way_to_one_that_did_not(out: Path) -> None:
    tables = tiny_tables()
    for row in tables["runs"]:
        if (row["model"], row["task"], row["learning_rate"], row["repeat"]) == ("a", "t2", 0.1, 1):
            row |= {"val_accuracy": None, "test_accuracy": None, "status": "diverged"}
    derived = judge(filled(out, tables))
    answer = one(derived.tables["answer"], task="t2")
    assert (answer["model"], answer["learning_rate"]) == ("a", 0.01)  # 0.1 validates better, when it does not diverge
    assert one(derived.tables["accuracies"], model="a", task="t2")["repeats"] == [0.90, 0.50]


def test_a_repeat_in_which_everything_diverged_is_null_in_its_place(out: Path) -> None:
    tables = tiny_tables()
    for row in tables["runs"]:
        if (row["model"], row["task"], row["repeat"]) == ("a", "t1", 0):
            row |= {"val_accuracy": None, "test_accuracy": None, "status": "diverged"}
    derived = judge(filled(out, tables))
    row = one(derived.tables["accuracies"], model="a", task="t1")
    assert (row["repeats"], row["accuracy"]) == ([None, 0.74], 0.74)
    assert any("a on t1: 1 repeat diverged" in note for note in derived.notes)
    assert one(derived.tables["regret"], pool="all", task="t1", strategy="agnostic", budget=1)["low"] is not None


def test_a_single_repeat_has_no_interval(out: Path) -> None:
    tables = tiny_tables()
    keep = {row["job"] for row in tables["runs"] if row["repeat"] == 0}
    for name in ("plan", "jobs", "runs"):
        tables[name] = [row for row in tables[name] if row["job"] in keep or row["kind" if name != "runs" else "origin"]
                        not in ("finetune", "grid", "confirm")]  # fmt: skip
    derived = judge(filled(out, tables))
    row = one(derived.tables["regret"], pool="all", task="t1", strategy="agnostic", budget=1)
    assert (row["low"], row["high"]) == (None, None)
    assert one(derived.tables["answer"], task="t2")["low"] is None


def test_tables_survive_a_round_trip_and_the_same_store_gives_the_same_tables(tiny: Store, derived: Derived) -> None:
    write(tiny, derived)
    assert {name: tiny.rows(name) for name in DERIVED} == derived.tables
    assert judge(tiny).tables == derived.tables


@pytest.mark.parametrize("budgets", [(1,), (1, 2, 3)])
def test_regret_does_not_rise_with_the_budget(tiny: Store, budgets: tuple[int, ...]) -> None:
    rows = judge(tiny, budgets=budgets).tables["regret"]
    for strategy in ("agnostic", "linear", "oracle"):
        ladder = [row["relative_regret"] for row in rows
                  if (row["pool"], row["task"], row["strategy"]) == ("all", "t1", strategy)]  # fmt: skip
        assert ladder == sorted(ladder, reverse=True)
        assert len(ladder) == len(budgets)


@pytest.mark.parametrize("keep", [(), ("plan",), ("plan", "models", "tasks"),
                                  ("plan", "models", "tasks", "jobs", "scores")])  # fmt: skip
def test_a_store_that_lacks_tables_gives_tables_all_the_same(out: Path, keep: tuple[str, ...]) -> None:
    derived = judge(filled(out, {name: rows for name, rows in tiny_tables().items() if name in keep}))
    assert derived.tables["accuracies"] == derived.tables["regret"] == derived.tables["strategies"] == []
    answers = derived.tables["answer"]
    assert [row["model"] for row in answers] == ([None, None] if "scores" in keep else [])
    assert all(row["picks"] for row in answers)
    if "plan" in keep and "scores" not in keep:
        assert any(note.startswith("no answer for t1 and t2") for note in derived.notes)


def test_a_plan_without_fine_tuning_has_picks_and_no_regret(out: Path) -> None:
    tables = tiny_tables()
    tables["plan"] = [row for row in tables["plan"] if row["kind"] == "score"]
    derived = judge(filled(out, tables))
    assert derived.tables["accuracies"] == []
    assert [row["note"] for row in derived.tables["answer"]] == ["no pick is fine-tuned yet"] * 2


def test_a_strategy_of_any_measured_proxy_can_be_asked_for(out: Path) -> None:
    from sweeps.report.analysis import analyse
    from sweeps.settings import Pool

    tables = tiny_tables()
    for row in tables["scores"]:
        row["proxy"] = "logme"
    found = analyse(filled(out, tables), seed=0, pools={"everything": Pool()}, budgets=(2,),
                    strategies=("hybrid_logme", "nonsense"), bootstrap=10, answer_strategy="logme",
                    answer_budget=1)  # fmt: skip
    row = one(found.tables["regret"], task="t1", strategy="hybrid_logme")
    assert row["picks"] == ["a", HOSTILE]
    assert one(found.tables["answer"], task="t1")["picks"] == [HOSTILE]
    assert any("nonsense" in note for note in found.notes)


def test_a_trial_belongs_to_the_plan_through_its_search(derived: Derived) -> None:
    stages = {stage.kind: stage for stage in derived.evidence.stages}
    assert (stages["search"].planned, stages["search"].done, stages["search"].seconds) == (1, 1, 9.0)
    assert (stages["score"].missing, stages["finetune"].failed) == (1, 1)
    assert [(cell.kind, cell.model, cell.jobs) for cell in derived.evidence.missing] == [("score", "a", 1)]


def test_a_task_that_cannot_be_read_is_a_failure(tiny: Store) -> None:
    from sweeps.report.evidence import gather

    failures = gather(tiny, {"broken": "the task broken must have a train split"}).failures
    assert [(row["kind"], row["task"]) for row in failures] == [("read", "broken"), ("finetune", "t2")]


def test_a_run_that_is_only_half_there_leaves_its_cell_incomplete(out: Path) -> None:
    """Every planned job has a run, but a repeat lacks a learning rate: the repeats did not choose alike."""
    tables = {"plan": [planned("x", "finetune", "a", "t1")], "jobs": [job("x", "finetune", "a", "t1")],
              "models": tiny_tables()["models"], "tasks": tiny_tables()["tasks"],
              "runs": [run("x", "a", "t1", 0.1, 0, 0.5, 0.5), run("x", "a", "t1", 0.01, 0, 0.5, 0.5),
                       run("x", "a", "t1", 0.1, 1, 0.5, 0.5)]}  # fmt: skip
    assert judge(filled(out, tables)).tables["accuracies"] == []


def test_interval_of_nothing_is_nothing() -> None:
    assert interval(None) == (None, None)
    assert interval(np.full(5, np.nan)) == (None, None)
    assert interval(np.array([0.0, np.nan, 1.0])) == pytest.approx((0.025, 0.975), abs=TIGHT)
