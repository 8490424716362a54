"""Head2Toe in the sweep: plan, job, transfer table, scores, what is said and drawn."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from sweeps.config import SweepConfig, parse
from sweeps.hands import How
from sweeps.plan import measurements
from sweeps.report import transfer
from sweeps.run import run
from sweeps.store import Store
from sweeps.tasks import registry as tasks_registry
from sweeps.types import Row
from sweeps.zoo import registry as zoo_registry

MODELS = ["mini_mobilenet_v1.mininet", "mini_resnet_v2_50.scratch"]


def config(**head2toe: object) -> SweepConfig:
    section = {"penalties": [1e-2], "fractions": [0.1], "steps": [200], "folds": 2, **head2toe}
    return parse({
        "name": "layers", "models": MODELS, "tasks": ["mini/digits"], "proxies": {"knn": {}}, "head2toe": section,
        "finetune": {"learning_rates": [0.1], "steps": 2, "batch": 16, "repeats": 1, "evaluations": 1},
        "regret": {"strategies": ["knn", "head2toe", "random"], "answer": "knn", "bootstrap": 20},
    })  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("layers")
    result = run(config(), out, How(executor="inline"))
    assert not result.failures
    return out


def test_one_job_per_model_and_task_that_needs_the_embedding() -> None:
    tasks, _ = tasks_registry.resolve(config())
    jobs = measurements(config(), zoo_registry.resolve(config()), tasks)
    found = [job for job in jobs if job.kind == "head2toe"]
    assert [job.model.name for job in found] == MODELS[:1]  # a model from scratch has no source to be near to
    assert all(job.needs[0] in {other.id for other in jobs if other.kind == "embed"} for job in found)


def test_a_row_has_both_heads_and_where_the_features_come_from(swept: Path) -> None:
    [row] = Store(swept).rows("head2toe")
    assert row["kept"] == int(0.1 * row["features"])
    assert len(row["layers"]) == len(row["shares"]) > 5
    assert all(0 <= share <= 1 for share in row["shares"])
    assert 0.1 < row["test_accuracy"] <= 1  # ten classes
    assert 0.1 < row["linear_test_accuracy"] <= 1
    assert row["stored_bytes"] < row["model_bytes"]
    assert row["seconds"] >= row["extract_seconds"] + row["select_seconds"]


def test_a_second_run_measures_nothing_and_the_page_has_the_section(swept: Path) -> None:
    before = Store(swept).rows("head2toe")
    run(config(), swept, How(executor="inline"))
    assert Store(swept).rows("head2toe") == before
    page = (swept / "report.html").read_text()
    assert "Is the last layer enough?" in page
    assert "Head2Toe gains" in page
    assert {row["proxy"] for row in Store(swept).rows("proxies")} >= {"head2toe", "head2toe_cv"}


def rows() -> tuple[list[Row], list[Row]]:
    """Two models on two tasks: Head2Toe is 10 points better than linear, fine-tuning best on one task."""
    shared = {"extract_seconds": 1.0, "select_seconds": 1.0, "linear_seconds": 0.5, "stored_bytes": 10,
              "linear_bytes": 4, "model_bytes": 96, "val_accuracy": 0.4, "cross_validated": 0.3, "seconds": 3.0,
              "shares": [0.1, 0.3], "layers": ["one", "two"]}  # fmt: skip
    found = [{**shared, "model": model, "task": task, "linear_test_accuracy": linear, "test_accuracy": linear + 0.1}
             for task in "tu" for model, linear in (("a", 0.5), ("b", 0.6))]  # fmt: skip
    reached = {("t", "a"): 0.9, ("t", "b"): 0.65, ("t", "s"): 0.2, ("u", "s"): 0.3}
    tuned = [{"model": model, "task": task, "accuracy": value, "seconds": 40.0, "repeats": [value, value]}
             for (task, model), value in reached.items()]  # fmt: skip
    return found, tuned


def deep() -> list[Row]:
    """Two rates of one model on one task; the second validates better."""
    shared = {"model": "a", "task": "t", "seconds": 1.5}
    return [{**shared, "learning_rate": rate, "val_accuracy": value, "test_accuracy": value + 0.1}
            for rate, value in ((0.1, 0.5), (0.01, 0.6))]  # fmt: skip


def test_the_rate_that_validates_best_counts_and_all_are_paid_for() -> None:
    [row] = [row for row in transfer.transfer(*rows(), ["s"], deep()) if row["method"] == "head2toe-ft"]
    assert row["accuracy"] == 0.7
    assert row["seconds"] == 2.0 + 3.0
    assert row["bytes"] == 96 + 10


def test_the_gain_goes_with_affinity() -> None:
    found, tuned = rows()
    for row, gain in zip(found, (0.2, 0.1, 0.2, 0.1), strict=True):  # more where linear is weaker
        row["test_accuracy"] = row["linear_test_accuracy"] + gain
    lines = transfer.said(transfer.transfer(found, tuned, ["s"]))
    said = "The correlation of that gain with the {} is {} over models and tasks"
    assert any(line.startswith(said.format("linear accuracy", "-1.00")) for line in lines)
    assert any(line.startswith(said.format("affinity of the task", "-0.71")) for line in lines)


def test_methods_are_judged_against_the_best_of_all() -> None:
    table = {(row["task"], row["model"], row["method"]): row for row in transfer.transfer(*rows(), ["s"])}
    assert table["t", "a", "fine-tuning"]["regret"] == 0
    assert table["t", "b", "head2toe"]["relative_regret"] == pytest.approx((0.9 - 0.7) / 0.3)
    assert table["u", "b", "head2toe"]["regret"] == 0
    assert ("u", "a", "fine-tuning") not in table
    assert table["t", "a", "linear"]["affinity"] == pytest.approx(0.3)
    assert table["u", "a", "linear"]["affinity"] == pytest.approx(0.2)
    assert table["t", "a", "fine-tuning"]["bytes"] == 100


def test_what_is_said_is_what_was_measured() -> None:
    table = transfer.transfer(*rows(), ["s"], deep())
    lines = transfer.said(table)
    assert lines[0].startswith("Head2Toe gains 10.0 points [10.0, 10.0] over a linear head")
    assert "it is better on 2" in lines[0]
    assert lines[1].startswith("Head2Toe less fine-tuning is -12.5 points")  # 0.6, 0.7 less 0.9, 0.65 on one task
    assert lines[2].startswith("Head2Toe-FT less fine-tuning is -20.0 points")
    assert lines[-1] == "Against fine-tuning Head2Toe takes 10.0% of the time and keeps 10.0% of the bytes per task."
    texts = {row[0].text: [entry.text for entry in row[1:]] for row in transfer.summary(table).rows}
    assert list(texts) == ["linear head", "Head2Toe", "Head2Toe-FT", "fine-tuning"]
    assert texts["Head2Toe"][:2] == ["65.0%", "10.0 points [10.0, 10.0]"]
    assert texts["fine-tuning"][4:] == ["1", "100.0%", "100.0%"]
    assert texts["Head2Toe-FT"][5:] == ["25.0%", "106.0%"]
    assert transfer.said([]) == []


def test_pictures_and_scores() -> None:
    found, tuned = rows()
    table = transfer.transfer(found, tuned, ["s"])
    tips = [tip.text or "" for tip in ElementTree.fromstring(transfer.gains(table, ["t", "u"])).iter("title")]
    assert "a: linear 50.0%, Head2Toe 60.0%" in tips
    tips = [tip.text or "" for tip in ElementTree.fromstring(transfer.layers(found, ["t"])).iter("title")]
    assert "a, two: 30.0% kept" in tips
    assert transfer.gains([], ["t"]) == transfer.layers([], ["t"]) == ""
    assert {(row["proxy"], row["value"]) for row in transfer.scores(found)} == {("head2toe", 0.4), ("head2toe_cv", 0.3)}
    assert [entry.text for entry in transfer.table(table, ["t"]).rows[1]][:5] == [
        "t",
        "Head2Toe",
        "65.0%",
        "b",
        "70.0%",
    ]
