"""The mirror and the report in W&B, from the unmodified clients, against a stand-in for the service and on the disk."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO

import pyarrow.parquet as pq
import pytest
import wandb
from rich.console import Console

from sweeps import mirror, track
from sweeps.config import parse
from sweeps.errors import ConfigError
from sweeps.hands import How
from sweeps.report import words
from sweeps.report.summary import show
from sweeps.report.tables import Column, Entry, Table
from sweeps.report.wandb_report import SPEC, markdown, publish
from sweeps.run import report, run
from sweeps.sql import query
from sweeps.store import Store
from tests.conftest import ROOT, draw_folder, tiny_config
from tests.doubles.wandb_service import KEY, serve


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A finished sweep: its config, its result."""
    folder = tmp_path_factory.mktemp("swept")
    for index, name in enumerate(("first", "second")):
        draw_folder(folder / "tasks" / name, classes=3 + index, seed=index)
    config = parse(tiny_config(folder / "tasks"))
    return config, run(config, folder / "out", How(executor="inline"))


@pytest.fixture(autouse=True)
def _apart():
    """W&B's process keeps the address that it first heard of: every test starts its own."""
    wandb.teardown()
    yield
    wandb.teardown()


@pytest.fixture
def online(monkeypatch):
    """The stand-in, and the clients told to use it."""
    with serve() as service:
        for name, value in (("BASE_URL", service.url), ("API_KEY", KEY), ("MODE", "online"), ("SILENT", "true")):
            monkeypatch.setenv(f"WANDB_{name}", value)
        monkeypatch.setattr(track, "PACE", 0.0)
        yield service


def fresh(out):
    """Forget what was mirrored."""
    (out / ".mirror.json").unlink(missing_ok=True)


def mirrored(config, result, mode):
    """Mirror and publish what a sweep found; what the publisher says."""
    return publish(Store(result.out), config, result.derived, result.notes, {}, mode)


def held(service):
    """What people see: everything but times of logging."""
    runs = {name: ([{key: value for key, value in row.items() if key not in ("_timestamp", "_runtime")}
                    for row in service.history(name)], service.summary(name), service.config(name))
            for name in service.runs}  # fmt: skip
    artifacts = sorted((one["name"], one["version"], one["digest"], one["state"]) for one in service.artifacts)
    return runs, artifacts, {name: view["spec"] for name, view in service.views.items()}


def test_everything_is_mirrored_and_twice_changes_nothing(swept, online):
    config, result = swept
    fresh(result.out)
    store = Store(result.out)
    first = mirrored(config, result, "online")
    assert not online.unknown
    assert first == [
        f"the W&B report is at {online.url}/somebody/sweeps/reports/tiny:-which-model-to-fine-tune--V0"]  # fmt: skip
    by_type = {}
    for name, row in online.runs.items():
        assert (row["groupName"], row["project"]) == ("tiny", "sweeps")
        assert row.get("host") in (None, "withheld")
        by_type.setdefault(row["jobType"], []).append(name)
    assert {kind: len(found) for kind, found in by_type.items()} == {"model": 2, "search": 2, "tables": 1, "report": 1}

    for name in by_type["model"]:  # curves, accuracies and scores are those of the tables
        told, model = online.history(name), online.runs[name]["displayName"]
        rows = [row for row in store.rows("runs") if row["model"] == model and row["search"] is None]
        assert len(told) == sum(len(row["curve"]) for row in rows)
        for row in rows:
            key = f"curves/{row['task']}/rate {row['learning_rate']:.3g}/repeat {row['repeat']}/val_accuracy"
            assert [(each["finetune_step"], each[key]) for each in told if key in each] == [
                (point["step"], point["val_accuracy"]) for point in row["curve"]]  # fmt: skip
        summary = online.summary(name)
        for row in store.rows("scores"):
            if row["model"] == model:
                assert summary[f"score/{row['proxy']}/{row['task']}"] == row["value"]
        for row in store.rows("accuracies"):
            if row["model"] == model:
                assert summary[f"accuracy/{row['task']}"] == row["accuracy"]
        assert online.config(name)["settings"]["finetune"]["steps"] == 8

    trials = [row for row in store.rows("runs") if row["search"]]
    told = [(row["trial"], row["learning_rate"]) for name in by_type["search"] for row in online.history(name)]
    assert sorted(told) == sorted((row["trial"], row["learning_rate"]) for row in trials)
    for name in by_type["search"]:
        best = max(
            (row for row in trials if row["task"] == online.config(name)["task"]), key=lambda row: row["val_accuracy"]
        )
        assert online.summary(name)["val_accuracy"] == best["val_accuracy"]
        assert set(online.summary(name)) == {"trials", "seconds", "learning_rate", "val_accuracy"}

    assert [(one["name"], one["state"]) for one in online.artifacts] == [
        ("tiny-measured", "COMMITTED"), ("tiny-derived", "COMMITTED")]  # fmt: skip
    assert online.used == [(by_type["report"][0], online.artifacts[0]["id"])]

    before = held(online)
    assert mirrored(config, result, "online") == first
    assert held(online) == before
    assert set(online.views) == {"V0"}
    assert not online.unknown


def test_neither_key_nor_host_nor_place_is_told(swept, online, monkeypatch):
    import socket

    config, result = swept
    fresh(result.out)
    monkeypatch.setattr(socket, "gethostname", lambda: "a-secret-machine")
    store = Store(result.out)
    mirrored(config, result, "online")
    said = online.said()
    assert online.runs
    for secret in (KEY, "a-secret-machine", str(ROOT)):
        assert secret not in said
    logs = [path for path in (result.out / "wandb").rglob("*") if path.is_file()]
    assert logs
    for path in [*logs, result.out / ".mirror.json"]:
        content = path.read_bytes()
        assert KEY.encode() not in content
        assert b"a-secret-machine" not in content
    staged = pq.read_table(result.out / ".mirror" / "online" / "measured" / "jobs.parquet")
    assert not {"host", "worker", "traceback"} & set(staged.column_names)
    assert staged.num_rows == len(store.rows("jobs"))


def assert_finished_by_the_next(store, config, online):
    """What a whole mirror leaves now is what one leaves that never died."""
    assert not track.publish(store, config, "online")
    mended = held(online)[0]
    online.runs.clear()
    fresh(store.out)
    assert not track.publish(store, config, "online")
    assert held(online)[0] == mended


class _KilledError(BaseException):
    pass


def test_a_mirror_that_died_is_finished_by_the_next(swept, online, monkeypatch):
    """Death after some steps of every run in turn, then a whole mirror: the same as one that never died."""
    config, result = swept
    store = Store(result.out)
    fresh(result.out)
    teller = track.Teller(store, config, "online")
    told = teller._run
    left = iter((3, 20, 1, 2))

    def some(shard, history, more=None):
        told(shard, history[: next(left, 0)], more)
        raise _KilledError

    for _ in range(4):
        monkeypatch.setattr(teller, "_run", some)
        with pytest.raises(_KilledError):
            teller.runs()
    monkeypatch.undo()
    for name, value in (("BASE_URL", online.url), ("API_KEY", KEY), ("MODE", "online"), ("SILENT", "true")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    assert_finished_by_the_next(store, config, online)


@pytest.mark.slow
def test_a_mirror_killed_at_any_moment_is_finished_by_the_next(swept, online):
    """SIGKILL of the whole process group, W&B's own processes included, at several moments."""
    config, result = swept
    store = Store(result.out)
    fresh(result.out)
    code = ("import sys; from pathlib import Path; from sweeps import track; from sweeps.output import read_config;"
            "from sweeps.store import Store; out = Path(sys.argv[1]);"
            "print('go', flush=True); track.publish(Store(out), read_config(out), 'online')")  # fmt: skip
    for seconds in (3.0, 5.0, 7.0):
        child = subprocess.Popen([sys.executable, "-c", code, str(result.out)], cwd=ROOT, start_new_session=True,
                                 stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
        child.stdout.readline()
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert_finished_by_the_next(store, config, online)


def sync(out):
    """What a user does later: send what lies on the disk."""
    folders = sorted(str(path) for path in (out / "wandb").glob("offline-run-*"))
    subprocess.run([sys.executable, "-m", "wandb", "sync", *folders], check=True, capture_output=True, timeout=100,
                   stdin=subprocess.DEVNULL, cwd=out)  # fmt: skip
    return folders


@pytest.mark.slow
def test_offline_runs_sent_later_hold_the_same_and_are_not_written_twice(swept, online, monkeypatch):
    config, result = swept
    store, whole = Store(result.out), mirror.shards
    fresh(result.out)
    shutil.rmtree(result.out / "wandb", ignore_errors=True)

    def early(view, config):  # before the last fine-tuning of every model was done
        return [replace(shard, points=dict(list(shard.points.items())[:-1])) for shard in whole(view, config)]

    monkeypatch.setattr(mirror, "shards", early)
    assert not track.publish(store, config, "offline")  # never sent: written anew below
    assert len(list((result.out / "wandb").glob("offline-run-*"))) == 6
    fresh(result.out)
    assert not track.publish(store, config, "offline")
    assert not online.runs
    sync(result.out)
    assert len(online.runs) == 6
    monkeypatch.setattr(mirror, "shards", whole)
    assert not track.publish(store, config, "offline")
    folders = sync(result.out)
    assert len(folders) == 6 + 4  # what the four runs gained
    assert not track.publish(store, config, "offline")
    assert sync(result.out) == folders
    sent = held(online)
    assert not online.unknown
    online.runs.clear()
    online.artifacts.clear()
    wandb.teardown()
    assert not track.publish(store, config, "online")
    straight = held(online)
    assert sent[1:] == straight[1:]
    for name, (history, summary, settings) in straight[0].items():
        last = {key for key in summary if key.startswith("curves/")}  # W&B's own: the last of what a part had of them
        assert sent[0][name][1].items() - {(key, sent[0][name][1].get(key)) for key in last} == {
            (key, value) for key, value in summary.items() if key not in last}  # fmt: skip
        assert sent[0][name][2] == settings
        assert [row["_step"] for row in sent[0][name][0]] == list(range(len(history)))
        told, right = (sorted(json.dumps(row | {"_step": 0}, sort_keys=True) for row in rows)
                       for rows in (sent[0][name][0], history))  # fmt: skip
        assert told == right  # in the order in which each was told


def told_spec(spec):
    """The Markdown of a report's blocks, and its panels."""
    texts = [block["content"] for block in spec["blocks"] if block["type"] == "markdown-block"]
    grids = [block for block in spec["blocks"] if block["type"] == "panel-grid"]
    panels = [panel for grid in grids for panel in grid["metadata"]["panelBankSectionConfig"]["panels"]]
    return html.unescape("\n".join(texts)).replace("\\", ""), panels


def test_numbers_are_equal_in_wandb_terminal_page_and_sql(swept, monkeypatch):
    """One fixture; the numbers that SQL gives are found, written alike, in the other three."""
    config, result = swept
    monkeypatch.setenv("WANDB_MODE", "offline")
    fresh(result.out)
    mirrored(config, result, "offline")
    text = StringIO()
    show(Console(file=text, width=300), result.out, result.derived, result.failures, result.notes, result.report)
    terminal = re.sub(r"\s+", " ", text.getvalue())
    source = re.sub(r"<(script|style|svg).*?</\1>", " ", result.report.read_text(encoding="utf-8"), flags=re.DOTALL)
    page = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", source)))
    said, _ = told_spec(json.loads((result.out / SPEC).read_text())["spec"])
    answers = query(result.out, "select * from answer").to_pylist()
    assert len(answers) == 2
    for row in answers:
        sentence = words.plain(words.answer(row))
        for where in (terminal, page, said):
            assert sentence in where
    regrets = query(result.out, "select * from strategies where pool = 'all'").to_pylist()
    assert regrets
    for row in regrets:
        number = words.within(row["mean_relative_regret"], row["low"], row["high"])
        line = f"{words.strategy(row['strategy'])} | {row['budget']} | {number} |"
        assert line in said
        assert line.replace(" | ", " ").removesuffix(" |") in terminal
        assert number in page
    for row in query(result.out, "select * from accuracies").to_pylist():
        assert f"| {row['model']} | {row['task']} | {words.percent(row['accuracy'])} |" in said
        assert words.percent(row["accuracy"]) in page
    for row in query(result.out, "select * from proxies where pool = 'all' and kind = 'proxy'").to_pylist():
        number = words.within(*(row[f"relative_regret_1{end}"] for end in ("", "_low", "_high")))
        for where in (terminal, page, said):
            assert number in where


def test_the_blocks_of_the_report(swept, monkeypatch):
    config, result = swept
    monkeypatch.setenv("WANDB_MODE", "offline")
    fresh(result.out)
    mirrored(config, result, "offline")
    spec = json.loads((result.out / SPEC).read_text())["spec"]
    kinds = [block["type"] for block in spec["blocks"] if block["type"] != "paragraph"]
    assert kinds[0] == "markdown-block"  # the answer first
    heads = [block["children"][0]["text"] for block in spec["blocks"] if block["type"] == "heading"]
    assert heads == [
        "How much do the strategies lose?",
        "Which proxy can be trusted?",
        "Model, learning rate and tau",
        "Fine-tuning",
        "How related are the tasks?",
        "Cost",
        "Failures",
        "Missing",
        "Provenance",
    ]
    _, panels = told_spec(spec)
    views = [panel["viewType"] for panel in panels]
    pools = {(row["pool"], row["budget"]) for row in Store(result.out).rows("strategies")}
    assert views.count("Bar Chart") == len(pools) + 1
    assert views.count("Scatter Plot") == 4  # two proxies, two tasks
    assert views.count("Parallel Coordinates Plot") == 1
    assert views.count("Run History Line Plot") == 2
    (lines,) = [panel for panel in panels if panel["viewType"] == "Parallel Coordinates Plot"]
    assert [column["accessor"] for column in lines["config"]["columns"]] == [
        "config:model.value", "config:task.value", "summary:learning_rate", "summary:tau", "summary:val_accuracy",
        "summary:seconds"]  # fmt: skip
    filters = [json.dumps(runset["filters"]) for block in spec["blocks"] if block["type"] == "panel-grid"
               for runset in block["metadata"]["runSets"]]  # fmt: skip
    assert filters
    assert all(config.fingerprint in text for text in filters)


def test_a_message_names_no_machine():
    said = "node gpu-1 died, gpu-12 and vm lived, vms too"
    assert mirror.discreet(said, ["gpu-1", None, "vm"]) == "node a host died, gpu-12 and a host lived, vms too"


def test_a_name_is_no_markup():
    evil = "<script>alert(1)</script> | [x](http://y) `*z*`"
    text = markdown(Table(evil, [Column(evil)], [[Entry(evil)]] * 70))
    assert "<" not in text
    assert "](" not in text.replace("]\\(", "")
    assert text.splitlines()[4].replace("\\|", "").count("|") == 2
    assert "10 further rows in the artifact" in text


def test_online_without_a_key_is_refused_before_anything_is_measured(swept, tmp_path, monkeypatch):
    config, _ = swept
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="must have a key"):
        run(config, tmp_path / "out", How(executor="inline", wandb="online"))
    assert not (tmp_path / "out").exists()


def test_a_service_that_is_away_costs_a_note_and_no_number(swept, monkeypatch):
    config, result = swept

    def refuse(**_):
        raise wandb.errors.CommError("the service is away")

    fresh(result.out)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(wandb, "init", refuse)
    told = report(Store(result.out), config, {}, "online")
    assert told.derived == result.derived
    assert told.notes[:-1] == list(result.notes)
    assert "the service is away" in told.notes[-1]


@pytest.mark.slow
def test_a_running_sweep_is_told_while_it_runs(two_tasks, tmp_path, online, monkeypatch):
    """The watcher tells what is finished; at the end nothing is told twice."""
    monkeypatch.setattr(track, "EVERY", 0.2)
    monkeypatch.setattr(track, "SHARE", 10.0)
    config = parse(tiny_config(two_tasks, search=None, delay=0.2))
    seen = []
    asked = track.Teller.runs
    monkeypatch.setattr(track.Teller, "runs", lambda self, over=None: (asked(self, over), seen.append(over is None))[0])
    run(config, tmp_path / "out", How(executor="inline", wandb="online"))
    assert seen.count(True) == 1
    assert seen.count(False) >= 1
    steps = {row["displayName"]: [each["_step"] for each in online.history(name)] for name, row in online.runs.items()}
    for model in ("tiny_4", "tiny_8"):
        curves = [row["curve"] for row in Store(tmp_path / "out").rows("runs") if row["model"] == model]
        assert steps[model] == list(range(sum(map(len, curves))))
