"""OTCE against brute force over matchings, POT on the rows as they are, and hand-worked couplings."""

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import otce as exact
from scipy.stats import entropy

from taskrel.proxies import PROXIES, otce
from taskrel.types import CannotScore, Probe

LAW = settings(deadline=None, max_examples=20)


def task(seed, n=40, d=3, classes=3):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    return Probe(2 * rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d)), labels)


def run(target, reference, seed=0, **settings):
    return otce.score(target, None, seed=seed, reference=reference, **settings)


def by_pot(target, reference):
    """The entropy from the plan between all rows, uncentred and unscaled."""
    plan = ot.emd(ot.unif(len(reference)), ot.unif(len(target)), ot.dist(reference.features, target.features))
    joint = np.array([[plan[np.ix_(reference.labels == r, target.labels == t)].sum() for t in target.classes]
                      for r in reference.classes])  # fmt: skip
    return entropy(joint.ravel()) - entropy(joint.sum(axis=1))


def test_by_hand():
    # One mass of a third each: the reference's class 0 goes to x and x, its class 1 half to y and half to x.
    reference = Probe(np.array([[0.0], [1.0], [9.0], [10.0]]), np.array([0, 0, 1, 1]))
    target = Probe(np.array([[0.0], [1.0], [9.0], [10.0]]), np.array(["x", "x", "x", "y"]))
    score = run(target, reference)
    assert score.value == pytest.approx(-0.5 * np.log(2), rel=1e-14)
    assert score.detail == {"entropy": -score.value, "distance": 0.0, "examples": 4, "reference": 4}
    # P(x|0) = 1, P(x|1) = P(y|1) = 1/2: each example's own log, minus their mean.
    logs = np.array([0, 0, -np.log(2), -np.log(2)])
    assert score.influence == pytest.approx(logs - logs.mean(), rel=1e-14)


@LAW
@given(seed=st.integers(0, 10**6))
def test_agrees_with_every_matching_tried(seed):
    target, reference = task(seed, n=6), task(seed + 1, n=6, classes=2)
    sides = [(p.features.tolist(), p.labels.tolist()) for p in (reference, target)]
    nats, distance = exact.entropy_and_distance(*sides[0], *sides[1])
    score = run(target, reference, distance_weight=0.3)
    assert score.detail["entropy"] == pytest.approx(nats, abs=1e-12)
    assert score.detail["distance"] == pytest.approx(distance, rel=1e-10)
    assert score.value == pytest.approx(-nats - 0.3 * distance, rel=1e-10)


@LAW
@given(seed=st.integers(0, 10**6))
def test_agrees_with_pot_and_lies_within_its_bounds(seed):
    target, reference = task(seed), task(seed + 1, n=23, classes=4)
    score = run(target, reference)
    assert -entropy(np.bincount(target.labels)) - 1e-12 <= score.value <= 0
    assert score.value == pytest.approx(-by_pot(target, reference), abs=1e-10)
    assert score.influence.mean() == pytest.approx(0, abs=1e-12)


def test_a_task_is_foretold_by_itself():
    assert run(task(0), task(0)).value == pytest.approx(0, abs=1e-12)


@LAW
@given(seed=st.integers(0, 10**6), limit=st.sampled_from([15, 1000]))
def test_order_and_names_do_not_matter(seed, limit):
    # Nor where fewer examples are drawn; nor when rows are equal.
    target, reference = task(seed), task(seed + 1, n=30)
    target.features[5:9] = target.features[4]
    rng = np.random.default_rng(seed)
    names = np.array(["c", "a", "b"])
    order, turn = rng.permutation(len(target)), rng.permutation(len(reference))
    moved = Probe(target.features[order], names[target.labels[order]])
    turned = Probe(reference.features[turn], 7 - reference.labels[turn])
    score = run(target, reference, seed, limit=limit)
    assert run(moved, turned, seed, limit=limit).value == pytest.approx(score.value, abs=1e-12)
    assert (score.influence is None) == (limit == 15)


def test_an_offset_or_a_scale_of_either_part_does_not_matter():
    target, reference = task(0), task(1)
    moved = Probe(3 * target.features + 1e6, target.labels)
    assert run(moved, reference).value == pytest.approx(run(target, reference).value, abs=1e-10)
    distance = run(moved, reference).detail["distance"]
    assert distance == pytest.approx(3 * 1e12, rel=1e-4)


def test_features_that_say_nothing_leave_the_entropy_of_the_labels():
    labels = np.array([0, 0, 1, 1, 1, 2])
    flat = Probe(np.ones((6, 2)), labels)
    score = run(flat, Probe(np.ones((4, 2)), np.array([0, 1, 0, 1])))
    assert score.value == pytest.approx(-entropy(np.bincount(labels)), rel=1e-14)


def test_draws_are_in_proportion_to_the_classes_and_seeded():
    rng = np.random.default_rng(0)
    labels = np.repeat([5, 2, 9], [300, 150, 50])
    probe = Probe(rng.standard_normal((500, 2)), labels)
    points = otce._points(probe, 100, 0)
    assert np.bincount(points.ids).tolist() == [30, 60, 10]
    rows = points.rows + points.mean
    assert all((np.abs(probe.features - row).sum(axis=1) < 1e-12).any() for row in rows)
    assert not np.array_equal(rows, (again := otce._points(probe, 100, 1)).rows + again.mean)
    score = run(probe, probe, limit=100)
    assert score == run(probe, probe, limit=100)
    assert score.detail["examples"] == score.detail["reference"] == 100


def test_refusals():
    target = task(0)
    with pytest.raises(CannotScore, match="otce needs a reference task, got none"):
        PROXIES["otce"].score(target)
    with pytest.raises(CannotScore, match="otce needs one class per example of the reference, got values labels"):
        run(target, Probe(target.features, np.zeros(len(target))))
    with pytest.raises(ValueError, match="reference features must have dimension 3, got 2"):
        run(target, task(0, d=2))
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        run(target, target, limit=0)
    with pytest.raises(ValueError, match="distance_weight must be at least 0, got -1"):
        run(target, target, distance_weight=-1)
