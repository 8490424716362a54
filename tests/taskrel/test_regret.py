"""Regret against enumeration in plain Python, the spec's reference code and hand-worked cases."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import regret as slow

from taskrel.regret import (
    budget_to_zero,
    delta,
    log_odds_delta,
    mean_accuracy,
    oracle,
    pick_mask,
    random_relative_regret,
    random_value,
    regret,
    relative_regret,
    value,
)

LAW = settings(deadline=None, max_examples=60)
fractions = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))


@st.composite
def tables(draw, max_repeats=4):
    """[T, M, R] accuracies with ties, perfect scores and whole cells missing; M >= 1 present."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, max_repeats)))
    table = draw(hnp.arrays(np.float64, shape, elements=fractions))
    missing = draw(hnp.arrays(np.bool_, shape[:2]))
    missing[np.arange(shape[0]), draw(st.integers(0, shape[1] - 1))] = False
    table[missing] = np.nan
    return table


def cells(task):
    """One task as the oracle wants it: a list per model, None where missing."""
    return [None if np.isnan(row).all() else row.tolist() for row in task]


def column(*accuracies):
    """One task, one repeat."""
    return np.array(accuracies)[None, :, None]


@LAW
@given(table=tables(), data=st.data())
def test_oracle_value_and_regret_by_enumeration(table, data):
    models = table.shape[1]
    picks = [data.draw(st.lists(st.integers(0, models - 1), min_size=1, unique=True)) for _ in table]
    found = regret(table, pick_mask(picks, models))
    for t, task in enumerate(table):
        known = cells(task)
        present = [m for m in picks[t] if known[m] is not None]
        assert found.models_dropped[t] == known.count(None)
        assert found.picks_dropped[t] == len(picks[t]) - len(present)
        assert found.oracle[t] == pytest.approx(slow.oracle(known), abs=1e-12)
        if not present:
            assert np.isnan([found.value[t], found.absolute[t], found.relative[t]]).all()
            continue
        best, reached = slow.oracle(known), slow.value(known, picks[t])
        assert found.value[t] == pytest.approx(reached, abs=1e-12)
        assert found.absolute[t] == pytest.approx(best - reached, abs=1e-12)
        if min(1 - best, 1 - reached) > 1e-3:  # else one rounding is divided by almost nothing
            assert found.relative[t] == pytest.approx(slow.delta(best, reached), abs=1e-9)


@LAW
@given(table=tables(), data=st.data())
def test_random_value_by_all_combinations(table, data):
    budget = data.draw(st.integers(1, table.shape[1]))
    found = random_value(table, budget)
    expected = [slow.random_value(cells(task), budget) for task in table]
    assert found == pytest.approx(expected, abs=1e-12)


@LAW
@given(table=tables(max_repeats=1), data=st.data())
def test_random_relative_regret_by_all_combinations(table, data):
    table = np.round(table, 3)
    budget = data.draw(st.integers(1, table.shape[1]))
    found = random_relative_regret(table, budget)
    for t, task in enumerate(table):
        means = task[~np.isnan(task)].tolist()
        drawn = min(budget, len(means))
        assert found[t] == pytest.approx(slow.random_relative_regret(means, drawn), abs=1e-9)


def test_random_draws_of_a_large_pool_do_not_overflow():
    accuracies = np.linspace(0, 1, 2001)
    # The best of B uniform draws from 0..N/N is expected at B (N + 2) / (B + 1) - 1 over N.
    assert random_value(column(*accuracies), 1000)[0] == pytest.approx((1000 * 2002 / 1001 - 1) / 2000, abs=1e-12)


@LAW
@given(table=tables())
def test_drawing_the_whole_pool_is_no_gamble(table):
    everyone = np.ones(table.shape[:2], dtype=bool)
    assert random_value(table, table.shape[1]) == pytest.approx(value(table, everyone), abs=1e-12)


@LAW
@given(table=tables(max_repeats=1), data=st.data())
def test_one_number_per_cell_regret_is_in_range_and_falls_with_budget(table, data):
    models = table.shape[1]
    order = data.draw(st.permutations(range(models)))
    last = None
    for budget in range(1, models + 1):
        found = regret(table, pick_mask([order[:budget]] * len(table), models))
        there = ~np.isnan(found.value)
        assert ((found.relative[there] >= 0) & (found.relative[there] <= 1)).all()
        if last is not None:
            assert not (found.relative > last).any()
        last = found.relative
    assert last.tolist() == [0.0] * len(table)


@LAW
@given(a=fractions, b=fractions)
def test_delta_is_the_reference_code_and_antisymmetric(a, b):
    assert float(delta(a, b)) == slow.delta(a, b)
    assert delta(a, b) == -delta(b, a)
    assert -1 <= delta(a, b) <= 1


def test_perfect_and_missing_values():
    assert relative_regret([1.0, 1.0, 0.5], [1.0, 0.999, np.nan]).tolist()[:2] == [0.0, 1.0]
    assert np.isnan(relative_regret(0.5, np.nan))


def test_noise_may_make_regret_slightly_negative():
    # Two models that win in turn: the better of both each time beats the better mean.
    table = np.array([[[0.8, 0.6], [0.6, 0.8]]])
    found = regret(table, pick_mask([[0, 1]], 2))
    assert found.oracle == pytest.approx([0.7])
    assert found.value == pytest.approx([0.8])
    assert found.relative == pytest.approx([-0.1 / 0.3])
    # Even when the value is perfect and the oracle is not.
    swap = np.array([[[1.0, 0.5], [0.5, 1.0]]])
    assert regret(swap, pick_mask([[0, 1]], 2)).relative.tolist() == [-1.0]


def test_repeats_missing_for_some_models():
    nan = np.nan
    table = np.array([[[0.9, nan, nan], [0.5, 0.5, 0.5], [nan, nan, nan]]])
    assert mean_accuracy(table)[0, :2].tolist() == [0.9, 0.5]
    # Only the first repeat has both picks; the failed runs of the first model are not charged.
    assert value(table, pick_mask([[0, 1]], 3)).tolist() == [0.9]
    assert value(table, pick_mask([[1, 2]], 3)).tolist() == [0.5]
    assert random_value(table, 3).tolist() == [0.9]
    assert random_value(table, 1).tolist() == pytest.approx([0.7])


def test_a_task_nobody_was_measured_on_is_missing_without_warnings(recwarn):
    table = np.array([[[np.nan], [np.nan]], [[0.5], [0.7]]])
    found = regret(table, pick_mask([[0], [0]], 2))
    assert np.isnan(found.oracle[0])
    assert np.isnan(found.relative[0])
    assert np.isnan(random_value(table, 1)[0])
    assert np.isnan(random_relative_regret(table, 1)[0])
    assert np.isnan(budget_to_zero([[1, 2], [1, 2]], table)[0])
    assert found.relative[1] == pytest.approx(0.4)
    assert not recwarn.list


def test_log_odds_delta_by_hand():
    nats, clipped = log_odds_delta(0.8, 0.5)
    assert nats == pytest.approx(math.log(4))
    assert not clipped
    nats, clipped = log_odds_delta([1.0, 0.5], [0.5, 0.0], test_size=50)
    assert nats == pytest.approx([math.log(99), math.log(99)])
    assert clipped.tolist() == [True, True]
    nats, clipped = log_odds_delta(1.0, 0.5)
    assert nats == pytest.approx(math.log((1 - 1e-6) / 1e-6))
    nats, clipped = log_odds_delta(np.nan, 0.5)
    assert np.isnan(nats)
    assert not clipped


@LAW
@given(a=fractions, b=fractions, n=st.none() | st.integers(1, 10**6))
def test_log_odds_delta_is_antisymmetric_and_finite(a, b, n):
    one, clipped = log_odds_delta(a, b, n)
    other, same = log_odds_delta(b, a, n)
    assert one == -other
    assert np.isfinite(one)
    assert clipped == same


few = st.integers(1, 6).flatmap(
    lambda m: st.tuples(
        st.lists(st.sampled_from([0.1, 0.2, 0.3]), min_size=m, max_size=m),
        st.lists(st.sampled_from([0.5, 0.6, 0.7]), min_size=m, max_size=m),
    )
)


@LAW
@given(pair=few)
def test_budget_to_zero_is_the_reference_code(pair):
    score, accuracy = pair
    for ties in ("optimistic", "pessimistic"):
        found = budget_to_zero([score], column(*accuracy), ties)
        assert found.tolist() == [slow.budget_to_zero(score, accuracy, ties)]
    expected = budget_to_zero([score], column(*accuracy), "expected")
    assert expected == pytest.approx([slow.expected_budget(score, accuracy)], abs=1e-12)


@LAW
@given(pair=few, data=st.data())
def test_budget_to_zero_ignores_models_without_accuracy(pair, data):
    score, accuracy = pair
    extra = data.draw(st.integers(1, 3))
    longer = budget_to_zero([score + [9.0] * extra], column(*accuracy, *[np.nan] * extra), "pessimistic")
    assert longer.tolist() == budget_to_zero([score], column(*accuracy), "pessimistic").tolist()


def test_budget_to_zero_ranks_missing_scores_last():
    scores = [[0.1, np.nan, 0.0]]
    assert budget_to_zero(scores, column(0.5, 0.9, 0.6)).tolist() == [3]
    assert budget_to_zero([[np.nan] * 3], column(0.5, 0.9, 0.6)).tolist() == [1]
    assert budget_to_zero([[np.nan] * 3], column(0.5, 0.9, 0.6), "expected").tolist() == [2]
    assert scores[0][1] is np.nan


def test_budget_to_zero_uses_the_mean_over_repeats():
    table = np.array([[[0.9, 0.1], [0.6, 0.6]]])
    assert budget_to_zero([[1.0, 0.0]], table).tolist() == [2]


def test_zero_regret_without_correlation():
    # App. B: in a flat pool every choice is perfect, whatever the scores say.
    flat = np.full((1, 5, 1), 0.7)
    for model in range(5):
        assert regret(flat, pick_mask([[model]], 5)).relative.tolist() == [0.0]


def test_large_regret_despite_high_correlation():
    # App. B: a proxy that orders a flat pool perfectly but misses the one outlier above it.
    accuracy = np.concatenate([0.5 + 0.001 * np.arange(30), [0.9]])
    score = np.concatenate([np.arange(30.0), [28.5]])
    assert np.corrcoef(np.argsort(np.argsort(score)), np.arange(31))[0, 1] > 0.99
    picked = pick_mask([[int(score.argmax())]], 31)
    assert regret(column(*accuracy), picked).relative[0] > 0.75


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: oracle([[[73.2]]]), r"accuracy must lie in \[0, 1\], got 73.2 \(percent\?"),
        (lambda: oracle([[[-0.1]]]), r"accuracy must lie in \[0, 1\], got -0.1$"),
        (lambda: oracle([[[np.inf]]]), r"accuracy must lie in \[0, 1\], got inf"),
        (lambda: oracle([[0.5]]), r"accuracy must be a non-empty \[task, model, repeat\] array"),
        (lambda: oracle(np.zeros((1, 0, 1))), "accuracy must be a non-empty"),
        (lambda: delta(50.0, 0.5), r"first must lie in \[0, 1\], got 50"),
        (lambda: pick_mask([[0, 1, 2]], 2), "picks must be 1 to 2 models per task, got 3"),
        (lambda: pick_mask([[]], 2), "picks must be 1 to 2 models per task, got 0"),
        (lambda: pick_mask([[1, 1]], 2), r"picks must be distinct, got \[1, 1\] for task 0"),
        (lambda: pick_mask([[-1]], 2), r"picks must lie in \[0, 2\), got \[-1\]"),
        (lambda: value(column(0.5), np.array([[1]])), r"picks must be a boolean \[1, 1\] array"),
        (lambda: random_value(column(0.5), 2), r"budget must be 1 to 1 \(the pool\), got 2"),
        (lambda: random_relative_regret(column(0.5), 0), "budget must be 1 to 1"),
        (lambda: budget_to_zero([[1, 2]], column(0.5)), r"scores must be of shape \(1, 1\)"),
        (lambda: budget_to_zero([[1]], column(0.5), "lucky"), "ties must be optimistic"),
        (lambda: log_odds_delta(0.5, 0.5, 0), "test_size must be at least 1, got 0"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_inputs_are_not_written():
    table = np.array([[[0.5, np.nan], [0.7, 0.8]]])
    scores = np.array([[np.nan, 1.0]])
    for array in (table, scores):
        array.flags.writeable = False
    regret(table, pick_mask([[1]], 2))
    random_value(table, 1)
    assert budget_to_zero(scores, table).tolist() == [1]
