"""What a strategy may look at: one task's candidates and what has been measured of them.

Knows no ranking rule; fine-tuned accuracies of the task itself are not here, they are told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from taskrel.types import Candidate

Column = Mapping[str, float | None]


@dataclass(frozen=True)
class TaskView:
    """One task as a strategy sees it.

    Args:
        task: its name.
        candidates: the pool, one or more models with distinct names, in any order.
        scores: proxy -> model -> score, None or absent where it could not be computed.
        score_seconds: proxy -> model -> seconds that score took, None or absent where unknown.
        accuracies: model -> mean fine-tuned accuracy over all tasks, for the oracle only.

    Raises:
        ValueError: an empty pool, a name twice, or a number that is NaN or infinite.
    """

    task: str
    candidates: tuple[Candidate, ...]
    scores: Mapping[str, Column] = field(default_factory=dict)
    score_seconds: Mapping[str, Column] = field(default_factory=dict)
    accuracies: Column | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidates", tuple(self.candidates))
        names = [c.model for c in self.candidates]
        if not names:
            raise ValueError("candidates must hold at least one model, got none")
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"candidates must have distinct names, got {twice} more than once")
        columns = {f"scores[{p!r}]": c for p, c in self.scores.items()}
        columns |= {f"score_seconds[{p!r}]": c for p, c in self.score_seconds.items()}
        columns["accuracies"] = self.accuracies or {}
        for thing, column in columns.items():
            for model, number in column.items():
                if number is not None and not math.isfinite(number):
                    raise ValueError(f"{thing} must be finite or None, got {number} for {model!r}")
