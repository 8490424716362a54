"""What a strategy may look at: one task's candidates, what was measured of them, and what other tasks taught.

Knows no ranking rule; fine-tuned accuracies of the task itself are not here, they are told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
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
        score_seconds: proxy -> model -> seconds that score took, None or absent where unknown. Under
            "task2vec" a model's share of what the embedding of this task took.
        accuracies: model -> mean fine-tuned accuracy over all tasks, for the oracle only.
        elsewhere: other task -> model -> fine-tuned accuracy (fraction) there, None or absent where it was not
            measured; {} if there is no other task, None if nobody looked.
        scores_elsewhere: other task -> proxy -> model -> score there.
        neighbours: other task -> distance from this one, smaller is nearer (`taskrel.task2vec.nearest`).
        finetune_seconds: model -> what fine-tuning it on this task is expected to take, None or absent where unknown.

    Raises:
        ValueError: an empty pool, a name twice, a number that is NaN or infinite, or the task itself among the others.
    """

    task: str
    candidates: tuple[Candidate, ...]
    scores: Mapping[str, Column] = field(default_factory=dict)
    score_seconds: Mapping[str, Column] = field(default_factory=dict)
    accuracies: Column | None = None
    elsewhere: Mapping[str, Column] | None = None
    scores_elsewhere: Mapping[str, Mapping[str, Column]] = field(default_factory=dict)
    neighbours: Mapping[str, float] | None = None
    finetune_seconds: Column = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "candidates", tuple(self.candidates))
        names = [c.model for c in self.candidates]
        if not names:
            raise ValueError("candidates must hold at least one model, got none")
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"candidates must have distinct names, got {twice} more than once")
        for thing, column in self._columns():
            for key, number in column.items():
                if number is not None and not math.isfinite(number):
                    raise ValueError(f"{thing} must be finite or None, got {number} for {key!r}")
        for thing in ("elsewhere", "scores_elsewhere", "neighbours"):
            # A strategy that saw the target's accuracies would have no regret to measure.
            if self.task in (getattr(self, thing) or {}):
                raise ValueError(f"{thing} must leave the task itself out, got {self.task!r}")

    def _columns(self) -> Iterator[tuple[str, Column]]:
        """Every column of numbers with its name."""
        yield from ((f"scores[{p!r}]", c) for p, c in self.scores.items())
        yield from ((f"score_seconds[{p!r}]", c) for p, c in self.score_seconds.items())
        yield "accuracies", self.accuracies or {}
        yield from ((f"elsewhere[{t!r}]", c) for t, c in (self.elsewhere or {}).items())
        for task, scores in self.scores_elsewhere.items():
            yield from ((f"scores_elsewhere[{task!r}][{p!r}]", c) for p, c in scores.items())
        yield "neighbours", self.neighbours or {}
        yield "finetune_seconds", self.finetune_seconds
