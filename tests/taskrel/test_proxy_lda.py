"""Shrunk discriminants against dense ones, refits without each example, scikit-learn and the golden values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import discriminant as dense
from sklearn.covariance import ledoit_wolf
from sklearn.datasets import load_digits, load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from taskrel.proxies import PROXIES
from taskrel.types import CannotScore, Probe

LDA, SFDA = PROXIES["lda"], PROXIES["sfda"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)
D40 = (DIGITS[0][:40], DIGITS[1][:40])
LAW = settings(deadline=None, max_examples=25)


def blobs(seed, n, d, classes, spread=1.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return spread * rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d)), labels


def within(x, y):
    return x - np.stack([x[y == c].mean(axis=0) for c in y])


@pytest.mark.parametrize(
    ("data", "probability", "log_probability", "accuracy"),
    [
        (IRIS, 0.9701776696916761, -0.04449488635983315, 0.98),
        (DIGITS, 0.9594425022099811, -0.1537314555354258, 0.9638286032276016),
        (D40, 1.0, 0.0, 1.0),
    ],
    ids=["iris", "digits", "d40"],
)
def test_golden_values_where_it_was_fitted(data, probability, log_probability, accuracy):
    expected = {"probability": probability, "log_probability": log_probability, "accuracy": accuracy}
    for measure, value in expected.items():
        found = LDA.score(Probe(*data), shrinkage=0.1, held_out=False, measure=measure)
        assert found.value == pytest.approx(value, rel=1e-8, abs=1e-12)
        assert {name: found.detail[name] for name in expected} == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(
    ("data", "shrinkage", "first", "twice", "once"),
    [
        (IRIS, 0.11378176572980601, 0.9696778322189622, 0.8764934341266528, 0.9464158818785207),
        (DIGITS, 1e-10, 0.9610330273081696, 0.8153094595671367, 0.9533984081758786),
        (D40, 1e-10, 1.0, 1.0, 1.0),
    ],
    ids=["iris", "digits", "d40"],
)
def test_golden_values_of_sfda(data, shrinkage, first, twice, once):
    probe = Probe(*data)
    found = SFDA.score(probe)
    assert found.detail["shrinkage"] == pytest.approx(shrinkage, rel=1e-8)
    assert found.value == pytest.approx(twice, rel=1e-8)
    assert SFDA.score(probe, softmax_twice=False).value == pytest.approx(once, rel=1e-8)
    assert SFDA.score(probe, stages=1).value == pytest.approx(first, rel=1e-8)
    same = LDA.score(probe, shrinkage="sfda", held_out=False, measure="probability")
    assert same.value == pytest.approx(first, rel=1e-8)


def test_is_the_discriminant_of_scikit_learn():
    x, y = blobs(0, 90, 12, 4)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(x, y)
    expected = model.predict_log_proba(x)[np.arange(90), y].mean()
    assert LDA.score(Probe(x, y), shrinkage=0.3, held_out=False).value == pytest.approx(expected, rel=1e-9)


@LAW
@given(
    seed=st.integers(0, 10**6), n=st.integers(8, 40), d=st.integers(1, 50), classes=st.integers(2, 5),
    s=st.sampled_from([0.05, 0.4, 1.0]),
)  # fmt: skip
def test_leaving_out_in_closed_form_is_refitting(seed, n, d, classes, s):
    x, y = blobs(seed, n, d, classes)
    y[y == 0] = np.where(np.arange((y == 0).sum()) == 0, 0, 1)  # the first class keeps one example
    expected = dense.held_out(x, y, s)
    found = LDA.score(Probe(x + 7, y), shrinkage=s)
    assert found.detail["alone"] == np.isnan(expected).sum() >= 1
    assert found.value == pytest.approx(np.nanmean(expected), rel=1e-9, abs=1e-12)
    terms = found.value + found.influence * np.sum(~np.isnan(expected)) / n
    assert terms[~np.isnan(expected)] == pytest.approx(expected[~np.isnan(expected)], rel=1e-8, abs=1e-9)
    assert (found.influence[np.isnan(expected)] == 0).all()


@LAW
@given(seed=st.integers(0, 10**6), n=st.integers(8, 60), d=st.integers(1, 80))
def test_intensity_is_that_of_ledoit_and_wolf_within_classes(seed, n, d):
    x, y = blobs(seed, n, d, 3, spread=5.0)
    expected = ledoit_wolf(within(x, y), assume_centered=True)[1]
    assert LDA.score(Probe(x, y)).detail["shrinkage"] == pytest.approx(expected, rel=1e-7, abs=1e-12)


@LAW
@given(seed=st.integers(0, 10**6), n=st.integers(8, 60), d=st.integers(2, 80), scale=st.sampled_from([0.1, 0.4, 1.0]))
def test_sfda_is_that_of_the_original_features(seed, n, d, scale):
    x, y = blobs(seed, n, d, 3)
    for twice in (True, False):
        s, first, second = dense.sfda(scale * x, y, twice)
        found = SFDA.score(Probe(scale * x, y), softmax_twice=twice)
        assert found.detail["shrinkage"] == pytest.approx(s, rel=1e-7)
        # Shrunk by 1e-10 and with fewer examples than features the dense inverse itself is off in the sixth digit.
        assert found.value == pytest.approx(second, rel=1e-7 if s > 1e-6 else 1e-4)
        assert SFDA.score(Probe(scale * x, y), stages=1).value == pytest.approx(first, rel=1e-7 if s > 1e-6 else 1e-4)


def test_a_classifier_of_noise_is_not_taken_in_by_many_features():
    # Where it was fitted the discriminant is perfect; left out, the labels are a guess.
    x, y = blobs(1, 60, 300, 3, spread=0.0)
    assert LDA.score(Probe(x, y), held_out=False, shrinkage=1e-10, measure="probability").value > 1 - 1e-9
    assert LDA.score(Probe(x, y), measure="accuracy").value < 0.6


def test_features_whose_sum_is_constant_have_a_largest_eigenvalue_too():
    # After a layer norm all ones is a null direction, and rounding would be the start of the iteration.
    x, y = blobs(2, 80, 10, 3)
    x *= np.linspace(0.7, 0.1, 10)
    x -= x.mean(axis=1, keepdims=True)
    largest = np.linalg.eigvalsh(dense.scatter(x, y))[-1]
    found = SFDA.score(Probe(x, y)).detail["shrinkage"]
    assert found == pytest.approx(np.exp(-5 * largest), rel=0.05)
    assert SFDA.score(Probe(x[::-1].copy(), y[::-1])).detail["shrinkage"] == pytest.approx(found, rel=1e-9)


def test_classes_that_are_points():
    x, y = np.repeat(np.eye(4), 3, axis=0), np.repeat(np.arange(4), 3)
    assert LDA.score(Probe(x, y), measure="probability").value == pytest.approx(1)
    assert SFDA.score(Probe(x, y)).value == pytest.approx(1)


def test_features_that_never_vary_leave_the_priors():
    y = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    expected = (4 * np.log(3 / 9) + 6 * np.log(2 / 9)) / 10
    assert LDA.score(Probe(np.full((10, 3), 2.5), y)).value == pytest.approx(expected)


def test_influence_is_the_effect_of_a_weight_where_fits_are_fixed():
    found = LDA.score(Probe(*IRIS))
    weights = np.random.default_rng(0).dirichlet(np.ones(150)) * 150
    terms = found.value + found.influence
    assert found.value + np.mean((weights - 1) * found.influence) == pytest.approx(np.average(terms, weights=weights))
    assert terms.max() <= 0


def test_refusals():
    probe = Probe(np.random.default_rng(0).standard_normal((5, 3)), np.arange(5))
    with pytest.raises(CannotScore, match="lda needs a class of 2 examples or more, got 5 classes of one"):
        LDA.score(probe)
    assert LDA.score(probe, held_out=False).value <= 0
    for wrong, message in [
        ({"shrinkage": "oas"}, "shrinkage must be 'lw', 'sfda' or a number, got 'oas'"),
        ({"shrinkage": 1.5}, r"shrinkage must lie in \[0, 1\], got 1.5"),
        ({"measure": "auc"}, "measure must be .*, got 'auc'"),
    ]:
        with pytest.raises(ValueError, match=message):
            LDA.score(probe, **wrong)
    with pytest.raises(ValueError, match="stages must be 1 or 2, got 3"):
        SFDA.score(probe, stages=3)
