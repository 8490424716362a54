"""The knn proxy against scikit-learn, and against exact fractions where distances tie."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import knn as exact
from oracles import slopes
from sklearn.datasets import load_digits, load_iris
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from taskrel import pairs
from taskrel.proxies import PROXIES, knn
from taskrel.types import CannotScore, Probe

LAW = settings(deadline=None, max_examples=40)
LOO = PROXIES["knn_loo"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)
D40 = (DIGITS[0][:40], DIGITS[1][:40])


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize(("n", "d"), [(80, 5), (30, 200)])
def test_agrees_with_scikit_learn(n, d, k, metric):
    rng = np.random.default_rng(n + k)
    train = Probe(rng.standard_normal((n, d)), rng.integers(0, 4, n))
    val = Probe(rng.standard_normal((60, d)), rng.integers(0, 4, 60))
    reference = KNeighborsClassifier(k, metric=metric, algorithm="brute")
    reference.fit(train.features, train.labels)
    score = knn.score(train, val, seed=0, k=k, metric=metric, ties="label")
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
    found = knn.score(Probe(train, labels), Probe(queries, truth), seed=0, k=k, ties="label")
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


@pytest.mark.parametrize(
    ("data", "metric", "expected"),
    [
        (IRIS, "euclidean", (0.96, 0.96, 0.9666666666666667)),
        (DIGITS, "euclidean", (0.988313856427379, 0.9888703394546466, 0.9877573734001113)),
        (D40, "euclidean", (0.875, 0.775, 0.65)),
        (IRIS, "cosine", (0.96, 0.98, 0.9666666666666667)),
        (DIGITS, "cosine", (0.9888703394546466, 0.986644407345576, 0.9877573734001113)),
        (D40, "cosine", (0.875, 0.8, 0.675)),
    ],
)
def test_golden_values_of_leave_one_out(data, metric, expected):
    score = LOO.score(Probe(*data), k=(1, 3, 5), metric=metric, ties="label")
    assert score.detail["by_k"] == dict(zip("135", expected, strict=True))
    assert score.value == max(expected)
    assert score.detail["k"] == (1, 3, 5)[np.argmax(expected)]


@LAW
@given(data=st.data(), offset=st.sampled_from([0, 0.25, 1e6]), block=st.sampled_from([1, 20, 1 << 22]))
def test_leave_one_out_with_ties_and_duplicates(data, offset, block):
    rows = data.draw(hnp.arrays(np.int64, (9, 2), elements=st.integers(-2, 2))) + offset
    labels = np.append(data.draw(hnp.arrays(np.int64, 7, elements=st.integers(0, 2))), [0, 1])
    old, pairs._BLOCK = pairs._BLOCK, block
    try:
        found = LOO.score(Probe(rows, labels), k=[4, 1, 2], ties="label").detail["by_k"]
    finally:
        pairs._BLOCK = old
    assert found == {str(k): exact.leave_one_out(rows, labels, k) for k in (1, 2, 4)}


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("kind", [np.float64, np.float32, torch.float32])
def test_leave_one_out_agrees_with_scikit_learn(kind, metric):
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((70, 200)) + 3, rng.integers(0, 4, 70)
    features = torch.tensor(features, dtype=kind) if kind is torch.float32 else features.astype(kind)
    reference = NearestNeighbors(n_neighbors=7, metric=metric).fit(features).kneighbors()[1]
    assert pairs.all_pairs(Probe(features, labels), 7, metric).nearest[:, :7].tolist() == reference.tolist()


def test_a_pass_serves_those_who_want_fewer():
    probe = Probe(*D40)
    few = pairs.all_pairs(probe, 3)
    assert pairs.all_pairs(probe, 10) is few
    more = pairs.all_pairs(probe, 39)
    assert more.nearest[:, :10].tolist() == few.nearest.tolist()
    assert np.sort(more.nearest, axis=1).tolist() == [[j for j in range(40) if j != i] for i in range(40)]


@LAW
@given(seed=st.integers(0, 10**6), k=st.integers(1, 7))
def test_real_values_are_correlated_with_their_neighbours_mean(seed, k):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((30, 3))
    values = np.stack([features[:, 0] + rng.standard_normal(30), 1e6 + rng.standard_normal(30)], axis=1)
    expected = np.mean([exact.correlation(features, values[:, t], k) for t in range(2)])
    score = LOO.score(Probe(features, values), k=k)
    assert score.value == pytest.approx(expected, abs=1e-9)
    assert score.influence.mean() == pytest.approx(0, abs=1e-9)


def test_influence_of_a_correlation_is_the_effect_of_an_examples_weight():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((30, 3))
    values = features[:, 0] + rng.standard_normal(30)
    nearest = pairs.all_pairs(Probe(features, values), 3).nearest[:, :3].numpy()

    def weighted(w):
        (a, b), (_, c) = np.cov(values[nearest].mean(axis=1), values, aweights=w, ddof=0)
        return b / np.sqrt(a * c)

    found = LOO.score(Probe(features, values), k=3).influence
    assert found == pytest.approx(slopes.influence(weighted, 30), rel=1e-5, abs=1e-6)


def test_influence_of_an_accuracy_is_who_is_right():
    train, val = Probe(np.array([[0.0], [5.0], [6.0]]), np.array([0, 1, 1])), Probe(np.array([[1.0], [4.0]]), [0, 0])
    assert knn.score(train, val, seed=0).influence.tolist() == [0.5, -0.5]
    assert LOO.score(train, k=1).influence == pytest.approx([-2 / 3, 1 / 3, 1 / 3])


def test_numbers_of_neighbours_that_do_not_exist_are_left_out():
    probe = Probe(np.arange(4.0)[:, None], np.array([0, 0, 1, 1]))
    assert set(LOO.score(probe).detail["by_k"]) == {"1", "3"}
    with pytest.raises(CannotScore, match="knn_loo needs more than k=4 training examples, got 4"):
        LOO.score(probe, k=[5, 4])
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        LOO.score(probe, k=[3, 0])
    with pytest.raises(ValueError, match="k must be at least one number, got none"):
        LOO.score(probe, k=[])
    with pytest.raises(ValueError, match="metric must be 'euclidean' or 'cosine', got 'l1'"):
        LOO.score(probe, metric="l1")
    with pytest.raises(ValueError, match="ties must be 'nearest' or 'label', got 'first'"):
        LOO.score(probe, ties="first")


def test_real_values_that_do_not_vary():
    with pytest.raises(CannotScore, match="knn_loo needs labels and predictions that vary"):
        LOO.score(Probe(np.eye(5), np.full(5, 0.1)))


def test_identical_rows_are_neighbours_by_index():
    nearest = pairs.all_pairs(Probe(np.full((13, 3), 0.1), np.arange(13) % 2), 2).nearest
    assert nearest[:, :2].tolist() == [[1, 2], [0, 2]] + [[0, 1]] * 11


def test_equal_votes_go_to_the_class_of_the_nearest_whatever_its_name():
    # Seen from 0: classes b, a, a, b in order of distance; b is nearest. From 9: a nearest of one vote each for k = 2.
    rows, names = np.array([[1.0], [2.0], [3.0], [4.0], [8.0], [7.5]]), np.array(["b", "a", "a", "b", "a", "b"])
    queries = Probe(np.array([[0.0], [9.0]]), np.array(["b", "a"]))
    for labels, truth in ((names, queries.labels), (np.where(names == "a", "z", names), np.array(["b", "z"]))):
        train, val = Probe(rows, labels), Probe(queries.features, truth)
        assert knn.score(train, val, seed=0, k=4).influence.tolist()[0] >= 0  # four votes, two each: b
        assert knn.score(train, val, seed=0, k=2).value == 1.0
    assert knn.score(Probe(rows, names), queries, seed=0, k=2, ties="label").value == 0.5
