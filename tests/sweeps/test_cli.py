"""The command line as a user meets it: verbs, help with examples, one line on errors, exit codes."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

import taskrel
from sweeps.cli import app
from tests.conftest import ROOT, tiny_config, write_toml

runner = CliRunner(env={"COLUMNS": "140", "TERM": "dumb", "NO_COLOR": "1"})


def call(*words: str):
    return runner.invoke(app, list(words))


@pytest.fixture
def sweep(two_tasks, tmp_path):
    return write_toml(tmp_path / "tiny.toml", tiny_config(two_tasks))


@pytest.fixture
def out(sweep, tmp_path):
    result = call("run", str(sweep), "--out", str(tmp_path / "out"), "--executor", "inline")
    assert result.exit_code == 0, result.output
    return tmp_path / "out"


VERBS = ["run", "rank", "plan", "status", "report", "sql", "score", "regret", "compare", "export", "zoo",
         "zoo pretrain", "zoo check", "tasks", "tasks prepare"]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb):
    result = call(*verb.split(), "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"sweeps {verb}" in result.output


def test_run_prints_the_answer_and_where_everything_lies(sweep, tmp_path):
    result = call("run", str(sweep), "--out", str(tmp_path / "out"), "--executor", "inline")
    assert result.exit_code == 0
    assert "first" in result.output
    assert "tiny_" in result.output
    assert "report.html" in result.output


def test_plan_shows_jobs_and_runs_nothing(sweep, tmp_path):
    result = call("plan", str(sweep), "--out", str(tmp_path / "out"))
    assert result.exit_code == 0
    assert "2 models x 2 tasks" in result.output
    assert "finetune" in result.output
    assert "16" in result.output
    assert not (tmp_path / "out").exists()
    assert call("run", str(sweep), "--out", str(tmp_path / "out"), "--dry-run").output == result.output


def test_plan_after_a_run_has_nothing_left(sweep, out):
    lines = call("plan", str(sweep), "--out", str(out)).output.splitlines()
    row = next(line for line in lines if line.startswith("finetune")).split()
    assert row == ["finetune", "16", "16", "0", "0", "0"]


def test_status_sql_export_report(out, tmp_path):
    status = call("status", "--out", str(out))
    assert status.exit_code == 0
    assert "search" in status.output
    table = call("sql", "select count(*) as n from runs where origin = 'grid'", "--out", str(out))
    assert "16" in table.output
    names = [f"'{letter * 30}' as \"[{letter}]\"" for letter in "abcdef"]  # wider than any terminal, and markup in it
    wide = call("sql", f"select {', '.join(names)}", "--out", str(out)).output.splitlines()
    assert [line.split() for line in wide] == [[f"[{x}]" for x in "abcdef"], [x * 30 for x in "abcdef"]]
    csv = call("sql", "select task, model from answer order by task", "--out", str(out), "--csv")
    assert csv.output.splitlines()[0] == '"task","model"'
    assert call("export", "--out", str(out), "--csv", str(tmp_path / "csv")).exit_code == 0
    assert (tmp_path / "csv" / "regret.csv").read_text().startswith('"pool","task","strategy"')
    (out / "report.html").unlink()
    assert call("report", "--out", str(out), "--export", str(tmp_path / "paper")).exit_code == 0
    assert (out / "report.html").exists()
    assert (tmp_path / "paper" / "figures" / "cost.pdf").exists()
    assert (tmp_path / "paper" / "tables" / "the-answer-for-each-task.tex").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "absent.toml"], "the sweep file must be readable"),
        (["status", "--out", "absent"], "must hold a sweep"),
        (["sql", "select 1", "--out", "absent"], "must hold a sweep"),
        (["report", "--out", "absent"], "must hold a sweep"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def feature_files(folder):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    for name, spread in (("weak", 0.2), ("strong", 3.0)):
        features = spread * np.eye(3, 8)[labels] + rng.standard_normal((60, 8))
        np.savez(folder / f"{name}.npz", features=features, labels=labels, val_features=features, val_labels=labels)
    np.save(folder / "bare.npy", features)
    (folder / "labels.csv").write_text("\n".join("abc"[label] for label in labels))
    return [str(folder / f"{name}.npz") for name in ("weak", "strong")]


def test_score_ranks_feature_files_as_taskrel_does(tmp_path):
    weak, strong = feature_files(tmp_path)
    result = call("score", weak, strong, "--proxies", "logme,rank_mean")
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.output.splitlines()[1:]] == [
        ["logme", "strong"], ["logme", "weak"], ["rank_mean", "strong"], ["rank_mean", "weak"],
    ]  # fmt: skip
    read = {name: np.load(path) for name, path in (("weak", weak), ("strong", strong))}
    expected = taskrel.rank({name: each["features"] for name, each in read.items()}, read["weak"]["labels"], ["logme"])
    printed = json.loads(call("score", weak, strong, "--proxies", "logme", "--json").output)
    assert [row["value"] for row in printed["scores"]] == [row.value for row in expected]


def test_score_of_one_file_takes_all_proxies_that_apply(tmp_path):
    weak, _ = feature_files(tmp_path)
    result = call("score", weak)
    assert result.exit_code == 0
    assert {"knn", "logme", "gbc"} <= {line.split()[0] for line in result.output.splitlines()}
    bare = call("score", str(tmp_path / "bare.npy"), "--labels", str(tmp_path / "labels.csv"), "--proxies", "hscore")
    assert bare.output.splitlines()[1].startswith("hscore")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["weak.npz", "--proxies", "logmee"], "did you mean 'logme'"),
        (["absent.npz"], "must be a readable .npz or .npy file"),
        (["bare.npy"], "labels must be given"),
        (["bare.npy", "--labels", "absent.csv"], "must be a readable file of labels"),
        (["weak.npz", "sub/weak.npz"], "files must have distinct names"),
        (["odd.npz"], "did you mean 'features'"),
        (["nan.npz"], "features must be finite"),
    ],
)
def test_score_refuses_in_one_line(words, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    feature_files(tmp_path)
    np.savez("odd.npz", feature=np.eye(3))
    np.savez("nan.npz", features=np.full((3, 3), np.nan), labels=np.arange(3))
    result = call("score", *words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_bad_sql_is_one_line(out):
    result = call("sql", "select nonsense from nowhere", "--out", str(out))
    assert result.exit_code == 2
    assert "must be valid SQL" in result.stderr


def test_failed_jobs_exit_1(two_tasks, tmp_path):
    for index in range(3):
        (two_tasks / "first" / "train" / "class_0" / f"00{index}.png").write_bytes(b"nothing")
    sweep = write_toml(tmp_path / "tiny.toml", tiny_config(two_tasks))
    result = call("run", str(sweep), "--out", str(tmp_path / "out"), "--executor", "inline")
    assert result.exit_code == 1
    assert "000.png" in result.output


def test_what_is_left_out_of_a_task_is_said_by_plan_and_run(two_tasks, tmp_path):
    (two_tasks / "first" / "train" / "class_0" / "000.png").write_bytes(b"nothing")
    sweep = write_toml(tmp_path / "tiny.toml", tiny_config(two_tasks, search=None))
    note = "note: task 'first': 1 image left out that cannot be decoded: train/class_0/000.png (cannot identify"
    assert note in call("plan", str(sweep), "--out", str(tmp_path / "out")).output
    result = call("run", str(sweep), "--out", str(tmp_path / "out"), "--executor", "inline")
    assert result.exit_code == 0
    assert note in result.output


def test_set_overrides_a_key(sweep, tmp_path):
    result = call("plan", str(sweep), "--set", "finetune.repeats=1", "--out", str(tmp_path / "o"))
    assert "8" in next(line for line in result.output.splitlines() if line.startswith("finetune")).split()
    wrong = call("plan", str(sweep), "--set", "finetune.repaets=1", "--out", str(tmp_path / "o"))
    assert "did you mean 'repeats'" in wrong.stderr


def test_planning_starts_fast():
    """The planner loads neither torch nor Ray; a busy machine gets a wide margin."""
    code = ("import sys; from pathlib import Path; from sweeps.outlook import outlook; from sweeps.run import load;"
            "outlook(load(Path('ray_configs/sweeps/mini.toml')), Path('/nonexistent'));"
            "assert not {'torch', 'ray', 'timm', 'wandb'} & set(sys.modules), sorted(sys.modules)")  # fmt: skip
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert time.perf_counter() - begun < 20


def test_wandb_offline_needs_no_account(two_tasks, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    config = tiny_config(two_tasks, search=None)
    sweep = write_toml(tmp_path / "tiny.toml", config)
    result = call("run", str(sweep), "--out", str(tmp_path / "out"), "--executor", "inline", "--wandb", "offline")
    assert result.exit_code == 0, result.output
    files = list((tmp_path / "out" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 4  # two models, the tables, the report
    assert all(file.stat().st_size > 1000 for file in files)
    assert "wandb-report.json" in result.output
    assert json.loads((tmp_path / "out" / "sweep.json").read_text())["name"] == "tiny"
