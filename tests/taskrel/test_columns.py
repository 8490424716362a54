"""Dense columns order a pool as the strategies of the same name do, and ranks are scipy's."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from taskrel import columns
from taskrel.panel import judge
from taskrel.static import static
from taskrel.strategies import STRATEGIES, TaskView, hybrid_builder, proxy_builder, rank_builder
from taskrel.types import Candidate

LAW = settings(deadline=None, max_examples=60)
maybe = st.none() | st.sampled_from([0.5, 0.745, 0.7455, 0.75])


@st.composite
def zoos(draw):
    """A complete table with ties, scores with gaps and candidates with facts; models sorted by name."""
    tasks, models = draw(st.integers(2, 4)), draw(st.integers(1, 6))
    candidates = [Candidate(f"m{i}", parameters=draw(st.none() | st.integers(1, 3)), upstream_accuracy=draw(maybe))
                  for i in range(models)]  # fmt: skip
    means = draw(hnp.arrays(np.float64, (tasks, models), elements=st.sampled_from([0.25, 0.5, 0.75, 0.875])))
    scores = draw(hnp.arrays(np.float64, (2, tasks, models), elements=st.sampled_from([1.0, 2.0, 3.0, np.nan])))
    return candidates, means, scores


def named(candidates, row):
    return {c.model: float(v) for c, v in zip(candidates, row, strict=True) if not np.isnan(v)}


@LAW
@given(zoo=zoos())
def test_a_column_orders_as_the_strategy_does(zoo):
    candidates, means, (one, two) = zoo
    first = columns.agnostic(candidates)
    dense = {
        "agnostic": (first, STRATEGIES["agnostic"]),
        "one": (one, proxy_builder("one")),
        "hybrid_one": (columns.hybrid(first, one, means), hybrid_builder("one")),
        "one+two": (columns.mean_rank([one, two], means), rank_builder("one", "two")),
        "oracle": (columns.lead_everywhere(means), STRATEGIES["oracle"]),
        "oracle_elsewhere": (columns.lead_elsewhere(means), STRATEGIES["oracle_elsewhere"]),
    }
    found = judge(means[:, :, None], {name: column for name, (column, _) in dense.items()}, budgets=(len(candidates),))
    for place, (name, (column, build)) in enumerate(dense.items()):
        for t in range(len(means)):
            others = {f"t{i}": named(candidates, means[i]) for i in range(len(means)) if i != t}
            view = TaskView(f"t{t}", tuple(candidates), {"one": named(candidates, one[t]),
                            "two": named(candidates, two[t])}, accuracies=named(candidates, means.mean(axis=0)),
                            elsewhere=others)  # fmt: skip
            picks = [pick.model for pick in build(view).ask(len(candidates))]
            if found.picks[place, t, 0] < 0:
                assert np.isnan(np.broadcast_to(column, means.shape)[t]).all(), name
            else:
                assert [candidates[m].model for m in found.picks[place, t]] == picks, name


@LAW
@given(zoo=zoos())
def test_rank_elsewhere_is_the_static_rank(zoo):
    candidates, means, _ = zoo
    found = columns.rank_elsewhere(means)
    for t in range(len(means)):
        others = {str(i): named(candidates, means[i]) for i in range(len(means)) if i != t}
        assert list(static("static_rank", candidates, others).values()) == pytest.approx(found[t].tolist(), abs=1e-12)


@LAW
@given(values=hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 7)),
                         elements=st.sampled_from([0.0, 1.0, 2.0, np.nan])))  # fmt: skip
def test_mid_ranks_are_those_of_scipy(values):
    found = columns.mid_ranks(values)
    for row, ranks in zip(values, found, strict=True):
        there = ~np.isnan(row)
        assert ranks[there].tolist() == stats.rankdata(row[there]).tolist()
        assert np.isnan(ranks[~there]).all()


def test_columns_with_missing_cells():
    nan = np.nan
    means = np.array([[0.5, 0.9, nan], [0.2, 0.4, 0.6], [nan, nan, 0.7]])
    # Among the first two models ranks are [2, 1] on both tasks; among all three [2, 1, -], [3, 2, 1], [-, -, 1].
    expected = -np.array([[2, 1, nan], [2, 1, 1], [nan, nan, 1]])
    assert np.array_equal(columns.rank_elsewhere(means), expected, equal_nan=True)
    expected = np.array([[-0.1, 0.1, nan], [-0.2, 0.2, 0], [nan, nan, 0]])
    assert columns.lead_elsewhere(means) == pytest.approx(expected, nan_ok=True)
    assert columns.lead_everywhere(means) == pytest.approx([-0.2, 0.1, 0.1])
    # The agnostic best is missing on the last task: the next takes its place.
    first = np.array([-1.0, -2.0, -3.0])
    assert columns.hybrid(first, np.zeros((3, 3)), means).argmax(axis=1).tolist() == [0, 0, 2]
    assert np.isnan(columns.rank_elsewhere(means[:1])).all()


@LAW
@given(zoo=zoos(), data=st.data())
def test_missing_cells_are_missing_as_for_the_strategies(zoo, data):
    candidates, means, _ = zoo
    means = np.where(data.draw(hnp.arrays(np.bool_, means.shape)), np.nan, means)
    ranks, leads = columns.rank_elsewhere(means), columns.lead_elsewhere(means)
    for t in range(len(means)):
        here = [c for c, v in zip(candidates, means[t], strict=True) if not np.isnan(v)]
        if not here:
            continue
        others = {str(i): named(candidates, means[i]) for i in range(len(means)) if i != t}
        expected = static("static_rank", here, others)
        found = {c.model: r for c, r in zip(candidates, ranks[t].tolist(), strict=True) if c in here}
        assert found == pytest.approx({m: np.nan if r is None else r for m, r in expected.items()}, nan_ok=True)
        picks = STRATEGIES["oracle_elsewhere"](TaskView("t", tuple(here), elsewhere=others)).ask(len(here))
        lead = {c.model: v for c, v in zip(candidates, leads[t].tolist(), strict=True)}
        for ahead, behind in itertools.pairwise(picks):
            assert np.isnan(lead[behind.model]) or lead[ahead.model] >= lead[behind.model] - 1e-12


def test_a_large_table_with_gaps_is_ranked_among_all(monkeypatch):
    means = np.array([[0.5, 0.9, np.nan], [0.2, 0.4, 0.6], [0.3, 0.2, 0.7]])
    assert columns.ranks_by_task(means)
    monkeypatch.setattr(columns, "_RANKED", 10)
    assert not columns.ranks_by_task(means)
    assert columns.rank_elsewhere(means)[0].tolist()[:2] == [-2.5, -2.5]


def test_models_alike_elsewhere_stay_tied():
    # Subtracting the own task from a total would break this tie by a rounding.
    means = np.array([[0.1, 0.7], [0.3, 0.3], [0.6, 0.6]])
    found = columns.lead_elsewhere(means)[0]
    assert found[0] == found[1]


def test_an_empty_pool_has_an_empty_order():
    assert columns.agnostic([]).shape == (0,)
