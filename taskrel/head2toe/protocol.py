"""The search of the paper, cross-validated with the selection inside each fold, and the score made of it.

Knows arrays only: pooled layers per target size come in.

Source: spec/head2toe.md section 5. The authors' own final run trains on other examples (train800val200) than their
cross-validation (the first 1000 of train): call `cross_validate` on the one with ``split="as_released"`` and `fit` on
the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from taskrel.head2toe.layers import Indices, Layers, share_per_layer
from taskrel.head2toe.ridge import ridge
from taskrel.head2toe.training import Data, Head2Toe, Search, Setting, fit, outcomes, shuffled

Floats = npt.NDArray[np.float64]

# The fixed setting of the proxy: the same for all models, so that wide models are not tried more often. The middle
# target size, few features, little penalty and long training, as the specification chooses.
FIXED = Search(penalties=(1e-5,), fractions=(0.02,), rates=(0.1,), steps=(5000,))


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Accuracy of every setting in every fold.

    Args:
        settings: [S] the points of the search.
        accuracy: [S, K] fraction right of the examples held out, in [0, 1].
        features: [S] number of features kept.
    """

    settings: tuple[Setting, ...]
    accuracy: Floats
    features: Indices

    @property
    def best(self) -> int:
        """Place of the setting with the highest mean; ties go to fewer features, then to the larger penalty."""
        # Equal means may differ in their last bits.
        mean = self.accuracy.mean(axis=1).round(12)
        penalty = [-setting.penalty for setting in self.settings]
        return int(np.lexsort([penalty, self.features, -mean])[0])


@dataclass(frozen=True, eq=False)
class Head2ToeScore:
    """Head2Toe as a proxy.

    Args:
        accuracy: on the validation examples of the head fitted on all training examples, in [0, 1]; higher is better.
        cross_validated: mean accuracy over the folds of the same setting, in [0, 1]; optimistic where it was the best
            of several.
        setting: that was used.
        head: the fitted head.
        shares: layer -> share of its features that was kept, in [0, 1].
    """

    accuracy: float
    cross_validated: float
    setting: Setting
    head: Head2Toe
    shares: dict[str, float]


def folds(labels: Tensor, count: int = 5, *, split: str = "clean", seed: int = 0) -> Indices:
    """[n] the fold in which each example is held out; of labels alone, so all models and methods share it.

    Args:
        labels: [n] integers.
        count: of folds, at most n.
        split: "clean": shuffled, every class spread evenly; "as_released": consecutive pieces (200 each of 1000).
        seed: of the shuffling; "as_released" has none.

    Raises:
        ValueError: more folds than examples, or an unknown split.
    """
    n = len(labels)
    if split not in ("clean", "as_released") or not 2 <= count <= n:
        raise ValueError(f"folds must be 2..{n} and split 'clean' or 'as_released', got {count} and {split!r}")
    if split == "as_released":
        return np.arange(n) * count // n
    mixed = np.random.default_rng(seed).permutation(n)
    by_class = mixed[np.argsort(labels.cpu().numpy()[mixed], kind="stable")]
    held = np.empty(n, dtype=np.int64)
    held[by_class] = np.arange(n) % count
    return held


def accuracy(predicted: Tensor, labels: Tensor, *, batch: int | None = None) -> float:
    """Fraction of the predictions that are right, in [0, 1].

    Args:
        predicted: [m] class ids.
        labels: [m].
        batch: None, or the evaluation batch of the authors' code (50), which divides the last, partial batch by the
            full size and so reports too little: 0.948 of the truth for 711 examples.
    """
    right, n = int((predicted == labels.to(predicted.device)).sum()), len(labels)
    return right / (n if batch is None else batch * -(-n // batch))


def cross_validate(
    pools: Mapping[int, Layers], labels: Tensor, classes: int, search: Search | None = None, *, seed: int = 0
) -> CrossValidation:
    """Accuracy of every setting of the search on examples that neither its selection nor its head has seen.

    Args:
        pools: target size -> the pooled layers of the n training examples.
        labels: [n] integers in [0, classes).
        classes: C.
        search: the paper's grid with the exact selection by default.
        seed: of the folds, of the order of the examples and of first weights.

    Raises:
        ValueError: a search none of whose fractions keeps a feature, or faults of the parts.
    """
    search = search or Search()
    held = folds(labels, search.folds, split=search.split, seed=seed)
    pairs = [(shuffled(np.flatnonzero(held != k), seed, k), torch.from_numpy(np.flatnonzero(held == k)))
             for k in range(search.folds)]  # fmt: skip
    found: dict[Setting, list[float]] = {}
    sizes: dict[Setting, int] = {}
    for target, layers in pools.items():
        for outcome in outcomes(Data(target, layers, labels, classes), search, pairs, seed=seed):
            right = accuracy(outcome.predicted, labels[pairs[outcome.pair][1]])
            found.setdefault(outcome.setting, []).append(right)
            sizes[outcome.setting] = outcome.features
    if not found:
        raise ValueError(f"fractions must keep at least one feature, got {search.fractions}")
    settings = tuple(sorted(found))
    return CrossValidation(
        settings, np.array([found[each] for each in settings]), np.array([sizes[each] for each in settings])
    )


def cross_validated_ridge(
    pools: Mapping[int, Layers], labels: Tensor, classes: int, penalties: Sequence[float], *, count: int = 5,
    seed: int = 0, memory: int = 1 << 30,
) -> dict[int, Floats]:  # fmt: skip
    """Target size -> [P, K] accuracy of ridge regression on all features in each fold: what the size alone is worth.

    Args:
        pools: target size -> the pooled layers of the n training examples.
        labels: [n] integers in [0, classes).
        classes: C.
        penalties: [P] positive; of features whose squared length is the number of layers.
        count: of the folds, which are those of `cross_validate`.
        seed: of the folds.
        memory: bytes that the copies of columns may take at once.
    """
    held, found = folds(labels, count, seed=seed), {}
    for target, layers in pools.items():
        gram, each = layers.gram(np.arange(layers.features), memory), []
        for k in range(count):
            rows, others = (torch.from_numpy(np.flatnonzero(part)) for part in (held != k, held == k))
            predicted = ridge(gram, labels, classes, penalties, rows, others).argmax(dim=1)
            each.append([accuracy(one, labels[others]) for one in predicted])
        found[target] = np.array(each).T
    return found


def head2toe_score(
    taps_train: Mapping[int, Layers], labels_train: Tensor, taps_val: Mapping[int, Layers], labels_val: Tensor,
    *, classes: int | None = None, search: Search = FIXED, seed: int = 0,
) -> Head2ToeScore:  # fmt: skip
    """How well a linear head on selected features of all layers does on a task.

    Args:
        taps_train: target size -> pooled layers of the n training examples.
        labels_train: [n] integers from 0.
        taps_val: the same layers of the m validation examples.
        labels_val: [m].
        classes: C; one more than the largest label by default.
        search: one fixed setting by default, with which models compare fairly and no choice is made; several settings
            (`Search()` is the paper's grid) are chosen among by cross-validation on the training examples alone.
        seed: of folds and orders.

    Returns:
        Validation and cross-validated accuracy, both in [0, 1], higher is better.

    Raises:
        ValueError: parts that do not fit each other.

    Source:
        spec/head2toe.md sections 5 and 11.
    """
    if taps_train.keys() != taps_val.keys() or not taps_train:
        raise ValueError(f"taps_val must have the target sizes of taps_train, {list(taps_train)}, got {list(taps_val)}")
    classes = classes or int(max(labels_train.max(), labels_val.max())) + 1
    table = cross_validate(taps_train, labels_train, classes, search, seed=seed)
    setting = table.settings[table.best]
    layers = taps_train[setting.target]
    head = fit(Data(setting.target, layers, labels_train, classes), setting, search, seed=seed)
    right = accuracy(head.logits(taps_val[setting.target]).argmax(dim=1), labels_val)
    shares = dict(zip(layers.names, share_per_layer(layers, head.kept).tolist(), strict=True))
    return Head2ToeScore(right, float(table.accuracy[table.best].mean()), setting, head, shares)
