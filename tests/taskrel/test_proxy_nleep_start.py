"""NLEEP's mixture: its start against scikit-learn's k-means, its bounds, and what does not move it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from taskrel.proxies import PROXIES, nleep
from taskrel.types import Probe

NLEEP = PROXIES["nleep"]
LAW = settings(deadline=None, max_examples=20)


def blobs(seed, n=60, d=4, classes=3, spread=2.0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    scales = np.linspace(0.5, 1.5, d)
    return Probe(spread * rng.standard_normal((classes, d))[labels] + scales * rng.standard_normal((n, d)), labels)


@pytest.mark.parametrize("most", [2, 10])
def test_start_is_a_k_means_as_good_as_scikit_learns(most):
    x = np.asarray(load_digits(return_X_y=True)[0][:400])
    inertia = []
    for seed in range(8):
        clusters = nleep.start(torch.from_numpy(x), most, seed).numpy()
        means = np.stack([x[clusters == c].mean(axis=0) for c in range(most)])
        inertia.append(((x[:, None] - means) ** 2).sum(axis=2).min(axis=1).sum())
    theirs = [KMeans(most, n_init=1, random_state=seed).fit(x).inertia_ for seed in range(8)]
    assert np.mean(inertia) == pytest.approx(np.mean(theirs), rel=0.02)


def test_seeds_and_nothing_else_move_the_value():
    values = [NLEEP.score(blobs(3), seed=seed).value for seed in range(6)]
    assert [NLEEP.score(blobs(3), seed=seed).value for seed in range(6)] == values
    assert len(set(values)) > 1


@LAW
@given(
    seed=st.integers(0, 10**6), n=st.integers(4, 50), d=st.integers(1, 60), classes=st.integers(2, 4),
    per_class=st.integers(1, 30), covariance=st.sampled_from(["diag", "full"]),
)  # fmt: skip
def test_bounds_and_the_cap_on_components(seed, n, d, classes, per_class, covariance):
    probe = blobs(seed, n, d, classes, spread=0.5)
    found = NLEEP.score(probe, components_per_class=per_class, covariance=covariance)
    shares = np.bincount(probe.labels) / n
    # By Jensen, whatever the mixture.
    assert np.sum(shares * np.log(shares)) - 1e-12 <= found.value <= 0
    assert 1 <= found.detail["components"] <= min(per_class * classes, n)
    assert found.influence.mean() == pytest.approx(0, abs=1e-9)


@LAW
@given(seed=st.integers(0, 10**6), power=st.integers(-6, 6), covariance=st.sampled_from(["diag", "full"]))
def test_no_scale_matters(seed, power, covariance):
    probe = blobs(seed)
    scaled = Probe(10.0**power * probe.features, probe.labels)
    value = NLEEP.score(probe, seed=seed, covariance=covariance).value
    assert NLEEP.score(scaled, seed=seed, covariance=covariance).value == pytest.approx(value, rel=1e-6)
