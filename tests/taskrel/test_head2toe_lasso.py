"""The group lasso at its optimum, the authors' Adam, and the final heads: against slow versions and closed forms."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from taskrel.head2toe import Layers
from taskrel.head2toe.final import normalise, sgd_heads
from taskrel.head2toe.lasso import group_lasso, largest_penalty
from taskrel.head2toe.recipe import Batches, adam_heads
from tests.oracles import head2toe as oracle

C = 3


def problem(n=45, sizes=(6, 11, 4), dtype=torch.float64, seed=0):
    """Layers in which the first two features of the second layer tell the classes, and the labels."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % C
    blocks = [torch.randn(n, d, generator=draw, dtype=dtype) + 0.5 for d in sizes]
    blocks[1][:, 0] += 2.0 * (labels == 0)
    blocks[1][:, 1] += 2.0 * (labels == 1)
    return Layers(tuple(map(str, range(len(sizes)))), tuple(blocks)), labels


def dense(layers):
    return layers.columns(np.arange(layers.features)).numpy()


@pytest.mark.parametrize("penalty", [0.05, 0.02, 0.008])
def test_the_optimum_is_that_of_plain_steps_and_meets_its_conditions(penalty):
    layers, labels = problem()
    [[found]] = group_lasso(layers, labels, C, [penalty], tolerance=1e-6)
    onehot = functional.one_hot(labels, C).numpy().astype(float)
    weights, bias, objective = oracle.group_lasso(dense(layers), onehot, penalty)
    assert found.objective == pytest.approx(objective, abs=3e-7)  # the plain steps are not quite there
    own = np.zeros_like(weights)
    own[found.kept] = found.weights.T.numpy()
    np.testing.assert_allclose(own, weights, atol=2e-4)
    np.testing.assert_allclose(found.bias.numpy() - found.bias.numpy().mean(), bias - bias.mean(), atol=2e-4)
    x, probs = dense(layers), torch.softmax(torch.from_numpy(dense(layers) @ own) + found.bias, dim=1).numpy()
    slope = x.T @ (probs - onehot) / len(x)
    norms = np.linalg.norm(own, axis=1)
    assert (np.linalg.norm(slope, axis=1)[norms == 0] <= penalty * (1 + 1e-5)).all()
    active = norms > 0
    assert active.any()
    np.testing.assert_allclose(slope[active], -penalty * own[active] / norms[active, None], atol=1e-5 * penalty)
    np.testing.assert_allclose((probs - onehot).sum(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(found.gradient, np.linalg.norm(slope, axis=1), atol=1e-7)
    assert found.violation <= 1e-6


def test_at_the_largest_penalty_nothing_is_left_but_class_shares():
    layers, labels = problem(n=47)
    top = largest_penalty(layers, labels, C)
    onehot = functional.one_hot(labels, C).double().numpy()
    by_hand = np.linalg.norm(dense(layers).T @ (onehot - onehot.mean(axis=0)), axis=1).max() / 47
    assert top == pytest.approx(by_hand, rel=1e-9)
    [above, below] = group_lasso(layers, labels, C, [top * 1.0001, top * 0.98], tolerance=1e-4)[0]
    assert not len(above.kept)
    assert len(below.kept) == 1
    np.testing.assert_allclose(torch.softmax(above.bias, 0), onehot.mean(axis=0), atol=1e-9)


def test_folds_together_are_folds_alone_and_working_sets_change_nothing(monkeypatch):
    layers, labels = problem(n=60, sizes=(30, 40, 50))
    rows = torch.arange(60)
    train = [rows[rows % 3 != k] for k in range(3)]
    together = group_lasso(layers, labels, C, [0.02, 0.003], train=train, tolerance=1e-6, memory=1 << 10)
    monkeypatch.setattr("taskrel.head2toe.lasso._LEAST", 2)
    for k in range(3):
        alone = group_lasso(layers.rows(train[k]), labels[train[k]], C, [0.003, 0.02], tolerance=1e-6)[0][::-1]
        for a, b in zip(together[k], alone, strict=True):
            assert a.objective == pytest.approx(b.objective, abs=1e-6)
            torch.testing.assert_close(a.strength, b.strength, rtol=0, atol=1e-3 * float(b.strength.max()))


def test_the_order_of_layers_does_not_matter():
    layers, labels = problem()
    turned = Layers(layers.names[::-1], layers.blocks[::-1])
    [[one]], [[two]] = (group_lasso(each, labels, C, [0.01], tolerance=1e-6) for each in (layers, turned))
    moved = torch.cat(two.strength.split(turned.sizes)[::-1])
    torch.testing.assert_close(one.strength, moved, rtol=0, atol=1e-4)


def test_planted_features_are_found():
    layers, labels = problem(n=120, sizes=(60, 40, 80))
    [[found]] = group_lasso(layers, labels, C, [0.004])
    assert set(torch.topk(found.strength, 2).indices.tolist()) == {60, 61}


def test_the_lasso_refuses_nonsense():
    layers, labels = problem()
    for change, match in ((([0.0], 0.01), "penalties"), (([0.1], 2.0), "tolerance")):
        with pytest.raises(ValueError, match=match):
            group_lasso(layers, labels, C, change[0], tolerance=change[1])
    with pytest.raises(ValueError, match="labels"):
        group_lasso(layers, labels + 1, C, [0.1])


def keras_adam(x, y, rate, penalty, steps, size, short, weights):
    """Adam in Keras's form by autograd on one head: weights [C, D] and bias [C]."""
    w, b = weights.clone().requires_grad_(), torch.zeros(C, dtype=x.dtype, requires_grad=True)
    state = [torch.zeros_like(p) for p in (w, w, b, b)]
    for step in range(steps):
        start = range(0, len(x), size)[step % math.ceil(len(x) / size)]
        part = slice(start, start + size)
        losses = functional.cross_entropy(x[part] @ w.T + b, y[part], reduction="none")
        total = (losses + penalty * w.norm(dim=0).sum()).sum() / (size if short == "as_released" else len(losses))
        slopes = torch.autograd.grad(total, (w, b))
        pace = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        pace *= math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        with torch.no_grad():
            for p, g, m, v in ((w, slopes[0], *state[:2]), (b, slopes[1], *state[2:])):
                m += 0.1 * (g - m)
                v += 0.001 * (g * g - v)
                p -= pace * m / (v.sqrt() + 1e-7)
    return w.detach(), b.detach()


@pytest.mark.parametrize("short", ["mean", "as_released"])
def test_adam_heads_are_plain_adam_runs_with_a_short_last_batch(short):
    layers, labels = problem()
    x = torch.from_numpy(dense(layers))
    settings = [(0.1, 0.0), (0.1, 0.01), (0.01, 0.001)]
    batches = Batches(16, short)  # 16, 16 and 13 of 45
    first, _ = adam_heads(x, labels, C, [(1.0, 0.0)], steps=0, batches=batches)
    for memory in (1 << 20, 5 * C * layers.features * 8):
        weights, bias = adam_heads(x, labels, C, settings, steps=20, batches=batches, memory=memory)
        for head, (rate, penalty) in enumerate(settings):
            w, b = keras_adam(x, labels, rate, penalty, 20, 16, short, first[0])
            torch.testing.assert_close(weights[head], w, rtol=0, atol=1e-9)
            torch.testing.assert_close(bias[head], b, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="memory"):
        adam_heads(x, labels, C, settings, steps=1, memory=10)


def test_the_short_batch_weighs_less_as_released():
    rounds = list(Batches(16, "as_released").rounds(45, 3))
    assert [(rows.stop - rows.start, divisor, share) for rows, divisor, share in rounds][2] == (13, 16, 13 / 16)
    assert list(Batches(16).rounds(45, 3))[2][1:] == (13, 1.0)
    with pytest.raises(ValueError, match="batches"):
        Batches(0)


def test_the_penalty_is_the_sum_of_row_norms():
    # One step of the exact proximal operator reads it off: rows [3,4], [0,0], [0,5] have norms 5, 0 and 5.
    from taskrel.head2toe.lasso import _shrink

    weights = torch.tensor([[3.0, 0.0, 0.0], [4.0, 0.0, 5.0]])
    penalty = float(torch.linalg.vector_norm(weights, dim=0).sum())
    assert penalty == 10
    torch.testing.assert_close(_shrink(weights, 1.0), weights * 0.8)
    assert not _shrink(weights, 5.0).any()
    assert torch.isfinite(_shrink(weights, 1.0)).all()


def test_final_heads_are_plain_sgd_on_the_features():
    layers, labels = problem()
    kept = np.array([0, 6, 7, 8, 20])
    gram = layers.gram(kept, 1 << 20)
    rows = torch.arange(45).flip(0)[:40]
    kernel, scale = normalise(gram, rows)
    batches, steps = Batches(16), 30
    state = sgd_heads(kernel[rows][:, rows][None].repeat(2, 1, 1), labels[rows], C, [0.5, 0.05],
                      steps=steps, batches=batches)  # fmt: skip
    x = layers.columns(kept, renormalise=True)[rows] / math.sqrt(scale)
    for r, rate in enumerate((0.5, 0.05)):
        w = torch.zeros(C, 6, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=rate, momentum=0.9)
        inputs = torch.cat([x, torch.ones(40, 1)], dim=1)
        for step in range(steps):
            part = slice(16 * (step % 3), 16 * (step % 3) + 16)
            # torch applies the rate after the momentum, as we do.
            optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
            optimizer.zero_grad()
            functional.cross_entropy(inputs[part] @ w.T, labels[rows][part]).backward()
            optimizer.step()
        for group in range(2):
            torch.testing.assert_close(state[group, r] @ inputs, w.detach(), rtol=0, atol=1e-9)
