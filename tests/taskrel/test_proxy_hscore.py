"""H-scores against dense covariances, scikit-learn's Ledoit-Wolf, canonical correlations and published errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import hscore as dense
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits, load_iris

from taskrel.proxies import PROXIES
from taskrel.types import Probe

H, SHRUNK = PROXIES["hscore"], PROXIES["shrinkage_hscore"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)
D40 = (DIGITS[0][:40], DIGITS[1][:40])


@pytest.mark.parametrize(
    ("data", "plain", "shrunk", "intensity"),
    [
        (IRIS, 1.191898825041, 1.177842499331, 0.007578801454),
        (DIGITS, 5.917909336696, 5.851432997954, 0.008928469809),
        (D40, 9.0, 7.188982759993, 0.264666955072),
    ],
)  # fmt: skip
def test_golden_values(data, plain, shrunk, intensity):
    assert H.score(Probe(*data)).value == pytest.approx(plain, rel=1e-8)
    found = SHRUNK.score(Probe(*data))
    assert found.value == pytest.approx(shrunk, rel=1e-8)
    assert found.detail["shrinkage"] == pytest.approx(intensity, rel=1e-8)


@pytest.mark.parametrize("data", [IRIS, DIGITS, D40], ids=["iris", "digits", "d40"])
def test_shrinkage_is_that_of_ledoit_and_wolf(data):
    expected = LedoitWolf().fit(data[0]).shrinkage_
    assert SHRUNK.score(Probe(*data)).detail["shrinkage"] == pytest.approx(expected, rel=1e-9)
    value = dense.shrinkage_hscore(*data, expected)
    assert SHRUNK.score(Probe(*data)).value == pytest.approx(value, rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), n=st.integers(8, 60), d=st.integers(1, 80), classes=st.integers(2, 6))
def test_agrees_with_dense_covariances_and_stays_in_its_bounds(seed, n, d, classes):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    features = rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d))
    found = H.score(Probe(features, labels))
    assert found.value == pytest.approx(dense.hscore(features, labels), rel=1e-6)
    assert 0 <= found.value <= min(classes - 1, found.detail["rank"]) + 1e-9
    assert found.detail["saturated"] == (d >= n - 1)
    if found.detail["saturated"]:
        assert found.value == classes - 1  # to the last bit: rounding must not rank models


def test_is_the_sum_of_squared_canonical_correlations():
    features, labels = IRIS
    x = features - features.mean(axis=0)
    y = np.eye(3)[labels][:, :2]
    basis = [np.linalg.qr(part - part.mean(axis=0))[0] for part in (x, y)]
    correlations = np.linalg.svd(basis[0].T @ basis[1], compute_uv=False)
    assert H.score(Probe(*IRIS)).value == pytest.approx(float((correlations**2).sum()), rel=1e-10)


def test_single_precision_does_not_explode():
    # A pseudo-inverse with a cut of 1e-15 does, on single-precision features with null directions.
    features, labels = DIGITS
    single = H.score(Probe(features.astype(np.float32) / 7, labels)).value
    assert single == pytest.approx(5.917909336696, rel=1e-5)


def test_is_not_the_elementwise_product():
    # google-research/stable_transfer multiplies elementwise inside the trace: 84.64 on digits.
    assert H.score(Probe(*DIGITS)).value < 9


@pytest.mark.parametrize("proxy", [H, SHRUNK], ids=["plain", "shrunk"])
def test_influence_is_the_effect_of_an_examples_weight(proxy):
    features, labels = IRIS[0][::3], IRIS[1][::3]
    n, step = len(labels), 1e-5
    found = proxy.score(Probe(features, labels))
    assert found.influence.mean() == pytest.approx(0, abs=1e-9)
    for i in (0, 20, 49):
        sides = []
        for sign in (1, -1):
            weights = np.ones(n)
            weights[i] += sign * step
            if proxy is H:
                sides.append(dense.hscore(features, labels, weights))
            else:
                sides.append(dense.shrinkage_hscore(features, labels, found.detail["shrinkage"], weights))
        slope = n * (sides[0] - sides[1]) / (2 * step)
        assert found.influence[i] == pytest.approx(slope, rel=1e-5, abs=1e-6)
