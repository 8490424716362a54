"""Ridge in Gram form against the textbook on features, and what the size of the layers alone is worth."""

import numpy as np
import pytest
import torch

from taskrel.head2toe import Layers, accuracy, cross_validated_ridge, folds
from taskrel.head2toe.ridge import ridge
from tests.oracles import head2toe as oracle


def some(n=60, sizes=(40, 90, 30), classes=3, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (n,), generator=draw)
    blocks = [torch.randn(n, d, generator=draw, dtype=dtype) for d in sizes]
    for label in range(classes):
        blocks[1][:, label] += 3.0 * (labels == label)
    return Layers(tuple(map(str, range(len(sizes)))), tuple(blocks)), labels


@pytest.mark.parametrize(("n", "sizes"), [(60, (40, 90, 30)), (60, (4, 5))])
def test_the_gram_path_is_the_explicit_one(n, sizes):
    layers, labels = some(n, sizes)
    rows, others = torch.arange(n)[10:].flip(0), torch.arange(10)
    penalties = [1e-4, 0.1, 10.0]
    found = ridge(layers.gram(np.arange(layers.features), 1 << 20), labels, 3, penalties, rows, others)
    x, onehot = layers.columns(np.arange(layers.features)).numpy(), np.eye(3)[labels]
    for values, penalty in zip(found, penalties, strict=True):
        expected = oracle.ridge(x[rows], onehot[rows], penalty, x[others])
        np.testing.assert_allclose(values.numpy().T, expected, atol=1e-8)


def test_any_subset_of_layers_is_a_sum_of_their_products():
    layers, _ = some()
    whole = layers.gram(np.arange(layers.features), 1 << 20)
    parts = [layers.gram(np.arange(a, b), 1 << 20) for a, b in zip(layers.offsets, layers.offsets[1:], strict=False)]
    torch.testing.assert_close(sum(parts), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(whole.diagonal(), torch.full((60,), 3.0, dtype=torch.float64))


def test_a_huge_penalty_leaves_the_shares_of_the_classes():
    layers, labels = some()
    rows = torch.arange(50)
    [[values]] = ridge(layers.gram(np.arange(160), 1 << 20), labels, 3, [1e12], rows, torch.tensor([55])).transpose(
        1, 2
    )
    np.testing.assert_allclose(values, np.bincount(labels[rows], minlength=3) / 50, atol=1e-9)


def test_cross_validation_holds_its_folds_out():
    layers, labels = some(n=61)
    found = cross_validated_ridge({7: layers}, labels, 3, [0.01, 1.0], count=3, seed=2)[7]
    assert found.shape == (2, 3)
    held, x, onehot = folds(labels, 3, seed=2), layers.columns(np.arange(160)).numpy(), np.eye(3)[labels]
    for k in range(3):
        answers = oracle.ridge(x[held != k], onehot[held != k], 1.0, x[held == k]).argmax(axis=1)
        assert found[1, k] == accuracy(torch.from_numpy(answers), labels[torch.from_numpy(held == k)])
    permuted = labels[torch.randperm(61, generator=torch.Generator().manual_seed(0))]
    assert cross_validated_ridge({7: layers}, permuted, 3, [0.1])[7].mean() < 0.55 < found.mean()  # chance 0.33


def test_nonsense_is_refused():
    layers, labels = some()
    with pytest.raises(ValueError, match="penalties"):
        ridge(layers.gram(np.arange(160), 1 << 20), labels, 3, [0.0], torch.arange(5), torch.arange(5))
