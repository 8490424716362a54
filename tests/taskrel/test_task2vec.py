"""Task2Vec: Fisher information by its definition and in closed form, the noise that estimates it, and distances."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles.fisher import exact_fisher, logistic_fisher
from torch import nn

from taskrel.task2vec import distance, fisher, fit_head, nearest, variational

LAW = settings(deadline=None, max_examples=60)


def linear_task(seed=0, n=300, d=5, classes=3, scale=None):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=rng, dtype=torch.float64)
    x *= torch.logspace(-0.5, 0.5, d, dtype=torch.float64) if scale is None else scale
    truth = torch.randn(d, classes, generator=rng, dtype=torch.float64)
    y = (x @ truth + torch.randn(n, classes, generator=rng, dtype=torch.float64)).argmax(1)
    return x, y


def split(x, y, size=64):
    return list(zip(x.split(size), y.split(size), strict=True))


@pytest.fixture
def logistic():
    x, y = linear_task()
    return x, y, fit_head(x, y, 3, decay=0.01)


class Small(nn.Module):
    """A strided, grouped convolution with batch norm, a hidden layer used twice, and a head."""

    def __init__(self, classes=3):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(4)
        self.hidden = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        x = self.norm(self.conv(x)).relu_().mean((2, 3))
        return self.head(self.drop(self.hidden(self.hidden(x).tanh()).tanh()))


@pytest.fixture
def network():
    torch.manual_seed(0)
    module = Small().double()
    module.norm.running_mean.normal_()
    return module.train(), torch.randn(20, 2, 6, 6, dtype=torch.float64), torch.randint(3, (20,))


def test_a_linear_probe_has_the_closed_form_of_logistic_regression(logistic):
    x, y, head = logistic
    expected = logistic_fisher(x, head(x).softmax(1)).mean(0).detach().numpy()
    assert fisher(head, split(x, y), draws=None) == pytest.approx(expected, rel=1e-9)


def test_a_network_has_the_fisher_information_of_the_definition(network):
    module, x, y = network
    names = ["conv.weight", "hidden.weight"]
    reference = copy.deepcopy(module).eval()
    squares = exact_fisher(reference, x, names)
    expected = np.concatenate([squares[name].flatten(1).mean(1).numpy() for name in names])
    assert fisher(module, split(x, y, 7), head="head", draws=None) == pytest.approx(expected, rel=1e-9)


def test_sampled_labels_agree_with_the_expectation_over_them(logistic):
    x, y, head = logistic
    exact = fisher(head, split(x, y), draws=None)
    few, many = (np.abs(fisher(head, split(x, y), draws=k, seed=3) / exact - 1).max() for k in (1, 400))
    # 120,000 squares of a few times their mean: a relative error of some 0.5%.
    assert many < 0.02 < few
    again = fisher(head, split(x, y), draws=1, seed=3)
    assert (again == fisher(head, split(x, y), draws=1, seed=3)).all()
    assert (again != fisher(head, split(x, y), draws=1, seed=4)).any()


def test_batches_and_chunks_do_not_matter(network, monkeypatch):
    module, x, y = network
    whole = fisher(module, [(x, y)], head="head", draws=None)
    monkeypatch.setattr("taskrel.task2vec._NUMBERS", 100)
    assert fisher(module, split(x, y, 3), head="head", draws=None) == pytest.approx(whole, rel=1e-9)


class Masked(nn.Module):
    """A head on the mean of the rows that a mask keeps; like a transformer it looks whether any is left out."""

    def __init__(self, head):
        super().__init__()
        self.body, self.head = nn.Linear(5, 5, dtype=torch.float64), head

    def forward(self, inputs):
        rows, mask = inputs["rows"], inputs["mask"]
        hidden = self.body(rows).tanh()
        if not mask.all():
            hidden = hidden * mask[:, :, None]
        return self.head(hidden.sum(1) / mask.sum(1, keepdim=True))


def test_named_tensors_with_a_mask_give_what_the_bare_rows_give(logistic):
    x, y, head = logistic
    x, y = x[:40], y[:40]
    module = Masked(copy.deepcopy(head))
    padded = {"rows": torch.stack([x, torch.full_like(x, 9.0)], dim=1), "mask": torch.tensor([[1, 0]]).expand(40, 2)}
    bare = nn.Sequential(module.body, nn.Tanh(), module.head)
    expected = fisher(bare, split(x, y), head="2", draws=None)
    assert fisher(module, [(padded, y)], head="head", draws=None) == pytest.approx(expected, rel=1e-9)
    noise = variational(bare, [(x, y)], head="2", steps=5)
    assert variational(module, [(padded, y)], head="head", steps=5) == pytest.approx(noise, rel=1e-9)


def test_the_module_comes_back_as_it_was(network):
    module, x, y = network
    module.drop.eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    fisher(module, split(x, y), head="head")
    variational(module, split(x, y), head="head", steps=3)
    assert all((value == before[name]).all() for name, value in module.state_dict().items())
    assert module.training
    assert not module.drop.training
    assert all(parameter.grad is None for parameter in module.parameters())


def test_twice_the_features_under_the_same_predictions_is_four_times_the_information(logistic):
    x, y, head = logistic
    half = copy.deepcopy(head)
    with torch.no_grad():
        half.weight /= 2
    once, twice = fisher(head, split(x, y), draws=None), fisher(half, split(2 * x, y), draws=None)
    assert twice == pytest.approx(4 * once, rel=1e-9)
    assert distance(once, twice) == pytest.approx(0, abs=1e-12)


def test_noise_finds_the_curvature_of_logistic_regression(logistic):
    # The curvature of cross-entropy over a linear head is its Fisher information, whatever the labels are.
    x, y, head = logistic
    exact = fisher(head, [(x, y)], draws=None)
    found = variational(head, [(x, y)], nats=0.01, steps=600, pairs=4, prior=10.0, seed=1)
    # Noise of 1e-2 nats leaves the quadratic range a little, and 300 averaged steps of 3 weights each are noisy.
    assert found == pytest.approx(exact, rel=0.1)
    assert distance(found, exact) < 1e-3


def test_noise_of_a_network_agrees_with_fisher(network):
    module, _, _ = network
    rng = torch.Generator().manual_seed(5)
    x = torch.randn(400, 2, 6, 6, generator=rng, dtype=torch.float64)
    y = x.mean((2, 3)).add(0.05 * torch.randn(400, 2, generator=rng)).argmax(1)
    adam = torch.optim.Adam(module.eval().parameters(), lr=0.03)
    for _ in range(150):
        adam.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        adam.step()
    exact = fisher(module, [(x, y)], head="head", draws=None)
    found = variational(module, [(x, y)], head="head", nats=0.01)
    assert np.corrcoef(np.log(exact), np.log(found))[0, 1] > 0.9
    assert (found == variational(module, [(x, y)], head="head", nats=0.01)).all()


def test_a_weight_that_does_not_matter_gets_the_priors_noise():
    x, y = linear_task(scale=torch.tensor([1.0, 1, 1, 1, 0], dtype=torch.float64))
    head = fit_head(x, y, 3)
    assert fisher(head, [(x, y)], draws=None)[4] == 0
    found = variational(head, [(x, y)], nats=0.01)
    assert found[4] < 1e-3 * found[:4].min()


def test_a_probe_of_several_layers_leaves_its_head_out():
    torch.manual_seed(1)
    x, y = linear_task()
    body = nn.Linear(5, 7, dtype=torch.float64)
    two, three = (nn.Sequential(body, nn.ReLU(), nn.Linear(7, c, dtype=torch.float64)) for c in (2, 3))
    assert len(fisher(two, [(x, y)], head="2")) == len(fisher(three, [(x, y)], head="2")) == 7
    assert len(fisher(nn.Linear(5, 2, dtype=torch.float64), [(x, y)])) == 5
    assert len(fisher(nn.Sequential(nn.Linear(5, 4, dtype=torch.float64)), [(x, y)], head="0")) == 5


def test_tasks_that_read_the_same_features_are_near():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(8, 16, dtype=torch.float64), nn.ReLU())

    def hidden(seed, columns):
        """A task whose inputs live in some of the features, seen by the body that all tasks share."""
        x = linear_task(seed, d=8, scale=1.0)[0] * columns
        y = (x.sum(1) > 0).long()
        head = fit_head(body(x), y, 2, decay=0.01)
        return fisher(nn.Sequential(body, head), [(x, y)], head="1", draws=None)

    left = torch.tensor([1.0] * 4 + [0.0] * 4, dtype=torch.float64)
    vectors = {
        "left": hidden(1, left),
        "left again": hidden(2, left),
        "right": hidden(3, 1 - left),
        "right again": hidden(4, 1 - left),
    }
    found = nearest(vectors)
    assert {task: next(iter(others)) for task, others in found.items()} == {
        "left": "left again",
        "left again": "left",
        "right": "right again",
        "right again": "right",
    }
    assert found["left"]["right"] == found["right"]["left"]


embeddings = arrays(np.float64, 4, elements=st.just(0.0) | st.floats(1e-9, 1e6))


@LAW
@given(a=embeddings, b=embeddings, scale=st.floats(1e-3, 1e3))
def test_distance_is_one(a, b, scale):
    assert distance(a, b) == distance(b, a)
    assert 0 <= distance(a, b) <= 1
    assert distance(a, a) == pytest.approx(0, abs=1e-12)
    assert distance(a, scale * a) == pytest.approx(0, abs=1e-9)
    assert distance(scale * a, scale * b) == pytest.approx(distance(a, b), abs=1e-9)
    assert distance(np.append(a, 0), np.append(b, 0)) == distance(a, b)


def test_distance_by_hand():
    # a / (a + b) = (1/4, 3/4), b / (a + b) = (3/4, 1/4): cosine (3 + 3) / (1 + 9).
    assert distance([1, 3], [3, 1]) == pytest.approx(1 - 6 / 10, abs=1e-15)
    assert distance([1, 0], [0, 1]) == 1
    assert distance([0, 0], [0, 0]) == 0
    assert distance([0, 0], [1, 1]) == 1


def test_nearest_breaks_ties_by_name():
    found = nearest({"b": [1, 3], "a": [1, 3], "c": [3, 1], "d": [1, 3]})
    assert list(found["d"]) == ["a", "b", "c"]
    assert found["d"] == pytest.approx({"a": 0.0, "b": 0.0, "c": 0.4}, abs=1e-12)
    assert nearest({"alone": [1.0]}) == {"alone": {}}


def test_a_head_is_trained_to_the_minimum():
    x, y = linear_task()
    assert fit_head(x.float(), y, 3).weight.dtype == torch.float32
    head = fit_head(x, y, 3, decay=0.05)
    loss = nn.functional.cross_entropy(head(x), y) + 0.025 * head.weight.square().sum()
    slopes = torch.autograd.grad(loss, list(head.parameters()))
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, b: fisher(m, b, head="top"), "head must name a module of the probe, got 'top'"),
        (lambda m, b: fisher(m, b, head="1"), "head must be a linear layer, got ReLU at '1'"),
        (lambda m, b: fisher(m, b, head="0", draws=0), "draws must be at least 1 or None, got 0"),
        (lambda m, b: fisher(m, [], head="0"), "batches must hold at least one example, got none"),
        (lambda m, b: variational(m, [], head="0"), "batches must hold at least one example, got none"),
        (lambda m, b: variational(m, b, head="0", nats=0), "nats and prior positive, got 500, 1, 0.1, 0.1, 0 and 1.0"),
        (lambda m, b: fisher(m, [(b[0][0] * np.nan, b[0][1])], head="0"), "Fisher information must be finite, got 5"),
        (lambda m, b: distance([1, 2], [1]), "embeddings must be of one length, got 2 and 1"),
        (lambda m, b: distance([-1], [1]), "first must be a vector of finite, non-negative numbers"),
    ],
)
def test_what_is_refused(call, message):
    x, y = linear_task(n=5)
    module = nn.Sequential(nn.Linear(5, 3, dtype=torch.float64), nn.ReLU())
    with pytest.raises(ValueError, match=message):
        call(module, [(x, y)])
