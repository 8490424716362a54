"""The search for a small bound: classes found, never above its start, valid on other examples, deterministic."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import bound as slow
from scipy.optimize import minimize
from sklearn.datasets import load_digits

from taskrel.bound import assign, choose
from taskrel.bound.features import STEPS
from taskrel.bound.fit import Part, Reference, curve, fit, fit_all
from taskrel.types import CannotScore, Probe


def task(seed, classes=4, d=6, n=80, centres=5, apart=2.0, names=None):
    r = np.random.default_rng(seed)
    ids = np.concatenate([np.arange(classes), r.integers(0, classes, n - classes)])
    z = apart * np.random.default_rng(centres).normal(size=(classes, d))[ids] + r.normal(size=(n, d))
    return Probe(z, ids if names is None else np.asarray(names)[ids])


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), classes_r=st.integers(2, 6), classes_t=st.integers(2, 6),
       features=st.sampled_from([*STEPS]), tau=st.sampled_from([0.02, 0.3, 2.0]),
       sharing=st.sampled_from(["needed", "free"]))  # fmt: skip
def test_never_above_its_start_and_always_a_bound(seed, classes_r, classes_t, features, tau, sharing):
    reference = Reference.of(task(seed, classes_r, d=3, centres=seed), taus=(tau,))
    found = fit(
        reference, task(seed + 1, classes_t, d=3, centres=seed + 7), tau=tau, features=features, sharing=sharing
    )
    if features == "aligned":
        assert found.terms.total_logits <= found.start.total_logits + 1e-9
    else:
        assert found.terms.total <= found.start.total + 1e-12
    for terms in (found.terms, found.start):
        slow.assert_ordered(terms)
        assert terms.residual_prior < 1e-12
        assert terms.residual_inverse < 1e-6
    held = found.held_out(
        task(seed + 2, classes_r, d=3, centres=seed), task(seed + 3, classes_t, d=3, centres=seed + 7)
    )
    assert held.total_logits >= held.target_loss - 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_classes_are_matched_whatever_they_are_called(seed):
    names = np.random.default_rng(seed).permutation([f"c{k}" for k in range(10)])
    reference = task(0, 10, d=16, n=400, names=[f"r{k}" for k in range(10)])
    found = fit(Reference.of(reference, taus=(0.1,)), task(1, 10, d=16, n=400, names=names), tau=0.1)
    assert found.sources == {name: [f"r{k}"] for k, name in enumerate(names)}
    assert found.terms.label_mismatch == 0


def test_the_trained_head_of_the_target_is_below_the_bound():
    """One reference class for each target class: the transformed classifier is linear, so the best head beats it."""
    reference, target = task(0, 4, d=3), task(1, 4, d=3, apart=1.0)
    found = fit(Reference.of(reference, taus=(0.5,)), target, tau=0.5, features="scale")
    z, y = found.target.sample.features.numpy(), found.target.sample.ids

    def objective(v):
        logits = z @ v[:12].reshape(4, 3).T + v[12:]
        return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y])

    best = minimize(objective, np.zeros(16), method="L-BFGS-B").fun
    assert best <= found.terms.target_loss + 1e-6
    assert found.terms.target_loss <= found.terms.total_projected


def test_the_task_itself_has_no_mismatch():
    one = task(0)
    terms = fit(Reference.of(one, taus=(0.2,)), one, tau=0.2).terms
    assert terms.label_mismatch == 0
    assert terms.wasserstein == pytest.approx(0, abs=1e-9)
    assert terms.total == pytest.approx(terms.target_loss)


def test_a_shift_and_a_stretch_are_undone():
    one = task(0, n=60)
    moved = Probe(3 * one.features + np.arange(6), one.labels)
    reference = Reference.of(one, taus=(0.2,), standardise="none")
    for features, least in (("shift", 2.0), ("scale", 0.01)):
        found = fit(reference, moved, tau=0.2, features=features, standardise="none")
        assert found.terms.total < found.start.total
        assert found.terms.wasserstein < least * found.start.wasserstein
    assert found.affine.linear == pytest.approx(3, abs=0.05)
    turn = np.eye(6)
    turn[:2, :2] = [[math.cos(0.4), math.sin(0.4)], [-math.sin(0.4), math.cos(0.4)]]
    turned = Probe(one.features @ turn, one.labels)
    found = fit(reference, turned, tau=0.2, features="rigid", rounds=20, standardise="none")
    assert found.terms.wasserstein < 0.1 * found.start.wasserstein
    assert found.terms.tau == pytest.approx(found.start.tau)
    assert found.affine.gains == pytest.approx((1, 1))


def test_fewer_reference_classes_than_target_classes():
    found = fit(Reference.of(task(0, 2), taus=(0.1,)), task(1, 5), tau=0.1)
    assert found.terms.label_mismatch > 0
    assert sorted(map(len, found.sources.values())) == [1] * 5
    assert found.terms.total >= found.terms.target_loss


def test_free_sharing_ends_no_higher_than_the_trivial_value():
    found = fit(Reference.of(task(0, 4), taus=(0.5,)), task(1, 4, centres=9), tau=0.5, sharing="free")
    assert found.terms.total <= found.terms.trivial + 1e-9


def test_same_seed_same_bits_and_inputs_stay():
    one, two = task(0, n=300), task(1, n=300)
    for probe in (one, two):
        probe.features.flags.writeable = False
    kept = one.features.copy(), two.features.copy()
    found = [
        fit(Reference.of(one, per_class=20, seed=3), two, per_class=20, seed=3, features="rigid") for _ in range(2)
    ]
    assert found[0].terms == found[1].terms
    assert fit(Reference.of(one, per_class=20, seed=4), two, per_class=20, seed=4).terms != found[0].terms
    assert np.array_equal(one.features, kept[0])
    assert np.array_equal(two.features, kept[1])


def test_many_triples_and_a_curve_are_their_members():
    probes = [task(seed, d=4) for seed in range(3)]
    triples = [(probes[0], probes[1]), (probes[0], probes[2]), (probes[1], probes[2])]
    for (one, two), found in zip(triples, fit_all(triples, tau=0.1), strict=True):
        assert found.terms == fit(Reference.of(one, taus=(0.1,)), two, tau=0.1).terms
    taus = (0.0, 0.02, 0.1, 0.5)
    reference = Reference.of(probes[0], taus=taus)
    fits = curve(reference, probes[1], taus=taus)
    losses = [found.terms.reference_loss for found in fits]
    assert losses == sorted(losses, reverse=True)
    assert fits[0].terms.total == pytest.approx(fits[0].terms.trivial)
    assert fits[0].terms.vacuous
    for tau, found in zip(taus, fits, strict=True):
        assert found.terms.total == fit(reference, probes[1], tau=tau).terms.total


def test_classes_are_thinned_alike_and_keep_their_weight():
    big = task(0, n=600)
    part = Part.of(big, per_class=10)
    assert part.sample.counts.tolist() == [10] * 4
    assert part.prior == pytest.approx(np.bincount(big.labels) / 600)
    other = Probe(big.features[:, :3], big.labels)
    z = torch.tensor(big.features[:, :3])
    seen = Part.of(other, per_class=10, standardise="none").sample.features
    whole = Part.of(big, per_class=10, standardise="none").sample.features
    assert torch.equal(seen, whole[:, :3])
    assert len({tuple(row) for row in seen.tolist()} - {tuple(row) for row in z.tolist()}) == 0


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), classes_t=st.integers(1, 4), classes_r=st.integers(1, 4))
def test_choices_against_all_there_are(seed, classes_t, classes_r):
    r = np.random.default_rng(seed)
    costs, prior = r.exponential(size=(classes_t, classes_r)), r.dirichlet(np.ones(classes_t))
    free = assign.assign(costs, prior, "free")
    values = [slow.surrogate(choice.tolist(), costs, prior) for choice in free]
    assert values == pytest.approx([assign.surrogate(choice, costs, prior) for choice in free])
    assert values == sorted(values)
    # A vertex that no single move and no swap improves; of few classes nearly always the best of all.
    assert values[0] <= slow.best_choice(costs, prior, False) + 0.1
    if classes_t <= classes_r:
        (needed,) = assign.assign(costs, prior)
        assert slow.surrogate(needed.tolist(), costs, prior) == pytest.approx(slow.best_choice(costs, prior, True))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_the_surrogate_is_concave_and_its_vertices_are_least(seed):
    r = np.random.default_rng(seed)
    costs, prior = r.exponential(size=(3, 4)), r.dirichlet(np.ones(3))

    def surrogate(table):
        weights = table.sum(axis=0)
        return (table * costs).sum() + (weights * np.log(weights)).sum() - (table * np.log(table)).sum()

    one, two = (r.dirichlet(np.ones(4), size=3) * prior[:, None] for _ in range(2))
    assert surrogate((one + two) / 2) >= (surrogate(one) + surrogate(two)) / 2 - 1e-12
    assert surrogate(one) >= slow.best_choice(costs, prior, False) - 1e-9


def test_two_that_share_cost_the_entropy_of_sharing():
    prior = np.array([0.5, 0.3])
    shares = np.array([0.625, 0.375])
    found = assign.surrogate(np.array([0, 0]), np.zeros((2, 1)), prior)
    assert found == pytest.approx(-0.8 * (shares * np.log(shares)).sum())


def test_reference_classes_are_chosen():
    reference, target = task(0, 6, d=8, n=200), task(1, 3, d=8, n=200)
    assert choose.choose(reference).tolist() == list(range(6))
    drawn = choose.choose(reference, how="random", count=3, seed=1)
    assert len(drawn) == 3
    assert drawn.tolist() == choose.choose(reference, how="random", count=3, seed=1).tolist()
    assert {tuple(choose.choose(reference, how="random", count=3, seed=s).tolist()) for s in range(9)} != {tuple(drawn)}
    # The target's centres are the first three of the reference's.
    assert choose.choose(reference, target, how="related").tolist() == [0, 1, 2]
    assert len(choose.choose(reference, target, how="related", count=5)) == 5
    kept = choose.restrict(reference, drawn)
    assert kept.classes.tolist() == drawn.tolist()
    with pytest.raises(ValueError, match="count must be given where there is no target"):
        choose.choose(reference, how="random")
    with pytest.raises(ValueError, match="how must be"):
        choose.choose(reference, how="some", count=3)


def test_digits_corrupted_more_have_a_larger_bound():
    z, y = load_digits(return_X_y=True)
    r = np.random.default_rng(0)
    reference = Reference.of(Probe(z[::3], y[::3]), taus=(0.1,), per_class=30)
    found = []
    for strength in (0.0, 0.3, 0.6, 0.9):
        swapped = np.where(r.random(z.shape) < strength, r.permuted(z, axis=0), z)
        found.append(fit(reference, Probe(swapped[1::3], y[1::3]), tau=0.1, per_class=30).terms)
    for name in ("total", "total_projected", "target_loss"):
        values = [getattr(terms, name) for terms in found]
        assert values == sorted(values), name


def test_what_is_refused():
    reference = Reference.of(task(0))
    with pytest.raises(ValueError, match="features must be among"):
        fit(reference, task(1), features="affine")
    with pytest.raises(ValueError, match=r"tau must be among .* \[0.02\], got 0.3"):
        fit(reference, task(1), tau=0.3)
    with pytest.raises(ValueError, match="reference features must have dimension 5, got 6"):
        fit(reference, task(1, d=5))
    with pytest.raises(CannotScore, match="needs at least 2 reference classes, got 1"):
        Reference.of(task(0, 1))
    with pytest.raises(CannotScore, match="needs one class per example, got values labels"):
        Part.of(Probe(np.ones((3, 2)), np.array([0.5, 1.0, 2.0])))
    with pytest.raises(ValueError, match="standardise must be"):
        Part.of(task(0), standardise="both")
    with pytest.raises(ValueError, match="labels must be among the classes"):
        fit(reference, task(1)).held_out(task(2), Probe(np.ones((2, 6)), np.array([0, 99])))
    assert math.isfinite(fit(reference, Probe(np.ones((4, 6)), np.arange(4))).terms.total)
