"""The knn proxy against scikit-learn, and against exact fractions where distances tie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import knn as exact
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from taskrel import pairs
from taskrel.proxies import knn
from taskrel.types import CannotScore, Probe

LAW = settings(deadline=None, max_examples=40)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize(("n", "d"), [(80, 5), (30, 200)])
def test_agrees_with_scikit_learn(n, d, k, metric):
    rng = np.random.default_rng(n + k)
    train = Probe(rng.standard_normal((n, d)), rng.integers(0, 4, n))
    val = Probe(rng.standard_normal((60, d)), rng.integers(0, 4, 60))
    reference = KNeighborsClassifier(k, metric=metric, algorithm="brute")
    reference.fit(train.features, train.labels)
    score = knn.score(train, val, seed=0, k=k, metric=metric)
    assert score.value == reference.score(val.features, val.labels)
    assert score.values == (score.value,)


def test_digits_in_small_blocks(monkeypatch):
    features, labels = load_digits(return_X_y=True)
    train, val = Probe(features[:1200], labels[:1200]), Probe(features[1200:], labels[1200:])
    whole = knn.score(train, val, seed=0)
    monkeypatch.setattr(pairs, "_BLOCK", 5000)
    assert knn.score(train, val, seed=0) == whole
    reference = KNeighborsClassifier(1, algorithm="brute").fit(train.features, train.labels)
    assert whole.value == reference.score(val.features, val.labels)


@LAW
@given(data=st.data(), k=st.integers(1, 4), offset=st.sampled_from([0, 0.25, 1e6]))
def test_ties_go_to_the_smallest_index_and_label(data, k, offset):
    # Small integers tie all the time; an offset makes the product inexact, not the differences.
    grid = hnp.arrays(np.int64, (8, 2), elements=st.integers(-2, 2))
    ids = hnp.arrays(np.int64, 8, elements=st.integers(0, 2))
    train, queries = data.draw(grid) + offset, data.draw(grid) + offset
    labels, truth = data.draw(ids), data.draw(ids)
    found = knn.score(Probe(train, labels), Probe(queries, truth), seed=0, k=k)
    assert found.value == exact.accuracy(train, labels, queries, truth, k)


def test_rounding_of_the_product_breaks_no_ties():
    # Every row is one vector with its entries shuffled: all are equally far from constant vectors.
    rng = np.random.default_rng(0)
    rows = np.stack([rng.permutation(np.arange(37.0)) for _ in range(50)])
    queries = np.full((20, 37), 2.0) * np.arange(1, 21)[:, None]
    found = knn.neighbours(rows, queries, 3)
    assert np.sort(found, axis=1).tolist() == [[0, 1, 2]] * 20


def test_a_large_common_offset_does_not_blur_distances():
    train = Probe(np.array([[0.0], [1.0]]) + 1e9, np.array([0, 1]))
    val = Probe(np.array([[0.25], [0.75]]) + 1e9, np.array([0, 1]))
    assert knn.score(train, val, seed=0).value == 1


def test_a_zero_vector_is_far_from_everything_by_cosine():
    train = Probe(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([0, 1]))
    val = Probe(np.array([[1.0, 0.9], [0.0, 0.0]]), np.array([1, 0]))
    # The zero query is at distance 1 from both rows; the first index wins.
    assert knn.score(train, val, seed=0, metric="cosine").value == 1


def test_validation_classes_never_seen_count_as_wrong():
    train = Probe(np.array([[0.0], [5.0]]), np.array([3, 7]))
    val = Probe(np.array([[0.1], [0.2], [5.1], [5.2]]), np.array([3, 4, 7, 8]))
    score = knn.score(train, val, seed=0)
    assert score.value == 0.5
    assert score.detail == {"k": 1, "metric": "euclidean", "unseen": 2}


def test_neighbours_are_a_set_without_repeats():
    rows = np.zeros((5, 2))
    found = knn.neighbours(rows, rows[:2], 3)
    assert np.sort(found, axis=1).tolist() == [[0, 1, 2], [0, 1, 2]]


def test_refusals():
    train = Probe(np.eye(3), np.array([0, 1, 1]))
    with pytest.raises(CannotScore, match="knn needs at least k=4 training examples, got 3"):
        knn.score(train, train, seed=0, k=4)
    with pytest.raises(CannotScore, match="knn needs a validation part"):
        knn.score(train, None, seed=0)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        knn.score(train, train, seed=0, k=0)
    with pytest.raises(ValueError, match="metric must be 'euclidean' or 'cosine', got 'l1'"):
        knn.score(train, train, seed=0, metric="l1")
