"""The dense engine against one call of the plain formulas per task, strategy and budget, and a loop over samples."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import panel as slow

from taskrel.bootstrap import bootstrap_regret, draw
from taskrel.panel import CHANCE, judge, share_at_zero
from taskrel.regret import (
    budget_to_zero,
    log_odds_delta,
    nanmean,
    pick_mask,
    random_relative_regret,
    random_value,
    regret,
)

LAW = settings(deadline=None, max_examples=60)
RNG = np.random.default_rng(0)
TABLE = RNG.uniform(0.3, 0.9, (4, 5, 3))
SCORES = {"good": TABLE.mean(axis=2), "bad": RNG.uniform(size=(4, 5)), "fact": np.arange(5.0)}


@st.composite
def tables(draw_):
    shape = draw_(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3)))
    table = draw_(hnp.arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.875, 1.0])))
    table[draw_(hnp.arrays(np.bool_, shape))] = np.nan
    scores = draw_(hnp.arrays(np.float64, shape[:2], elements=st.sampled_from([0.0, 1.0, 2.0, np.nan])))
    return table, scores


@LAW
@given(drawn=tables())
def test_every_cell_is_the_plain_formula(drawn):
    table, scores = drawn
    tasks, models, _ = table.shape
    found = judge(table, {"s": scores}, budgets=range(1, models + 1), draws=draw(*table.shape[::2], samples=3))
    there = ~np.isnan(table).all(axis=2)
    for t in range(tasks):
        order = slow.order(scores[t], there[t])
        one = table[t : t + 1]
        assert found.models[t] == len(order)
        for b in range(1, models + 1):
            cell, chance = found.relative[0, b - 1, t], found.relative[1, b - 1, t]
            if b > len(order):
                assert np.isnan(chance)
            else:
                assert chance == pytest.approx(random_relative_regret(one, b)[0], abs=1e-12)
                assert found.value[1, b - 1, t] == pytest.approx(random_value(one, b)[0], abs=1e-12)
            if b > len(order) or not (there[t] & ~np.isnan(scores[t])).any():
                assert np.isnan(cell)
                assert np.isnan(found.value[0, b - 1, t])
                continue
            expected = regret(one, pick_mask([order[:b]], models))
            assert found.picks[0, t, :b].tolist() == order[:b]
            assert cell == pytest.approx(expected.relative[0], abs=1e-12)
            assert found.value[0, b - 1, t] == pytest.approx(expected.value[0], abs=1e-12)
            assert found.absolute[0, b - 1, t] == pytest.approx(expected.absolute[0], abs=1e-12)
            assert found.log_odds[0, b - 1, t] == pytest.approx(expected.log_odds[0], abs=1e-9)
            assert found.clipped[0, b - 1, t] == expected.clipped[0]


def test_intervals_are_those_of_a_loop_over_samples():
    draws = draw(4, 3, samples=60, level=0.8, seed=5)
    found = judge(TABLE, SCORES, budgets=(1, 2, 5), draws=draws)
    ends = [0.1, 0.9]
    for s, scores in enumerate(SCORES.values()):
        columns = np.broadcast_to(scores, (4, 5))
        for b, budget in enumerate((1, 2, 5)):
            picks = [slow.order(row, [True] * 5)[:budget] for row in columns]
            each, means = slow.samples(TABLE, picks, draws.repeats, draws.tasks)
            assert found.relative_ends[s, b] == pytest.approx(np.quantile(each, ends, axis=0).T, abs=1e-12)
            assert found.mean_ends[s, b] == pytest.approx(np.quantile(means, ends), abs=1e-12)
            assert found.runs_ends[s, b] == pytest.approx(np.quantile(each.mean(axis=1), ends), abs=1e-12)


def test_intervals_of_a_uniform_draw_are_exact_expectations_in_every_sample():
    draws = draw(4, 3, samples=40, level=0.8, seed=5)
    found = judge(TABLE, {}, budgets=(1, 3), draws=draws)
    for b, budget in enumerate((1, 3)):
        for t in range(4):
            drawn = np.stack([TABLE[t] @ times / 3 for times in draws.repeats[t]])[:, :, None]
            expected = np.quantile(random_relative_regret(drawn, budget), [0.1, 0.9])
            assert found.relative_ends[0, b, t] == pytest.approx(expected, abs=1e-12)


def test_one_budget_is_the_plain_bootstrap_with_the_same_seed():
    picks = pick_mask([slow.order(row, [True] * 5)[:2] for row in SCORES["bad"]], 5)
    plain = bootstrap_regret(TABLE, picks, samples=200, seed=3)
    found = judge(TABLE, {"bad": SCORES["bad"]}, budgets=(2,), draws=draw(4, 3, samples=200, seed=3))
    assert found.relative_ends[0, 0] == pytest.approx(plain.relative, abs=1e-12)
    assert found.absolute_ends[0, 0] == pytest.approx(plain.absolute, abs=1e-12)
    assert found.runs_ends[0, 0] == pytest.approx(plain.mean_relative, abs=1e-12)


def test_missing_repeats_and_cells_in_the_bootstrap(recwarn):
    table = TABLE.copy()
    table[0, 4] = np.nan
    table[1, :3] = np.nan
    table[2, 0, 1:] = np.nan
    draws = draw(4, 3, samples=80, seed=1)
    found = judge(table, SCORES, budgets=(1, 2, 3), draws=draws)
    assert np.isnan(found.relative[:, 2, 1]).all()  # two models are left, a budget of three is not to be met
    assert np.isfinite(found.mean_ends).all()
    for s in range(3):
        for b in range(3):
            picks = found.picks[s, :, : b + 1]
            keep = [t for t in range(4) if (picks[t] >= 0).all()]
            plain = bootstrap_regret(table, pick_mask([np.maximum(p, 0)[:1] if t not in keep else p for t, p in
                                                       enumerate(picks)], 5), samples=80, seed=1)  # fmt: skip
            assert found.relative_ends[s, b, keep] == pytest.approx(plain.relative[keep], abs=1e-12)
    assert not recwarn.list


def test_a_single_repeat_has_intervals_over_tasks_only():
    table = TABLE[:, :, :1]
    draws = draw(4, 1, samples=500, seed=2)
    found = judge(table, SCORES, budgets=(1, 2), draws=draws)
    assert np.isnan(found.relative_ends).all()
    assert np.isnan(found.runs_ends).all()
    means = found.relative @ draws.tasks / 4
    assert found.mean_ends == pytest.approx(np.quantile(means, [0.025, 0.975], axis=2).transpose(1, 2, 0), abs=1e-12)
    # Nothing rounds below zero where regret is zero throughout.
    assert judge(table, SCORES, budgets=(5,), draws=draws).mean_ends[:3].min() == 0


def test_one_task_and_one_repeat_has_no_interval():
    found = judge(TABLE[:1, :, :1], {"s": SCORES["bad"][:1]})
    assert np.isnan(found.mean_ends).all()


@LAW
@given(drawn=tables(), blocks=st.integers(1, 3))
def test_blocks_of_tasks_change_nothing(drawn, blocks):
    table, scores = drawn
    draws = draw(*table.shape[::2], samples=5)
    from taskrel import panel

    whole = judge(table, {"s": scores}, budgets=(1,), draws=draws)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(panel, "_BLOCK", blocks * table.shape[1] * table.shape[2])
        parts = judge(table, {"s": scores}, budgets=(1,), draws=draws)
    for name in ("relative", "relative_ends", "picks", "tied", "oracle"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    np.testing.assert_allclose(whole.mean_ends, parts.mean_ends, atol=1e-12)


def test_a_dominated_model_is_never_missed_in_the_oracle_of_a_sample():
    # A model with one lucky repeat leads in the samples that draw it often.
    table = np.array([[[0.5, 0.5, 0.5, 0.5], [0.9, 0.2, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1]]])
    draws = draw(1, 4, samples=300, seed=0)
    found = judge(table, {"steady": [2.0, 1.0, 0.0]}, budgets=(1,), draws=draws)
    lucky = np.maximum((table[0, 1] * draws.repeats[0]).mean(axis=1), 0.5)
    expected = np.quantile((lucky - 0.5) / 0.5, [0.025, 0.975])
    assert found.relative_ends[0, 0, 0] == pytest.approx(expected, abs=1e-12)


def test_ties_are_counted_where_the_budget_cuts_them():
    table = np.array([[[0.5], [0.6], [0.7], [0.8]]])
    found = judge(table, {"s": [1.0, 3.0, 1.0, 1.0]}, budgets=(1, 2, 3, 4))
    assert found.picks[0, 0].tolist() == [1, 0, 2, 3]
    assert found.tied[0, :, 0].tolist() == [1, 3, 3, 1]
    assert found.tied[1, :, 0].tolist() == [4, 4, 4, 4]


def test_perfect_accuracies():
    # Oracle 1: any other choice has relative regret 1; a perfect pick has none.
    found = judge([[[1.0], [0.999]], [[1.0], [1.0]]], {"s": [0.0, 1.0]}, budgets=(1, 2))
    assert found.relative[0].tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert found.absolute[0, 0] == pytest.approx([0.001, 0.0])
    assert found.clipped[0, 0].tolist() == [True, True]
    assert found.at_zero[0].tolist() == [1, 2]
    assert found.above_quarter[0].tolist() == [1, 0]


def test_one_model_leaves_nothing_to_choose():
    found = judge([[[0.4, 0.5]]], {"s": [[0.3]]}, budgets=(1,))
    assert found.relative[:, 0, 0].tolist() == [0.0, 0.0]
    assert found.relative_ends[:, 0, 0].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_strategy_that_stops_keeps_its_value():
    table = np.array([[[0.5], [0.9], [0.7]]])
    scores = {"stops": [[1.0, np.nan, 2.0]]}
    found = judge(table, scores, budgets=(1, 2, 3), stopping=["stops"])
    assert found.picks[0, 0].tolist() == [2, 0, -1]
    assert found.value[0, :, 0].tolist() == [0.7, 0.7, 0.7]
    assert judge(table, scores, budgets=(1, 2, 3)).value[0, :, 0].tolist() == [0.7, 0.7, 0.9]


@LAW
@given(drawn=tables())
def test_regret_falls_with_budget_and_ends_at_zero(drawn):
    table, scores = drawn
    table = table[:, :, :1]
    models = table.shape[1]
    found = judge(table, {"s": scores}, budgets=range(1, models + 1)).relative[0]
    for less, more in pairwise(found):
        both = ~(np.isnan(less) | np.isnan(more))
        assert (more[both] <= less[both]).all()
    there = ~np.isnan(found)
    assert ((found[there] >= 0) & (found[there] <= 1)).all()
    assert (found[-1][there[-1]] == 0).all()


def test_log_odds_use_the_test_size():
    table = np.array([[[1.0], [0.5]]])
    found = judge(table, {"s": [0.0, 1.0]}, budgets=(1,), test_size=50)
    assert found.log_odds[0, 0, 0] == pytest.approx(log_odds_delta(1.0, 0.5, 50)[0])


@pytest.mark.parametrize("ties", ["optimistic", "expected", "pessimistic"])
@LAW
@given(drawn=tables())
def test_share_at_zero_by_all_orders(ties, drawn):
    table, scores = drawn
    means = nanmean(table)
    found = share_at_zero(scores, means, ties)
    solved = []
    for row, values in zip(scores, means, strict=True):
        there = [m for m in range(len(row)) if not np.isnan(values[m])]
        if not there:
            continue
        key = np.where(np.isnan(row), -np.inf, row)
        best = max(values[m] for m in there)
        orders = [o for o in permutations(there) if all(key[a] >= key[b] for a, b in pairwise(o))]
        first = [1 + next(i for i, m in enumerate(o) if values[m] == best) for o in orders]
        if ties == "optimistic":
            first = [min(first)]
        if ties == "pessimistic":  # each best model is met last among its equals
            first = [int(budget_to_zero([row], values[None, :, None], "pessimistic")[0])]
        solved.append([np.mean([budget >= place for place in first]) for budget in range(1, len(row) + 1)])
    if solved:
        assert found == pytest.approx(np.mean(solved, axis=0), abs=1e-12)
        assert (np.diff(found) >= -1e-12).all()
    else:
        assert np.isnan(found).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: judge(TABLE, SCORES, budgets=(6,)), r"budgets must be 1 to 5 \(the pool\)"),
        (lambda: judge(TABLE, SCORES, budgets=()), "budgets must be 1 to 5"),
        (lambda: judge(TABLE, {CHANCE: SCORES["bad"]}), "no strategy called 'random'"),
        (lambda: judge(TABLE, {"s": [1.0]}), r"scores of 's' must be of shape \(4, 5\) or \(5,\)"),
        (lambda: judge(TABLE, SCORES, draws=draw(3, 3)), "draws must be of 4 tasks and 3 repeats"),
        (lambda: judge(TABLE * 100, SCORES), r"accuracy must lie in \[0, 1\]"),
        (lambda: share_at_zero(SCORES["bad"], TABLE[:, :, 0], "lucky"), "ties must be optimistic"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_inputs_are_not_written():
    table, scores = TABLE.copy(), SCORES["bad"].copy()
    table[0, 0, 0] = scores[0, 1] = np.nan
    for array in (table, scores):
        array.flags.writeable = False
    judge(table, {"s": scores})
