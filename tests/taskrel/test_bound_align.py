"""The map that brings logits nearest: undoes any affine map, is invertible, and its regression is the textbook's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import bound as slow

from taskrel.bound.align import _RIDGES, Regression
from taskrel.bound.fit import Part, Reference, curve, fit
from taskrel.bound.sample import Sample
from taskrel.proxies import PROXIES
from taskrel.types import Probe


def task(seed, classes=4, d=6, n=80, apart=2.0, names=0):
    r = np.random.default_rng(seed)
    ids = np.concatenate([np.arange(classes), r.integers(0, classes, n - classes)])
    z = apart * np.random.default_rng(5).normal(size=(classes, d))[ids] + r.normal(size=(n, d))
    return Probe(z, (ids + names) % classes)


def mapped(probe, seed):
    r = np.random.default_rng(seed)
    d = probe.features.shape[1]
    return Probe(probe.features @ (r.normal(size=(d, d)) + 2 * np.eye(d)) + r.normal(size=d), probe.labels)


@pytest.mark.parametrize("tau", [0.02, 0.5])
def test_most_of_an_affine_map_is_undone(tau):
    one = task(0, apart=4.0)
    found = fit(Reference.of(one, taus=(tau,)), mapped(one, 1), tau=tau, features="aligned")
    assert found.terms.logits_mismatch < 0.4 * found.start.logits_mismatch
    assert found.terms.target_loss == pytest.approx(found.terms.reference_loss, rel=0.05)
    assert found.terms.residual_inverse < 1e-9


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(5, 40), d=st.integers(1, 30), classes=st.integers(2, 5))
def test_it_holds_and_has_an_inverse_whatever_the_shapes(seed, n, d, classes):
    """Fewer examples than dimensions, fewer dimensions than classes."""
    reference = Reference.of(task(seed, classes, d, 30), taus=(0.3,))
    found = fit(reference, task(seed + 1, classes, d, n, names=1), tau=0.3, features="aligned")
    slow.assert_ordered(found.terms)
    assert found.terms.total_logits <= found.start.total_logits + 1e-9
    assert found.terms.residual_inverse < 1e-6
    held = found.held_out(task(seed + 2, classes, d, 30), task(seed + 3, classes, d, 30, names=1))
    slow.assert_ordered(held)


def test_a_cap_of_zero_and_equal_means_leave_the_map_alone():
    flat = Probe(np.random.default_rng(0).normal(size=(20, 3)) * 0 + 1.0, np.arange(20) % 2)
    for one, tau in ((task(0), 0.0), (flat, 0.1)):
        found = fit(Reference.of(one, taus=(tau,)), one, tau=tau, features="aligned")
        assert found.affine.gains == (1, 1)
        assert found.terms.total_logits == pytest.approx(found.terms.trivial)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 12), d=st.integers(1, 15))
def test_the_ridge_is_that_of_the_least_error_left_out(seed, n, d):
    r = np.random.default_rng(seed)
    z, ids = torch.from_numpy(r.normal(size=(n, d))), np.arange(n) % 3
    target = Sample(z, ids, 3)
    prior = r.dirichlet(np.full(3, 5.0))
    weights = (prior / target.counts)[ids]
    goals = z.numpy() @ r.normal(size=(d, 2)) + r.normal(size=(n, 2))
    slope, offset = Regression.of(target, prior).fit(torch.from_numpy(goals))
    x, y = z.numpy() - weights @ z.numpy(), goals - weights @ goals
    largest = np.linalg.norm(np.sqrt(weights)[:, None] * x, 2) ** 2
    ridges = _RIDGES * largest
    fits = [np.linalg.solve((x.T * weights) @ x + ridge * np.eye(d), (x.T * weights) @ y) for ridge in ridges]
    # The program also leaves out the example's part in the means, to first order in its weight.
    errors = []
    for ridge, found in zip(ridges, fits, strict=True):
        hat = np.einsum("ij,jk,ik->i", x, np.linalg.inv((x.T * weights) @ x + ridge * np.eye(d)), x) * weights
        errors.append(np.sum(weights * np.sum((y - x @ found) ** 2, axis=1) / (1 - hat - weights) ** 2))
        whole = np.sum(weights * np.sum((y - x @ found) ** 2, axis=1) / (1 - hat) ** 2)
        assert whole == pytest.approx(slow.left_out(x, y, weights, ridge), rel=1e-6)
    assert slope.numpy() == pytest.approx(fits[int(np.argmin(errors))], abs=1e-7)
    assert offset.numpy() == pytest.approx(weights @ goals - weights @ z.numpy() @ slope.numpy(), abs=1e-9)


def test_a_curve_is_its_members_and_a_seed_its_bits():
    reference, target = Reference.of(task(0), taus=(0.02, 0.3)), task(1, names=1)
    both = curve(reference, Part.of(target), taus=(0.02, 0.3), features="aligned")
    again = [fit(reference, target, tau=tau, features="aligned", floor=False) for tau in (0.02, 0.3)]
    assert [one.terms for one in both] == [one.terms for one in again]


def test_as_a_score_it_is_of_logits_alone():
    proxy, reference, target = PROXIES["task_relatedness"], task(0), mapped(task(1), 3)
    aligned = proxy.score(target, reference=reference, features="aligned", form="logits")
    plain = proxy.score(target, reference=reference, form="logits")
    assert plain.value < aligned.value == -aligned.detail["bound_logits"]
    with pytest.raises(ValueError, match="form must be 'logits' where features is 'aligned', got 'total'"):
        proxy.score(target, reference=reference, features="aligned")
