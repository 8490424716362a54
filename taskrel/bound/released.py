"""Algorithm 1 as its authors released it, flaws included, beside the bound that holds at the same transforms.

For comparison only: the number it reports need not be a bound at all (its Lipschitz constant is sampled, and in other
coordinates than its distance). Knows nothing of `fit`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from taskrel.bound.head import Head
from taskrel.bound.maps import Affine, Joint
from taskrel.bound.sample import Floats, Sample, Scale, sample
from taskrel.bound.terms import evaluate
from taskrel.bound.transport import EXACT_PAIRS
from taskrel.types import BoundTerms, CannotScore, Probe

Mode = Literal["LearnedAll", "LearnedA", "FixedAll"]

_PIVOTS = 100_000  # the library's default, which the authors left
_MISSING = 1e10  # what they return for a label that no reference example is given


@dataclass(frozen=True)
class Recipe:
    """The authors' hyper-parameters; batch sizes are examples, steps are gradient steps."""

    batch: int
    steps: int = 2001
    nu: float = 1e6
    transport_weight: float = 2.0
    rate: float = 1e-2
    prior_rate: float = 1e-3
    head_steps: int = 10_001
    head_batch: int = 1000
    head_rate: float = 1e-4
    momentum: float = 0.9
    decay: float = 5e-4
    penalty: float = 1e4
    tau: float = 0.02


RECIPES: Mapping[str, Recipe] = MappingProxyType({
    "rn18": Recipe(batch=1000),
    "rn50": Recipe(batch=2500, head_steps=2001),
    "clip": Recipe(batch=1500, head_steps=2001),
})  # fmt: skip


@dataclass(frozen=True)
class Released:
    """What the authors' code would print, and what is true.

    Args:
        reported: their bound, in nats: the three terms below.
        reference_loss, label_mismatch, wasserstein, tau_hat: their terms on held-out examples.
        target_loss, target_accuracy: of the transformed classifier, with their A-bar, on the target's held-out part.
        corrected: the bound that holds at their A, b, B and D: A inverted exactly, rows of the joint table scaled to
            the target's prior, tau in closed form.
        residual_prior, residual_inverse: how far their constraints are from being met.
        head_seconds, loop_seconds: of the classifier, and of the transforms.
        steps: transform steps taken.
    """

    reported: float
    reference_loss: float
    label_mismatch: float
    wasserstein: float
    tau_hat: float
    target_loss: float
    target_accuracy: float
    corrected: BoundTerms
    residual_prior: float
    residual_inverse: float
    head_seconds: float
    loop_seconds: float
    steps: int

    @property
    def holds(self) -> bool:
        """Whether what they report is at least what they mean to bound, here."""
        return self.reported >= self.target_loss


def as_released(
    reference: tuple[Probe, Probe],
    target: tuple[Probe, Probe],
    *,
    recipe: str | Recipe = "rn18",
    mode: Mode = "LearnedAll",
    head: Head | None = None,
    steps: int | None = None,
    head_steps: int | None = None,
    seed: int = 0,
) -> Released:
    """The authors' algorithm on a training part, reported on a held-out part, of both tasks.

    Args:
        reference: (train, test) through one model.
        target: (train, test) through the same.
        recipe: "rn18", "rn50", "clip", or settings of one's own.
        mode: "LearnedAll"; "LearnedA": labels by a random permutation, prior fixed; "FixedAll": nothing learned.
        head: a classifier to use in place of their penalised one (on z-scored features); see :func:`released_head`.
        steps, head_steps: fewer than the recipe's.
        seed: of everything random; they set none.

    Returns:
        Their numbers in single precision, as theirs; `corrected` in double.

    Raises:
        ValueError: an unknown recipe or mode, or unequal numbers of classes in a mode with a permutation.

    Source:
        hammlab/TaskTransferAnalysis as described in spec 5, items 1-7; 0 log 0 is 0 where theirs is NaN. Their small
        Keras experiments are not here.
    """
    if isinstance(recipe, str) and recipe not in RECIPES:
        raise ValueError(f"recipe must be among {[*RECIPES]}, got {recipe!r}")
    if mode not in ("LearnedAll", "LearnedA", "FixedAll"):
        raise ValueError(f"mode must be LearnedAll, LearnedA or FixedAll, got {mode!r}")
    plan = RECIPES[recipe] if isinstance(recipe, str) else recipe
    plan = replace(plan, steps=plan.steps if steps is None else steps,
                   head_steps=plan.head_steps if head_steps is None else head_steps)  # fmt: skip
    (r_train, r_test), (t_train, t_test) = _parts(*reference), _parts(*target)
    if mode != "LearnedAll" and r_train.classes < t_train.classes:
        raise ValueError(f"reference must have at least {t_train.classes} classes, got {r_train.classes}")
    began = time.perf_counter()
    if head is None:
        head, _ = released_head(r_train, plan, seed=seed)
    trained = time.perf_counter()
    learned = _Transforms(r_train, t_train, head, plan, mode, seed)
    learned.run()
    ended = time.perf_counter()
    found = _report(learned, head, r_test, t_test, seed)
    return replace(found, head_seconds=trained - began, loop_seconds=ended - trained)


def _parts(train: Probe, test: Probe) -> tuple[Sample, Sample]:
    """Both parts z-scored by the training part."""
    scale = Scale.of(sample(train).features)
    return sample(train, scale=scale), sample(test, scale=scale, classes=train.classes)


def penalised_head(reference: Sample, recipe: Recipe, *, seed: int = 0) -> Head:
    """Their reference classifier: SGD on the loss plus a penalty on gradients, wrt features, longer than tau.

    Raises:
        CannotScore: the descent diverged: over all examples, and labels at random, it ended above where it began.

    Source:
        spec 5.3. The gradient of a softmax loss is (p - e_y) W, so no second differentiation is needed.
    """
    g = torch.Generator().manual_seed(seed)
    device, (n, d), k = reference.features.device, reference.features.shape, reference.classes
    z, ids = reference.features.float(), torch.from_numpy(reference.ids).to(device)
    width = d**-0.5
    weights = ((torch.rand(k, d, generator=g) * 2 - 1) * width).to(device).requires_grad_()
    bias = ((torch.rand(k, generator=g) * 2 - 1) * width).to(device).requires_grad_()
    descent = torch.optim.SGD([weights, bias], recipe.head_rate, recipe.momentum, weight_decay=recipe.decay)
    everywhere = torch.randint(k, (n,), generator=torch.Generator().manual_seed(seed)).to(device)
    with torch.no_grad():
        start = float(_penalised(z, ids, everywhere, weights, bias, recipe))
    for _ in range(recipe.head_steps):
        rows = torch.randint(n, (recipe.head_batch,), generator=g).to(device)
        other = torch.randint(k, (recipe.head_batch,), generator=g).to(device)
        loss = _penalised(z[rows], ids[rows], other, weights, bias, recipe)
        descent.zero_grad()
        loss.backward()
        descent.step()
    with torch.no_grad():
        end = float(_penalised(z, ids, everywhere, weights, bias, recipe))
    if not end <= start:
        raise CannotScore(f"the penalised classifier diverged at learning rate {recipe.head_rate:.3g}: its objective "
                          f"went from {start:.3g} to {end:.3g}")  # fmt: skip
    return Head(weights.detach().double(), bias.detach().double())


def _penalised(z: Tensor, ids: Tensor, other: Tensor, weights: Tensor, bias: Tensor, recipe: Recipe) -> Tensor:
    """The cross-entropy and the two penalties, at the true labels and at `other`."""
    logits = z @ weights.T + bias
    loss, probs = torch.nn.functional.cross_entropy(logits, ids), logits.softmax(dim=1)
    for label in (ids, other):
        length = ((probs - torch.nn.functional.one_hot(label, len(weights))) @ weights).norm(dim=1)
        loss = loss + recipe.penalty * (length - recipe.tau).relu().square().mean()
    return loss


def released_head(reference: Sample, recipe: Recipe, *, seed: int = 0) -> tuple[Head, float]:
    """Their classifier and the learning rate it took: the recipe's, or a tenth of it where that diverges.

    They use a tenth (1e-5) themselves for one of their targets, by hand.

    Raises:
        CannotScore: both diverge.
    """
    try:
        return penalised_head(reference, recipe, seed=seed), recipe.head_rate
    except CannotScore:
        smaller = replace(recipe, head_rate=recipe.head_rate / 10)
        return penalised_head(reference, smaller, seed=seed), smaller.head_rate


class _Transforms:
    """A, its would-be inverse, b, B and D, and their training loop; single precision, as theirs."""

    def __init__(self, reference: Sample, target: Sample, head: Head, recipe: Recipe, mode: Mode, seed: int) -> None:
        self.recipe, self.mode = recipe, mode
        self.reference, self.target = reference, target
        self.random, g = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        device, d = reference.features.device, reference.features.shape[1]
        self.z, self.t = reference.features.float(), target.features.float()
        self.p_r = torch.from_numpy(reference.prior).float().to(device)
        self.p_t = torch.from_numpy(target.prior).float().to(device)
        self.sums = torch.from_numpy(np.nan_to_num(head.class_losses(reference)) * reference.counts).float().to(device)
        self.a = torch.eye(d, device=device, requires_grad=True)
        self.back = torch.eye(d, device=device, requires_grad=True)
        self.b = torch.zeros(d, device=device, requires_grad=True)
        self.logits = torch.rand(target.classes, reference.classes, generator=g).to(device).requires_grad_()
        self.d = self.p_r.clone().requires_grad_()
        chosen = self.random.permutation(reference.classes) % target.classes
        if reference.classes == target.classes:
            chosen = self.random.permutation(reference.classes)
        self.fixed = torch.nn.functional.one_hot(torch.from_numpy(chosen), target.classes).T.float().to(device)

    @property
    def labels(self) -> Tensor:
        """[K_T, K_R] B."""
        return self.logits.softmax(dim=0) if self.mode == "LearnedAll" else self.fixed

    @property
    def weights(self) -> Tensor:
        """[K_R] D."""
        return self.d.softmax(dim=0) if self.mode == "LearnedAll" else self.p_r

    def entropy(self) -> Tensor:
        labels = self.labels
        return -(self.weights * torch.xlogy(labels, labels).sum(dim=0)).sum()

    def run(self) -> None:
        """The loop: an exact plan for a sampled batch, then one Adam step with the plan fixed."""
        if self.mode == "FixedAll":
            return
        groups: list[dict[str, Any]] = [{"params": [self.a, self.back, self.b]}]
        if self.mode == "LearnedAll":
            groups += [{"params": [self.logits]}, {"params": [self.d], "lr": self.recipe.prior_rate}]
        descent = torch.optim.Adam(groups, lr=self.recipe.rate)
        for _ in range(self.recipe.steps):
            loss = self._loss()
            descent.zero_grad()
            loss.backward()
            descent.step()

    def _draw(self, part: Sample, shares: Floats) -> Tensor:
        """Rows: of every class the whole part of batch times share, at most all it has."""
        sizes = np.minimum((self.recipe.batch * shares).astype(int), part.counts)
        rows = [self.random.choice(rows, size, replace=False) for rows, size in zip(part.rows, sizes, strict=True)]
        return torch.from_numpy(np.concatenate(rows)).to(part.features.device)

    def _loss(self) -> Tensor:
        from ot.lp import emd  # seconds to import

        labels, weights, device = self.labels, self.weights, self.z.device
        i = self._draw(self.reference, weights.detach().double().cpu().numpy())
        j = self._draw(self.target, self.target.prior)
        y_r = torch.from_numpy(self.reference.ids).to(device)[i]
        y_t = torch.from_numpy(self.target.ids).to(device)[j]
        moved, soft = self.z[i] @ self.a.T + self.b, labels[:, y_r].T
        hard = torch.nn.functional.one_hot(y_t, self.target.classes).float()
        with torch.no_grad():
            costs = torch.cdist(moved, self.t[j]) + self.recipe.nu * torch.cdist(soft, hard)
            plan = emd([], [], costs.double().cpu().numpy(), numItermax=_PIVOTS, check_marginals=False)
            places = torch.from_numpy(np.stack(np.nonzero(plan))).to(device)
            mass = torch.from_numpy(plan).to(device)[places[0], places[1]].float()
        # A plan has at most one pair fewer than points, so its pairs alone are squared: the same sum.
        apart = (moved[places[0]] - self.t[j][places[1]]).square().sum(dim=1)
        apart = apart + self.recipe.nu * (soft[places[0]] - hard[places[1]]).square().sum(dim=1)
        eye = torch.eye(len(self.a), device=device)
        inverse = (self.a @ self.back - eye).square().sum() + (self.back @ self.a - eye).square().sum()
        prior = (self.p_t - labels @ weights).square().sum()
        loss = (weights / self.p_r * self.sums).sum() / len(self.reference)
        return self.entropy() + loss + self.recipe.transport_weight * (mass @ apart) + prior + inverse


def _report(learned: _Transforms, head: Head, test: Sample, target: Sample, seed: int) -> Released:
    """Their numbers on held-out parts, and the bound that holds there; seconds are the caller's."""
    with torch.no_grad():
        a, back, b = (v.detach().double() for v in (learned.a, learned.back, learned.b))
        labels, weights = learned.labels.double(), learned.weights.double().cpu().numpy()
        moved = test.features @ a.T + b
        x = {"reference": (moved - b) @ back.T, "target": (target.features - b) @ back.T}
        y = torch.from_numpy(target.ids).to(b.device)
        sums = np.nan_to_num(head.class_losses(test)) * test.counts
        loss_r = float((weights / learned.reference.prior * sums).sum() / len(test))
        entropy, wd = float(learned.entropy()), _hard_distance(moved, labels, test, target)
        random = np.random.default_rng(seed + 1)
        tau = 0.0
        for name, given in (("reference", None), ("target", None), ("target", y)):
            drawn = torch.from_numpy(random.integers(0, len(labels), len(x[name]))).to(b.device)
            tau = max(tau, float(_gradients(head, labels, x[name], drawn if given is None else given).max()))
        probs = head.logs(x["target"]).exp() @ labels.T
        table = labels.cpu().numpy() * weights
        joint = Joint(table / table.sum()).rescaled(target.prior)
    corrected = evaluate(head, Affine(a, b), joint, test, target, exact_pairs=EXACT_PAIRS)
    eye = torch.eye(len(a), dtype=a.dtype, device=a.device)
    return Released(
        reported=loss_r + entropy + tau * wd,
        reference_loss=loss_r,
        label_mismatch=entropy,
        wasserstein=wd,
        tau_hat=tau,
        target_loss=-float(probs[torch.arange(len(y), device=y.device), y].clamp_min(1e-300).log().mean()),
        target_accuracy=float((probs.argmax(dim=1) == y).double().mean()),
        corrected=corrected,
        residual_prior=float(np.linalg.norm(table.sum(axis=1) - target.prior)),
        residual_inverse=float((a @ back - eye).norm()),
        head_seconds=0.0,
        loop_seconds=0.0,
        steps=learned.recipe.steps if learned.mode != "FixedAll" else 0,
    )


def _gradients(head: Head, labels: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """[n] lengths of the gradient of the loss at label y with respect to x = A-bar (z - b): not to z."""
    probs = head.logs(x).exp()
    given = probs * labels[y]
    given = given / given.sum(dim=1, keepdim=True).clamp_min(1e-300)
    return ((probs - given) @ head.weights).norm(dim=1)


def _hard_distance(moved: Tensor, labels: Tensor, test: Sample, target: Sample) -> float:
    """Their distance: labels hardened, classes weighted alike, and label numbers taken for their count."""
    from ot.lp import emd2  # seconds to import

    hard = labels.argmax(dim=0).cpu().numpy()[test.ids]
    found = []
    for label in range(len(np.unique(hard))):
        i, j = np.flatnonzero(hard == label), target.rows[label]
        if not len(i) or not len(j):
            found.append(_MISSING)
            continue
        device = moved.device
        costs = torch.cdist(moved[torch.from_numpy(i).to(device)], target.features[torch.from_numpy(j).to(device)])
        found.append(float(emd2([], [], costs.cpu().numpy(), numItermax=_PIVOTS)))
    return float(np.mean(found))
