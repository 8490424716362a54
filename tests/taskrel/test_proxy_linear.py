"""The linear proxy against plain SGD runs, chosen by validation and reduced to a median by hand."""

from statistics import median

import numpy as np
import pytest
import torch
from oracles.sgd import plain_sgd

from taskrel.heads import batch_stream
from taskrel.proxies import PROXIES, linear
from taskrel.types import CannotScore, Probe


def parts(n=60, m=40, d=30, classes=5):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((classes, d))

    def part(size):
        labels = rng.integers(0, classes, size)
        return Probe((centres[labels] + 2 * rng.standard_normal((size, d))) / np.sqrt(d), labels)

    return part(n), part(m)


def plain_accuracy(train, val, rate, batches):
    x, y = torch.tensor(train.features), torch.tensor(train.labels)
    weight, bias = plain_sgd(x, y, 5, rate, batches)
    guess = (torch.tensor(val.features) @ weight.T + bias).argmax(1).numpy()
    return float((guess == val.labels).mean())


def test_best_rate_by_validation_then_median_over_repeats():
    train, val = parts()
    score = linear.score(train, val, seed=7, learning_rates=(0.5, 0.02), steps=80, batch=24)
    runs = [
        [plain_accuracy(train, val, rate, batch_stream(60, 24, 80, (7, r))) for rate in (0.5, 0.02)] for r in range(5)
    ]
    assert score.values == tuple(max(pair) for pair in runs)
    assert score.value == median(score.values)
    assert score.detail["medians"] == [median(pair[i] for pair in runs) for i in range(2)]
    wins = [sum(pair[0] >= pair[1] for pair in runs), sum(pair[0] < pair[1] for pair in runs)]
    assert score.detail["learning_rate"] == (0.5 if wins[0] >= wins[1] else 0.02)
    assert (score.detail["diverged"], score.detail["unseen"]) == (0, 0)


def test_defaults_are_the_protocol_of_the_study():
    assert PROXIES["linear"].settings() == {
        "learning_rates": (0.1, 0.01),
        "steps": 2500,
        "batch": 512,
        "repeats": 5,
    }


def test_separable_classes_are_found_at_the_studys_length():
    rng = np.random.default_rng(1)
    labels = np.arange(40) % 2
    features = np.where(labels, 1.0, -1.0)[:, None] * [[1, 0.5]] + rng.normal(0, 0.1, (40, 2))
    half = Probe(features[:20], labels[:20]), Probe(features[20:], labels[20:])
    assert linear.score(*half, seed=0).values == (1.0,) * 5


def test_a_rate_that_diverges_is_left_out_and_counted():
    train, val = parts()
    short = {"steps": 40, "batch": 24, "repeats": 3}
    score = linear.score(train, val, seed=0, learning_rates=(3e38, 0.1), **short)
    alone = linear.score(train, val, seed=0, learning_rates=(0.1,), **short)
    assert score.values == alone.values
    assert score.detail["diverged"] == 3
    assert score.detail["medians"] == [None, *alone.detail["medians"]]
    assert score.detail["learning_rate"] == 0.1


def test_nothing_left_when_every_head_diverges():
    train, val = parts()
    huge = Probe(train.features * 1e30, train.labels)
    message = "linear needs a head with finite weights, got 4 diverged ones"
    with pytest.raises(CannotScore, match=message):
        linear.score(huge, val, seed=0, steps=5, repeats=2)


def test_validation_classes_never_seen_count_as_wrong():
    train, val = parts()
    strange = Probe(val.features, np.where(np.arange(len(val)) < 10, 99, val.labels))
    settings = {"steps": 60, "repeats": 1, "learning_rates": (0.1,)}
    whole = linear.score(train, val, seed=0, **settings)
    partly = linear.score(train, strange, seed=0, **settings)
    last = Probe(val.features[10:], val.labels[10:])
    assert partly.detail["unseen"] == 10
    assert partly.value * 40 == linear.score(train, last, seed=0, **settings).value * 30
    assert partly.value <= whole.value


def test_refusals():
    train, val = parts()
    with pytest.raises(CannotScore, match="linear needs a validation part"):
        linear.score(train, None, seed=0)
    with pytest.raises(CannotScore, match="linear needs at least 2 training classes, got 1"):
        linear.score(Probe(train.features, np.zeros(60, dtype=int)), val, seed=0)
    with pytest.raises(ValueError, match="learning_rates must be positive"):
        linear.score(train, val, seed=0, learning_rates=())
    with pytest.raises(ValueError, match="seed must be at least 0"):
        linear.score(train, val, seed=-1)
