"""The study's tables and pictures: hits, duels, and correlations against regret."""

from xml.etree import ElementTree

import pytest

from sweeps.report import study, tables
from sweeps.report.analysis import Derived
from sweeps.report.duels import comparisons
from sweeps.report.selection import Views
from sweeps.types import Row


def tips(picture: str) -> list[str]:
    return [title.text or "" for title in ElementTree.fromstring(picture).iter("title")]


def test_the_budget_is_the_place_of_the_best_model(derived: Derived) -> None:
    found = {(row["strategy"], row["task"]): (row["optimistic"], row["pessimistic"])
             for row in derived.tables["budgets"] if row["pool"] == "all"}  # fmt: skip
    # On t1 b is best; the proxy puts the hostile model first. On t2 only a has an accuracy.
    assert found["linear", "t1"] == found["agnostic", "t1"] == (2, 2)
    assert found["hybrid_linear", "t1"] == (3, 3)
    assert found["oracle", "t1"] == (1, 1)
    assert {found[name, "t2"] for name in ("linear", "agnostic", "oracle")} == {(1, 1)}


def test_the_share_of_solved_tasks_grows_to_all(derived: Derived) -> None:
    curves: dict[str, list[float]] = {}
    for row in derived.tables["solved"]:
        if row["pool"] == "all":
            curves.setdefault(row["strategy"], []).append(row["expected"])
    assert curves["linear"] == [0.5, 1, 1]
    assert curves["hybrid_linear"] == [0.5, 1]  # from two models on
    assert curves["random"] == pytest.approx([(1 / 3 + 1) / 2, (2 / 3 + 1) / 2, 1])


def test_every_strategy_is_compared_with_the_answers_or_what_it_reads(derived: Derived) -> None:
    rows = derived.tables["comparisons"]
    assert {(row["budget"], row["versus"]) for row in rows} == {(1, "linear"), (2, "hybrid_linear")}
    agnostic = next(row for row in rows if (row["pool"], row["budget"], row["strategy"]) == ("all", 1, "agnostic"))
    regret = {(row["task"], row["strategy"]): row["relative_regret"] for row in derived.tables["regret"]
              if (row["pool"], row["budget"]) == ("all", 1)}  # fmt: skip
    gaps = [regret[task, "agnostic"] - regret[task, "linear"] for task in agnostic["on"]]
    assert agnostic["differences"] == pytest.approx(gaps)
    assert agnostic["difference"] == pytest.approx(sum(gaps) / len(gaps))
    assert agnostic["wins"] == sum(gap < 0 for gap in gaps) == 1
    assert agnostic["p_value"] == 1  # one task that differs proves nothing


def test_without_a_rival_nothing_is_compared() -> None:
    row = {"pool": "all", "budget": 1, "task": "t", "strategy": "linear", "relative_regret": 0.1, "value": 0.5}
    views = Views([], [], [], [], ["linear"])
    assert comparisons([row], views, "linear", samples=10, seed=0) == []
    assert comparisons([row, row | {"strategy": "random"}], views, "linear", samples=10, seed=0) == []


def test_correlations_carry_what_the_best_scored_model_loses(derived: Derived) -> None:
    rows = {(row["task"], row["proxy"]): row for row in derived.tables["correlations"]}
    # t1: the proxy's best is the hostile model at 0.35, the best is b at 0.82.
    assert rows["t1", "linear"]["relative_regret"] == pytest.approx((0.82 - 0.35) / (1 - 0.35))
    assert rows["t2", "linear"]["relative_regret"] == 0


@pytest.mark.parametrize(
    ("tau", "lost", "wanted"),
    [(0.9, 0.3, True), (-0.2, 0.0, True), (0.9, 0.0, False), (0.1, 0.5, False), (None, 0.0, False)],
)
def test_a_correlation_misleads_when_it_says_the_opposite(tau: float | None, lost: float, wanted: bool) -> None:
    assert study.misleads({"weighted_tau": tau, "relative_regret": lost}) is wanted


def test_pictures_name_what_they_show(derived: Derived) -> None:
    rows = derived.tables
    assert any(tip.startswith("agnostic on t1: ") for tip in tips(study.duels(rows["comparisons"], "all")))
    assert any("on 50% of 2 tasks" in tip for tip in tips(study.solved(rows["solved"], "all")))
    points: list[Row] = [{"task": f"t{place}", "proxy": "linear", "weighted_tau": place / 2, "relative_regret": 0.2}
                         for place in range(3)]  # fmt: skip
    assert "linear on t2: τ 1.00, relative regret 20.0%" in tips(study.correlation_and_regret(points))
    models = [{"model": name, "dim": dim} for name, dim in (("a", 8), ("b", 16), ("c", 32))]
    scores = [{"proxy": "knn", "task": "t", "model": name, "value": value}
              for name, value in (("a", 0.1), ("b", 0.2), ("c", 0.4))]  # fmt: skip
    drawn = study.dimension(scores, models, ["t"], ["a", "b", "c"])
    assert "b: 16 features, kNN 20.0%" in tips(drawn)
    assert "r 1.00" in [text.text for text in ElementTree.fromstring(drawn).iter("text")]


def test_nothing_is_drawn_without_data() -> None:
    assert {study.duels([], "all"), study.solved([], "all"), study.correlation_and_regret([]),
            study.dimension([], [], ["t"], [])} == {""}  # fmt: skip


def test_tied_budgets_are_ranges() -> None:
    ends = {"t": (1.0, 3.0), "u": (2.0, 2.0)}
    rows = [{"pool": "all", "task": task, "strategy": "knn", "optimistic": low, "expected": 2.0, "pessimistic": high}
            for task, (low, high) in ends.items()]  # fmt: skip
    assert [[entry.text for entry in row] for row in tables.budgets(rows, "all").rows] == [["t", "1 to 3"], ["u", "2"]]
