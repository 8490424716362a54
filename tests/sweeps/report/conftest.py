"""A tiny sweep worked out by hand: 3 models and a from-scratch baseline, 2 tasks, 2 learning rates, 2 repeats.

On ``t1``: accuracies a 0.72, b 0.82, hostile 0.35, scratch 0.20, and a confirmed search of the hostile model. On
``t2``: a 0.90, b diverged everywhere, one run of the hostile model failed, scratch 0.50.
"""

import json
from pathlib import Path

import pytest

from sweeps.report.analysis import Derived, analyse
from sweeps.settings import Pool
from sweeps.store import Store
from tests.sweeps.report.made_up import HOSTILE, Tables, filled, job, model, planned, run, score, task

STRATEGIES = ("agnostic", "linear", "knn", "hybrid_linear", "oracle", "random")
# (model, task) -> for each repeat, (validation, test) at rate 0.1 and at rate 0.01; None diverged
GRID = {
    ("a", "t1"): [((0.50, 0.60), (0.70, 0.70)), ((0.84, 0.74), (0.60, 0.90))],
    ("b", "t1"): [(None, (0.80, 0.80)), ((0.80, 0.99), (0.80, 0.84))],
    (HOSTILE, "t1"): [((0.30, 0.30), (0.20, 0.90)), ((0.30, 0.40), (0.20, 0.90))],
    ("scratch", "t1"): [((0.20, 0.20), (0.10, 0.10)), ((0.20, 0.20), (0.10, 0.10))],
    ("a", "t2"): [((0.80, 0.90), (0.70, 0.50)), ((0.80, 0.90), (0.70, 0.50))],
    ("b", "t2"): [(None, None), (None, None)],
    (HOSTILE, "t2"): [((0.40, 0.40), (0.30, 0.30)), ((0.40, 0.40), "failed")],
    ("scratch", "t2"): [((0.50, 0.50), (0.40, 0.40)), ((0.50, 0.50), (0.40, 0.40))],
}
LINEAR = {("a", "t1"): 0.5, ("b", "t1"): 0.6, (HOSTILE, "t1"): 0.9,
          ("a", "t2"): 0.5, ("b", "t2"): 0.9, (HOSTILE, "t2"): None}  # fmt: skip


def tiny_tables() -> Tables:
    """The rows of the tiny sweep."""
    tables: Tables = {name: [] for name in ("plan", "jobs", "scores", "runs")}
    tables["models"] = [model("a", accuracy=0.9), model("b", accuracy=0.8), model(HOSTILE, "other"),
                        model("scratch", "scratch")]  # fmt: skip
    tables["tasks"] = [task("t1"), task("t2")]
    for (name, where), repeats in GRID.items():
        for repeat, results in enumerate(repeats):
            for rate, result in zip((0.1, 0.01), results, strict=True):
                key = f"finetune {name} {where} {rate} {repeat}"
                tables["plan"].append(planned(key, "finetune", name, where))
                if result == "failed":
                    tables["jobs"].append(job(key, "finetune", name, where, "failed", error_type="RuntimeError",
                                              error="RuntimeError: \x1b[31mout of luck\nsecond line"))  # fmt: skip
                    continue
                tables["jobs"].append(job(key, "finetune", name, where, seconds=5.0))
                val, test = result or (None, None)
                tables["runs"].append(run(key, name, where, rate, repeat, val, test))
    for (name, where), value in LINEAR.items():
        key = f"linear {name} {where}"
        tables["plan"].append(planned(key, "score", name, where))
        tables["jobs"].append(job(key, "score", name, where, seconds=1.0))
        tables["scores"].append(score(key, name, where, "linear", value))
    tables["plan"].append(planned("knn a t1", "score", "a", "t1"))  # planned and not tried
    _search(tables)
    tables["runs"].append(run("an older sweep", "a", "t1", 0.1, 0, 0.999, 0.999))
    tables["jobs"].append(job("an older sweep", "finetune", "a", "t1", "failed", error="of no interest here"))
    return tables


def _search(tables: Tables) -> None:
    """A search of the hostile model on t1: a good trial that is confirmed, a better one that is not, one stopped."""
    tables["plan"].append(planned("s", "search", HOSTILE, "t1"))
    trials = ((0.03, 0.85, 0.86, "ok"), (0.05, 0.95, 0.95, "ok"), (0.2, 0.99, None, "stopped"))
    for trial, (rate, val, test, status) in enumerate(trials):
        key = f"trial {trial}"
        content = json.dumps({"kind": "trial", "settings": {"search": "s", "trial": trial}})
        tables["jobs"].append(job(key, "trial", HOSTILE, "t1", content=content, seconds=3.0))
        tables["runs"].append(run(key, HOSTILE, "t1", rate, 0, val, test, origin="search", search="s", trial=trial,
                                  status=status))  # fmt: skip
    for repeat, (val, test) in enumerate(((0.80, 0.83), (0.82, 0.87))):
        key = f"confirm {repeat}"
        tables["plan"].append(planned(key, "confirm", HOSTILE, "t1"))
        tables["jobs"].append(job(key, "confirm", HOSTILE, "t1", seconds=5.0))
        tables["runs"].append(run(key, HOSTILE, "t1", 0.03, repeat, val, test, origin="confirm"))


def judge(store: Store, *, bootstrap: int = 400, budgets: tuple[int, ...] = (1, 2)) -> Derived:
    """The derived tables of a store, with the settings that these tests share."""
    return analyse(store, seed=0, pools={"all": Pool(), "other": Pool(groups=("other",))}, budgets=budgets,
                   strategies=STRATEGIES, bootstrap=bootstrap, answer_strategy="hybrid_linear", answer_budget=2,
                   proxies=("linear", "knn"), faults={})  # fmt: skip


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of the tiny sweep."""
    return filled(tmp_path_factory.mktemp("tiny"), tiny_tables())


@pytest.fixture(scope="session")
def derived(tiny: Store) -> Derived:
    """What the tiny sweep says."""
    return judge(tiny)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder."""
    return tmp_path / "out"
