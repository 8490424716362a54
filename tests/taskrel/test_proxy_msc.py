"""Mean silhouettes against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import silhouette_samples, silhouette_score

from taskrel import pairs
from taskrel.proxies import PROXIES
from taskrel.types import Probe

M, KNN = PROXIES["msc"], PROXIES["knn_loo"]


@pytest.mark.parametrize("data", [load_iris(return_X_y=True), load_digits(return_X_y=True)], ids=["iris", "digits"])
def test_agrees_with_scikit_learn(data):
    found = M.score(Probe(*data))
    assert found.value == pytest.approx(silhouette_score(*data), rel=1e-9)
    # Duplicates are at distance 0 here and at the root of a rounding error there.
    assert found.influence + found.value == pytest.approx(silhouette_samples(*data), abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6), n=st.integers(8, 60), d=st.integers(1, 80), classes=st.integers(2, 7),
    offset=st.sampled_from([0.0, 1e6]), block=st.sampled_from([1, 30, 1 << 22]),
)  # fmt: skip
def test_agrees_with_scikit_learn_on_any_classes(seed, n, d, classes, offset, block):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes) ** 2 % classes])
    features = rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d))
    old, pairs._BLOCK = pairs._BLOCK, block
    try:
        found = M.score(Probe(features + offset, labels)).value
    finally:
        pairs._BLOCK = old
    assert found == pytest.approx(silhouette_score(features, labels), abs=1e-9 if not offset else 1e-7)


def test_the_only_example_of_a_class_counts_zero():
    score = M.score(Probe(np.array([[0.0], [1.0], [9.0]]), np.array([0, 0, 1])))
    # (9 - 1) / 9, (8 - 1) / 8 and 0
    assert score.influence + score.value == pytest.approx([8 / 9, 7 / 8, 0], abs=1e-12)
    assert M.score(Probe(np.eye(3), np.arange(3))).value == 0


def test_duplicates_are_at_distance_zero():
    rng = np.random.default_rng(0)
    features = np.repeat(rng.standard_normal((2, 50)), 5, axis=0)
    assert M.score(Probe(features, np.repeat([0, 1], 5))).value == 1
    assert M.score(Probe(np.full((6, 3), 0.1), np.arange(6) % 2)).value == 0


def test_neighbours_and_silhouettes_do_not_depend_on_who_comes_first():
    features, labels = load_iris(return_X_y=True)
    one, other = Probe(features, labels), Probe(features, labels)
    first = M.score(one).value, KNN.score(one, k=[1, 20]), M.score(one).value
    second = KNN.score(other, k=[1, 20]), M.score(other).value
    assert first == (second[1], second[0], second[1])
