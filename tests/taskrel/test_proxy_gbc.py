"""GBC against a double loop, the spec's goldens, sums over batches and weighted differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import gbc as dense
from oracles import slopes
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA

from taskrel.proxies import PROXIES, gbc
from taskrel.stats import FeatureStats
from taskrel.types import CannotScore, Probe

G = PROXIES["gbc"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)
D40 = (DIGITS[0][:40], DIGITS[1][:40])
GOLDEN = [
    ({}, (-0.33008822262276544, -0.058633992839373775, -0.0005177793133892064)),
    ({"covariance": "diagonal"}, (-0.7724889104027249, -0.315889278580186, -0.004566842331980172)),
    ({"covariance": "diagonal", "directions": None},
     (-0.23068557865491535, -0.00012025661695114659, -2.8231506795415103e-18)),
    ({"directions": None}, (-0.33008822262276544, -0.045625785875778646, -1.124883534264487e-06)),
]  # fmt: skip


@pytest.mark.parametrize(("chosen", "expected"), GOLDEN)
def test_golden_values(chosen, expected):
    for data, value in zip((IRIS, DIGITS, D40), expected, strict=True):
        # Below 1e-10 the value is one exponential of a long sum.
        assert G.score(Probe(*data), **chosen).value == pytest.approx(
            value, rel=1e-8 if value < -1e-10 else 1e-4, abs=0
        )


def test_null_directions_are_dropped_and_counted():
    assert [G.score(Probe(*data)).detail["directions"] for data in (IRIS, DIGITS, D40)] == [4, 61, 39]


def made(seed, n, d, classes):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    return rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d)), labels


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6), n=st.integers(8, 60), d=st.integers(1, 40), classes=st.integers(2, 7),
    spherical=st.booleans(), directions=st.sampled_from([None, 1, 3, 64]), block=st.sampled_from([1, 100, 1 << 22]),
)  # fmt: skip
def test_agrees_with_a_double_loop(seed, n, d, classes, spherical, directions, block):
    features, labels = made(seed, n, d, classes)
    reduced = features if directions is None else PCA(min(directions, n - 1, d)).fit_transform(features)
    covariance = "spherical" if spherical else "diagonal"
    old, gbc._BLOCK = gbc._BLOCK, block
    try:
        found = G.score(Probe(features, labels), covariance=covariance, directions=directions).value
    finally:
        gbc._BLOCK = old
    assert found == pytest.approx(dense.gbc(reduced, labels, spherical), rel=1e-6, abs=1e-200)
    assert -classes * (classes - 1) <= found <= 0


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
def test_influence_is_the_effect_of_an_examples_weight(covariance):
    features, labels = made(5, 40, 3, 4)
    features[labels == 1, 0] = 0.5  # its variance is at the floor and stays there
    found = G.score(Probe(features, labels), covariance=covariance, directions=None).influence
    expected = slopes.influence(lambda w: dense.gbc(features, labels, covariance == "spherical", w), 40)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_influence_with_the_directions_held_fixed():
    features, labels = made(6, 40, 8, 4)
    reduced = PCA(2).fit_transform(features)
    found = G.score(Probe(features, labels), directions=2).influence
    expected = slopes.influence(lambda w: dense.gbc(reduced, labels, True, w), 40)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
def test_from_sums_over_batches(covariance):
    features, labels = DIGITS
    stats = FeatureStats()
    for part in np.array_split(np.arange(len(labels)), 7):
        stats.update(features[part] + 1e3, labels[part])
    expected = G.score(Probe(features, labels), covariance=covariance, directions=None).value
    assert G.compute(stats, covariance=covariance, directions=None) == pytest.approx(expected, rel=1e-8)
    with pytest.raises(CannotScore, match="gbc needs the rows for 64 principal directions"):
        G.compute(stats)


def test_no_underflow_and_no_overflow_in_many_dimensions():
    # Determinants of 3000 variances leave the range of floating numbers; guarded, they broke published tables' bound.
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    for scale in (0.05, 100.0):
        features = scale * rng.standard_normal((60, 3000))
        score = G.score(Probe(features, labels), covariance="diagonal", directions=None)
        assert score.value == pytest.approx(dense.gbc(features, labels, False), rel=1e-8, abs=0)
        assert -6 <= score.value < 0


def test_constant_features_overlap_in_full():
    assert G.score(Probe(np.full((9, 4), 0.1), np.arange(9) % 3)).value == -6
    assert G.score(Probe(np.full((9, 4), 0.1), np.arange(9) % 3), directions=None).value == -6


def test_classes_of_one_example_each_have_the_floor_as_variance():
    value = G.score(Probe(np.array([[0.0], [0.02]]), np.array([0, 1]))).value
    assert value == pytest.approx(-2 * np.exp(-(0.02**2) / 1e-4 / 8), rel=1e-12)


def test_refusals():
    probe = Probe(*IRIS)
    with pytest.raises(ValueError, match="covariance must be 'spherical' or 'diagonal', got 'full'"):
        G.score(probe, covariance="full")
    with pytest.raises(ValueError, match="directions must be at least 1, got 0"):
        G.score(probe, directions=0)
