"""The linear proxy of the study: accuracy of softmax heads trained by SGD on frozen features.

The training itself is `taskrel.heads`; here are only the choice by validation and the median.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from taskrel.heads import Recipe, train_heads
from taskrel.types import Array, CannotScore, Probe, Score


def score(
    train: Probe,
    val: Probe | None,
    *,
    seed: int,
    learning_rates: Sequence[float] = (0.1, 0.01),
    steps: int = 2500,
    batch: int = 512,
    repeats: int = 5,
) -> Score:
    """Median over repeats of the best validation accuracy among the learning rates.

    Features are used as they are, unscaled, as in the study. Heads know the classes of the training
    part only; a validation class without training examples counts as wrong (`detail["unseen"]`
    examples). A head that diverged takes no part; neither does a repeat with no other head.

    Args:
        train: n training examples.
        val: m validation examples.
        seed: seed of the batches of all repeats.
        learning_rates: rates tried on the same batches.
        steps: SGD steps, momentum 0.9, no decay of rate or weights.
        batch: examples per step, clipped to n.
        repeats: independent batch streams.

    Returns:
        Accuracy in [0, 1]; `values` holds one per repeat, `detail` the rate chosen most often (the first listed among
        equals), each rate's own median (None if it diverged throughout) and the number of diverged heads. `influence`
        is per validation example: its share of right answers over the repeats, the heads held fixed.

    Raises:
        CannotScore: no validation part, one class, or every head diverged.
        ValueError: a setting out of range.

    Source:
        "Which Model to Transfer?", CVPR 2022, section 4; spec/model_search.md section 4.
    """
    if val is None:
        raise CannotScore("linear needs a validation part, got none")
    recipe = Recipe(tuple(learning_rates), repeats=repeats, steps=steps, batch=batch)
    classes, encoded = np.unique(train.labels, return_inverse=True)
    if len(classes) < 2:
        raise CannotScore(f"linear needs at least 2 training classes, got {len(classes)}")
    inputs, queries = _tensor(train.features), _tensor(val.features)
    heads = train_heads(inputs, torch.tensor(encoded).to(inputs.device), len(classes), recipe, seed=seed)
    logits = heads.logits(queries.to(inputs.device))
    finite = heads.finite & torch.isfinite(logits).all(dim=3).all(dim=2)
    right = classes[logits.argmax(dim=3).cpu().numpy()] == val.labels
    accuracies = np.where(finite.cpu().numpy(), right.mean(axis=2), np.nan)
    living = finite.any(dim=1).cpu().numpy()
    alive = accuracies[living]
    if not len(alive):
        raise CannotScore(
            f"linear needs a head with finite weights, got {accuracies.size} diverged ones "
            f"(largest feature {np.abs(train.features).max():.3g})"
        )
    best, chosen = np.nanmax(alive, axis=1), np.nanargmax(alive, axis=1)
    wins = np.bincount(chosen, minlength=len(recipe.learning_rates))
    each = right[living][np.arange(len(chosen)), chosen].mean(axis=0)
    detail = {
        "learning_rate": recipe.learning_rates[int(wins.argmax())],
        "medians": [_median(accuracies[:, i]) for i in range(len(recipe.learning_rates))],
        "diverged": int(np.isnan(accuracies).sum()),
        "unseen": int(np.sum(~np.isin(val.labels, classes))),
    }
    return Score(float(np.median(best)), tuple(best.tolist()), detail, each - each.mean())


def _tensor(features: Array) -> torch.Tensor:
    """A copy, where the features are: a probe may be a read-only memory map, which torch must not alias."""
    return features.clone() if isinstance(features, torch.Tensor) else torch.tensor(features)


def _median(column: np.ndarray) -> float | None:
    finite = column[~np.isnan(column)]
    return float(np.median(finite)) if len(finite) else None
