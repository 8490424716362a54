"""PARC against scipy's tie-safe Spearman, the spec's goldens, weighted differences and resampling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import parc as dense
from oracles import slopes
from scipy.stats import spearmanr
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA

from taskrel.proxies import PROXIES, parc
from taskrel.types import CannotScore, Probe

P = PROXIES["parc"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)


@pytest.mark.parametrize(
    ("data", "examples", "expected"),
    [
        (IRIS, 150, 58.67978403710334), (DIGITS, 1797, 39.33020318216061), (DIGITS, 40, 40.459283647098154),
        (DIGITS, 300, 43.14535993735882),
    ],
    ids=["iris", "digits", "d40", "d300"],
)  # fmt: skip
def test_golden_values(data, examples, expected):
    score = P.score(Probe(data[0][:examples], data[1][:examples]))
    assert score.value == pytest.approx(expected, rel=1e-7)
    assert score.detail == {"examples": examples}


def test_renaming_classes_does_not_matter():
    # The authors' code gives 43.238 and, after renaming, 43.049.
    features, labels = DIGITS[0][:300], DIGITS[1][:300]
    names = np.array(["j", "b", "z", "a", "q", "e", "c", "x", "m", "d"])
    assert P.score(Probe(features, names[labels])).value == P.score(Probe(features, labels)).value


def made(seed, n, d, classes, digits=None):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    features = rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d))
    return (features if digits is None else features.round(digits)), labels


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6), n=st.integers(6, 50), d=st.integers(3, 60), classes=st.integers(2, 5),
    digits=st.sampled_from([None, 0]), block=st.sampled_from([1, 100, 1 << 19]),
)  # fmt: skip
def test_agrees_with_spearman(seed, n, d, classes, digits, block):
    features, labels = made(seed, n, d, classes, digits)
    old, parc._BLOCK = parc._BLOCK, block
    try:
        found = P.score(Probe(features, labels))
    finally:
        parc._BLOCK = old
    assert found.value == pytest.approx(dense.parc(features, labels), abs=1e-8)
    assert found.influence.mean() == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("digits", [None, 0])
def test_influence_is_the_effect_of_an_examples_weight(digits):
    # Two and a half dimensions' worth of distinct rows: with rounding most distances are tied.
    features, labels = made(4, 25, 3, 3, digits)
    found = P.score(Probe(features, labels))
    d = dense.distances(features)
    assert found.value == pytest.approx(dense.weighted(d, labels, np.ones(25)), abs=1e-8)
    expected = slopes.influence(lambda w: dense.weighted(d, labels, w), 25)
    assert found.influence == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_influence_gives_the_spread_of_resamples():
    features, labels = made(7, 40, 8, 3)
    d, rng = dense.distances(features), np.random.default_rng(0)
    draws = [dense.weighted(d, labels, rng.multinomial(40, np.full(40, 1 / 40)).astype(float)) for _ in range(150)]
    predicted = np.sqrt((P.score(Probe(features, labels)).influence ** 2).mean() / 40)
    # Second-order terms and 150 draws (6 %): the same size, not the same number.
    assert predicted == pytest.approx(np.std(draws), rel=0.25)


def test_a_subsample_is_in_proportion_and_its_influence_is_of_all_examples():
    features, labels = made(8, 400, 6, 4)
    score = P.score(Probe(features, labels), limit=100, seed=3)
    used = np.flatnonzero(score.influence)
    assert score.detail == {"examples": 100}
    assert len(used) == 100
    assert abs(np.bincount(labels[used]) - np.bincount(labels) / 4).max() <= 1
    assert score.value == pytest.approx(dense.parc(features[used], labels[used]), abs=1e-8)
    # Weights of all 400 move the score by those of the 100 drawn.
    weights = np.random.default_rng(1).uniform(0.99, 1.01, 400)
    weights /= weights.mean()
    moved = dense.weighted(dense.distances(features[used]), labels[used], weights[used]) - score.value
    assert np.mean((weights - 1) * score.influence) == pytest.approx(moved, rel=0.02)
    assert P.score(Probe(features, labels), limit=100, seed=3) == score
    assert P.score(Probe(features, labels), limit=100, seed=4) != score


def test_a_subsample_does_not_depend_on_the_names_of_classes():
    features, labels = made(9, 300, 6, 4)
    renamed = np.array(["z", "b", "a", "y"])[labels]
    one, other = (P.score(Probe(features, names), limit=50, seed=1) for names in (labels, renamed))
    assert one.value == other.value


def test_small_classes_are_drawn_as_often_as_their_size_says():
    features, labels = np.random.default_rng(0).standard_normal((40, 3)), np.r_[np.zeros(20, int), np.arange(1, 21)]
    drawn = sum((P.score(Probe(features, labels), limit=10, seed=seed).influence[20:] != 0).sum() for seed in range(40))
    assert drawn / 40 == pytest.approx(5, abs=0.8)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 40), columns=st.integers(2, 6))
def test_multilabel_agrees_with_spearman(seed, n, columns):
    rng = np.random.default_rng(seed)
    features, labels = rng.standard_normal((n, 7)), rng.integers(0, 2, (n, columns))
    labels[:, 0], labels[:, 1] = np.arange(n) % 2, 1 - np.arange(n) % 2  # no row of all 0 or all 1
    upper = np.triu_indices(n, 1)
    expected = spearmanr(dense.distances(features), np.round(1 - np.corrcoef(labels), 12)[upper]).statistic
    assert P.score(Probe(features, labels)).value == pytest.approx(100 * expected, abs=1e-8)


def test_multilabel_rows_without_variation_are_like_themselves_only():
    features = np.array([[0.0, 1, 0], [0, 1, 0.1], [1, 0, 0], [1, 0, 0.1], [0, 0, 1], [0.1, 0, 1]])
    labels = np.array([[0, 0], [0, 0], [1, 1], [1, 1], [0, 1], [0, 1]])
    as_classes = P.score(Probe(features, np.array([0, 0, 1, 1, 2, 2]))).value
    score = P.score(Probe(features, labels))
    assert score.value == pytest.approx(as_classes, abs=1e-9)
    assert score.influence is None


def test_directions_are_standardised_principal_coordinates():
    features, labels = made(10, 50, 12, 3)
    x = PCA(4).fit_transform(features)
    x *= np.sign(x[np.abs(x).argmax(axis=0), np.arange(4)])
    assert P.score(Probe(features, labels), directions=4).value == pytest.approx(dense.parc(x, labels), abs=1e-8)


def test_duplicates_are_ties():
    features, labels = made(11, 20, 5, 3)
    twice = np.vstack([features, features]) / 3, np.concatenate([labels, labels])
    assert P.score(Probe(*twice)).value == pytest.approx(dense.parc(*twice), abs=1e-8)


@pytest.mark.parametrize("features", [np.zeros((6, 3)), np.full((6, 3), 0.1), np.arange(6.0)[:, None]])
def test_features_without_distances_correlate_with_nothing(features):
    score = P.score(Probe(features, np.arange(6) % 2))
    assert score.value == 0
    assert not score.influence.any()


def test_refusals():
    probe = Probe(*IRIS)
    with pytest.raises(ValueError, match="limit must be at least 3, got 2"):
        P.score(probe, limit=2)
    with pytest.raises(ValueError, match="directions must be at least 1, got 0"):
        P.score(probe, directions=0)
    with pytest.raises(CannotScore, match="parc needs pairs of the same and of different classes"):
        P.score(Probe(np.eye(4), np.arange(4)))
    with pytest.raises(CannotScore, match="parc needs examples whose labels differ"):
        P.score(Probe(np.eye(4), np.ones((4, 3), dtype=int)))
