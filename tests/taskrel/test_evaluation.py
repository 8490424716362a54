"""Evaluation of proxies against brute force: scipy's weighted tau, medians by hand, every draw looked up one by one."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from taskrel.correlation import mean_noise_floor, pearsons, weighted_taus
from taskrel.evaluation import chance, evaluate, outcomes
from taskrel.regret import random_relative_regret

LAW = settings(deadline=None, max_examples=80)
levels = hnp.arrays(np.float64, (3, 6), elements=st.integers(0, 3).map(float) | st.just(np.nan))
ONE_TASK = [[0.70, 0.74], [0.80, 0.84], [0.30, 0.40]]  # [M, R]: medians 0.72, 0.82, 0.35


def textbook(x, y, statistic):
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    return np.nan if len(set(x)) < 2 or len(set(y)) < 2 else statistic(x, y).statistic


def all_orders(scores, reached):
    """Relative regret at budget 2, the mean over every order of the models that sorts them by score."""
    models, found = np.flatnonzero(~np.isnan(reached)), []
    for order in permutations(models):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            value = max(reached[list(order[:2])])
            found.append((reached[models].max() - value) / (1 - value))
    return np.mean(found)


@LAW
@given(levels, levels)
def test_rows_of_weighted_taus_and_pearsons_are_scipys(x, y):
    for ours, theirs in ((weighted_taus, stats.weightedtau), (pearsons, stats.pearsonr)):
        wanted = [textbook(a, b, theirs) for a, b in zip(x, y, strict=True)]
        np.testing.assert_allclose(ours(x, y), wanted, atol=1e-9)


def test_many_rows_are_the_same_as_each_alone():
    """Rows are taken in blocks: none may know of its neighbours."""
    x, y = np.random.default_rng(0).integers(0, 40, (2, 300, 150)).astype(float)  # more than one block
    few = [0, 185, 186, 299]
    np.testing.assert_array_equal(weighted_taus(x, y)[few], weighted_taus(x[few], y[few]))


def test_pearson_of_tiny_and_of_constant_numbers():
    np.testing.assert_allclose(pearsons([[0, 1e-200, 2e-200]], [[0.1, 0.2, 0.3]]), 1)
    assert np.isnan(pearsons([[0.1, 0.1, 0.1]], [[0.1, 0.2, 0.3]])).all()


def test_the_noise_floor_of_a_mean_is_what_the_spec_tells():
    """Eleven models: 0.53 for one task; the mean over eleven tasks has a standard deviation of 0.084."""
    assert mean_noise_floor((11,)) == pytest.approx(0.53, abs=0.02)
    assert mean_noise_floor((11,) * 11) == pytest.approx(1.96 * 0.084, abs=0.015)
    assert mean_noise_floor((5, 20)) < mean_noise_floor((5,))
    with pytest.raises(ValueError, match="at least 2"):
        mean_noise_floor((3, 1))


def test_one_task_by_hand():
    found = evaluate([[0.5, 0.6, 0.9]], outcomes([ONE_TASK], samples=50), budgets=(1, 2, 3, 4))
    assert found.relative_regret[1].value == pytest.approx(0.47 / 0.65)
    assert found.relative_regret[2].value == pytest.approx(0, abs=1e-12)
    assert found.relative_regret[3].value == pytest.approx(0, abs=1e-12)
    assert found.relative_regret[4].value is None
    assert found.weighted_tau.value == pytest.approx(stats.weightedtau([1, 2, 3], [2, 3, 1]).statistic)
    assert found.pearson.value == pytest.approx(stats.pearsonr([0.5, 0.6, 0.9], [0.72, 0.82, 0.35]).statistic)
    assert (found.tasks, found.missing, found.flat) == (1, 0, 0)
    assert found.tau_floor == mean_noise_floor((3,))


def test_the_interval_is_of_every_draw_of_the_repeats():
    """Two repeats can be drawn in three ways; the second model's regret against the best is one of three numbers."""
    found = evaluate([[1.0, 0.5, 0.2]], outcomes([ONE_TASK], samples=400))
    relative = [(b - a) / (1 - a) for a, b in ((0.70, 0.80), (0.72, 0.82), (0.74, 0.84))]
    regret = found.relative_regret[1]
    assert (regret.low, regret.value, regret.high) == pytest.approx((min(relative), relative[1], max(relative)))


def test_between_equal_scores_the_expectation_counts_and_missing_ones_come_last():
    found = evaluate([[0.5, 0.5, np.nan]], outcomes([ONE_TASK], samples=20))
    assert found.relative_regret[1].value == pytest.approx((0.10 / 0.28 + 0) / 2)
    assert (found.missing, found.tau_floor) == (1, mean_noise_floor((2,)))
    last = evaluate([[np.nan, np.nan, 0.1]], outcomes([ONE_TASK], samples=20))
    assert last.relative_regret[1].value == pytest.approx(0.47 / 0.65)
    assert last.relative_regret[2].value == pytest.approx((0.10 / 0.28 + 0) / 2)
    assert last.weighted_tau.value == 0
    assert (last.flat, last.tau_floor) == (1, None)


def test_a_flat_task_counts_nothing_and_is_flagged_and_one_without_scores_does_not_count():
    accuracy = [ONE_TASK] * 3
    found = evaluate([[1.0, 2.0, 0.0], [7.0, 7.0, 7.0], [np.nan] * 3], outcomes(accuracy, samples=30))
    assert (found.tasks, found.flat, found.missing) == (2, 1, 3)
    assert found.weighted_tau.value == pytest.approx(0.5)
    assert found.pearson.value == pytest.approx(0.5 * stats.pearsonr([1, 2, 0], [0.72, 0.82, 0.35]).statistic)


def test_a_task_whose_accuracies_are_equal_says_nothing_of_the_order():
    accuracy = [ONE_TASK, [[0.5, 0.5]] * 3]
    found = evaluate([[1.0, 2.0, 0.0], [1.0, 2.0, 3.0]], outcomes(accuracy, samples=30))
    assert found.weighted_tau.value == pytest.approx(1)
    assert (found.tasks, found.flat) == (2, 0)


def test_nothing_is_scored():
    found = evaluate(np.full((1, 3), np.nan), outcomes([ONE_TASK], samples=5))
    assert (found.tasks, found.weighted_tau.value, found.relative_regret[1].value) == (0, None, None)
    assert found.missing == 3


def test_one_task_with_one_repeat_has_no_interval_unless_the_scores_move():
    accuracy = [[[0.7], [0.8], [0.3]]]
    still = evaluate([[1.0, 2.0, 0.0]], outcomes(accuracy, samples=50))
    assert (still.weighted_tau.low, still.relative_regret[1].high) == (None, None)
    moved = evaluate([[1.0, 2.0, 0.0]], outcomes(accuracy, samples=200),
                     replicates=[[[1.0, 3.0], [2.0, 2.0], [0.0, 0.0]]])  # fmt: skip
    assert moved.relative_regret[1].value == 0
    assert (moved.relative_regret[1].low, moved.relative_regret[1].high) == pytest.approx((0, 0.1 / 0.3))


@settings(LAW, max_examples=15)
@given(st.integers(0, 10_000))
def test_every_sample_equals_brute_force(seed):
    """Each bootstrap sample recomputed one by one, from the draws: scipy's tau, medians, a sort of the models."""
    rng = np.random.default_rng(seed)
    accuracy = rng.integers(0, 9, (4, 5, 3)) / 10
    accuracy[rng.random((4, 5)) < 0.15] = np.nan
    accuracy[rng.random((4, 5, 3)) < 0.1] = np.nan
    scores, replicates = rng.integers(0, 4, (4, 5)).astype(float), rng.integers(0, 4, (4, 5, 6)).astype(float)
    scores[rng.random((4, 5)) < 0.2] = np.nan
    replicates[rng.random((4, 5)) < 0.2] = np.nan  # no replicates: the score itself
    found = outcomes(accuracy, samples=40, seed=seed)
    result = evaluate(scores, found, replicates=replicates)
    taus, regrets = [], []
    for sample in range(41):
        tau, regret = [], []
        for slot in range(4):
            task = slot if sample == 0 else found.tasks[slot, sample - 1]
            known = ~np.isnan(found.accuracy[task, 0])
            if not (known & ~np.isnan(scores[task])).any():
                continue
            drawn = scores[task].copy()
            if sample:
                again = replicates[task, :, int(found.replicate[sample - 1] * 6)]
                drawn = np.where(np.isnan(again) | np.isnan(drawn), drawn, again)
            reached = found.accuracy[task, sample]
            if len(set(reached[known & ~np.isnan(reached)])) > 1:
                tau.append(np.nan_to_num(textbook(drawn[known], reached[known], stats.weightedtau)))
            if known.sum() >= 2 and (~np.isnan(reached)).any():
                regret.append(all_orders(np.nan_to_num(drawn, nan=-1), reached))
        taus.append(np.mean(tau) if tau else np.nan)
        regrets.append(np.mean(regret) if regret else np.nan)
    for estimate, numbers in ((result.weighted_tau, taus), (result.relative_regret[2], regrets)):
        if np.isnan(numbers[0]):
            assert estimate.value is None
        else:
            wanted = (numbers[0], *np.nanquantile(numbers[1:], (0.025, 0.975)))
            assert (estimate.value, estimate.low, estimate.high) == pytest.approx(wanted, abs=1e-9)


@LAW
@given(hnp.arrays(np.float64, (2, 4, 3), elements=st.integers(0, 5).map(lambda i: i / 5) | st.just(np.nan)))
def test_medians_are_numpys(accuracy):
    found = outcomes(accuracy, samples=3)
    wanted = [[np.median(cell[~np.isnan(cell)]) if (~np.isnan(cell)).any() else np.nan for cell in task]
              for task in accuracy]  # fmt: skip
    np.testing.assert_allclose(found.accuracy[:, 0], wanted, atol=1e-12)


def test_chance_is_the_mean_over_all_single_models():
    accuracy = np.random.default_rng(1).uniform(0.2, 0.9, (3, 6, 1))
    found = chance(outcomes(accuracy, samples=50))
    assert (found.tasks, found.missing, found.flat) == (3, 0, 0)
    best = accuracy.max(axis=1, keepdims=True)
    assert found.relative_regret[1].value == pytest.approx(((best - accuracy) / (1 - accuracy)).mean())
    assert found.weighted_tau.value == 0
    assert found.relative_regret[2].value < found.relative_regret[1].value
    exact = random_relative_regret(accuracy, 2)
    assert found.relative_regret[2].value == pytest.approx(exact.mean())
    assert found.relative_regret[1].low < found.relative_regret[1].value < found.relative_regret[1].high


def test_shapes_that_do_not_fit_are_refused():
    found = outcomes([ONE_TASK], samples=5)
    with pytest.raises(ValueError, match=r"scores must be of shape \(1, 3\)"):
        evaluate([[1.0, 2.0]], found)
    with pytest.raises(ValueError, match="replicates must be of shape"):
        evaluate([[1.0, 2.0, 3.0]], found, replicates=[[[1.0], [2.0]]])
    with pytest.raises(ValueError, match="samples must be at least 1"):
        outcomes([ONE_TASK], samples=0)
