"""The packed truth is what was measured; bench-proxy judges a user's own function on it beside the built-in ones."""

import json
import random
import re
import shutil

import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from sweeps import bench
from sweeps.cli import app
from sweeps.config import SweepConfig, load
from sweeps.errors import ConfigError, DataError
from sweeps.hands import How
from sweeps.jobs.context import Context
from sweeps.progress import Silent
from sweeps.run import run
from sweeps.store import Store
from sweeps.truth import COLUMNS, FOLDER, pack
from sweeps.truth import load as truth_of
from tests.conftest import ROOT

MODELS = ("mini_mobilenet_v1.mininet", "mini_resnet_v1_50.mininet", "mini_resnet_v2_50.expert_cells",
          "mini_resnet_v2_50.scratch")  # fmt: skip
INLINE = How(executor="inline")
CONFIG = SweepConfig.model_validate({
    "name": "truth", "models": MODELS, "tasks": ["mini/cells", "mini/retina"], "proxies": {"knn": {}, "logme": {}},
    "finetune": {"learning_rates": [0.1, 0.01], "steps": 2, "batch": 16, "repeats": 1, "evaluations": 1},
    "regret": {"strategies": ["agnostic", "knn"], "answer": "knn", "bootstrap": 20},
})  # fmt: skip
PAGE = ROOT / "docs" / "bench-proxy.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A finished sweep and its packed tables."""
    folder = tmp_path_factory.mktemp("truth")
    run(CONFIG, folder / "out", INLINE)
    pack(folder / "out", folder / "packed")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory for the user's files; what they define is forgotten afterwards."""
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if name.startswith("mine"):
            del sys.modules[name]


def test_the_packed_truth_is_what_was_measured(place):
    truth, store = truth_of(place / "packed"), Store(place / "out")
    assert truth.config == CONFIG
    assert truth.runs.num_rows == 4 * 2 * 2
    measured = {row["job"]: row for row in store.rows("runs")}
    for row in truth.runs.to_pylist():
        assert row == {key: measured[row["job"]][key] for key in COLUMNS["runs"]}
    assert truth.scores.num_rows == 3 * 2 * 2
    assert {name: tuple(table.column_names) for name, table in truth.tables.items()} == dict(COLUMNS)
    assert truth.provenance["jobs"] == store.read("plan").num_rows
    assert truth.provenance["commit"]
    with pytest.raises(AttributeError, match="no table 'job'"):
        truth.job  # noqa: B018


def test_an_unfinished_sweep_is_not_packed(place, tmp_path):
    shutil.copytree(place / "out", tmp_path / "out")
    store = Store(tmp_path / "out")
    extra = dict.fromkeys(("kind", "model", "task"), "finetune") | {"job": "0" * 8, "stage": "measure"}
    store.write("plan", "measure", [*store.rows("plan"), extra])
    with pytest.raises(DataError, match="must hold a finished sweep, got 1 of"):
        pack(tmp_path / "out", tmp_path / "packed")
    with pytest.raises(DataError, match="must have been packed"):
        truth_of(tmp_path / "packed")


def _page_examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_pages_proxy_of_ten_lines_is_judged_beside_the_built_in_ones(place, here):
    code, strategy = _page_examples()
    assert len(code.splitlines()) <= 14
    (here / "mine_strategy.py").write_text(strategy)
    judged = bench.bench_strategy("mine_strategy:order", truth_of(place / "packed"), bootstrap=20)
    assert [row["name"] for row in judged.rows if row["own"]] == ["order (yours)"]
    (here / "mine_page.py").write_text(code)
    words = ["bench-proxy", "mine_page:separation", "--truth", str(place / "packed"), "--out", str(here / "out"),
             "--executor", "inline"]  # fmt: skip
    result = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"}).invoke(app, words)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    (mine,) = [line for line in lines if line.startswith("> separation (yours)")]
    assert len(mine.split()) == 9  # marker, two words of the name, six numbers
    assert {"knn", "logme", "agnostic", "random"} <= {line.split()[0] for line in lines if line.strip()}


def test_a_proxy_that_repeats_logme_is_judged_like_logme(place, here):
    (here / "mine_same.py").write_text("from taskrel.proxies import PROXIES\n\n\ndef again(train, val, *, seed):\n"
                                       "    return PROXIES['logme'].score(train, val, seed=seed)\n")  # fmt: skip
    truth = truth_of(place / "packed")
    found = bench.bench_proxy("mine_same:again", truth, here / "out", INLINE, Silent(), bootstrap=20)
    rows = {row["name"]: row for row in found.rows}
    mine, theirs = rows["again (yours)"], rows["logme"]
    for key in ("relative_regret_1", "relative_regret_2", "tasks_at_zero", "weighted_tau", "pearson"):
        assert mine[key] == theirs[key], key
    assert [row["own"] for row in found.rows].count(True) == 1
    assert found.missing == []
    # Features are embedded once; scores are measured again, since the file may have changed.
    embedded = {path: path.stat().st_mtime_ns for path in (here / "out").rglob("*.safetensors")}
    (here / "mine_same.py").write_text("from taskrel.proxies import PROXIES\n\n\ndef again(train, val, *, seed):\n"
                                       "    raise ValueError('not today')\n")  # fmt: skip
    import sys

    del sys.modules["mine_same"]
    with pytest.raises(DataError, match=r"the first reason: .*not today"):
        bench.bench_proxy("mine_same:again", truth, here / "out", INLINE, Silent(), bootstrap=20)
    assert {path: path.stat().st_mtime_ns for path in (here / "out").rglob("*.safetensors")} == embedded
    assert len(embedded) == 6


def test_a_strategy_sees_all_but_the_tasks_own_accuracies(place, here):
    (here / "mine_order.py").write_text(
        "SEEN = []\n\n\ndef by_knn(view, seed):\n    SEEN.append(view)\n"
        "    return sorted(view.scores['knn'], key=lambda name: (-view.scores['knn'][name], name))\n\n\n"
        "def wrong(view, seed):\n    return ['resnet50']\n"
    )
    truth = truth_of(place / "packed")
    found = bench.bench_strategy("mine_order:by_knn", truth, bootstrap=20)
    rows = {row["name"]: row for row in found.rows}
    assert rows["by_knn (yours)"]["relative_regret_1"] == rows["knn"]["relative_regret_1"]
    import mine_order

    for view in mine_order.SEEN:
        assert view.accuracies is None
        assert view.task not in view.elsewhere
        assert len(view.candidates) == 3
    with pytest.raises(DataError, match="must return names of the view's candidates"):
        bench.bench_strategy("mine_order:wrong", truth)
    with pytest.raises(ConfigError, match="must be importable as module:function"):
        bench.bench_strategy("mine_order:absent", truth)


def test_a_truth_of_other_weights_is_refused(place, here, tmp_path):
    shutil.copytree(place / "packed", tmp_path / "packed")
    truth = truth_of(tmp_path / "packed")
    place_of = truth.models.column_names.index("revision")
    other = truth.models.set_column(place_of, "revision", pc.utf8_reverse(truth.models["revision"]))
    changed = bench.Truth({**truth.tables, "models": other}, truth.provenance, truth.folder)
    (here / "mine_any.py").write_text("def score(train, val, *, seed):\n    return None\n")
    with pytest.raises(DataError, match="must be of the models that are shipped"):
        bench.bench_proxy("mine_any:score", changed, here / "out", INLINE, Silent())


def test_twenty_random_cells_of_the_shipped_truth_are_measured_again(tmp_path):
    """Fine-tunings are content: a sweep over one model and one task has jobs of the whole study's."""
    if not (FOLDER / "runs.parquet").is_file():
        pytest.skip("no truth is shipped yet (make truth)")
    truth = truth_of()
    config = load(ROOT / "ray_configs" / "sweeps" / "mini46_full.toml")
    assert config == truth.config
    runs = {row["job"]: row for row in truth.runs.to_pylist()}
    scores = {row["job"]: row for row in truth.scores.to_pylist()}
    cells = sorted({(row["model"], row["task"], row["learning_rate"]) for row in runs.values()})
    # The same bits on the same kind of CPU; on another, a few of 200 and 1000 images may fall differently.
    same = truth.provenance["device"] == [Context(tmp_path).hardware]
    loose = {"val_accuracy": 0.03, "test_accuracy": 0.02, "value": 0.02}
    for number, (model, task, rate) in enumerate(random.Random(46).sample(cells, 20)):
        finetune = config.finetune.model_copy(update={"repeats": 1, "learning_rates": (rate,)})
        one = config.model_copy(update={
            "models": (model,), "tasks": (task,), "proxies": {"knn": config.proxies["knn"]}, "bound": None,
            "head2toe": None, "finetune": finetune,
            "regret": CONFIG.regret.model_copy(update={"strategies": (), "answer": "agnostic"}),
        })  # fmt: skip
        run(one, tmp_path / str(number), INLINE)
        store = Store(tmp_path / str(number))
        (again,), (scored,) = store.rows("runs"), store.rows("scores")
        for found, known in ((again, runs[again["job"]]), (scored, scores[scored["job"]])):
            for key in loose.keys() & found.keys():
                assert found[key] == pytest.approx(known[key], abs=0 if same else loose[key], rel=0), (model, task, key)


def test_the_truth_and_its_sweep_tell_the_same_study():
    config = load(ROOT / "ray_configs" / "sweeps" / "mini46_full.toml")
    assert config.finetune.repeats == 5
    assert len(config.finetune.learning_rates) == 2
    assert json.loads(json.dumps(config.model_dump(mode="json")))["name"] == "mini46_full"
