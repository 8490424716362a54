"""Which proxy to trust: the table equals hand-worked numbers, agrees with the strategies, and reads well everywhere."""

import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from sweeps import picks
from sweeps.config import parse
from sweeps.errors import ConfigError
from sweeps.report import panels, tables, words
from sweeps.report.analysis import Derived, analyse
from sweeps.report.forest import forest
from sweeps.report.html import page
from sweeps.report.sections import MOST_PROXIES
from sweeps.report.selection import Views
from sweeps.report.summary import show
from sweeps.settings import Pool
from sweeps.types import Row
from taskrel.aggregate import COMBINED, combine
from tests.sweeps.report.conftest import judge, tiny_tables
from tests.sweeps.report.made_up import HOSTILE, TASKS, filled, job, mini, model, score
from tests.sweeps.report.test_analysis import one

TIGHT = 1e-9
NCTI = {"ncti_seli": 0.4, "ncti_ncc": 1.0, "ncti_vc": 2.0}
MANY = {"linear": 0.5, "knn": 0.9, **NCTI, **{f"noisy_{number}": 0.5 + number for number in range(8)}}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Derived:
    """A made-up sweep with thirteen proxies, three of them the parts of a combined score."""
    store = mini(tmp_path_factory.mktemp("many"), tasks=TASKS[:4], proxies=MANY)
    return analyse(store, seed=0, pools={"all": Pool(), "vtab": Pool(groups=("vtab",))}, budgets=(1, 2),
                   strategies=("linear", "knn", "ncti", "hybrid_ncti", "parameters", "static_rank", "etran", "random"),
                   bootstrap=200, answer_strategy="hybrid_linear", answer_budget=2, proxies=tuple(MANY))  # fmt: skip


def test_the_numbers_worked_out_by_hand(derived: Derived) -> None:
    """On t1 linear picks the hostile model; t2 has one model with an accuracy, so no order and no second pick."""
    row = one(derived.tables["proxies"], pool="all", proxy="linear")
    assert (row["kind"], row["tasks"], row["missing"], row["flat"]) == ("proxy", 2, 0, 0)
    assert row["relative_regret_1"] == pytest.approx((0.47 / 0.65 + 0) / 2, abs=TIGHT)
    assert row["relative_regret_2"] == pytest.approx(0, abs=TIGHT)
    assert row["weighted_tau"] == pytest.approx(stats.weightedtau([0.5, 0.6, 0.9], [0.72, 0.82, 0.35]).statistic)
    assert row["pearson"] == pytest.approx(stats.pearsonr([0.5, 0.6, 0.9], [0.72, 0.82, 0.35]).statistic)
    assert row["seconds"] == pytest.approx(1.0)
    assert row["relative_regret_1_low"] <= row["relative_regret_1"] <= row["relative_regret_1_high"]


def test_what_cannot_tell_models_apart_is_a_random_draw_and_flagged(derived: Derived) -> None:
    """All models of the tiny sweep have as many parameters; equal scores go by no name."""
    row, luck = (one(derived.tables["proxies"], pool="all", proxy=name) for name in ("parameters", "random"))
    assert (row["kind"], row["flat"], row["weighted_tau"], luck["kind"]) == ("static", 1, 0.0, "random")
    for key in ("relative_regret_1", "relative_regret_1_low", "relative_regret_2_high", "tau_floor"):
        assert row[key] == pytest.approx(luck[key], abs=TIGHT)
    assert luck["relative_regret_1"] == pytest.approx((0.10 / 0.28 + 0.47 / 0.65) / 3 / 2, abs=TIGHT)


def test_a_pool_waits_as_regret_does(out: Path) -> None:
    kept = tiny_tables()
    for name in ("jobs", "runs"):
        kept[name] = [row for row in kept[name] if row["job"] != "finetune b t1 0.1 1"]
    rows = judge(filled(out, kept)).tables["proxies"]
    assert {row["tasks"] for row in rows if (row["pool"], row["proxy"]) == ("all", "linear")} == {1}


@pytest.mark.parametrize("name", ["linear", "knn", "ncti", "static_rank", "parameters", "random"])
@pytest.mark.parametrize("pool", ["all", "vtab"])
def test_without_ties_it_agrees_with_the_strategies(many: Derived, name: str, pool: str) -> None:
    row = one(many.tables["proxies"], pool=pool, proxy=name)
    for budget in (1, 2):
        same = one(many.tables["strategies"], pool=pool, strategy=name, budget=budget)
        if name != "static_rank":  # mean ranks tie, which a strategy settles by name
            assert row[f"relative_regret_{budget}"] == pytest.approx(same["mean_relative_regret"], abs=TIGHT)
        assert row["tasks"] == same["tasks"]


def test_rows_are_best_first_and_random_is_everywhere(many: Derived) -> None:
    for pool in ("all", "vtab"):
        regrets = [row["relative_regret_1"] for row in many.tables["proxies"] if row["pool"] == pool]
        assert regrets == sorted(regrets)
        assert one(many.tables["proxies"], pool=pool, proxy="random")["weighted_tau"] == 0
    assert {row["proxy"] for row in many.tables["proxies"] if row["kind"] == "combined"} == {"ncti"}


def views(*, dropped: str = "", task: str = "", accuracy: float = 0.5) -> Views:
    """Two tasks, three models, the parts of ncti; a part dropped, or the accuracies of a task changed."""
    values = {"ncti_seli": (3.0, 1.0, 2.0), "ncti_ncc": (0.1, 0.9, 0.3), "ncti_vc": (-1.0, -5.0, -2.0)}
    scores = [score("j", name, where, part, column[place], replicates=[column[place], column[2 - place]])
              for where in ("t1", "t2") for part, column in values.items() if part != dropped
              for place, name in enumerate("abc")]  # fmt: skip
    reached = [{"model": name, "task": where, "accuracy": accuracy if where == task else value}
               for where, order in (("t1", (0.7, 0.8, 0.9)), ("t2", (0.9, 0.8, 0.7)))
               for name, value in zip("abc", order, strict=True)]  # fmt: skip
    jobs = [job(f"e{name}", "embed", name, "t1", seconds=10.0) for name in "abc"]
    return Views([model(name) for name in "abc"], scores, jobs, reached)


def test_a_combined_score_is_relative_to_its_pool_and_pays_the_forward_pass_once() -> None:
    seen = views()
    whole, pair = seen.scored("t1", "ncti"), seen.scored("t1", "ncti", ["a", "b"])
    assert whole.keys() == {"a", "b", "c"}
    wanted = combine("ncti", {"ncti_seli": [3.0, 1.0], "ncti_ncc": [0.1, 0.9], "ncti_vc": [-1.0, -5.0]})
    assert list(pair.values()) == pytest.approx(wanted)
    order = seen.rank("ncti", "t1", ["a", "b", "c"], 0)
    assert not isinstance(order, str)
    assert [pick.cost_seconds for pick in order] == [13.0] * 3  # three parts of one second, one embedding of ten
    assert seen.seconds("t1", "ncti", ["a", "b"]) == [3.0, 3.0]
    hybrid = seen.rank("hybrid_ncti", "t1", ["a", "b", "c"], 0)
    assert not isinstance(hybrid, str)
    assert len({pick.model for pick in hybrid}) == 3


def test_a_combined_score_moves_with_the_replicates_of_its_parts() -> None:
    drawn = views().replicates("t1", "ncti", ["a", "b", "c"])
    assert drawn is not None
    again = {"ncti_seli": [2.0, 1.0, 3.0], "ncti_ncc": [0.3, 0.9, 0.1], "ncti_vc": [-2.0, -5.0, -1.0]}
    assert drawn[:, 1] == pytest.approx(combine("ncti", again))
    assert views().replicates("t1", "parameters", ["a"]) is None
    assert views(dropped="ncti_vc").replicates("t1", "ncti", ["a", "b"]) is None


def test_early_stopping_pays_no_forward_pass() -> None:
    scores = [score("j", "a", "t1", name, 0.5, seconds=2.0) for name in ("early_stopping", "lda")]
    seen = Views([model("a")], scores, [job("e", "embed", "a", "t1", seconds=10.0)], [])
    costs = {name: seen.rank(name, "t1", ["a"], 0) for name in ("early_stopping", "lda", "parameters")}
    found = {name: picks[0].cost_seconds for name, picks in costs.items() if not isinstance(picks, str)}
    assert found == {"early_stopping": 2.0, "lda": 12.0, "parameters": 0.0}


def test_a_score_without_its_parts_says_which() -> None:
    seen = views(dropped="ncti_vc")
    assert "ncti" not in seen.names
    assert seen.rank("ncti", "t1", ["a", "b"], 0) == "no model has a NCTI VC score"
    assert seen.rank("released", "t1", ["a"], 0) != "release year is not known of any model"
    assert seen.rank("upstream_accuracy", "t1", ["a"], 0) == "upstream accuracy is not known of any model"


def test_the_rank_on_other_tasks_never_sees_its_own() -> None:
    for accuracy in (0.1, 0.99):
        found = views(task="t1", accuracy=accuracy).scored("t1", "static_rank")
        assert sorted(found, key=lambda name: -found[name]) == ["a", "b", "c"]
    alone = Views([model("a")], [], [], [{"model": "a", "task": "t1", "accuracy": 0.5}])
    assert alone.rank("static_rank", "t1", ["a"], 0) == "rank on other tasks is not known of any model"


def test_what_is_searched_sees_no_accuracy() -> None:
    pool = picks.candidates([model("a", accuracy=0.5), model("b")])
    seen = picks.view("t1", pool, [score("j", "a", "t1", "energy", 1.0), score("j", "a", "t1", "ncc", 0.5)])
    assert seen.scores.keys() == {"energy", "ncc", "etran", "upstream_accuracy", "parameters", "released"}
    assert seen.scores["etran"]["b"] is None
    assert seen.score_seconds["etran"] == {"a": 2.0, "b": None}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"proxies": {"linear": {}}, "regret": {"strategies": ["ncti"]}},
            "strategy 'ncti' needs the proxy 'ncti_ncc'",
        ),
        ({"proxies": {"ncti": {}}}, "proxies must be measured, got 'ncti'"),
        ({"proxies": {"parameters": {}}}, "proxies must be measured, got 'parameters'"),
        ({"search": {"models": "static_rank"}}, "search.models must be a strategy that can pick before"),
        ({"regret": {"strategies": ["hybrid_nct"]}}, "did you mean 'hybrid_ncti'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(changes: Row, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        picks.check(parse({"name": "x", "models": ["m"], "tasks": ["t"]} | changes))


def test_combined_and_static_strategies_are_welcome() -> None:
    proxies = {part: {} for part in (*COMBINED["ncti"].parts, "linear", "knn", "early_stopping")}
    picks.check(parse({"name": "x", "models": ["m"], "tasks": ["t"], "proxies": proxies, "search": {"models": "ncti"},
                       "regret": {"strategies": ["hybrid_ncti", "static_rank"], "answer": "released"}}))  # fmt: skip


def test_how_sure_the_order_is_by_hand() -> None:
    from sweeps.report.trust import order

    seen = Views([model(name) for name in "abc"], [
        score("j", name, "t1", "linear", value, replicates=drawn)
        for name, value, drawn in (("a", 0.9, [0.9, 0.5, 0.9, 0.9]), ("b", 0.8, [0.8, 0.8, 0.9, 0.8]), ("c", 0.1, []))
    ], [], [])  # fmt: skip
    assert seen.reads("hybrid_linear") == ("linear",)
    assert seen.reads("nonsense") == ()
    rows = order(["knn", "linear"], ["t1", "t2"], seen, ["a", "b", "c"])
    assert [(row["model"], row["rank"], row["top"]) for row in rows] == [("a", 1, 0.625), ("b", 2, 0.375), ("c", 3, 0)]
    assert rows[2]["rank_low"] == rows[2]["rank_high"] == 3
    assert order(["knn", "parameters"], ["t1"], seen, ["a"]) == []


def test_the_picture_has_every_proxy_and_the_range_of_luck(many: Derived) -> None:
    root = ElementTree.fromstring(forest(many.tables["proxies"], "all"))
    found = [element.text for element in root.iter("text")]
    here = [row for row in many.tables["proxies"] if row["pool"] == "all"]
    assert [text for text in found if text in {words.proxy(row["proxy"]) for row in here}][: len(here)] == [
        words.proxy(row["proxy"]) for row in here
    ]
    tips = [title.text or "" for title in root.iter("title")]
    assert len(tips) == 2 * len(here)
    assert forest([], "all") == forest(many.tables["proxies"], "nowhere") == ""
    assert "weighted τ" not in " ".join(
        element.text or "" for element in ElementTree.fromstring(forest(here, "all", 360)).iter("text")
    )


def test_the_page_has_the_table_the_order_and_few_pictures(many: Derived) -> None:
    text = page(many)
    assert "Every proxy, combined and static score in pool all</" in text
    assert text.count("score against test accuracy, by task.</figcaption>") == MOST_PROXIES
    assert text.index("linear against accuracy") < text.index("kNN against accuracy")
    assert "How sure the order by linear is" in text
    for row in many.tables["proxies"]:
        assert words.real_within(*(row[f"weighted_tau{end}"] for end in ("", "_low", "_high"))) in text
    table = tables.order(many.order, many.tables["answer"])
    assert {entry[0].text for entry in table.rows} == {f"mini/{task}" for task in TASKS[:4]}


def test_a_score_shows_its_interval(many: Derived) -> None:
    picture = panels.scatter(many.evidence.scores, many.tables["accuracies"], [], [], "linear", ["mini/digits"])
    row = next(row for row in many.evidence.scores if row["proxy"] == "linear" and row["task"] == "mini/digits")
    tips = [title.text or "" for title in ElementTree.fromstring(picture).iter("title")]
    assert any(words.real_within(row["value"], row["low"], row["high"], 3) in tip for tip in tips)


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_the_best_the_studys_the_static_and_random(many: Derived, width: int) -> None:
    file = io.StringIO()
    show(Console(file=file, width=width), Path("out"), many.tables)
    text = file.getvalue().partition("Which proxy to trust in pool all")[2]
    assert all(len(line) <= width for line in file.getvalue().splitlines()[-40:])
    here = [row for row in many.tables["proxies"] if row["pool"] == "all"]
    for row in here:
        if row["kind"] in ("static", "random") or row["proxy"] in ("linear", "knn"):
            assert words.proxy(row["proxy"]) in text
    assert "…" not in text
    assert "more proxies in the report" in " ".join(text.split())
    assert "\x1b" not in text


def test_alike_failures_are_one_row(derived: Derived, many: Derived) -> None:
    lost = [score("j", name, where, "otce", None) for where in ("t1", "t2") for name in ("a", HOSTILE)]
    derived.evidence.__dict__["unscored"] = lost
    try:
        rows = [[entry.text for entry in row] for row in tables.failures(derived.evidence).rows]
    finally:
        del derived.evidence.__dict__["unscored"]
    assert rows[-1] == ["no OTCE score", f"a and {HOSTILE}", "t1 and t2", "one class has a single example"]


def test_which_proxy_in_words(many: Derived) -> None:
    rows = [row for row in many.tables["proxies"] if row["pool"] == "all"]
    best = next(row for row in rows if row["kind"] in ("proxy", "combined"))
    said = words.trust(rows)
    assert said[0].startswith(f"With one model fine-tuned, {words.proxy(best['proxy'])} loses least: ")
    scores = [row for row in rows if row["kind"] in ("proxy", "combined")]
    above = sum(row["weighted_tau"] > row["tau_floor"] for row in scores)
    assert said[2].startswith(f"{above} of {len(scores)} proxies")
    assert words.trust([]) == []


def test_means_of_the_table_are_of_the_tasks(many: Derived) -> None:
    """The mean weighted tau equals that of the correlations of each task, which stand on their own code."""
    for name in MANY:
        each = [row["weighted_tau"] for row in many.tables["correlations"] if row["proxy"] == name]
        assert one(many.tables["proxies"], pool="all", proxy=name)["weighted_tau"] == pytest.approx(np.mean(each))
