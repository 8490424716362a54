"""A sweep end to end on tiny models: the same tables from every executor, nothing measured twice, faults isolated."""

import json
import shutil

import pytest

from sweeps.config import parse
from sweeps.errors import ConfigError, DataError, OutputError
from sweeps.hands import How
from sweeps.output import claim
from sweeps.run import plan, run
from sweeps.store import DERIVED, Store
from tests.conftest import DOUBLES, tiny_config
from tests.doubles.same import same_tables

MEASURED = ("jobs", "features", "scores", "runs", "models", "tasks", "plan")
INLINE = How(executor="inline")


@pytest.fixture
def config(two_tasks):
    return parse(tiny_config(two_tasks))


@pytest.fixture
def swept(config, tmp_path):
    return run(config, tmp_path / "out", INLINE)


def test_everything_is_measured_and_answered(swept, config):
    store = Store(swept.out)
    assert not swept.failures
    assert len(store.rows("features")) == 4
    assert len(store.rows("scores")) == 8
    origins = [row["origin"] for row in store.rows("runs")]
    assert (origins.count("grid"), origins.count("search")) == (16, 6)
    assert {row["task"] for row in swept.answer} == {"first", "second"}
    for row in swept.answer:
        assert row["model"] in {"tiny_4", "tiny_8"}
        assert 0 <= row["test_accuracy"] <= 1
        assert row["learning_rate"] > 0
    assert swept.report.exists()
    assert json.loads((swept.out / "sweep.json").read_text())["name"] == "tiny"


def test_search_starts_from_the_grid_and_stays_in_range(swept):
    trials = [row for row in Store(swept.out).rows("runs") if row["origin"] == "search"]
    assert all(1e-3 <= row["learning_rate"] <= 0.5 for row in trials)
    assert {row["trial"] for row in trials} == {0, 1, 2}
    for row in trials:
        assert row["status"] in {"ok", "stopped"}
        assert (row["test_accuracy"] is None) == (row["status"] == "stopped")
        assert row["steps_done"] == row["curve"][-1]["step"]


def test_running_again_measures_nothing(swept, config, monkeypatch):
    from sweeps.cluster.worker import Worker

    monkeypatch.setattr(Worker, "run", lambda *_: pytest.fail("a job ran again"))
    monkeypatch.setattr(Worker, "advance", lambda *_: pytest.fail("a trial ran again"))
    again = run(config, swept.out, INLINE)
    assert again.derived == swept.derived


def test_an_amended_sweep_measures_the_addition_only(swept, two_tasks):
    before = {row["job"]: row["started"] for row in Store(swept.out).rows("jobs")}
    more = parse(tiny_config(two_tasks, proxies={"knn": {}, "linear": {"steps": 30, "repeats": 2}, "knn3": {
        "function": "taskrel.proxies.knn:score", "k": 3}}))  # fmt: skip
    run(more, swept.out, INLINE)
    after = {row["job"]: row["started"] for row in Store(swept.out).rows("jobs")}
    assert all(after[job] == started for job, started in before.items())
    new = [row for row in Store(swept.out).rows("jobs") if row["job"] not in before]
    assert {row["kind"] for row in new} == {"score"}
    assert len(new) == 4


def test_a_changed_setting_leaves_old_rows_out_of_the_answer(swept, two_tasks):
    other = parse(tiny_config(two_tasks, search=None) | {"finetune": {"steps": 4, "batch": 8, "repeats": 1}})
    result = run(other, swept.out, INLINE)
    steps = {row["steps"] for row in result.sql("select distinct steps from runs").to_pylist()}
    assert steps == {4}
    assert result.sql("select count(*) as n from all_runs").to_pylist()[0]["n"] > 16


def test_lost_features_are_computed_again(swept, two_tasks):
    shutil.rmtree(swept.out / "cache")
    more = parse(
        tiny_config(two_tasks, proxies={"knn": {"k": 3}}, search=None, regret={"strategies": ["knn"], "answer": "knn"})
    )
    result = run(more, swept.out, INLINE)
    assert not result.failures
    assert all(row["value"] is not None for row in result.sql("select value from scores").to_pylist())


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_same_tables_on_ray_with_any_number_of_workers(swept, config, tmp_path, workers):
    other = run(config, tmp_path / f"ray{workers}", How(executor="ray", workers=workers))
    assert not other.failures
    differences = same_tables(Store(swept.out), Store(other.out), [*MEASURED, *DERIVED])
    assert not differences, "\n".join(differences[:5])


def faulty(two_tasks, function, name="faulty"):
    config = tiny_config(two_tasks)
    config["model"].append({"name": name, "source": f"factory:tiny:{function}", "path": str(DOUBLES)})
    return parse(config)


@pytest.mark.parametrize(
    ("function", "failed", "says"),
    [
        ("broken", "embed", "must load from factory:tiny:broken, got RuntimeError: the weights of this model"),
        ("hungry", "finetune", "ran out of memory; lower finetune.batch"),
    ],
)
def test_a_faulty_model_is_failed_rows_and_the_rest_completes(two_tasks, tmp_path, function, failed, says):
    result = run(faulty(two_tasks, function), tmp_path / "out", INLINE)
    assert {row["model"] for row in result.failures} == {"faulty"}
    assert any(row["kind"] == failed and says in row["error"] for row in result.failures)
    assert len([row for row in result.derived["accuracies"] if row["accuracy"] is not None]) == 4
    assert all("\n" not in row["error"] for row in result.failures)


def test_failed_jobs_are_tried_again_unless_told_not_to(two_tasks, tmp_path):
    config = faulty(two_tasks, "broken")
    first = run(config, tmp_path / "out", INLINE)
    started = {row["job"]: row["started"] for row in first.failures}
    kept = run(config, tmp_path / "out", How(executor="inline", retry_failed=False))
    assert {row["job"]: row["started"] for row in kept.failures} == started
    again = run(config, tmp_path / "out", INLINE)
    assert all(row["started"] > started[row["job"]] for row in again.failures)


def test_a_diverging_model_is_measured_and_never_picked_as_answer(two_tasks, tmp_path):
    result = run(faulty(two_tasks, "wild"), tmp_path / "out", INLINE)
    assert not result.failures
    rows = [row for row in Store(result.out).rows("runs") if row["model"] == "faulty"]
    assert {row["status"] for row in rows} == {"diverged"}
    assert all(row["test_accuracy"] is None for row in rows)
    assert all(row["model"] != "faulty" for row in result.answer)


def test_a_corrupt_image_is_left_out_and_named(two_tasks, tmp_path):
    (two_tasks / "first" / "train" / "class_0" / "000.png").write_bytes(b"not an image")
    result = run(parse(tiny_config(two_tasks)), tmp_path / "out", INLINE)
    assert not result.failures
    assert [row["task"] for row in result.answer if row["model"]] == ["first", "second"]
    assert any("000.png" in note and "first" in note for note in result.notes)
    assert [row["train"] for row in Store(result.out).rows("tasks")] == [3 * 12 - 1, 4 * 12]


def test_an_unreadable_task_is_a_failure_and_the_rest_completes(two_tasks, tmp_path):
    config = tiny_config(two_tasks)
    shutil.rmtree(two_tasks / "first" / "test")
    result = run(parse(config), tmp_path / "out", INLINE)
    assert [(row["task"], row["status"]) for row in result.failures] == [("first", "failed")]
    assert {row["task"] for row in result.answer} >= {"second"}
    shutil.rmtree(two_tasks / "second" / "test")
    with pytest.raises(DataError, match="must hold test/"):
        plan(parse(config))


def test_unknown_names_are_refused_before_anything_runs(two_tasks, tmp_path):
    base = tiny_config(two_tasks)
    for change, says in (
        ({"models": ["mini_resnet_v2_50.expert_ful"]}, "did you mean 'mini_resnet_v2_50.expert_full'"),
        ({"tasks": ["mini/cel"]}, "did you mean 'mini/cells'"),
        ({"proxies": {"linaer": {}}}, "did you mean 'linear'"),
        ({"proxies": {"logme": {"epz": 1}}}, "proxies.logme.epz must be a setting of the proxy, got 'epz'; did"),
        ({"proxies": {"mine": {"function": "nowhere:f"}}}, "function must be in an importable module, got 'nowhere:f'"),
        ({"proxies": base["proxies"] | {"early_stopping": {"step": 1}}}, "did you mean 'steps'"),
        (
            {"proxies": base["proxies"] | {"otce": {"reference": "secnd"}}},
            "proxies.otce.reference must be a task of the sweep",
        ),
        ({"regret": {"strategies": ["hybrid_liner"]}}, "did you mean 'hybrid_linear'"),
    ):
        with pytest.raises(ConfigError, match=says):
            run(parse(base | change), tmp_path / "out", INLINE)
    assert not (tmp_path / "out").exists()


def test_two_runs_on_one_output(config, tmp_path):
    (tmp_path / "out").mkdir()
    with claim(tmp_path / "out"), pytest.raises(OutputError, match=r"one run at a time, process \d+ on .* since 20"):
        run(config, tmp_path / "out", INLINE)
