"""Targets without labels: labels are never read, classes are recovered where they can be, the certificate is below."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrel.bound.fit import Part, Reference, fit
from taskrel.bound.maps import Affine, Joint
from taskrel.bound.terms import evaluate
from taskrel.bound.transport import w1
from taskrel.bound.unlabelled import _labelled, certificate, fit_unlabelled
from taskrel.proxies import PROXIES
from taskrel.types import CannotScore, Probe

CENTRES = 4 * np.random.default_rng(5).normal(size=(8, 10))


def task(seed, classes=4, n=120, shares=None, spread=1.0):
    r = np.random.default_rng(seed)
    ids = np.concatenate([np.arange(classes), r.choice(classes, n - classes, p=shares)])
    return Probe(CENTRES[ids] + spread * r.normal(size=(n, 10)), ids)


def agreement(found, labels):
    """Share of examples in the majority class of their pseudo-class."""
    counts = np.zeros((found.pseudo.max() + 1, labels.max() + 1))
    np.add.at(counts, (found.pseudo, labels[found.rows]), 1)
    return counts.max(axis=1).sum() / counts.sum()


@pytest.mark.parametrize("start", ["clusters", "reference"])
@pytest.mark.parametrize("prior", ["uniform", "estimated", "given"])
def test_classes_are_found_without_labels(start, prior):
    shares = np.array([0.4, 0.3, 0.2, 0.1]) if prior == "given" else np.full(4, 0.25)
    target = task(1, shares=shares)
    reference = Reference.of(task(0), taus=(0.1,))
    counts = np.bincount(target.labels) / len(target)
    found = fit_unlabelled(reference, target.features, classes=4, prior=counts if prior == "given" else prior,
                           start=start, tau=0.1)  # fmt: skip
    assert found.prior == prior
    assert agreement(found, target.labels) > (0.85 if prior == "uniform" else 0.99)
    assert len(found.totals) == (3 if start == "clusters" else 1)
    assert found.fit.terms.total == min(found.totals)
    assert 0.25 <= found.confidence <= 1
    assert 0.8 <= found.margin <= 1
    if prior != "uniform":
        labelled = fit(reference, target, tau=0.1).terms.total
        assert found.fit.terms.total == pytest.approx(labelled, rel=0.02)


@pytest.mark.parametrize("settings_", [{}, {"prior": "estimated"}, {"start": "reference", "classes": 3}], ids=str)
def test_labels_of_the_target_are_never_read(settings_):
    proxy = PROXIES["task_relatedness_unlabelled"]
    target, reference = task(1), task(0)
    score = proxy.score(target, seed=0, reference=reference, **settings_)
    for seed in range(3):
        other = Probe(target.features, np.random.default_rng(seed).permutation(target.labels))
        assert proxy.score(other, seed=0, reference=reference, **settings_) == score
    labelled = PROXIES["task_relatedness"]
    assert labelled.score(target, reference=reference) != labelled.score(other, reference=reference)


def test_known_sizes_are_kept():
    costs = np.random.default_rng(0).random((10, 3))
    sizes = np.bincount(_labelled(costs, np.array([0.5, 0.3, 0.2])), minlength=3)
    assert sorted(sizes.tolist()) == [2, 3, 5]
    free = costs + np.array([0, 0, 5.0])
    assert np.bincount(_labelled(free, None), minlength=3)[2] == 1
    cheapest = _labelled(np.array([[0.0, 1], [0, 5], [0, 1], [0, 9]]), np.array([0.5, 0.5]))
    assert cheapest.tolist() == [1, 0, 1, 0]


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_the_certificate_is_below_every_labelled_bound(seed):
    r = np.random.default_rng(seed)
    reference, target = Reference.of(task(seed, 3, n=24), taus=(0.3,)), Part.of(task(seed + 1, 3, n=20))
    head, one = reference.head(0.3), reference.part.sample
    still = Affine.identity(one.features)
    least = certificate(head, still, one, target.sample.features)
    for _ in range(3):
        joint = Joint(r.dirichlet(np.ones(3), size=3) * target.sample.prior[:, None])
        terms = evaluate(head, still, joint, one, target.sample)
        assert least <= terms.total + 1e-9
        masses = (joint.weights / one.counts)[one.ids]
        assert w1(one.features, target.sample.features, masses).value <= terms.wasserstein + 1e-9
    relabelled = type(target.sample)(target.sample.features, r.permutation(target.sample.ids), 3)
    assert least <= evaluate(head, still, Joint(np.diag(relabelled.prior)), one, relabelled).total + 1e-9


def test_the_certificate_of_the_task_itself_is_the_best_class_or_less():
    reference = Reference.of(task(0, 3, n=24), taus=(0.3,))
    head, one = reference.head(0.3), reference.part.sample
    least = certificate(head, Affine.identity(one.features), one, one.features)
    assert least <= one.prior @ head.class_losses(one) + 1e-9
    far = certificate(head, Affine(1.0, torch.full((10,), 9.0, dtype=torch.float64)), one, one.features)
    assert far > least + 0.3 * 9
    with pytest.raises(ValueError, match="pairs of points must be at most 10, got 576"):
        certificate(head, Affine.identity(one.features), one, one.features, pairs=10)


def test_more_classes_than_the_reference_has():
    reference = Reference.of(task(0, 3), taus=(0.02,))
    found = fit_unlabelled(reference, task(1, 5).features, classes=5)
    assert found.fit.terms.label_mismatch > 0
    with pytest.raises(ValueError, match=r"classes must be at most those of the reference \(3\), got 5"):
        fit_unlabelled(reference, task(1).features, classes=5, start="reference")
    with pytest.raises(CannotScore, match="task_relatedness_unlabelled needs at least 5 reference classes, got 3"):
        PROXIES["task_relatedness_unlabelled"].score(task(1, 5), reference=task(0, 3), start="reference")


def test_what_is_refused():
    reference = Reference.of(task(0))
    with pytest.raises(ValueError, match="prior must be 'uniform', 'estimated' or frequencies"):
        fit_unlabelled(reference, task(1).features, classes=4, prior="known")
    with pytest.raises(ValueError, match="prior must be 4 positive frequencies"):
        fit_unlabelled(reference, task(1).features, classes=4, prior=[0.5, 0.5])
    with pytest.raises(ValueError, match="start must be"):
        fit_unlabelled(reference, task(1).features, classes=4, start="random")
    with pytest.raises(ValueError, match="features must be at least 4 rows"):
        fit_unlabelled(reference, task(1).features[:3], classes=4)
