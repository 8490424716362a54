"""Heads trained together against separate plain SGD runs on the same batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.sgd import plain_sgd

from taskrel.heads import Recipe, batch_stream, train_heads

RATES = (0.1, 0.01)


def data(n, d, classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    features = rng.standard_normal((classes, d))[labels] + rng.standard_normal((n, d))
    return torch.tensor(features / np.sqrt(d)), torch.tensor(labels)


def assert_same_as_plain(x, y, classes, recipe, *, seed, space=None, milestones=()):
    heads = train_heads(x, y, classes, recipe, seed=seed, dtype=torch.float64, space=space)
    for r in range(recipe.repeats):
        batches = list(batch_stream(len(x), recipe.batch, recipe.steps, (seed, r)))
        for i, rate in enumerate(recipe.learning_rates):
            weight, bias = plain_sgd(x, y, classes, rate, batches, bias=recipe.bias, milestones=milestones)
            torch.testing.assert_close(heads.weights[r, i], weight, rtol=0, atol=1e-9)
            torch.testing.assert_close(heads.biases[r, i], bias, rtol=0, atol=1e-9)
    return heads


@pytest.mark.parametrize("space", ["sample", "feature", None])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("n", "d", "classes", "batch"),
    [
        (30, 80, 4, 16),  # n < d, batches cross the ends of permutations
        (90, 7, 3, 32),  # n > d
        (40, 30, 5, 40),  # d < n < 2d, batch = n
        (25, 6, 2, 512),  # batch > n, two classes
        (33, 50, 6, 1),  # one example per step
    ],
)
def test_same_trajectories_as_plain_sgd(n, d, classes, batch, bias, space):
    x, y = data(n, d, classes)
    recipe = Recipe(RATES, repeats=2, steps=70, batch=batch, bias=bias)
    assert_same_as_plain(x, y, classes, recipe, seed=3, space=space)


def test_study_protocol_at_its_own_batch_size():
    x, y = data(800, 24, 10)
    recipe = Recipe(RATES, repeats=3, steps=150, batch=512)
    heads = assert_same_as_plain(x, y, 10, recipe, seed=0)
    assert heads.weights.shape == (3, 2, 10, 24)
    assert heads.space == "feature"


def test_step_decay_is_that_of_multistep():
    x, y = data(40, 60, 3)
    recipe = Recipe(RATES, repeats=1, steps=61, batch=16, decay_at=(1 / 3, 2 / 3))
    assert_same_as_plain(x, y, 3, recipe, seed=1, milestones=(20, 40))


def test_another_momentum():
    x, y = data(40, 60, 3)
    batches = list(batch_stream(40, 16, 50, (5, 0)))
    heads = train_heads(x, y, 3, Recipe((0.1,), 1, 50, 16, momentum=0.0), seed=5, dtype=torch.float64)
    weight, _ = plain_sgd(x, y, 3, 0.1, batches, momentum=0.0)
    torch.testing.assert_close(heads.weights[0, 0], weight, rtol=0, atol=1e-9)


def test_first_step_by_hand():
    # From zero all probabilities are 1/C, so one full-batch step is rate * Xᵀ(Y - 1/C) / n.
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    y = torch.tensor([0, 1])
    heads = train_heads(x, y, 2, Recipe((0.5,), 1, 1, 2), dtype=torch.float64)
    expected = torch.tensor([[0.125, -0.25], [-0.125, 0.25]], dtype=torch.float64)
    torch.testing.assert_close(heads.weights[0, 0], expected, rtol=0, atol=1e-15)
    torch.testing.assert_close(heads.biases[0, 0], torch.zeros(2, dtype=torch.float64))


def test_no_steps_leave_zero():
    x, y = data(10, 4, 2)
    heads = train_heads(x, y, 2, Recipe(steps=0))
    assert not heads.weights.any()
    assert heads.finite.all()


@pytest.mark.parametrize(
    ("n", "d", "steps", "space"),
    [(30, 40, 300, "sample"), (30, 40, 1, "feature"), (90, 40, 300, "feature")],
)
def test_route_with_fewer_operations_is_chosen(n, d, steps, space):
    x, y = data(n, d, 2)
    assert train_heads(x, y, 2, Recipe(steps=steps)).space == space


def test_features_with_a_gradient_history_are_taken_as_numbers():
    x, y = data(20, 30, 2)
    heads = train_heads(x.requires_grad_(), y, 2, Recipe(steps=3))
    assert not heads.weights.requires_grad


def test_single_precision_stays_close_to_double():
    x, y = data(60, 90, 5)
    recipe = Recipe(repeats=2, steps=300, batch=32)
    single = train_heads(x, y, 5, recipe)
    double = train_heads(x, y, 5, recipe, dtype=torch.float64)
    # 300 steps, each with a relative rounding of 6e-8, on weights of order 1.
    torch.testing.assert_close(single.weights.double(), double.weights, rtol=0, atol=3e-5)
    assert single.weights.dtype == torch.float32


def test_a_class_without_examples_is_only_pushed_down():
    x, y = data(40, 10, 3)
    recipe = Recipe(RATES, repeats=1, steps=40, batch=16)
    heads = assert_same_as_plain(x, y, 4, recipe, seed=0)
    assert (heads.biases[..., 3] < 0).all()


def test_logits_are_those_of_the_weights():
    x, y = data(30, 50, 4)
    heads = train_heads(x, y, 4, Recipe(repeats=2, steps=20, batch=16), dtype=torch.float64)
    fresh = data(11, 50, 4, seed=1)[0]
    logits = heads.logits(fresh.float())
    assert logits.shape == (2, 2, 11, 4)
    expected = fresh.float().double() @ heads.weights[1, 0].T + heads.biases[1, 0]
    torch.testing.assert_close(logits[1, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", ["sample", "feature"])
def test_a_diverging_head_is_reported_and_spares_the_others(space):
    x, y = data(30, 20, 3)
    together = train_heads(x, y, 3, Recipe((0.1, 3e38), 2, 30, 16), space=space)
    alone = train_heads(x, y, 3, Recipe((0.1,), 2, 30, 16), space=space)
    assert together.finite.tolist() == [[True, False], [True, False]]
    torch.testing.assert_close(together.weights[:, 0], alone.weights[:, 0], rtol=0, atol=1e-6)


def test_same_seed_same_weights_and_inputs_unwritten():
    x, y = data(30, 50, 4)
    before = x.clone(), y.clone()
    recipe = Recipe(repeats=2, steps=20, batch=16)
    first = train_heads(x, y, 4, recipe, seed=1)
    second = train_heads(x, y, 4, recipe, seed=1)
    other = train_heads(x, y, 4, recipe, seed=2)
    assert torch.equal(first.weights, second.weights)
    assert not torch.equal(first.weights, other.weights)
    assert not torch.equal(first.weights[0], first.weights[1])
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


@settings(deadline=None, max_examples=50)
@given(
    n=st.integers(1, 40),
    batch=st.integers(1, 60),
    steps=st.integers(0, 20),
    seed=st.integers(0, 2**32),
)
def test_batches_are_windows_of_permutations(n, batch, steps, seed):
    batches = list(batch_stream(n, batch, steps, seed))
    assert [len(b) for b in batches] == [min(batch, n)] * steps
    stream = np.concatenate([*batches, np.empty(0, dtype=np.int64)])
    for start in range(0, len(stream), n):
        window = stream[start : start + n]
        assert len(set(window.tolist())) == len(window)
        assert set(window.tolist()) <= set(range(n))
    again = list(batch_stream(n, batch, steps, seed))
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_a_batch_is_the_callers_to_change():
    plain = [b.copy() for b in batch_stream(10, 4, 6, 0)]
    for kept, batch in zip(plain, batch_stream(10, 4, 6, 0), strict=True):
        assert np.array_equal(kept, batch)
        batch[:] = -1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5, 5, 0), "n must be at least 1, got 0"),
        ((5, 0, 5, 0), "batch must be at least 1, got 0"),
        ((5, 5, -1, 0), "steps must be at least 0, got -1"),
    ],
)
def test_batch_stream_refuses_at_the_call(arguments, message):
    with pytest.raises(ValueError, match=message):
        batch_stream(*arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rates": ()}, "learning_rates must be positive"),
        ({"learning_rates": (0.1, 0.0)}, "learning_rates must be positive"),
        ({"repeats": 0}, "repeats must be at least 1, got 0"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1.0"),
        ({"decay_at": (1.5,)}, r"decay_at must be fractions in \(0, 1\), got \[1.5\]"),
    ],
)
def test_recipe_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**changes)


@pytest.mark.parametrize(
    ("features", "labels", "classes", "seed", "message"),
    [
        (torch.ones(3), torch.zeros(3), 2, 0, r"features must be \[n, d\]"),
        (torch.ones(3, 2), torch.zeros(2), 2, 0, r"labels must be \[3\], got shape \(2,\)"),
        (torch.ones(3, 2), torch.zeros(3), 1, 0, "classes must be at least 2, got 1"),
        (torch.ones(3, 2), torch.arange(3), 2, 0, r"labels must lie in \[0, 2\), got 0..2"),
        (torch.ones(3, 2), torch.zeros(3), 2, -1, "seed must be at least 0, got -1"),
    ],
)
def test_train_heads_refuses(features, labels, classes, seed, message):
    with pytest.raises(ValueError, match=message):
        train_heads(features, labels, classes, seed=seed)
