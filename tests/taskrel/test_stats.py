"""Sums from batches, in any split and merge order, are the sums of the whole; the spectra of both routes agree."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from taskrel.proxies import PROXIES
from taskrel.rows import rows
from taskrel.stats import FeatureStats, merged
from taskrel.types import CannotScore, Probe

LAW = settings(deadline=None, max_examples=25)
ADDITIVE = [proxy for proxy in PROXIES.values() if proxy.sums]
SETTINGS = {"gbc": {"directions": None, "covariance": "diagonal"}}


def data(n=90, d=7, classes=4, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    centres = rng.standard_normal((classes, d))
    features = centres[labels] + rng.standard_normal((n, d)) + offset
    probs = rng.dirichlet(np.ones(5), size=n)
    return features, labels, probs


def cuts(n, pieces, seed):
    places = np.sort(np.random.default_rng(seed).choice(np.arange(1, n), pieces - 1, replace=False))
    return np.split(np.arange(n), places)


@pytest.mark.parametrize("proxy", ADDITIVE, ids=lambda proxy: proxy.name)
@pytest.mark.parametrize(("n", "d"), [(90, 7), (20, 30)])
@LAW
@given(pieces=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_any_split_and_merge_order_gives_the_value_of_the_whole(proxy, n, d, pieces, seed):
    features, labels, probs = data(n, d)
    order = np.random.default_rng(seed).permutation(n)
    parts = []
    for index in cuts(n, pieces, seed):
        chosen = order[index]
        # Two batches per worker, so that pivots and orders of classes differ between workers.
        part = FeatureStats()
        for half in np.array_split(chosen, 2) if len(chosen) > 1 else [chosen]:
            part.update(features[half], labels[half], probs[half])
        parts.append(part)
    stats = merged(parts)
    assert stats.examples == n
    options = SETTINGS.get(proxy.name, {})
    whole = proxy.score(Probe(features, labels, probs), seed=0, **options)
    assert proxy.compute(stats, **options) == pytest.approx(whole.value, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("proxy", [proxy for proxy in ADDITIVE if "shift" in proxy.invariant_to], ids=lambda p: p.name)
def test_an_offset_of_a_million_costs_no_digits(proxy):
    options = SETTINGS.get(proxy.name, {})
    features, labels = load_digits(return_X_y=True)
    probs = np.full((len(labels), 3), 1 / 3)
    there, here = FeatureStats(), FeatureStats()
    for start in range(0, len(labels), 200):
        part = slice(start, start + 200)
        here.update(features[part], labels[part], probs[part])
        there.update(features[part] + 1e6, labels[part], probs[part])
    assert proxy.compute(there, **options) == pytest.approx(proxy.compute(here, **options), rel=1e-8, abs=1e-14)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (12, 40), (20, 20)])
def test_the_spectrum_is_that_of_the_centred_features(n, d):
    features, labels, _ = data(n, d, offset=3.0)
    x = features - features.mean(axis=0)
    singular = np.linalg.svd(x, compute_uv=False)
    kept = singular[singular > singular[0] * max(n, d) * 2.2e-16 * 1e4]
    for found in (rows(Probe(features, labels)).spectrum, FeatureStats().update(features, labels).spectrum):
        assert found.rank == len(kept) == min(n - 1, d)
        assert found.values.numpy() == pytest.approx(kept**2, rel=1e-9)
        mean = features.mean(axis=0)
        assert float(found.mean.square().sum()) + found.beyond == pytest.approx(mean @ mean)
        assert found.fourth == pytest.approx((np.square(x).sum(axis=1) ** 2).sum(), rel=1e-10)
        onehot = np.eye(4)[labels]
        assert found.sums.tolist() == found.squares.tolist() == onehot.sum(axis=0).tolist()
        # Directions have no sign: compare what does not depend on it.
        assert (found.cross @ found.cross.T).numpy() == pytest.approx(onehot.T @ x @ x.T @ onehot, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (12, 40)])
def test_rows_are_put_together_again_from_their_decomposition(n, d):
    features, labels, _ = data(n, d, offset=-2.0)
    seen = rows(Probe(features, labels))
    x = features - features.mean(axis=0)
    root = seen.spectrum.values.sqrt()
    assert (seen.left * root @ seen.basis.T).numpy() == pytest.approx(x, abs=1e-9)
    assert (seen.left.T @ seen.left).numpy() == pytest.approx(np.eye(seen.spectrum.rank), abs=1e-8)
    assert (seen.coordinates(3) - seen.coordinates()[:, :3]).abs().max() < 1e-9
    again = seen.project(Probe(features, labels))
    assert again.numpy() == pytest.approx(seen.coordinates().numpy(), abs=1e-9)
    assert seen.class_variances.numpy() == pytest.approx(
        np.stack([x[labels == c].var(axis=0) for c in range(4)]), abs=1e-12
    )
    stats = FeatureStats().update(features, labels)
    assert stats.class_variances.numpy() == pytest.approx(seen.class_variances.numpy(), abs=1e-9)
    assert stats.class_means.numpy() == pytest.approx(seen.class_means.numpy(), abs=1e-9)


def test_a_probe_is_decomposed_once_and_forgotten_with_the_probe(monkeypatch):
    import taskrel.rows

    calls = []
    monkeypatch.setattr(taskrel.rows, "decompose", lambda *given: calls.append(1) or taskrel.spectrum.decompose(*given))
    features, labels, probs = data()
    probe = Probe(features, labels, probs)
    for name in ("logme", "hscore", "shrinkage_hscore"):
        PROXIES[name].score(probe)
    assert len(calls) == 1
    assert rows(probe) is rows(probe)
    kept = len(taskrel.rows._KEPT)
    del probe
    assert len(taskrel.rows._KEPT) < kept


def test_flat_features_have_no_directions():
    found = FeatureStats().update(np.ones((5, 3)), np.array([0, 1, 0, 1, 1])).spectrum
    assert found.rank == 0
    assert rows(Probe(np.ones((5, 3)), np.array([0, 1, 0, 1, 1]))).spectrum.rank == 0


def test_strings_gaps_and_late_classes():
    features, labels, probs = data()
    names = np.array(["d", "a", "zz", "b"])[labels]
    late = np.argsort(labels, kind="stable")  # classes come one after the other
    stats = FeatureStats()
    for index in np.array_split(late, 9):
        stats.update(features[index], names[index], probs[index])
    assert stats.classes == ["a", "b", "d", "zz"]
    assert stats.counts.tolist() == [float((names == name).sum()) for name in stats.classes]
    assert PROXIES["hscore"].compute(stats) == pytest.approx(PROXIES["hscore"].score(Probe(features, labels)).value)
    assert float(stats.joint.sum()) == pytest.approx(len(labels))
    assert stats.joint_hard.sum(dim=1).tolist() == stats.counts.tolist()


def test_batches_of_real_values_and_of_several_labels():
    features, labels, _ = data()
    real = features[:, :2] @ np.array([1.0, -2.0]) + labels
    several = np.eye(4, dtype=int)[labels]
    for targets in (real, several):
        stats = FeatureStats()
        for index in np.array_split(np.arange(90), 4):
            stats.update(features[index], targets[index])
        whole = PROXIES["logme"].score(Probe(features, targets)).value
        assert PROXIES["logme"].compute(stats) == pytest.approx(whole, rel=1e-10)
    with pytest.raises(CannotScore, match="hscore needs one class per example as labels, got 0/1 label columns"):
        PROXIES["hscore"].compute(stats)


def test_single_precision_batches_are_summed_in_double():
    features, labels, _ = data(offset=100.0)
    single = features.astype(np.float32)
    stats = FeatureStats()
    for index in np.array_split(np.arange(90), 30):
        stats.update(torch.from_numpy(single[index]), labels[index])
    exact = PROXIES["shrinkage_hscore"].score(Probe(single.astype(np.float64), labels)).value
    assert PROXIES["shrinkage_hscore"].compute(stats) == pytest.approx(exact, rel=1e-10)


def test_inputs_and_the_other_side_of_a_merge_are_left_alone():
    features, labels, _ = data()
    kept = features.copy()
    one, two = FeatureStats().update(features[:50], labels[:50]), FeatureStats().update(features[50:], labels[50:])
    before = PROXIES["logme"].compute(two)
    empty = FeatureStats()
    empty.merge(two).merge(one)
    one.merge(two)
    assert PROXIES["logme"].compute(two) == before
    assert PROXIES["logme"].compute(one) == pytest.approx(PROXIES["logme"].compute(empty), rel=1e-10)
    assert np.array_equal(features, kept)
    one.reset()
    assert one.examples == 0


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ((np.zeros((3, 6)), np.array([0, 1, 2])), "a batch must have dimension 7, got 6"),
        ((np.zeros((3, 7)), np.array([0.5, 1, 2])), "a batch must have labels of kind 'classes', got 'values'"),
        ((np.zeros((3, 7)), np.array(["a", "b", "c"])), "labels must be of one kind in all batches"),
        ((np.zeros((3, 7)), np.array([0, 1, 2]), np.full((3, 2), 0.5)), "source_probs must be given in every batch"),
        ((np.full((3, 7), np.nan), np.array([0, 1, 2])), "features must be finite"),
    ],
)
def test_batches_that_are_refused_change_nothing(second, message):
    features, labels, _ = data()
    stats = FeatureStats().update(features, labels)
    before = PROXIES["hscore"].compute(stats)
    with pytest.raises(ValueError, match=message):
        stats.update(*second)
    assert (stats.examples, PROXIES["hscore"].compute(stats)) == (90, before)
    with pytest.raises(ValueError, match="must be of the same features"):
        stats.merge(FeatureStats().update(np.zeros((3, 2)), np.array([0, 1, 2])))


def test_what_sums_do_not_suffice_for_says_so():
    stats = FeatureStats().update(*data()[:2])
    with pytest.raises(CannotScore, match="knn must see the rows"):
        PROXIES["knn"].compute(stats)
    with pytest.raises(CannotScore, match="needs source-head probabilities, got none"):
        stats.joint  # noqa: B018  the property raises
    with pytest.raises(CannotScore, match="logme needs at least 2 classes, got 1"):
        PROXIES["logme"].compute(FeatureStats().update(np.eye(3), np.zeros(3, dtype=int)))
