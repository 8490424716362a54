"""Mean correlations over tasks against scipy, by hand, and against the slower evaluation."""

import numpy as np
import pytest
from scipy import stats

from taskrel.agreement import agreement
from taskrel.correlation import mean_noise_floor
from taskrel.evaluation import evaluate, outcomes

RNG = np.random.default_rng(0)
TRUTH = RNG.uniform(0.3, 0.9, (6, 9))
SCORES = TRUTH + RNG.normal(0, 0.1, (6, 9))


def test_means_are_those_of_scipy():
    found = agreement(SCORES, TRUTH)
    taus = [stats.weightedtau(x, y).statistic for x, y in zip(SCORES, TRUTH, strict=True)]
    assert [one.value for one in found.each["weighted_tau"]] == pytest.approx(taus)
    assert found.mean["weighted_tau"] == pytest.approx(np.mean(taus))
    assert found.mean["spearman"] == pytest.approx(
        np.mean([stats.spearmanr(x, y).statistic for x, y in zip(SCORES, TRUTH, strict=True)])
    )
    low, high = found.ends["weighted_tau"]
    assert low < found.mean["weighted_tau"] < high
    assert (found.tasks, found.flat) == (6, 0)


def test_agrees_with_the_evaluation_of_one_repeat():
    slow = evaluate(SCORES, outcomes(TRUTH[:, :, None], samples=20))
    found = agreement(SCORES, TRUTH)
    assert found.mean["weighted_tau"] == pytest.approx(slow.weighted_tau.value)
    assert found.mean["pearson"] == pytest.approx(slow.pearson.value)


def test_the_floor_is_that_of_simulated_means():
    # The mean of six independent taus is nearly normal; 2000 draws know its percentile to 3 percent.
    assert agreement(SCORES, TRUTH).floor == pytest.approx(mean_noise_floor((9,) * 6), rel=0.1)
    assert agreement(SCORES[:1], TRUTH[:1]).floor == pytest.approx(mean_noise_floor((9,)), rel=0.1)


def test_flat_and_missing_tasks():
    scores = SCORES.copy()
    scores[0] = 1.0
    scores[1, 1:] = np.nan
    found = agreement(scores, TRUTH)
    assert (found.tasks, found.flat) == (5, 1)
    kept = [one.value for one in found.each["weighted_tau"] if one.value is not None]
    assert found.mean["weighted_tau"] == pytest.approx(sum(kept) / 5)
    nothing = agreement(np.full((2, 3), np.nan), TRUTH[:2, :3])
    assert (nothing.tasks, nothing.mean["pearson"], nothing.ends["pearson"], nothing.floor) == (0, None, None, None)


def test_refusals():
    with pytest.raises(ValueError, match=r"\[task, model\] of one shape"):
        agreement(SCORES, TRUTH[:2])
