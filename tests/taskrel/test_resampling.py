"""Bootstrap by influences against the bootstrap that computes everything again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from taskrel.proxies import PROXIES
from taskrel.resampling import interval, multiplicities, ranks, replicates
from taskrel.types import Probe, Score


def blobs(n=300, d=12, classes=4, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return spread * rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d)), labels


def test_multiplicities_are_draws_with_replacement():
    times = multiplicities(50, samples=4000, seed=3)
    assert times.shape == (4000, 50)
    assert (times.sum(axis=1) == 50).all()
    assert times.mean(axis=0) == pytest.approx(np.ones(50), abs=0.1)
    assert times.var() == pytest.approx(1 - 1 / 50, rel=0.05)
    assert np.array_equal(times, multiplicities(50, samples=4000, seed=3))
    assert not np.array_equal(times[:10], multiplicities(50, samples=10, seed=4))


def test_a_mean_is_resampled_exactly():
    values = np.random.default_rng(0).standard_normal(40)
    score = Score(values.mean(), (values.mean(),), influence=values - values.mean())
    times = multiplicities(40, 200)
    exact = [np.repeat(values, row.astype(int)).mean() for row in times]
    assert replicates(score, times) == pytest.approx(np.array(exact), abs=1e-12)


@pytest.mark.parametrize("name", ["hscore", "shrinkage_hscore", "logme"])
def test_spread_is_that_of_computing_everything_again(name):
    features, labels = blobs()
    found = PROXIES[name].score(Probe(features, labels))
    times = multiplicities(len(labels), 200, seed=1)
    linear = replicates(found, times)
    again = []
    for row in times[:120]:
        index = np.repeat(np.arange(len(labels)), row.astype(int))
        again.append(PROXIES[name].score(Probe(features[index], labels[index])).value)
    # To first order the spread is the same; the mean of the full bootstrap is biased by repeated examples.
    assert linear.std() == pytest.approx(np.std(again), rel=0.15)
    assert np.corrcoef(linear[:120], again)[0, 1] > 0.9


def test_intervals_cover_the_score_of_new_examples():
    # The accuracy of 1-NN on new validation sets: how often does the interval from one of them hold the long-run one?
    train = Probe(*blobs(200, 5, spread=0.7, seed=0))
    whole = PROXIES["knn"].score(train, Probe(*fresh(train, 20000))).value
    covered = 0
    for seed in range(100):
        found = PROXIES["knn"].score(train, Probe(*fresh(train, 150, seed + 1)))
        low, high = interval(replicates(found, multiplicities(150, 400, seed)))
        covered += low <= whole <= high
    assert covered >= 86  # 95 percent asked for; three standard errors below, and percentiles of few samples are short


def fresh(train, size, seed=7):
    rng = np.random.default_rng(seed)
    centres = 0.7 * np.random.default_rng(0).standard_normal((4, 5))
    labels = rng.integers(0, 4, size)
    return centres[labels] + rng.standard_normal((size, 5)), labels


def test_a_linear_step_stops_at_the_end_of_the_range():
    score = Score(0.99, (0.99,), influence=np.array([1.0, -1.0] * 5))
    found = replicates(score, multiplicities(10, 500), (0.0, 1.0))
    assert found.max() == 1.0
    assert found.min() > 0


def test_without_influences_there_is_no_interval():
    assert replicates(Score(1.0, (1.0,)), multiplicities(10)) is None
    assert interval(None) is None


@given(st.integers(0, 10**6), st.integers(1, 6))
def test_ranks_are_mean_ranks_from_the_top(seed, models):
    rng = np.random.default_rng(seed)
    values, drawn = rng.integers(0, 4, models).astype(float), rng.integers(0, 4, (models, 7)).astype(float)
    found = ranks(values, drawn)
    assert found.rank == pytest.approx(rankdata(-values))
    each = np.stack([rankdata(-column) for column in drawn.T])
    assert found.low == pytest.approx(np.quantile(each, 0.025, axis=0))
    assert found.high == pytest.approx(np.quantile(each, 0.975, axis=0))
    assert found.top.sum() == pytest.approx(1)


def test_paired_models_are_told_apart_better_than_their_intervals_say():
    features, labels = blobs(200, 10, spread=0.8)
    better = features + 0.1 * np.eye(4, 10)[labels]
    scores = [PROXIES["logme"].score(Probe(f, labels)) for f in (features, better)]
    drawn = np.stack([replicates(score, multiplicities(200)) for score in scores])
    (_, high), (low, _) = interval(drawn[0]), interval(drawn[1])
    assert low < high  # their intervals overlap
    found = ranks([score.value for score in scores], drawn)
    assert found.top[int(found.rank.argmin())] > 0.9  # and yet one is better nearly always


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: multiplicities(0), "examples and samples must be at least 1"),
        (lambda: replicates(Score(0, (0,), influence=np.zeros(3)), multiplicities(4)), r"times must be \[S, 3\]"),
        (lambda: interval(np.zeros(3), level=1.0), "level must lie in"),
        (lambda: ranks([1.0], np.zeros((2, 3))), r"values must be \[M\] and replicated \[M, S\]"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
