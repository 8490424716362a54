"""LogME against scikit-learn's BayesianRidge, a dense textbook version, and the known errors of other code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import logme as dense
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import BayesianRidge

from taskrel.proxies import PROXIES
from taskrel.types import Probe

LOGME = PROXIES["logme"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)
D40 = (DIGITS[0][:40], DIGITS[1][:40])  # fewer examples than features


def bayesian_ridge(features, target):
    model = BayesianRidge(alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0, fit_intercept=False, compute_score=True,
                          max_iter=20000, tol=1e-14)  # fmt: skip
    return model.fit(features, target).scores_[-1] / len(target)


@pytest.mark.parametrize(
    ("data", "eps", "golden"),
    [
        (IRIS, 1e-5, -0.16006024343622471), (IRIS, 0.0, -0.16006024341738265), (DIGITS, 1e-5, 0.2702774597926575),
        (DIGITS, 0.0, 0.270277627377), (D40, 1e-5, -0.013107687595899814), (D40, 0.0, -0.013088140390),
    ],
)  # fmt: skip
def test_golden_values(data, eps, golden):
    assert LOGME.score(Probe(*data), eps=eps).value == pytest.approx(golden, rel=1e-8)


@pytest.mark.parametrize("data", [IRIS, DIGITS, D40], ids=["iris", "digits", "fewer examples than features"])
def test_pure_evidence_is_that_of_bayesian_ridge(data):
    features, labels = data
    expected = np.mean([bayesian_ridge(features, labels == c) for c in np.unique(labels)])
    assert LOGME.score(Probe(features, labels), eps=0.0).value == pytest.approx(expected, rel=1e-9)


def test_regression():
    features, labels = IRIS[0][:, :3], IRIS[0][:, 3]
    found = LOGME.score(Probe(features, labels)).value
    assert found == pytest.approx(0.159826551457, rel=1e-8)
    assert LOGME.score(Probe(features, labels), eps=0.0).value == pytest.approx(
        bayesian_ridge(features, labels), rel=1e-9
    )


def test_several_labels_are_the_mean_over_their_columns():
    rng = np.random.default_rng(0)
    features, several = rng.standard_normal((50, 6)), rng.integers(0, 2, (50, 3))
    assert LOGME.score(Probe(features, several)).value == pytest.approx(dense.logme(features, several), rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 30), d=st.integers(1, 12), rank=st.integers(1, 12))
def test_agrees_with_the_dense_evidence(seed, n, d, rank):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    features = rng.standard_normal((n, min(rank, d))) @ rng.standard_normal((min(rank, d), d)) + rng.normal(0, 3, d)
    expected = dense.logme(features, np.eye(3)[labels], eps=1e-3)
    assert LOGME.score(Probe(features, labels), eps=1e-3).value == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_fewer_examples_than_features_counts_the_rank():
    # thuml/LogME and transformer-ranker keep d in the first term and give 20.54 here instead of about 0.73.
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 10
    features = rng.standard_normal((10, 512))[labels] + rng.standard_normal((100, 512))
    found = LOGME.score(Probe(features, labels), eps=1e-12).value
    assert found == pytest.approx(np.mean([bayesian_ridge(features, labels == c) for c in range(10)]), rel=1e-6)
    assert found < 2


def test_is_iterated_to_convergence():
    # Eleven rounds give -0.01643 and a tolerance of one percent -0.0172 on these rows.
    assert LOGME.score(Probe(*D40)).value == pytest.approx(-0.0131077, abs=1e-7)


def test_a_common_offset_of_a_million_is_no_noise():
    # The Gram matrix of the raw features gives 0.1465 here, their singular values 0.2662.
    features, labels = DIGITS
    singular = np.linalg.svd(features + 1e6, full_matrices=False)
    kept = singular.S / singular.S[0] > 1e-13
    reduced = singular.U[:, kept] * singular.S[kept]
    expected = np.mean([bayesian_ridge(reduced, labels == c) for c in range(10)])
    found = LOGME.score(Probe(features + 1e6, labels), eps=0.0).value
    assert found == pytest.approx(expected, rel=1e-6)  # the oracle's own singular values carry 1e-16 * 1e6 / 1e-1


def test_depends_on_an_offset_and_not_on_the_order_of_classes():
    features, labels = DIGITS
    assert LOGME.score(Probe(features + 5, labels)).value == pytest.approx(0.27256, abs=5e-6)
    # transformer-ranker carries alpha and beta from class to class; here a class keeps its number to the last bit.
    renamed = np.random.default_rng(0).permutation(10)[labels]
    assert LOGME.score(Probe(features, renamed)).value == pytest.approx(
        LOGME.score(Probe(features, labels)).value, rel=1e-14
    )


def test_features_without_any_length():
    flat = LOGME.score(Probe(np.zeros((12, 4)), np.arange(12) % 3)).value
    # The evidence of white noise of variance 1/3, the mean square of a one-hot column.
    assert flat == pytest.approx(-0.5 * np.log(2 * np.pi * (1 / 3)) - 0.5, abs=1e-5)


@pytest.mark.parametrize(("n", "d"), [(40, 5), (12, 20)])
def test_influence_is_the_effect_of_an_examples_weight(n, d):
    rng = np.random.default_rng(1)
    labels = np.arange(n) % 3
    features = rng.standard_normal((3, d))[labels] + rng.standard_normal((n, d)) + 1
    found = LOGME.score(Probe(features, labels), eps=1e-9)
    assert found.influence.mean() == pytest.approx(0, abs=1e-9)
    step = 1e-3
    for i in (0, 5, n - 1):
        sides = []
        for sign in (1, -1):
            weights = np.full(n, 1 - sign * step / (n - 1))  # the others give what the one gets: the mean stays 1
            weights[i] = 1 + sign * step
            sides.append(dense.logme(features, np.eye(3)[labels], 1e-9, weights))
        slope = (n - 1) * (sides[0] - sides[1]) / (2 * step)
        assert found.influence[i] == pytest.approx(slope, rel=1e-3, abs=1e-4)
