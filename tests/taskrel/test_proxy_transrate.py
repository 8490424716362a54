"""TransRate against dense determinants, the spec's goldens and weighted differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import slopes
from oracles import transrate as dense
from sklearn.datasets import load_digits, load_iris

from taskrel.proxies import PROXIES, transrate
from taskrel.types import Probe

T = PROXIES["transrate"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)
D40 = (DIGITS[0][:40], DIGITS[1][:40])


@pytest.mark.parametrize(
    ("data", "mean", "prior"),
    [
        (IRIS, 0.5894054063746719, 0.5894054063746719), (DIGITS, 50.2793122613603, 50.28643051123208),
        (D40, 185.8956603129451, 183.7017845978025),
    ],
)  # fmt: skip
def test_golden_values(data, mean, prior):
    assert T.score(Probe(*data)).value == pytest.approx(mean, rel=1e-8)
    assert T.score(Probe(*data), weighting="prior").value == pytest.approx(prior, rel=1e-8)


def test_classes_of_unequal_size():
    wanted = [170, 150, 130, 110, 90, 70, 50, 30, 20, 10]
    keep = np.concatenate([np.flatnonzero(DIGITS[1] == c)[:size] for c, size in enumerate(wanted)])
    probe = Probe(DIGITS[0][keep], DIGITS[1][keep])
    assert T.score(probe).value == pytest.approx(93.8514, abs=1e-4)
    assert T.score(probe, weighting="prior").value == pytest.approx(60.5272, abs=1e-4)


def made(seed, n, d, classes, scale=1.0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes) ** 2 % classes])
    return scale * (rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d))), labels


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6), n=st.integers(8, 60), d=st.integers(1, 80), classes=st.integers(2, 7),
    weighting=st.sampled_from(["mean", "prior"]), normalise=st.booleans(), eps=st.sampled_from([1e-4, 0.1]),
)  # fmt: skip
def test_agrees_with_dense_determinants(seed, n, d, classes, weighting, normalise, eps):
    features, labels = made(seed, n, d, classes)
    found = T.score(Probe(features, labels), weighting=weighting, normalise=normalise, eps=eps)
    expected = dense.transrate(features, labels, eps, weighting, normalise)
    assert found.value == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("weighting", ["mean", "prior"])
@pytest.mark.parametrize(("n", "d"), [(40, 3), (24, 50)])
def test_influence_is_the_effect_of_an_examples_weight(n, d, weighting, normalise):
    features, labels = made(1, n, d, 4)
    settings = {"eps": 0.05, "weighting": weighting, "normalise": normalise}
    found = T.score(Probe(features, labels), **settings).influence
    expected = slopes.influence(lambda w: dense.transrate(features, labels, weights=w, **settings), n)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_small_batches_of_classes(monkeypatch):
    probe = Probe(*made(2, 90, 5, 20))
    whole = T.score(probe)
    monkeypatch.setattr(transrate, "_BLOCK", 40)
    again = T.score(probe)
    assert again.value == pytest.approx(whole.value, rel=1e-12)
    assert again.influence == pytest.approx(whole.influence, abs=1e-9)


def test_scale_matters_unless_normalised():
    features, labels = DIGITS
    assert T.score(Probe(features / 16, labels)).value == pytest.approx(29.83, abs=0.01)
    both = [T.score(Probe(scale * features, labels), normalise=True).value for scale in (1, 1 / 16)]
    assert both[0] == pytest.approx(both[1], rel=1e-9)


def test_features_so_large_that_the_identity_drowns():
    # Duplicates make the Gram matrices singular; at this scale a Cholesky factor does not exist.
    features, labels = made(3, 12, 30, 3, scale=1e12)
    twice = Probe(np.vstack([features, features]), np.concatenate([labels, labels]))
    found = T.score(twice)
    assert np.isfinite(found.value)
    assert np.isfinite(found.influence).all()


def test_constant_features_have_no_rate():
    score = T.score(Probe(np.full((6, 3), 0.1), np.arange(6) % 2))
    assert score.value == 0
    assert not score.influence.any()


def test_refusals():
    probe = Probe(*IRIS)
    with pytest.raises(ValueError, match="eps must be above 0, got 0"):
        T.score(probe, eps=0)
    with pytest.raises(ValueError, match="weighting must be 'mean' or 'prior', got 'max'"):
        T.score(probe, weighting="max")
