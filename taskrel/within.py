"""How likely the best fine-tuned model is within a margin of the best there is, though others were not fine-tuned.

What a probe on frozen features reaches says much of what fine-tuning reaches; how much differs from task to task. On
every finished task, in logits, accuracies are a level plus a slope times the probe's plus errors. A new task is taken
to go as one of those did, each as likely as it explains what is known; the level comes from the models that were
fine-tuned. Knows no strategy and no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskrel.strategies.forecast import accuracy_of, logit

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one finished task taught of the step from a probe's accuracy to that after fine-tuning, in logits.

    Args:
        level: of the task.
        slope: how much of a difference of probes is one of fine-tuned models.
        errors: [M] what is left, widened by what fitting level and slope took away.
    """

    level: float
    slope: float
    errors: Floats


def learn(probe: npt.ArrayLike, accuracy: npt.ArrayLike) -> Lesson:
    """The least-squares line of one finished task.

    Args:
        probe: [M] accuracies of a probe (fractions), of at least three models.
        accuracy: [M] fine-tuned accuracies of the same models (fractions).

    Raises:
        ValueError: too few models, or arrays that do not fit.
    """
    x, y = np.asarray(probe, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 3:
        raise ValueError(f"probe and accuracy must be of the same three or more models, got {x.shape} and {y.shape}")
    x, y = logit(x), logit(y)
    away = x - x.mean()
    slope = float(away @ y / (away @ away)) if away @ away > 0 else 0.0
    level = float(y.mean() - slope * x.mean())
    return Lesson(level, slope, (y - level - slope * x) * np.sqrt(len(x) / (len(x) - 2)))


def chance_within(lessons: Sequence[Lesson], probe: npt.ArrayLike, reached: Mapping[int, float], margin: float = 0.01,
                  *, best: float | None = None, samples: int = 4000, seed: int = 0) -> float:  # fmt: skip
    """The chance that no model would reach more than ``margin`` above the best one that was fine-tuned.

    Args:
        lessons: of other tasks, at least one.
        probe: [M] accuracies of the probe on this task (fractions), NaN for a model without: it is passed over.
        reached: index -> fine-tuned accuracy of those that were fine-tuned (fractions). With none, the model with the
            best probe is what would be fine-tuned, and the chance is that it is within the margin.
        margin: in accuracy, 0.01 is a point.
        best: accuracy of the model that would be used, where it is none of these (a linear head, say).
        samples: how many futures are drawn, in all.
        seed: non-negative.

    Returns:
        A probability; 1 when every model with a probe was fine-tuned.

    Raises:
        ValueError: nothing to go by, or a margin below 0.

    Source:
        Ours; how well it is calibrated is in docs/rank.md.
    """
    x = np.asarray(probe, dtype=np.float64)
    there = ~np.isnan(x)
    if margin < 0 or not there.any() or not lessons:
        raise ValueError(f"margin must be at least 0, and some lesson and some probe given, got margin {margin}, "
                         f"{len(lessons)} lessons and {int(there.sum())} probes")  # fmt: skip
    seen = [index for index in sorted(reached) if there[index]]
    left = there.copy()
    left[list(reached)] = False
    if not left.any():
        return 1.0
    odds = logit(np.where(there, x, 0.5))
    told = logit([reached[index] for index in seen])
    rng = np.random.default_rng(seed)
    each = -(-samples // len(lessons))
    chances, weights = [], []
    for lesson in lessons:
        known = told - lesson.slope * odds[seen]
        errors = rng.choice(lesson.errors, (each, len(x)))
        level = (known - errors[:, seen]).mean(axis=1) if seen else _levels(lessons, rng, each)
        futures = accuracy_of(lesson.slope * odds + level[:, None] + errors)
        used = futures[:, int(np.nanargmax(x))] if not reached else max(reached.values())
        chances.append(float((futures[:, left].max(axis=1) <= (used if best is None else best) + margin).mean()))
        weights.append(_likelihood(known, float(lesson.errors.std())))
    return float(np.average(chances, weights=weights))


def _levels(lessons: Sequence[Lesson], rng: np.random.Generator, samples: int) -> Floats:
    return rng.choice(np.array([lesson.level for lesson in lessons]), samples)


def _likelihood(known: Floats, spread: float) -> float:
    """Of what the fine-tuned models left over, their mean apart, if errors have this spread; 1 for fewer than two."""
    if len(known) < 2:
        return 1.0
    spread = max(spread, 1e-3)
    squares = float(((known - known.mean()) ** 2).sum())
    return float(spread ** -(len(known) - 1) * np.exp(-squares / (2 * spread**2)))
