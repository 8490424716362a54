"""`sweeps status --watch` from partial tables, and `sweeps compare` against numbers worked out by hand."""

import json
import re
import shutil
from io import StringIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from sweeps.cli import app
from sweeps.config import parse
from sweeps.hands import How
from sweeps.output import claim
from sweeps.report import compare
from sweeps.run import run
from sweeps.store import Store
from sweeps.watch import standing, watch
from tests.conftest import ROOT, draw_folder, tiny_config


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The same small sweep with two seeds of its fine-tunings: folders A and B."""
    folder = tmp_path_factory.mktemp("two")
    for index, name in enumerate(("first", "second")):
        draw_folder(folder / "tasks" / name, classes=3 + index, seed=index)
    for name, seed in (("A", 0), ("B", 1)):
        run(parse(tiny_config(folder / "tasks", seed=seed)), folder / name, How(executor="inline"))
    return folder


@pytest.fixture
def partial(two, tmp_path):
    """A copy in which no fine-tuning was measured yet."""
    out = tmp_path / "out"
    shutil.copytree(two / "A" / "tables", out / "tables")
    whole = {table: Store(out).read(table) for table in ("runs", "jobs")}
    for table in whole:
        shutil.rmtree(out / "tables" / table)
    tuned = pc.is_in(whole["jobs"]["kind"], pa.array(["finetune", "trial"]))
    Store(out)._numbered("jobs", whole["jobs"].filter(pc.invert(tuned)))
    pq.write_table(whole["runs"], tmp_path / "runs.parquet")
    pq.write_table(whole["jobs"].filter(tuned), tmp_path / "jobs.parquet")
    return out


def put_back(out, tables=("runs", "jobs")):
    for table in tables:
        Store(out)._numbered(table, pq.read_table(out.parent / f"{table}.parquet"))


def looks(out, pauses, terminal):
    """What is shown, when each pause does what the next of ``pauses`` does."""
    text, left = StringIO(), list(pauses)
    console = Console(file=text, force_terminal=terminal, width=120)
    watch(console, out, pause=lambda _: left.pop(0)())
    return text.getvalue()


def test_piped_it_says_a_line_per_change_and_ends(partial):
    text = looks(partial, [lambda: None, lambda: put_back(partial)], terminal=False)
    planned = len(Store(partial).rows("plan"))
    lines = text.splitlines()
    assert len(lines) == 2
    assert f" of {planned} jobs done" in lines[0]
    assert "missing" in lines[0]
    assert lines[1] == f"{planned} of {planned} jobs done; over"


def test_in_a_terminal_it_is_redrawn_with_the_best_so_far(partial):
    text = looks(partial, [lambda: put_back(partial, ["runs"]), lambda: put_back(partial)], terminal=True)
    assert "best so far" in text
    assert "\x1b[" in text
    assert "jobs done; over" in text.splitlines()[-1] + text.splitlines()[-2]


def test_it_is_not_over_while_a_run_holds_the_folder(two, tmp_path):
    shutil.copytree(two / "A", tmp_path / "out")
    with claim(tmp_path / "out"):
        held = standing(tmp_path / "out")
        assert (held.missing, held.working, held.over) == (0, True, False)
    assert standing(tmp_path / "out").over
    (tmp_path / "out" / ".holder.json").write_text("{}")  # left by a run on another machine, or garbled
    assert not standing(tmp_path / "out").over


def test_a_killed_run_does_not_count_as_working(two, tmp_path):
    import socket
    import subprocess

    shutil.copytree(two / "A", tmp_path / "out")
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "out" / ".holder.json").write_text(json.dumps({"host": socket.gethostname(), "pid": dead.pid}))
    assert standing(tmp_path / "out").over


def test_the_verb_ends_on_a_finished_sweep(two):
    done = CliRunner().invoke(app, ["status", "--watch", "--out", str(two / "A")])
    assert done.exit_code == 0
    assert done.output.rstrip().endswith("over")


def test_a_sweep_compared_with_itself_has_not_changed(two):
    found = compare.compare(two / "A", two / "A", samples=50)
    assert all(row.same for row in found.answers)
    assert {row.what for row in found.changes} == {"accuracy", "relative regret", "score", "cost"}
    for row in found.changes:
        assert (row.changed, row.difference, row.p_value, row.only) == (0, 0.0, 1.0, (0, 0))


def test_the_numbers_of_a_comparison(two):
    found = compare.compare(two / "A", two / "B", samples=500)
    sides = [{(row["task"], row["model"]): row["accuracy"] for row in Store(two / name).rows("accuracies")}
             for name in "AB"]  # fmt: skip
    gaps = [sides[1][cell] - sides[0][cell] for cell in sides[0]]
    (row,) = [row for row in found.changes if row.what == "accuracy"]
    assert row.cells == 4
    assert row.changed == sum(gap != 0 for gap in gaps)
    assert row.difference == pytest.approx(np.mean(gaps), abs=1e-12)
    assert min(gaps) <= row.low <= row.difference <= row.high <= max(gaps)
    flips = [abs(np.dot(gaps, 1 - 2 * ((number >> np.arange(4)) & 1))) for number in range(16)]
    assert row.p_value == pytest.approx(np.mean(np.array(flips) >= abs(sum(gaps)) - 1e-12))
    seconds = [
        sum(each["seconds"] for each in Store(two / name).rows("jobs") if each["kind"] == "trial") for name in "AB"
    ]
    (cost,) = [row for row in found.changes if (row.what, row.of) == ("cost", "trial")]
    if cost.cells == 2 and cost.only == (0, 0):
        assert (cost.before * 2, cost.after * 2) == pytest.approx(tuple(seconds))


def test_the_python_on_the_page_runs(two, monkeypatch, capsys):
    monkeypatch.chdir(two)
    page = (ROOT / "docs" / "reading-the-report.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "reading-the-report.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["first", "second"]
    (row,) = [row for row in compare.compare(two / "A", two / "B").changes if row.what == "accuracy"]
    assert lines[2] == f"{row.difference} {[row.low, row.high]} {row.p_value}"


def test_compare_prints_json_and_refuses_in_one_line(two, tmp_path):
    done = CliRunner().invoke(app, ["compare", str(two / "A"), str(two / "B"), "--json"])
    told = json.loads(done.stdout)
    assert {row["task"] for row in told["answers"]} == {"first", "second"}
    shown = CliRunner(env={"COLUMNS": "140"}).invoke(app, ["compare", str(two / "A"), str(two / "B")])
    (row,) = [row for row in told["changes"] if row["what"] == "accuracy"]
    assert f"{100 * row['before']:.1f}%" in shown.output
    wrong = CliRunner().invoke(app, ["compare", str(two / "A"), str(tmp_path)])
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("error: a compared folder must hold a reported sweep")
