"""The capped classifier: at the optimum of its convex problem, under its cap, for every tau of a grid."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from taskrel.bound.head import Head, fit_heads
from taskrel.bound.sample import Sample

TAUS = (0.0, 0.02, 0.1, 0.5, 2.0)


def part(seed, classes=3, n=90, d=2, apart=1.0):
    r = np.random.default_rng(seed)
    ids = np.concatenate([np.arange(classes), r.integers(0, classes, n)])
    return Sample(torch.tensor(apart * r.normal(size=(classes, d))[ids] + r.normal(size=(len(ids), d))), ids, classes)


def loss(head, sample):
    return float(sample.prior @ head.class_losses(sample))


def by_constraints(sample, tau):
    """The same problem by sequential quadratic programming, every pair of rows a constraint."""
    z, y, k = sample.features.numpy(), sample.ids, sample.classes
    d = z.shape[1]

    def objective(v):
        logits = z @ v[: k * d].reshape(k, d).T + v[k * d :]
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y])

    def room(v):
        w = v[: k * d].reshape(k, d)
        return [1 - np.square((w[i] - w[j]) / tau).sum() for i, j in itertools.combinations(range(k), 2)]

    start = np.concatenate([0.1 * tau * np.eye(k, d).ravel(), np.log(sample.prior)])
    found = minimize(objective, start, method="SLSQP", constraints={"type": "ineq", "fun": room},
                     options={"maxiter": 500, "ftol": 1e-12})  # fmt: skip
    return found.fun


@pytest.mark.parametrize("tau", [0.1, 0.5, 2.0, 30.0])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_optimum_under_the_cap(tau, classes):
    sample = part(classes, classes)
    (head,) = fit_heads(sample, [tau])
    exact = by_constraints(sample, tau)
    assert head.tau <= tau * (1 + 1e-12)
    # The p-norm stands in for the largest distance: a share of what the classifier gains at all.
    gain = fit_heads(sample, [0.0])[0].class_losses(sample) @ sample.prior - exact
    assert exact - 1e-6 <= loss(head, sample) <= exact + 0.02 * gain


@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 6), d=st.integers(1, 8))
def test_more_room_never_costs(seed, classes, d):
    sample = part(seed, classes, d=d)
    heads = fit_heads(sample, TAUS)
    losses = [loss(head, sample) for head in heads]
    assert all(head.tau <= tau * (1 + 1e-12) for head, tau in zip(heads, TAUS, strict=True))
    assert all(later <= earlier + 1e-4 for earlier, later in itertools.pairwise(losses))
    prior = sample.prior
    assert losses[0] == pytest.approx(-(prior * np.log(prior)).sum())


def test_a_grid_is_its_members():
    sample = part(0, 4, d=5)
    for tau, head in zip(TAUS, fit_heads(sample, TAUS), strict=True):
        alone = fit_heads(sample, [tau])[0]
        assert loss(alone, sample) == pytest.approx(loss(head, sample), abs=1e-4)
        again = fit_heads(sample, [tau])[0]
        assert torch.equal(alone.weights, again.weights)
        assert torch.equal(alone.bias, again.bias)
    assert [h.tau for h in fit_heads(sample, TAUS[::-1])] == [h.tau for h in fit_heads(sample, TAUS)][::-1]


def test_a_cap_that_does_not_bind_is_not_used_up():
    sample = part(1, 3, n=400, apart=0.3)
    wide, wider = fit_heads(sample, [20.0, 50.0])
    assert wide.tau < 5
    assert loss(wide, sample) == pytest.approx(loss(wider, sample), abs=1e-8)


def test_the_bias_is_the_best_for_the_weights():
    sample = part(2, 3)
    head = fit_heads(sample, [0.5])[0]
    weights = np.array([0.7, 0.2, 0.1])
    refitted = head.biased_for(sample, weights)
    assert torch.equal(refitted.weights, head.weights)

    def at(bias):
        return weights @ Head(head.weights, torch.tensor(bias)).class_losses(sample)

    exact = minimize(at, head.bias.numpy(), method="BFGS", options={"gtol": 1e-9}).fun
    assert weights @ refitted.class_losses(sample) == pytest.approx(exact, abs=1e-8)
    assert weights @ head.class_losses(sample) > exact + 1e-3


def test_fewer_classes_never_cost():
    sample = part(3, 5, d=4)
    head = fit_heads(sample, [1.0])[0]
    kept = np.array([3, 0, 1])
    alone = head.only(kept)
    assert (alone.class_losses(sample.only(kept)) <= head.class_losses(sample)[kept]).all()
    assert alone.tau <= head.tau


def test_equal_means_give_no_direction():
    flat = Sample(torch.zeros(6, 2, dtype=torch.float64), np.arange(6) % 3, 3)
    (head,) = fit_heads(flat, [0.3])
    assert head.tau == 0
    assert loss(head, flat) == pytest.approx(np.log(3))


def test_what_is_refused():
    with pytest.raises(ValueError, match="tau must be finite and at least 0"):
        fit_heads(part(0), [-0.1])
    with pytest.raises(ValueError, match="sample must have an example of every class, got none of 3"):
        fit_heads(Sample(part(0).features, part(0).ids, 4), [0.1])
