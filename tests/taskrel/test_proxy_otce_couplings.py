"""OTCE on couplings that are known by hand, its influence, and draws that keep the proportions of the classes."""

from math import log

import numpy as np
import ot
import pytest

from taskrel.proxies import PROXIES, otce
from taskrel.types import CannotScore, Probe

OTCE = PROXIES["otce"]


def blobs(seed, n=40, d=3, classes=3):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    return Probe(rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d)), labels)


def line(places, labels):
    return Probe(np.array(places, dtype=float)[:, None], np.array(list(labels)))


def entropy(*shares):
    return -sum(p * log(p) for p in shares if p)


def run(target, source, **settings):
    return OTCE.score(target, reference=source, **settings)


@pytest.mark.parametrize(
    ("target", "source", "nats", "distance"),
    [
        # On a line the cheapest coupling keeps the order.
        (line([0.1, 1.1, 2.1, 3.1], "xxyy"), line([0, 1, 2, 3], "aabb"), 0, 0.01),
        (line([0.1, 1.1, 2.1, 3.1], "xyxy"), line([0, 1, 2, 3], "aabb"), log(2), 0.01),
        (line([3, 1, 0, 2], "yxxy"), line([2, 0, 3, 1], "baba"), 0, 0),
        # Three fine classes foretell two coarse ones, not the other way around.
        (line([0, 1, 2, 3], "xxyy"), line([0, 1, 2, 3], "aabc"), 0, 0),
        (line([0, 1, 2, 3], "xxyz"), line([0, 1, 2, 3], "aabb"), log(2) / 2, 0),
        # Two onto three: half of the middle one comes from either side.
        (line([0, 0.5, 1], "xyx"), line([0, 1], "ab"), entropy(2 / 3, 1 / 3), 1 / 12),
        # One place with two labels gives the same of both to whatever it is coupled with.
        (line([0, 1], "xy"), line([5, 5, 5, 5], "aabb"), log(2), 20.5),
        (line([5, 5, 5, 5], "xxyy"), line([0, 1], "ab"), log(2), 20.5),
        # An offset of all features costs distance only.
        (line([10, 10.5, 11], "xyx"), line([0, 1], "ab"), entropy(2 / 3, 1 / 3), 100 + 1 / 12),
    ],
)
def test_couplings_by_hand(target, source, nats, distance):
    found = run(target, source)
    assert found.value == pytest.approx(-nats, abs=1e-12)
    assert found.detail["distance"] == pytest.approx(distance, abs=1e-12)
    assert run(target, source, distance_weight=0.5).value == pytest.approx(-nats - distance / 2, abs=1e-12)


@pytest.mark.parametrize("distance_weight", [0.0, 0.3])
def test_influence_is_the_derivative_by_the_weights_with_the_coupling_held(distance_weight):
    n = 6
    target, source = blobs(11, n, classes=2), blobs(12, n, classes=3)
    cost = ot.dist(source.features, target.features)
    partner = ot.emd([], [], cost).argmax(axis=0)
    direction = np.random.default_rng(0).standard_normal(n)
    direction -= direction.mean()

    def at(step):
        weights, joint = (1 + step * direction) / n, {}
        for w, r, y in zip(weights, source.labels[partner], target.labels, strict=True):
            joint.setdefault(r, {}).setdefault(y, []).append(w)
        cells = {r: [sum(ws) for ws in row.values()] for r, row in joint.items()}
        nats = sum(w * log(w / sum(row)) for row in cells.values() for w in row)
        return nats - distance_weight * np.sum(weights * cost[partner, np.arange(n)])

    found = run(target, source, distance_weight=distance_weight)
    assert found.value == pytest.approx(at(0), abs=1e-12)
    slope = (at(1e-4) - at(-1e-4)) / 2e-4
    assert np.mean(direction * found.influence) == pytest.approx(slope, rel=1e-6)
    assert abs(slope) > 1e-3


def test_draws_keep_proportions_where_classes_share_rows():
    # The row with the first chance belongs to both classes: their queues must not be merged.
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], [60, 20])
    features = rng.standard_normal((80, 2))
    features[60:] = features[:20]
    place = np.unique(features, axis=0, return_inverse=True)[1].reshape(-1)
    for seed in range(40):
        assert np.bincount(labels[otce._draw(place, labels, 20, seed)]).tolist() == [15, 5]


def test_an_unsolved_transport_cannot_be_scored(monkeypatch):
    monkeypatch.setattr(otce, "_PIVOTS", 1)
    with pytest.raises(CannotScore, match="otce needs a transport problem that can be solved, got "):
        run(blobs(0), blobs(1))
