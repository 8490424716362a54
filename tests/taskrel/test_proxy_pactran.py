"""PACTran-Gauss against the printed formula solved by scipy, and the golden values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import pactran as exact
from sklearn.datasets import load_digits, load_iris

from taskrel.proxies import pactran
from taskrel.types import Probe

LAW = settings(deadline=None, max_examples=10)


def blobs(seed, n=40, d=5, classes=3, spread=1.5):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    return Probe(spread * rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d)), labels)


def run(probe, **settings):
    return pactran.score(probe, None, seed=0, **settings)


def test_golden_values():
    # The spec prints five digits of the converged loss; 1e-3 is its own tolerance.
    iris = run(Probe(*load_iris(return_X_y=True)))
    assert iris.value == -iris.detail["raw"] == pytest.approx(-0.90561, abs=5e-6)
    assert iris.detail["optimum"] == pytest.approx(0.083845, abs=5e-7)
    digits = run(Probe(*load_digits(return_X_y=True)))
    assert digits.value == pytest.approx(-0.306575, abs=5e-7)
    assert digits.detail["optimum"] == pytest.approx(0.0018808, abs=5e-8)


@pytest.mark.parametrize(("n", "d"), [(40, 5), (12, 20), (20, 20)])
@pytest.mark.parametrize(("lam", "s2"), [(10.0, None), (0.1, 3.0)])
def test_agrees_with_the_printed_formula(n, d, lam, s2):
    probe = blobs(0, n, d)
    loss, optimum, trace = exact.loss(probe.features, probe.labels, lam, 100 / d if s2 is None else s2)
    score = run(probe, lam=lam, s2=s2)
    assert score.detail["raw"] == pytest.approx(loss, rel=1e-11)
    assert score.detail["optimum"] == pytest.approx(optimum, rel=1e-11)
    assert score.detail["trace"] == pytest.approx(trace, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(40, 5), (12, 20)])
def test_influence_is_the_derivative_by_the_weights(n, d):
    # Refitting, the trace and the moving mean included.
    probe, h = blobs(1, n, d, spread=0.7), 1e-2
    direction = np.random.default_rng(0).standard_normal(n)
    direction -= direction.mean()

    def at(step):
        return -exact.loss(probe.features, probe.labels, 1.0, 100 / d, 1 + step * direction)[0]

    influence = run(probe, lam=1.0).influence
    assert influence.mean() == pytest.approx(0, abs=1e-10)
    quotient = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    assert np.mean(direction * influence) == pytest.approx(quotient, rel=1e-7)


@LAW
@given(seed=st.integers(0, 10**6))
def test_converged_whatever_the_basis(seed):
    probe = blobs(seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((5, 5)))[0]
    moved = Probe(probe.features @ rotation + 7, probe.labels)
    assert run(moved).value == pytest.approx(run(probe).value, abs=1e-9)


def test_directions_without_variance_count_in_the_price_only():
    probe = blobs(2)
    wide = Probe(np.hstack([probe.features, np.zeros((40, 5))]), probe.labels)
    loss, _, _ = exact.loss(wide.features, wide.labels, 10.0, 10.0)
    score = run(wide)
    assert score.detail["raw"] == pytest.approx(loss, rel=1e-11)
    assert score.detail["trace"] - run(probe).detail["trace"] == pytest.approx(5 * 3 / (10 * 40), rel=1e-9)
    assert score.detail["optimum"] == pytest.approx(run(probe).detail["optimum"], rel=1e-12)


def test_features_that_say_nothing():
    labels = np.arange(12) % 3
    score = run(Probe(np.zeros((12, 4)), labels))
    assert score.detail["optimum"] == pytest.approx(np.log(3), rel=1e-14)
    assert score.detail["trace"] == pytest.approx(12 * 2 / 3 + 4 * 3 / 120, rel=1e-14)


@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_extreme_scales_converge(scale):
    probe = blobs(3)
    scaled = Probe(scale * probe.features, probe.labels)
    assert np.isfinite(run(scaled).value)


def test_refusals():
    probe = blobs(0)
    with pytest.raises(ValueError, match=r"lam must be positive, got 0"):
        run(probe, lam=0)
    with pytest.raises(ValueError, match=r"s2 must be at least 0, got -1"):
        run(probe, s2=-1)
