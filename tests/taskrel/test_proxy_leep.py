"""LEEP, EEP and NCE against loops, hand-worked tables and the golden values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import leep as exact
from sklearn.datasets import load_digits, load_iris

from taskrel.proxies import PROXIES, leep
from taskrel.stats import FeatureStats
from taskrel.types import CannotScore, Probe

LAW = settings(deadline=None, max_examples=30)
SCORES = {"leep": leep.score, "eep": leep.expected, "nce": leep.conditional}


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def golden(name):
    if name == "iris":
        features, labels = load_iris(return_X_y=True)
        return Probe(features, labels, softmax((features - features.mean(axis=0)) / features.std(axis=0)))
    features, labels = load_digits(return_X_y=True)
    keep = slice(40 if name == "d40" else None)
    return Probe(features[keep], labels[keep], softmax(features[keep, 10:30] / 4))


def random(seed, n=30, classes=3, sources=5):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    return Probe(rng.standard_normal((n, 2)), labels, softmax(2 * rng.standard_normal((n, sources))))


def value(name, probe):
    return SCORES[name](probe, None, seed=0).value


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("iris", {"leep": -0.817141465831769, "eep": 0.45085782690013737, "nce": -0.42633004340056596}),
        ("digits", {"leep": -2.01098109976228, "eep": 0.135772598832341, "nce": -1.7966511530241984}),
        ("d40", {"leep": -1.8878754159024265, "eep": 0.1565625678734972, "nce": -1.0619744779427194}),
    ],
)
def test_golden_values(data, expected):
    probe = golden(data)
    assert {name: value(name, probe) for name in SCORES} == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", SCORES)
@LAW
@given(seed=st.integers(0, 10**6))
def test_agrees_with_loops(name, seed):
    probe = random(seed)
    ones = [1.0] * len(probe)
    oracle = getattr(exact, name)(probe.source_probs.tolist(), probe.labels.tolist(), ones)
    assert value(name, probe) == pytest.approx(oracle, rel=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_influence_is_the_derivative_by_the_weights(name):
    # What the example does to P(y|z) is part of it; only a finite difference of the whole sees that.
    probe, h = random(3), 1e-5
    direction = np.random.default_rng(0).standard_normal(len(probe))
    direction -= direction.mean()

    def at(step):
        return getattr(exact, name)(probe.source_probs.tolist(), probe.labels.tolist(), (1 + step * direction).tolist())

    influence = SCORES[name](probe, None, seed=0).influence
    assert np.mean(direction * influence) == pytest.approx((at(h) - at(-h)) / (2 * h), rel=1e-6)
    assert influence.mean() == pytest.approx(0, abs=1e-12)


def test_by_hand():
    # P(y|z): z = 0 has mass .75 + .25, all of the first example's .75 with class a.
    probe = Probe(np.zeros((2, 1)), np.array(["a", "b"]), np.array([[0.75, 0.25], [0.25, 0.75]]))
    likelihood = 0.75**2 + 0.25**2
    assert value("leep", probe) == pytest.approx(np.log(likelihood), rel=1e-15)
    assert value("eep", probe) == pytest.approx(likelihood, rel=1e-15)
    assert value("nce", probe) == 0


@LAW
@given(seed=st.integers(0, 10**6))
def test_bounds(seed):
    probe = random(seed)
    shares = np.bincount(probe.labels) / len(probe)
    entropy = -np.sum(shares * np.log(shares))
    assert -entropy - 1e-12 <= value("nce", probe) <= 0
    assert -entropy - 1e-12 <= value("leep", probe) <= 0
    assert value("leep", probe) >= value("nce", probe) + np.log(probe.source_probs.max(axis=1)).mean() - 1e-12
    assert 0 < value("eep", probe) <= 1


def test_constant_and_perfect_heads():
    labels = np.repeat(np.arange(4), 5)
    constant = Probe(np.zeros((20, 1)), labels, np.full((20, 3), 1 / 3))
    assert value("leep", constant) == pytest.approx(-np.log(4), rel=1e-14)
    assert value("nce", constant) == pytest.approx(-np.log(4), rel=1e-14)
    perfect = Probe(np.zeros((20, 1)), labels, np.eye(6)[labels])
    assert [value(name, perfect) for name in ("leep", "eep", "nce")] == [0, 1, 0]


@pytest.mark.parametrize("name", SCORES)
def test_source_classes_without_mass_change_nothing(name):
    # tllib, thuml and PARC divide 0 by 0 here.
    probe = random(1)
    wide = Probe(probe.features, probe.labels, np.insert(probe.source_probs, [0, 2, 5], 0, axis=1))
    assert value(name, wide) == pytest.approx(value(name, probe), rel=1e-14)
    assert np.isfinite(SCORES[name](wide, None, seed=0).influence).all()


def test_masses_near_the_end_of_double_precision():
    probe = random(2)
    probs = np.insert(probe.source_probs, 5, 1e-310, axis=1)
    tiny = Probe(probe.features, probe.labels, probs)
    for name in SCORES:
        assert value(name, tiny) == pytest.approx(value(name, probe), rel=1e-12)


@pytest.mark.parametrize("name", ["eep", "nce"])
def test_from_a_stream(name):
    probe, stats = golden("digits"), FeatureStats()
    for start in range(0, len(probe), 500):
        part = slice(start, start + 500)
        stats.update(probe.features[part], probe.labels[part], probe.source_probs[part])
    assert PROXIES[name].compute(stats) == pytest.approx(PROXIES[name].score(probe).value, rel=1e-12)


def test_refusals():
    bare = Probe(np.eye(4), np.array([0, 0, 1, 1]))
    for name in SCORES:
        with pytest.raises(CannotScore, match=f"{name} needs source-head probabilities, got none"):
            PROXIES[name].score(bare)
