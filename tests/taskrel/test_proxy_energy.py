"""Energy against scipy and the golden values."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.datasets import load_digits, load_iris

from taskrel.proxies import energy
from taskrel.types import Probe


def test_golden_values():
    iris, digits = Probe(*load_iris(return_X_y=True)), Probe(*load_digits(return_X_y=True))
    assert energy.score(iris, None, seed=0).value == pytest.approx(6.107970779, rel=1e-9)
    assert energy.score(digits, None, seed=0).value == pytest.approx(17.866122642, rel=1e-9)
    published = energy.score(digits, None, seed=0, share=0.005)
    assert published.value == pytest.approx(15.912861951, rel=1e-9)
    assert published.detail == {"share": 0.005, "examples": 8}


@pytest.mark.parametrize("n", [200, 400, 999, 1000, 1400, 1999, 2200, 58000])
def test_the_published_share_is_5n_over_1000_to_the_example(n):
    probe = Probe(np.zeros((n, 1)), np.zeros(n, dtype=int))
    assert energy.score(probe, None, seed=0, share=0.005).detail["examples"] == 5 * n // 1000


def test_at_least_one_example_counts():
    features, labels = np.arange(12.0).reshape(6, 2), np.zeros(6)
    score = energy.score(Probe(features, labels), None, seed=0, share=0.005)
    assert score.value == pytest.approx(logsumexp(features, axis=1).min(), rel=1e-15)


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_influence_of_a_mean_of_the_lowest_share(share):
    features = np.random.default_rng(0).standard_normal((50, 4))
    score = energy.score(Probe(features, np.zeros(50)), None, seed=0, share=share)
    energies = logsumexp(features, axis=1)
    lowest = np.argsort(energies)[: round(50 * share)]
    assert score.value == pytest.approx(energies[lowest].mean(), rel=1e-14)
    # Weights that move no mass across the cut: the share stays the same examples, and its mean is exact.
    weights = np.ones(50)
    weights[lowest] += np.linspace(-0.5, 0.5, len(lowest))
    exact = np.average(energies[lowest], weights=weights[lowest])
    assert score.value + np.mean((weights - 1) * score.influence) == pytest.approx(exact, rel=1e-12)
    assert score.influence.mean() == pytest.approx(0, abs=1e-14)


def test_large_features_do_not_overflow():
    score = energy.score(Probe(np.full((3, 2), 1e6), np.zeros(3)), None, seed=0)
    assert score.value == pytest.approx(1e6 + np.log(2), rel=1e-15)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_refusals(share):
    with pytest.raises(ValueError, match=r"share must lie in \(0, 1\]"):
        energy.score(Probe(np.eye(3), np.zeros(3)), None, seed=0, share=share)
