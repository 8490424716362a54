"""Leave-one-out ridge against refitting without each example, and the golden values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import ridge as refitted
from sklearn.datasets import load_digits, load_iris

from taskrel.proxies import PROXIES, ridge
from taskrel.types import CannotScore, Probe

RIDGE = PROXIES["ridge"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)
D40 = (DIGITS[0][:40], DIGITS[1][:40])
LAW = settings(deadline=None, max_examples=20)


@pytest.mark.parametrize(
    ("data", "accuracy", "mse"),
    [
        (IRIS, 0.8266666666666667, 0.09538956810428476), (DIGITS, 0.9360044518642181, 0.03323491572314476),
        (D40, 0.8, 0.09203477164141016),
    ],
    ids=["iris", "digits", "d40"],
)  # fmt: skip
def test_golden_values(data, accuracy, mse):
    found = RIDGE.score(Probe(*data), penalty=1.0)
    assert found.value == accuracy
    assert found.detail == {"mse": pytest.approx(mse, rel=1e-8), "penalty": 1.0}


@LAW
@given(
    seed=st.integers(0, 10**6), n=st.integers(4, 25), d=st.integers(1, 40), penalty=st.sampled_from([1e-3, 1.0, 300.0])
)
def test_classes_are_predicted_as_by_refitting(seed, n, d, penalty):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), rng.integers(0, 3, n - 3)])
    x, onehot = rng.standard_normal((n, d)) + labels[:, None], np.eye(3)[labels]
    predictions = refitted.held_out(x, onehot, penalty)
    found = RIDGE.score(Probe(x, labels), penalty=penalty)
    assert found.detail["mse"] == pytest.approx(np.mean((onehot - predictions) ** 2), rel=1e-8)
    right = predictions.argmax(axis=1) == labels
    assert found.value == right.mean()
    assert found.influence == pytest.approx(right - right.mean())


@LAW
@given(seed=st.integers(0, 10**6), n=st.integers(6, 25), d=st.integers(1, 40), kind=st.sampled_from(["values", "bits"]))
def test_r_squared_is_that_of_refitting(seed, n, d, kind):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    targets = x[:, :1] * np.array([1.0, 1e4]) + rng.standard_normal((n, 2)) * np.array([0.3, 2e4])
    if kind == "bits":
        targets = (targets > np.median(targets, axis=0)).astype(int)
    expected = refitted.r_squared(targets, refitted.held_out(x, targets, 2.0))
    found = RIDGE.score(Probe(x, targets), penalty=2.0)
    assert found.value == pytest.approx(expected.mean(), rel=1e-8, abs=1e-9)
    constant = np.hstack([targets, np.ones((n, 1), dtype=targets.dtype)])
    assert RIDGE.score(Probe(x, constant), penalty=2.0).value == pytest.approx(expected.mean(), rel=1e-8, abs=1e-9)


def test_influence_of_r_squared_is_its_derivative_at_equal_weights():
    rng = np.random.default_rng(0)
    x, targets = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    targets[:, 0] += x[:, 0]
    found = RIDGE.score(Probe(x, targets), penalty=1.0)
    errors = (targets - refitted.held_out(x, targets, 1.0)) ** 2
    step = 1e-5 * rng.standard_normal(30)
    step -= step.mean()

    def weighted(w):
        mean = np.average(targets, axis=0, weights=w)
        return (1 - (w @ errors) / (w @ (targets - mean) ** 2) * (29 / 30) ** 2).mean()

    slope = (weighted(1 + step) - weighted(1 - step)) / 2
    assert np.mean(step * found.influence) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("data", [IRIS, D40], ids=["iris", "d40"])
def test_penalty_has_the_least_generalised_cross_validation_error_of_the_grid(data):
    features, labels = data
    x = features - features.mean(axis=0)
    values = np.linalg.svd(x, compute_uv=False) ** 2
    grid = np.array(ridge.GRID) * values[values > 1e-9].mean()
    onehot = np.eye(labels.max() + 1)[labels]
    errors = []
    for penalty in grid:
        hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T) + 1 / len(x)
        errors.append(np.sum((onehot - hat @ onehot) ** 2) / np.trace(np.eye(len(x)) - hat) ** 2)
    found = RIDGE.score(Probe(features, labels))
    assert found.detail["penalty"] == pytest.approx(grid[int(np.argmin(errors))], rel=1e-8)
    assert found.value == RIDGE.score(Probe(features, labels), penalty=found.detail["penalty"]).value


def test_the_penalty_so_chosen_is_about_as_good_as_the_best_of_the_grid():
    for features, labels in (IRIS, D40, DIGITS):
        x = features - features.mean(axis=0)
        values = np.linalg.svd(x, compute_uv=False) ** 2
        grid = np.array(ridge.GRID) * values[values > 1e-9].mean()
        best = min(RIDGE.score(Probe(features, labels), penalty=float(penalty)).detail["mse"] for penalty in grid)
        assert RIDGE.score(Probe(features, labels)).detail["mse"] <= 1.05 * best


def test_columns_count_the_same_whatever_their_unit():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((60, 5))
    targets = np.stack([x[:, 0] + 0.1 * rng.standard_normal(60), rng.standard_normal(60)], axis=1)
    plain, scaled = RIDGE.score(Probe(x, targets)), RIDGE.score(Probe(x, targets * np.array([1.0, 1e6])))
    assert plain.value == pytest.approx(scaled.value, rel=1e-9)
    assert plain.detail["penalty"] == scaled.detail["penalty"]


def test_interpolating_fits_lose_no_digits():
    # With d > n and next to no penalty 1 - h is next to 0 for all; the ratio still tends to its limit.
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((20, 50)), rng.standard_normal(20)
    limit = RIDGE.score(Probe(x, y), penalty=1e-5).value
    assert RIDGE.score(Probe(x, y), penalty=1e-13).value == pytest.approx(limit, rel=1e-5)


def test_predicting_the_mean_is_worth_nothing():
    found = RIDGE.score(Probe(np.zeros((9, 2)), np.arange(9.0)))
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.detail["penalty"] == 1e3  # of equals the most cautious


def test_refusals():
    x = np.random.default_rng(0).standard_normal((5, 3))
    with pytest.raises(CannotScore, match="ridge needs labels that vary, got the same for all examples"):
        RIDGE.score(Probe(x, np.full(5, 0.1)))
    for penalty in (0.0, -1.0, float("nan"), "loo"):
        with pytest.raises(ValueError, match="penalty must be positive or 'gcv', got"):
            RIDGE.score(Probe(x, np.arange(5.0)), penalty=penalty)
