"""Scores that cost nothing: what is known of a model before anyone looks at the target task.

The baselines every proxy must beat. On homogeneous zoos of convolutional networks few do; spec/proxies.md section 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from taskrel.aggregate import rank_mean
from taskrel.types import Candidate

# task -> model -> accuracy
Accuracies = Mapping[str, Mapping[str, float | None]]
Scores = dict[str, float | None]


@dataclass(frozen=True)
class Static:
    """A score of models that does not look at the target task; higher is better.

    Args:
        name: key in tables and configurations.
        needs: "facts", known of each model, or "elsewhere": its accuracies on other tasks.
        score: from the candidates, and the accuracies elsewhere, to a score per candidate.
        summary: one line on what the number is.
    """

    name: str
    needs: str
    score: Callable[[Sequence[Candidate], Accuracies], Scores]
    summary: str


def static(name: str, candidates: Sequence[Candidate], elsewhere: Accuracies | None = None) -> Scores:
    """The static score of every candidate, by model.

    Args:
        name: a key of `STATIC`.
        candidates: the pool, no model twice.
        elsewhere: fine-tuned accuracies on other tasks, the target task left out; NaN or None where missing.

    Returns:
        Model -> score, None where nothing is known of it.

    Raises:
        ValueError: an unknown name, a model twice, or no accuracies where the score needs them.
    """
    if name not in STATIC:
        raise ValueError(f"name must be one of {', '.join(STATIC)}, got {name!r}")
    models = [candidate.model for candidate in candidates]
    if len(set(models)) < len(models):
        raise ValueError(f"candidates must be distinct, got {sorted({m for m in models if models.count(m) > 1})} twice")
    if STATIC[name].needs == "elsewhere" and elsewhere is None:
        raise ValueError(f"{name} needs accuracies on other tasks, got none")
    return STATIC[name].score(candidates, elsewhere or {})


def _fact(attribute: str) -> Callable[[Sequence[Candidate], Accuracies], Scores]:
    def read(candidates: Sequence[Candidate], elsewhere: Accuracies) -> Scores:
        del elsewhere
        facts = {candidate.model: getattr(candidate, attribute) for candidate in candidates}
        return {model: None if fact is None else float(fact) for model, fact in facts.items()}

    return read


def _static_rank(candidates: Sequence[Candidate], elsewhere: Accuracies) -> Scores:
    """Minus the mean, over the other tasks, of the model's rank by accuracy among the candidates with a value there."""
    ranks: dict[str, list[float]] = {candidate.model: [] for candidate in candidates}
    for task in elsewhere.values():
        known = {m: task[m] for m in ranks if task.get(m) is not None and not np.isnan(float(task[m] or 0))}
        for model, rank in zip(known, rank_mean({"accuracy": list(known.values())}), strict=True):
            assert rank is not None
            ranks[model].append(rank)
    return {model: float(np.mean(own)) if own else None for model, own in ranks.items()}


_TABLE = (
    Static("upstream_accuracy", "facts", _fact("upstream_accuracy"), "accuracy on its own pre-training benchmark"),
    Static("parameters", "facts", _fact("parameters"), "number of parameters without the head"),
    Static("released", "facts", _fact("released"), "year its design was published"),
    Static("static_rank", "elsewhere", _static_rank, "minus its mean rank by fine-tuned accuracy on the other tasks"),
)

STATIC: Mapping[str, Static] = MappingProxyType({entry.name: entry for entry in _TABLE})
