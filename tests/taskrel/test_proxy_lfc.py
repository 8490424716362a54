"""LFC against the dense correlation, the spec's goldens, sums over batches and weighted differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import lfc as dense
from oracles import slopes
from sklearn.datasets import load_digits, load_iris

from taskrel.proxies import PROXIES
from taskrel.stats import FeatureStats
from taskrel.types import Probe

L = PROXIES["lfc"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)
D40 = (DIGITS[0][:40], DIGITS[1][:40])


@pytest.mark.parametrize(
    ("data", "expected"),
    [(IRIS, 0.16510537462617975), (DIGITS, 0.31204574456462675), (D40, 0.471747103440176)],
    ids=["iris", "digits", "d40"],
)
def test_golden_values_also_from_sums(data, expected):
    assert L.score(Probe(*data)).value == pytest.approx(expected, rel=1e-8)
    stats = FeatureStats()
    for part in np.array_split(np.arange(len(data[1])), 5):
        stats.update(data[0][part], data[1][part])
    assert L.compute(stats) == pytest.approx(expected, rel=1e-8)


def made(seed, n, d, classes, offset=0.0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    return offset + rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d)), labels


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6), n=st.integers(4, 60), d=st.integers(1, 80), classes=st.integers(2, 4),
    offset=st.sampled_from([0.0, 0.5, 30.0]),
)  # fmt: skip
def test_agrees_with_the_dense_correlation(seed, n, d, classes, offset):
    features, labels = made(seed, n, d, classes, offset)
    found = L.score(Probe(features, labels)).value
    assert found == pytest.approx(dense.lfc(features, labels), rel=1e-8, abs=1e-9)
    assert -1 <= found <= 1


@pytest.mark.parametrize(("n", "d", "offset"), [(30, 4, 0.7), (20, 40, 0.0), (20, 40, 0.3)])
def test_influence_is_the_effect_of_an_examples_weight(n, d, offset):
    features, labels = made(3, n, d, 3, offset)
    found = L.score(Probe(features, labels)).influence
    expected = slopes.influence(lambda w: dense.lfc(features, labels, w), n)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_an_offset_costs_no_digits(offset):
    # Whole numbers, so that adding the offset is exact, and products of 18 digits.
    features = (D40[0] + offset).astype(np.longdouble)
    expected = dense.lfc(features, D40[1])
    assert L.score(Probe(D40[0] + offset, D40[1])).value == pytest.approx(expected, rel=1e-8)


def test_constant_features_correlate_with_nothing():
    assert L.score(Probe(np.full((6, 3), 0.1), np.arange(6) % 2)).value == 0


def test_perfect_agreement():
    # Two classes at +1 and -1: the products are the label agreement itself.
    labels = np.array([0, 0, 1, 1, 1])
    score = L.score(Probe(np.where(labels == 0, 1.0, -1.0)[:, None], labels))
    assert score.value == pytest.approx(1, abs=1e-12)
