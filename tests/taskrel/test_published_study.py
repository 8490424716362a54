"""What the other published tests leave of spec/model_search.md sections 6 to 8: printed against digitised numbers.

Skipped where ../shared/published is absent. Numbers in the tests are the spec's.
"""

import numpy as np
import pytest
from scipy.stats import spearmanr

from taskrel.correlation import correlation
from taskrel.regret import pick_mask, regret, relative_regret

pytestmark = pytest.mark.published
SIZES = {"All": 46, "Dim2048": 44, "ResNet50": 37, "Expert": 16, "ImNetAccuracies": 15}
FLAGS = {pool: f"pool_{pool.lower()}" for pool in SIZES} | {"ImNetAccuracies": "pool_imnet"}
# Task: oracle, agnostic, linear, kNN in pool All.
PICKS = """Caltech101 .899 .876 .899 .898|CIFAR-100 .674 .674 .662 .662|DTD .717 .671 .693 .651
Flowers102 .993 .907 .993 .992|Pets .955 .926 .955 .955|Sun397 .528 .415 .528 .528|SVHN .895 .895 .852 .710
Camelyon .834 .820 .803 .814|EuroSAT .962 .962 .949 .953|Resisc45 .826 .826 .812 .812
Retinopathy .753 .733 .727 .702|Clevr-Count .697 .494 .697 .578|Clevr-Dist .605 .520 .540 .578
DMLab .506 .506 .450 .412|dSpr-Loc .977 .973 .861 .861|dSpr-Orient .650 .617 .597 .483
KITTI-Dist .827 .818 .807 .807|sNORB-Azim .218 .218 .154 .162|sNORB-Elev .417 .393 .417 .408"""


def bars(published, pool, strategy, budget):
    """Task -> relative regret of the figures."""
    found = {}
    for row in published("needle_fig_bars.csv"):
        if (row["pool"], row["strategy"], row["budget"], row["quantity"]) == (pool, strategy, str(budget), "regret"):
            found.setdefault(row["task"], []).append(float(row["value"]))
    return {task: min(values) for task, values in found.items()}


def budgets(published, pool, strategy):
    return {row["task"]: int(row["budget"]) for row in published("needle_appendix_g.csv")
            if (row["pool"], row["strategy"]) == (pool, strategy)}  # fmt: skip


def test_oracle_and_picks_of_pool_all(published):
    printed = {row.split()[0]: [float(text) for text in row.split()[1:]] for line in PICKS.splitlines()
               for row in line.split("|")}  # fmt: skip
    rows = {row["task"]: row for row in published("needle_fig_picks.csv") if row["pool"] == "All"}
    assert len(printed) == 19
    assert set(printed) == set(rows)
    for task, values in printed.items():
        found = [float(rows[task][name]) for name in ("oracle", "agnostic_b1", "linear_b1", "knn_b1")]
        assert found == pytest.approx(values, abs=5.1e-4), task


@pytest.mark.parametrize("pool", SIZES)
@pytest.mark.parametrize("task", ["Retinopathy", "EuroSAT"])
def test_digitised_points_reproduce_the_picks_of_the_figures(published, pool, task):
    members = [row for row in published("needle_46x2.csv") if row[FLAGS[pool]] == "1"]
    (shown,) = [row for row in published("needle_fig_picks.csv") if (row["pool"], row["task"]) == (pool, task)]
    accuracy = np.array([float(row[f"{task.lower()}_finetune"]) for row in members])
    assert len(members) == SIZES[pool]
    near = {"abs": 3e-4}  # digitised twice, to four decimals
    assert accuracy.max() == pytest.approx(float(shown["oracle"]), **near)
    assert accuracy.min() == pytest.approx(float(shown["worst"]), **near)
    for proxy in ("linear", "knn"):
        scores = np.array([float(row[f"{task.lower()}_{proxy}"]) for row in members])
        tied = accuracy[scores == scores.max()]  # which of them the figure took is not known
        assert np.abs(tied - float(shown[f"{proxy}_b1"])).min() < 3e-4, proxy


def test_the_budget_table_is_complete(published):
    rows = published("needle_appendix_g.csv")
    assert len(rows) == len({(row["pool"], row["task"], row["strategy"]) for row in rows}) == 19 * 5 * 3
    assert all(1 <= int(row["budget"]) <= SIZES[row["pool"]] for row in rows)


@pytest.mark.parametrize("strategy", ["linear", "knn"])
@pytest.mark.parametrize("pool", SIZES)
def test_no_bar_where_the_budget_suffices(published, pool, strategy):
    # The table counts ties in favour of the proxy, the figures' pick among them may be a worse one: no bar only if the
    # budget suffices, and nearly the reverse.
    needed = budgets(published, pool, strategy)
    for budget in (1, 2):
        shown = bars(published, pool, strategy, budget)
        assert len(shown) == 19
        zero = {task for task, value in shown.items() if value < 1e-4}
        solved = {task for task, number in needed.items() if number <= budget}
        assert zero <= solved, (pool, budget)
        assert len(solved - zero) <= 2, (pool, budget, solved - zero)


def test_hybrid_among_the_experts(published):
    agnostic, once, twice = (bars(published, "Expert", name, budget)
                             for name, budget in (("agnostic", 1), ("linear", 1), ("linear", 2)))  # fmt: skip
    hybrid = {task: min(agnostic[task], once[task]) for task in once}
    hybrid["DTD"] = twice["DTD"]  # both pick one model there, and the hybrid takes the next of the linear proxy
    assert np.mean(list(hybrid.values())) == pytest.approx(0.050, abs=1.1e-3)
    assert sum(value > 0.25 for value in hybrid.values()) == 1


def test_means_of_the_vtab_modules(published):
    found = {}
    for row in published("vtab_results.csv"):
        if row["examples"] == "1000" and row["model"] != "From-Scratch":
            found.setdefault(row["model"], []).append(float(row["accuracy"]))
    means = sorted(((np.mean(values), model) for model, values in found.items()), reverse=True)
    assert [model for _, model in means[:3]] == ["Sup-Rotation-100%", "Sup-Exemplar-100%", "Sup-100%"]
    assert [value for value, _ in means[:3]] == pytest.approx([0.6797, 0.6767, 0.6637], abs=5.1e-5)


def test_linear_probe_on_mnli_and_mean_accuracy(published):
    probe = {(row["base"], row["model"]): row["mnli_lp"] for row in published("model_recycling_models.csv")}
    accuracies = {}
    for row in published("model_recycling.csv"):
        accuracies.setdefault((row["base"], row["model"]), []).append(float(row["accuracy"]))
    found = []
    for base in sorted({base for base, _ in accuracies}):
        known = [(float(probe[key]), np.mean(values)) for key, values in accuracies.items()
                 if key[0] == base and probe[key]]  # fmt: skip
        found.append(spearmanr(*zip(*known, strict=True)).statistic)
    assert (len(found), min(found), max(found)) == (6, pytest.approx(0.43, abs=6e-3), pytest.approx(0.73, abs=6e-3))


def test_runs_per_cell_of_quick_tune(published):
    cells = [(row["model"], row["dataset"]) for row in published("quicktune_extended.csv")]
    runs = {cell: cells.count(cell) for cell in set(cells)}
    assert (len(runs), min(runs.values()), max(runs.values())) == (604, 1, 26)


def test_outliers_above_a_flat_pool():
    # App. B, needs no table: thirty equal models and two good ones that the proxy puts in the middle.
    accuracy, score = np.array([0.5] * 30 + [0.9, 0.9]), np.concatenate([np.arange(30.0), [14.5, 14.5]])
    assert correlation(score, accuracy, "pearson").value == pytest.approx(0, abs=1e-12)
    found = regret(accuracy[None, :, None], pick_mask([[int(score.argmax())]], 32)).relative[0]
    assert found == pytest.approx(float(relative_regret(0.9, 0.5))) == pytest.approx(0.8)
