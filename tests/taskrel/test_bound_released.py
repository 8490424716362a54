"""The authors' algorithm as released: its parts by hand, its flaws as described, and the bound that holds beside it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import bound as slow

from taskrel.bound.fit import Reference, fit
from taskrel.bound.head import Head
from taskrel.bound.released import (
    RECIPES,
    Recipe,
    _gradients,
    _hard_distance,
    _report,
    _Transforms,
    as_released,
    penalised_head,
    released_head,
)
from taskrel.bound.sample import Sample, Scale, sample
from taskrel.types import CannotScore, Probe

SHORT = Recipe(batch=60, steps=60, head_steps=400, head_batch=60, head_rate=1e-2, penalty=100.0, tau=0.1)


def task(seed, classes=3, n=120, centres=5, d=6):
    r = np.random.default_rng(seed)
    ids = np.concatenate([np.arange(classes), r.integers(0, classes, n - classes)])
    return Probe(1.5 * np.random.default_rng(centres).normal(size=(classes, d))[ids] + r.normal(size=(n, d)), ids)


REFERENCE, TARGET = (task(0), task(1)), (task(2, centres=9), task(3, centres=9))


@pytest.mark.parametrize("mode", ["LearnedAll", "LearnedA", "FixedAll"])
def test_what_it_reports_stands_beside_the_bound_that_holds(mode):
    found = as_released(REFERENCE, TARGET, recipe=SHORT, mode=mode)
    assert found.reported == pytest.approx(
        found.reference_loss + found.label_mismatch + found.tau_hat * found.wasserstein
    )
    corrected = found.corrected
    slow.assert_ordered(corrected)
    assert corrected.residual_prior < 1e-9
    assert corrected.residual_inverse < 1e-9
    assert found.steps == (0 if mode == "FixedAll" else 60)
    assert (found.label_mismatch > 0) == (mode == "LearnedAll")
    if mode == "FixedAll":
        assert found.residual_inverse == 0
    again = as_released(REFERENCE, TARGET, recipe=SHORT, mode=mode)
    assert (again.reported, again.corrected) == (found.reported, found.corrected)


@pytest.mark.parametrize("seed", range(4))
def test_ours_is_never_above_the_corrected_one(seed):
    reference = task(seed, 3, centres=seed), task(seed + 10, 3, centres=seed)
    target = task(seed + 20, 3, centres=seed + 40), task(seed + 30, 3, centres=seed + 40)
    ready = Reference.of(reference[0], taus=(0.1,))
    ours = fit(ready, target[0], tau=0.1)
    theirs = as_released(reference, target, recipe=SHORT, head=ready.head(0.1), seed=seed)
    assert ours.held_out(reference[1], target[1]).total <= theirs.corrected.total


def test_it_shrinks_the_features_and_leaves_its_constraints_unmet():
    found = as_released(REFERENCE, TARGET, recipe=SHORT, steps=150)
    assert found.residual_inverse > 0.05
    assert found.residual_prior > 1e-4
    assert found.corrected.tau > found.tau_hat


def test_a_bound_that_is_none():
    """Their constant is in the coordinates before the map: at a small A the number they report is too small."""
    part = sample(REFERENCE[0])
    head = Reference.of(REFERENCE[0], taus=(3.0,), standardise="none").head(3.0)
    along = head.weights[1] - head.weights[0]
    target = part.mapped(0.05 * part.features + 0.3 * along / along.norm())
    learned = _Transforms(part, target, head, SHORT, "FixedAll", 0)
    learned.a, learned.back, learned.fixed = 0.05 * torch.eye(6), 20 * torch.eye(6), torch.eye(3)
    found = _report(learned, head, part, target, 0)
    assert found.residual_inverse < 1e-6
    assert found.wasserstein == pytest.approx(0.3)
    assert not found.holds
    assert found.reported < found.target_loss
    assert found.corrected.total_projected >= found.corrected.target_loss


def test_the_penalised_head_is_under_its_cap_or_near():
    scale = Scale.of(sample(REFERENCE[0]).features)
    part = sample(REFERENCE[0], scale=scale)
    head = penalised_head(part, SHORT)
    own = _gradients(head, torch.eye(3, dtype=torch.float64), part.features, torch.from_numpy(part.ids))
    assert float(own.mean()) < 0.15
    assert head.accuracy(part) > 0.6


def test_a_penalised_head_that_diverges_says_so_and_is_made_again_at_a_tenth_of_the_rate():
    part = sample(REFERENCE[0], scale=Scale.of(sample(REFERENCE[0]).features))
    with pytest.raises(CannotScore, match=r"^the penalised classifier diverged at learning rate 3: .* from 33 to nan$"):
        penalised_head(part, replace(SHORT, head_rate=3.0))
    head, rate = released_head(part, SHORT)
    assert rate == SHORT.head_rate
    assert torch.equal(head.weights, penalised_head(part, SHORT).weights)
    head, rate = released_head(part, replace(SHORT, head_rate=0.1))
    assert rate == pytest.approx(0.01)
    assert torch.equal(head.weights, penalised_head(part, SHORT).weights)
    with pytest.raises(CannotScore, match="diverged"):
        released_head(part, replace(SHORT, head_rate=1e6))


def test_gradients_are_those_of_the_loss():
    r = np.random.default_rng(0)
    head = Head(torch.tensor(r.normal(size=(3, 4))), torch.tensor(r.normal(size=3)))
    labels = torch.tensor(r.dirichlet(np.ones(2), size=3).T)
    x, y = torch.tensor(r.normal(size=(5, 4)), requires_grad=True), torch.tensor([0, 1, 1, 0, 1])
    losses = -(head.logs(x).exp() @ labels.T)[torch.arange(5), y].log()
    (gradient,) = torch.autograd.grad(losses.sum(), x)
    assert _gradients(head, labels, x.detach(), y) == pytest.approx(gradient.norm(dim=1).numpy())


def test_their_distance_counts_labels_in_place_of_naming_them():
    z = torch.tensor([[0.0], [1.0], [5.0]], dtype=torch.float64)
    test, target = Sample(z, np.array([0, 1, 2]), 3), Sample(z, np.array([0, 1, 2]), 3)
    assert _hard_distance(z, torch.eye(3, dtype=torch.float64), test, target) == 0
    # Labels {0, 2} are two: the second one visited is label 1, which has no example, and label 2 never is.
    skipped = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 1, 1]], dtype=torch.float64)
    assert _hard_distance(z, skipped, test, target) == 5e9


def test_the_authors_settings():
    assert (RECIPES["rn18"].batch, RECIPES["rn50"].batch, RECIPES["clip"].batch) == (1000, 2500, 1500)
    for recipe in RECIPES.values():
        assert (recipe.steps, recipe.nu, recipe.rate, recipe.prior_rate, recipe.tau) == (2001, 1e6, 1e-2, 1e-3, 0.02)
    assert RECIPES["rn18"].head_steps == 10_001
    with pytest.raises(ValueError, match="recipe must be among"):
        as_released(REFERENCE, TARGET, recipe="rn19")
    with pytest.raises(ValueError, match="mode must be"):
        as_released(REFERENCE, TARGET, recipe=SHORT, mode="All")
