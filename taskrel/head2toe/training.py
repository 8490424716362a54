"""Every setting of a search on given examples: select from all layers, then train final heads on what is kept.

A ranking of the features serves all fractions, and an exact one all learning rates and steps too. Knows no folds:
callers say which examples are trained on and which are predicted.

Source: spec/head2toe.md sections 2 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from taskrel.head2toe.final import normalise, sgd_heads
from taskrel.head2toe.lasso import group_lasso
from taskrel.head2toe.layers import Indices, Layers
from taskrel.head2toe.recipe import Batches, adam_heads
from taskrel.head2toe.select import rank, select

_BATCHES = Batches()
FRACTIONS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Search:
    """What is tried, and how.

    Args:
        penalties: of the group lasso, in nats.
        fractions: of the features that are kept; one that keeps nothing is not tried.
        rates: learning rates of the final heads ("adam": of the selecting heads too).
        steps: of the same.
        recipe: "exact" selects by the optimum of the group lasso and trains final heads by SGD on features of mean
            square 1; "adam" does both as the authors' code does, where learning rate and steps change the selection
            (it keeps a dense copy of the training examples on top of `memory`).
        batches: how batches are cut.
        folds: of the cross-validation.
        split: "clean" is stratified and shuffled; "as_released" cuts the examples in their order, as they came.
        memory: bytes that may be taken at once besides the layers and the columns that are in use.

    Raises:
        ValueError: an empty or impossible setting.
    """

    penalties: tuple[float, ...] = (1e-3, 1e-5)
    fractions: tuple[float, ...] = FRACTIONS
    rates: tuple[float, ...] = (1.0, 0.1)
    steps: tuple[int, ...] = (500, 5000)
    recipe: Literal["exact", "adam"] = "exact"
    batches: Batches = _BATCHES
    folds: int = 5
    split: Literal["clean", "as_released"] = "clean"
    memory: int = 1 << 30

    def __post_init__(self) -> None:
        for thing in ("penalties", "fractions", "rates", "steps"):
            values = getattr(self, thing)
            if not values or min(values) <= 0 or len(set(values)) < len(values):
                raise ValueError(f"{thing} must be positive, each once and at least one, got {values}")
        if max(self.fractions) > 1:
            raise ValueError(f"fractions must lie in (0, 1], got {self.fractions}")
        if self.recipe not in ("exact", "adam"):
            raise ValueError(f"recipe must be 'exact' or 'adam', got {self.recipe!r}")
        if self.folds < 2 or self.memory < 1 << 20:
            raise ValueError(f"folds must be at least 2 and memory at least 1 MiB, got {self.folds} and {self.memory}")


AS_RELEASED = Search(
    rates=(0.1, 0.01), recipe="adam", batches=Batches(128, "as_released"), split="as_released", memory=8 << 30
)


@dataclass(frozen=True, order=True)
class Setting:
    """One point of the search: target size, penalty, fraction kept, learning rate, steps."""

    target: int
    penalty: float
    fraction: float
    rate: float
    steps: int


@dataclass(frozen=True, eq=False)
class Data:
    """Layers pooled to one target size, with labels: [n] integers in [0, classes)."""

    target: int
    layers: Layers
    labels: Tensor
    classes: int


class Outcome(NamedTuple):
    """What one setting predicts: its number of features, [m] class ids."""

    pair: int
    setting: Setting
    features: int
    predicted: Tensor


@dataclass(frozen=True, eq=False)
class Head2Toe:
    """A fitted head on the kept features of all layers.

    Args:
        setting: what it was fitted with.
        kept: [k] columns of the pooled layers, ascending.
        weights: [C, k] on features normalised per layer over what is kept.
        bias: [C].
    """

    setting: Setting
    kept: Indices
    weights: Tensor
    bias: Tensor

    def logits(self, layers: Layers, rows: Tensor | None = None) -> Tensor:
        """[m, C] of examples pooled to the same target size; reads the kept columns only."""
        return layers.columns(self.kept, rows=rows, renormalise=True) @ self.weights.T + self.bias

    def stored_bytes(self, features: int) -> int:
        """Bytes to keep for a task: weights and biases of 32 bits, and one bit per feature of all layers."""
        return 4 * (self.weights.numel() + self.bias.numel()) + -(-features // 8)


def outcomes(data: Data, search: Search, pairs: Sequence[tuple[Tensor, Tensor]], *, seed: int = 0) -> Iterator[Outcome]:
    """The predictions of every setting, for each pair of (training, other) examples.

    Args:
        data: layers and labels.
        search: what is tried.
        pairs: training examples in the order in which batches are cut, and examples to predict.
        seed: of first weights ("adam").
    """
    if search.recipe == "adam":
        for pair, (rows, others) in enumerate(pairs):
            for head in _adam_fits(data, search, rows, seed):
                predicted = head.logits(data.layers, others).argmax(dim=1)
                yield Outcome(pair, head.setting, len(head.kept), predicted)
        return
    train = [rows for rows, _ in pairs]
    optima = group_lasso(data.layers, data.labels, data.classes, search.penalties, train=train, memory=search.memory)
    whole = _whole(data, search)
    for pair, (rows, others) in enumerate(pairs):
        orders = [(lasso.penalty, rank(lasso.strength, lasso.gradient)) for lasso in optima[pair]]
        kept = {(penalty, fraction): columns for penalty, order in orders
                for fraction, columns in _selections(order, search.fractions)}  # fmt: skip
        for setting, predicted in _sgd_predictions(data, search, kept, whole, (rows, others)):
            yield Outcome(pair, setting, len(kept[setting.penalty, setting.fraction]), predicted)


def fit(data: Data, setting: Setting, search: Search | None = None, *, seed: int = 0) -> Head2Toe:
    """The head of one setting, selected and trained on all examples of `data`.

    Args:
        data: layers pooled to `setting.target`, and labels.
        setting: usually the best of a cross-validation.
        search: for its recipe, batches and memory.
        seed: of the order in which batches are cut, and of first weights.

    Raises:
        ValueError: layers of another target size, or a fraction that keeps nothing.
    """
    if setting.target != data.target:
        raise ValueError(f"data must be pooled to target {setting.target}, got {data.target}")
    search = replace(search or Search(), penalties=(setting.penalty,), fractions=(setting.fraction,),
                     rates=(setting.rate,), steps=(setting.steps,))  # fmt: skip
    rows = shuffled(np.arange(data.layers.examples), seed)
    if search.recipe == "adam":
        heads = list(_adam_fits(data, search, rows, seed))
        if not heads:
            select(np.arange(data.layers.features), setting.fraction)
        return heads[0]
    [[lasso]] = group_lasso(data.layers, data.labels, data.classes, search.penalties, train=[rows],
                            memory=search.memory)  # fmt: skip
    kept = select(rank(lasso.strength, lasso.gradient), setting.fraction)
    kernel, scale = normalise(data.layers.gram(kept, search.memory), rows)
    own = kernel[rows][:, rows].unsqueeze(0)
    [[state]] = sgd_heads(own, data.labels[rows], data.classes, search.rates, steps=setting.steps,
                          batches=search.batches)  # fmt: skip
    features = data.layers.columns(kept, rows=rows, renormalise=True)
    return Head2Toe(setting, kept, state @ features / scale, state.sum(dim=1))


def shuffled(examples: Indices, *seed: int) -> Tensor:
    """The examples in the one order in which all their batches are cut."""
    return torch.from_numpy(np.random.default_rng(seed).permutation(examples))


def _selections(order: Indices, fractions: Sequence[float]) -> list[tuple[float, Indices]]:
    """(fraction, columns kept) of every fraction that keeps something."""
    return [(fraction, select(order, fraction)) for fraction in fractions if int(fraction * len(order))]


def _whole(data: Data, search: Search) -> Tensor | None:
    """[n, n] Gram matrix of all features, which no ranking changes; None when no fraction asks for it."""
    if max(search.fractions) < 1:
        return None
    return data.layers.gram(np.arange(data.layers.features), search.memory)


def _sgd_predictions(
    data: Data, search: Search, kept: dict[tuple[float, float], Indices], whole: Tensor | None,
    pair: tuple[Tensor, Tensor],
) -> Iterator[tuple[Setting, Tensor]]:  # fmt: skip
    """Predictions of the final heads of one training set: as many kernels together as the memory allows."""
    rows, others = pair
    labels, n = data.labels[rows], data.layers.examples
    # All features are one selection, whatever the penalty.
    same: dict[tuple[float, float], list[tuple[float, float]]] = {}
    for penalty, fraction in kept:
        same.setdefault((0.0 if fraction == 1 else penalty, fraction), []).append((penalty, fraction))
    groups = list(same.values())
    together = max(1, search.memory // (4 * n * n * data.layers.scales.element_size()))
    for start in range(0, len(groups), together):
        part, own, cross = groups[start : start + together], [], []
        for names in part:
            gram = whole if names[0][1] == 1 else None
            gram = data.layers.gram(kept[names[0]], search.memory) if gram is None else gram
            kernel, _ = normalise(gram, rows)
            own.append(kernel[rows][:, rows])
            cross.append(kernel[rows][:, others])
        kernels, across = torch.stack(own), torch.stack(cross)
        for steps in search.steps:
            state = sgd_heads(kernels, labels, data.classes, search.rates, steps=steps, batches=search.batches)
            predicted = torch.matmul(state, across.unsqueeze(1)).argmax(dim=2)  # [G, R, m]
            for names, by_rate in zip(part, predicted, strict=True):
                for (penalty, fraction), (r, rate) in ((a, b) for a in names for b in enumerate(search.rates)):
                    yield Setting(data.target, penalty, fraction, rate, steps), by_rate[r]


def _adam_fits(data: Data, search: Search, rows: Tensor, seed: int) -> Iterator[Head2Toe]:
    """Every head of one training set by the authors' recipe."""
    labels, everything = data.labels[rows], np.arange(data.layers.features)
    x = data.layers.columns(everything, rows=rows)
    names = [(rate, penalty) for rate in search.rates for penalty in search.penalties]
    train = partial(adam_heads, batches=search.batches, seed=seed, memory=search.memory)
    for steps in search.steps:
        weights, _ = train(x, labels, data.classes, names, steps=steps)
        for (rate, penalty), strength in zip(names, torch.linalg.vector_norm(weights, dim=1), strict=True):
            for fraction, kept in _selections(rank(strength), search.fractions):
                own = data.layers.columns(kept, rows=rows, renormalise=True)
                final, bias = train(own, labels, data.classes, [(rate, 0.0)], steps=steps)
                yield Head2Toe(Setting(data.target, penalty, fraction, rate, steps), kept, final[0], bias[0])
