"""The nearest class centre against densities an example at a time, and the golden values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import discriminant as dense
from sklearn.datasets import load_digits, load_iris
from sklearn.neighbors import NearestCentroid

from taskrel.proxies import PROXIES
from taskrel.types import Probe

NCC = PROXIES["ncc"]
IRIS, DIGITS = load_iris(return_X_y=True), load_digits(return_X_y=True)
D40 = (DIGITS[0][:40], DIGITS[1][:40])


@pytest.mark.parametrize(
    ("data", "value"), [(IRIS, 0.8173113443785147), (DIGITS, 0.9049307469633956), (D40, 0.975)],
    ids=["iris", "digits", "d40"],
)  # fmt: skip
def test_golden_values(data, value):
    assert NCC.score(Probe(*data)).value == pytest.approx(value, rel=1e-8)


def test_depends_on_the_scale_and_not_on_the_origin():
    features, labels = DIGITS
    assert NCC.score(Probe(features / 16, labels)).value == pytest.approx(0.433, abs=5e-4)
    assert NCC.score(Probe(features + 1e6, labels)).value == pytest.approx(0.9049307469633956, rel=1e-8)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 40), d=st.integers(1, 30), classes=st.integers(2, 5))
def test_is_the_posterior_of_unit_gaussians(seed, n, d, classes):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n)])
    features = rng.standard_normal((len(labels), d))
    assert NCC.score(Probe(features + 3, labels)).value == pytest.approx(dense.nearest_centre(features, labels))


def test_accuracy_is_that_of_scikit_learn_on_balanced_classes():
    assert NCC.score(Probe(*IRIS)).detail["accuracy"] == NearestCentroid().fit(*IRIS).score(*IRIS)


def test_influence_is_each_examples_posterior_less_the_mean():
    found = NCC.score(Probe(*IRIS))
    means = np.stack([IRIS[0][IRIS[1] == c].mean(axis=0) for c in range(3)])
    logits = -0.5 * np.square(IRIS[0][0] - means).sum(axis=1)
    assert found.value + found.influence[0] == pytest.approx(1 / np.exp(logits - logits[0]).sum())
    assert found.influence.mean() == pytest.approx(0, abs=1e-12)
