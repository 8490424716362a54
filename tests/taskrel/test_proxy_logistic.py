"""Approximate leave-one-out of logistic regression against fits of scikit-learn without each example."""

import numpy as np
import pytest
from oracles import logistic as refitted
from sklearn.datasets import load_digits, load_iris

from taskrel.proxies import PROXIES, logistic
from taskrel.types import Probe

LOGISTIC = PROXIES["logistic"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)


def blobs(seed, n, d, classes, spread):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return spread * rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d)), labels


PROBLEMS = {
    "iris": IRIS, "two classes": blobs(0, 50, 8, 2, 0.5), "five": blobs(1, 70, 12, 5, 0.8),
    "n<d": blobs(2, 40, 60, 4, 0.4),
}  # fmt: skip
REFITS: dict[str, np.ndarray] = {}


def refits(name):
    if name not in REFITS:
        x, y = PROBLEMS[name]
        REFITS[name] = refitted.held_out(refitted.inputs(x), y, 1.0)
    return REFITS[name]


@pytest.mark.parametrize("name", PROBLEMS)
def test_one_newton_step_is_nearly_a_refit(name):
    # A second-order approximation: 1 % of the examples (at least one) and 4 % of the log probability.
    x, y = PROBLEMS[name]
    log_probs = refits(name)
    found = LOGISTIC.score(Probe(x, y))
    assert found.detail["hessian"] == "whole"
    assert found.value == pytest.approx((log_probs.argmax(axis=1) == y).mean(), abs=1e-9 + max(0.01, 1 / len(y)))
    assert found.detail["log_probability"] == pytest.approx(log_probs[np.arange(len(y)), y].mean(), rel=0.04)


@pytest.mark.parametrize("name", PROBLEMS)
def test_blocks_of_the_hessian_are_a_little_pessimistic(name, monkeypatch):
    # For two classes the blocks overstate a weight's freedom most, by up to 2; 6 % of the examples.
    monkeypatch.setattr(logistic, "_WHOLE", 0)
    x, y = PROBLEMS[name]
    log_probs = refits(name)
    found = LOGISTIC.score(Probe(x, y))
    assert found.detail["hessian"] == "blocks"
    expected = (log_probs.argmax(axis=1) == y).mean()
    assert expected - 0.06 <= found.value <= expected + 0.03
    likely = log_probs[np.arange(len(y)), y].mean()
    assert 1.5 * likely <= found.detail["log_probability"] <= 0.98 * likely


@pytest.mark.parametrize(("name", "penalty"), [("iris", 1.0), ("iris", 0.01), ("five", 1.0), ("two classes", 0.3)])
def test_the_fit_itself_is_that_of_scikit_learn(name, penalty):
    x, y = PROBLEMS[name]
    points = refitted.inputs(x)
    inputs = logistic.torch.tensor(np.hstack([points, np.ones((len(x), 1))]))
    fit = logistic._fit(inputs, logistic.torch.tensor(np.eye(y.max() + 1)[y]), penalty)
    logits = (inputs @ fit.theta.T).log_softmax(dim=1).numpy()
    assert logits == pytest.approx(fit.probs.log().T.numpy(), abs=1e-9)
    expected = refitted.fitted(points, y, penalty).predict_log_proba(points)
    assert logits == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_only_the_first_directions_are_read():
    x, y = DIGITS[0][:300], DIGITS[1][:300]
    points = refitted.inputs(x, 10)
    few = LOGISTIC.score(Probe(x, y), directions=10)
    assert few.value == LOGISTIC.score(Probe(points, y)).value
    assert few.detail["log_probability"] < LOGISTIC.score(Probe(x, y)).detail["log_probability"]


@pytest.mark.parametrize("limit", [0, 1 << 20], ids=["blocks", "whole"])
def test_parts_of_the_examples_add_up(limit, monkeypatch):
    monkeypatch.setattr(logistic, "_WHOLE", limit)
    probe = PROBLEMS["five"]
    at_once = LOGISTIC.score(Probe(*probe))
    monkeypatch.setattr(logistic, "_BLOCK", 1)
    one_by_one = LOGISTIC.score(Probe(*probe))
    assert one_by_one.value == at_once.value
    assert one_by_one.detail["log_probability"] == pytest.approx(at_once.detail["log_probability"], rel=1e-9)


@pytest.mark.parametrize("limit", [0, 1 << 20], ids=["blocks", "whole"])
def test_the_one_example_of_a_class_counts_as_wrong(limit, monkeypatch):
    monkeypatch.setattr(logistic, "_WHOLE", limit)
    x = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [90.0]])
    found = LOGISTIC.score(Probe(x, np.array([0, 0, 0, 1, 1, 1, 2])), penalty=1e-3)
    assert found.value == pytest.approx(6 / 7)
    assert found.detail["alone"] == 1
    assert found.influence == pytest.approx(np.array([1] * 6 + [0]) - 6 / 7)
    assert "log_probability" not in LOGISTIC.score(Probe(x, np.arange(7))).detail


def test_refusals():
    with pytest.raises(ValueError, match="directions must be at least 1, got 0"):
        LOGISTIC.score(Probe(*IRIS), directions=0)
    with pytest.raises(ValueError, match="penalty must be positive, got 0"):
        LOGISTIC.score(Probe(*IRIS), penalty=0)
