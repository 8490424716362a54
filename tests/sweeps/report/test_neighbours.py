"""Tasks that are alike: distances and their ranks, what following the nearest gives, the replay, the picture."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sweeps.report import neighbours
from sweeps.report.analysis import Derived, analyse
from sweeps.report.figures import NARROW
from sweeps.report.html import page
from sweeps.report.selection import Views
from sweeps.settings import Pool
from sweeps.store import Store
from sweeps.types import Row
from tests.sweeps.report.made_up import filled, job, mini, model, planned
from tests.sweeps.report.test_pictures import texts

UNITS = {"t1": [1.0, 2.0, 3.0, 0.0], "t2": [1.0, 2.0, 4.0, 0.0], "t3": [9.0, 0.5, 0.0, 0.0]}
NEAR = {("t1", "t2"): 1, ("t1", "t3"): 2, ("t2", "t1"): 1, ("t2", "t3"): 2, ("t3", "t1"): 1, ("t3", "t2"): 2}
REACHED = {"t1": {"a": 0.9, "b": 0.5, "c": 0.8}, "t2": {"a": 0.6, "b": 0.4, "c": 0.8}, "t3": {"a": 0.5, "b": 0.7}}


def embedding(task: str, units: Sequence[float], seconds: float = 3.0) -> Row:
    return {"job": f"task2vec {task}", "task": task, "probe": "a", "method": "montecarlo", "images": 10, "seed": 0,
            "units": list(units), "head_accuracy": 0.5, "seconds": seconds}  # fmt: skip


def accuracies() -> list[Row]:
    return [{"model": name, "task": task, "group": "a", "accuracy": value}
            for task, reached in REACHED.items() for name, value in reached.items()]  # fmt: skip


def views(known: Sequence[str] = tuple(UNITS), reached: Sequence[str] = tuple(REACHED)) -> Views:
    """The three tasks, of which some are embedded and on some of which models are fine-tuned."""
    rows = [embedding(task, UNITS[task]) for task in known]
    jobs = [job(f"embed a {task}", "embed", "a", task, seconds=1.0) for task in UNITS]
    models = [model("a", accuracy=0.7), model("b", accuracy=0.9), model("c", accuracy=0.8)]
    told = [row for row in accuracies() if row["task"] in reached]
    return Views(models, [], jobs, told, neighbours=neighbours.distances(rows, list(UNITS)), embeddings=rows)


def apart(first: Sequence[float], second: Sequence[float]) -> float:
    """Achille et al., section 4, coordinate by coordinate."""
    shares = [(a / (a + b), b / (a + b)) for a, b in zip(first, second, strict=True) if a + b > 0]
    dot = sum(x * y for x, y in shares)
    return float(1 - dot / (sum(x * x for x, _ in shares) * sum(y * y for _, y in shares)) ** 0.5)


def test_distances_are_the_papers_in_the_order_of_the_sweep() -> None:
    near = neighbours.distances([embedding(task, UNITS[task]) for task in reversed(UNITS)], list(UNITS))
    assert {(row["task"], row["other"]): row["rank"] for row in near} == NEAR
    assert [row["task"] for row in near] == ["t1", "t1", "t2", "t2", "t3", "t3"]
    for row in near:
        assert row["distance"] == pytest.approx(apart(UNITS[row["task"]], UNITS[row["other"]]), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (4, 3), elements=st.floats(0, 1e3)))
def test_ranks_follow_distances_and_distances_are_symmetric(units: np.ndarray) -> None:
    names = [f"t{number}" for number in range(len(units))]
    near = neighbours.distances([embedding(name, row) for name, row in zip(names, units, strict=True)], names)
    found = {(row["task"], row["other"]): row for row in near}
    assert len(found) == len(near) == 12
    for one, other in combinations(names, 2):
        assert found[one, other]["distance"] == found[other, one]["distance"]
    for one in names:
        mine = sorted((row for row in near if row["task"] == one), key=lambda row: row["rank"])
        assert [row["rank"] for row in mine] == [1, 2, 3]
        assert mine == sorted(mine, key=lambda row: row["distance"])


@pytest.mark.parametrize("number", [0, 1])
def test_one_task_alone_has_no_neighbour(number: int) -> None:
    assert neighbours.distances([embedding("t1", UNITS["t1"])][:number], ["t1"]) == []


def test_following_the_nearest_task_by_hand() -> None:
    near = neighbours.distances([embedding(task, units) for task, units in UNITS.items()], list(UNITS))
    followed = {(one.task, one.other): one for one in neighbours.follow(near, accuracies(), {"a", "b", "c"})}
    first = followed["t1", "t2"]  # c is best on t2, second on t1: loses (0.9 - 0.8) / (1 - 0.8)
    assert (first.model, first.place, first.models) == ("c", 2, 3)
    assert first.lost == pytest.approx(0.5)
    assert followed["t2", "t1"].lost == pytest.approx((0.8 - 0.6) / (1 - 0.6))
    lone = followed["t3", "t2"]  # c was never fine-tuned on t3
    assert (lone.model, lone.place, lone.lost) == ("c", None, None)
    (said,) = neighbours.said([*followed.values()])
    losses = [followed[pair].lost for pair in (("t1", "t2"), ("t2", "t1"), ("t3", "t1"))]
    assert f"{100 * np.mean(losses):.1f}% of the remaining error, on average over 3 tasks" in said  # type: ignore[arg-type]
    shown = neighbours.table([*followed.values()])
    assert [entry.text for entry in shown.rows[0]][:3] == ["t1", "t2", f"{first.distance:.3f}"]
    assert [row[4].text for row in shown.rows] == ["2 of 3", "2 of 3", "2 of 2"]
    assert neighbours.said(neighbours.follow(near, [], {"a"})) == []


def test_task2vec_takes_the_order_of_the_nearest_task_and_says_so() -> None:
    picked = views().rank("task2vec", "t1", ["a", "b", "c"], 0)
    assert not isinstance(picked, str)
    assert [pick.model for pick in picked] == ["c", "a", "b"]  # as on t2
    assert all("on 't2'" in pick.reason for pick in picked)
    assert sum(pick.cost_seconds or 0 for pick in picked) == pytest.approx(3 + 1)  # embedding and probe's forward pass
    hybrid = views().rank("hybrid_task2vec", "t1", ["a", "b", "c"], 0)
    assert not isinstance(hybrid, str)
    assert [pick.model for pick in hybrid] == ["b", "c", "a"]  # b is the best upstream


@pytest.mark.parametrize(
    ("known", "reached", "says"),
    [
        ((), ("t1", "t2", "t3"), "no two tasks are embedded"),
        (("t2", "t3"), ("t1", "t2", "t3"), "the task is not embedded"),
        (("t1", "t2"), ("t1", "t3"), "no model is fine-tuned on another embedded task"),
        (("t1", "t2", "t3"), (), "no model is fine-tuned on another embedded task"),
    ],
)
def test_why_task2vec_cannot_pick(known: tuple[str, ...], reached: tuple[str, ...], says: str) -> None:
    assert views(known, reached).rank("task2vec", "t1", ["a", "b", "c"], 0) == says


def near_of(number: int) -> list[Row]:
    units = np.random.default_rng(0).random((number, 5))
    names = [f"mini/task_{place}" for place in range(number)]
    return neighbours.distances([embedding(name, row) for name, row in zip(names, units, strict=True)], names)


@pytest.mark.parametrize("wide", [1040, NARROW])
def test_the_picture_shows_every_distance_twice_and_fits(wide: int) -> None:
    near = near_of(6)
    picture = neighbours.heat_map(near, wide)
    for row in near:
        assert texts(picture).count(f"{row['distance']:.2f}") >= 2
    assert picture.count("<title>") == 30
    assert float(picture.split('viewBox="0 0 ')[1].split()[0]) <= wide
    assert "var(--heat)" in picture
    assert "#0a" not in picture
    assert neighbours.heat_map(near, wide) == picture


@pytest.mark.parametrize("wide", [1040, NARROW])
def test_pictures_of_few_and_many_tasks(wide: int) -> None:
    assert neighbours.heat_map([], wide) == ""
    assert neighbours.heat_map(near_of(2), wide)
    drawn = neighbours.MOST_TASKS if wide > NARROW else 18  # rows that have room for their names
    many = neighbours.heat_map(near_of(neighbours.MOST_TASKS + 5), wide)
    assert many.count("<title>") == drawn * (drawn - 1)
    assert f"{drawn} of {neighbours.MOST_TASKS + 5} tasks; all are in the table below" in texts(many)


def replayed(out: Path) -> tuple[Store, Derived]:
    """The made-up mini sweep with embeddings of all its tasks but the last."""
    store = mini(out, searched=False)
    tasks = [row["task"] for row in store.rows("tasks")][:-1]
    probe = store.rows("models")[0]["model"]
    units = np.random.default_rng(1).random((len(tasks), 6))
    rows = [embedding(task, vector) | {"probe": probe} for task, vector in zip(tasks, units, strict=True)]
    filled(out, {"embeddings": [*rows, embedding("of an older plan", units[0])]})
    plan = [planned(row["job"], "task2vec", probe, row["task"]) for row in rows]
    store.write("plan", "task2vec", plan)
    store.write("jobs", "task2vec", [job(row["job"], "task2vec", probe, row["task"], seconds=3.0) for row in rows])
    return store, analyse(store, seed=0, pools={"all": Pool()}, budgets=(1, 2), bootstrap=20,
                          strategies=("linear", "task2vec", "hybrid_task2vec"), answer_strategy="linear",
                          answer_budget=1)  # fmt: skip


def test_the_report_replays_compares_and_draws(out: Path) -> None:
    _, derived = replayed(out)
    tables = derived.tables
    assert len(tables["neighbours"]) == 7 * 6
    assert {row["strategy"] for row in tables["strategies"]} == {"linear", "task2vec", "hybrid_task2vec"}
    assert any("strategy task2vec is left out in pool all on mini/scenes: the task is not embedded" in note
               for note in derived.notes)  # fmt: skip
    assert [stage.kind for stage in derived.evidence.stages] == ["embed", "score", "task2vec", "finetune"]
    text = page(derived)
    assert 'id="neighbours"' in text
    assert "Task2Vec distance of every two tasks." in text
    assert text.count(f"neighbours0-{NARROW}-") > 0
    assert "hybrid Task2Vec" in text


def test_a_sweep_without_embeddings_says_so(derived: Derived) -> None:
    assert "This sweep embeds no tasks: it has no [task2vec] section." in page(derived)
