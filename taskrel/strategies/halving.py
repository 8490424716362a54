"""Successive halving: everyone gets a little, the better half gets more; over steps or over data.

`Halving` is the schedule, `StepHalving` the strategy that follows it over fine-tuning steps; over chunks of data for
any proxy see `taskrel.strategies.data_halving`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from taskrel.strategies.ranking import check_number, check_told
from taskrel.strategies.view import Column, TaskView
from taskrel.types import Pick


@dataclass(frozen=True)
class Halving:
    """The schedule of successive halving: how many models are left in each round and how often each is pulled.

    Round k of ceil(log2 M) gives each of its |S_k| models ``r_k = floor(B / (|S_k| ceil(log2 M)))`` pulls and keeps
    the better ceil(|S_k| / 2). The size of a pull is such that all rounds together are everything there is, so that
    survivors have seen all of it; the published code divides by the sum of *cumulative* pulls, and its do not.

    Args:
        models: M, the size of the pool.
        pulls: B, how many pulls there are in all; at least M ceil(log2 M), which is the default.

    Raises:
        ValueError: no model, or too few pulls for one each in the first round.

    Source:
        Karnin, Koren, Somekh, ICML 2013; Renggli et al., SHiFT, VLDB 2022; spec/model_search.md section 9.
    """

    models: int
    pulls: int | None = None

    def __post_init__(self) -> None:
        if self.models < 1:
            raise ValueError(f"models must be at least 1, got {self.models}")
        least = self.models * self.rounds
        if self.pulls is not None and self.pulls < least:
            raise ValueError(f"pulls must be at least {least} (models x rounds), got {self.pulls}")

    @property
    def rounds(self) -> int:
        """ceil(log2 M), and 1 for a single model."""
        return max(1, math.ceil(math.log2(self.models)))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """|S_k|: models in each round; half of the last, rounded up, is the one that wins."""
        return tuple(accumulate(range(1, self.rounds), lambda size, _: math.ceil(size / 2), initial=self.models))

    @cached_property
    def each(self) -> tuple[int, ...]:
        """r_k: further pulls of each model of each round."""
        pulls = self.models * self.rounds if self.pulls is None else self.pulls
        return tuple(pulls // (size * self.rounds) for size in self.sizes)

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """Share of everything that a model has had by the end of each round; 1 in the last."""
        total = sum(self.each)
        return tuple(had / total for had in accumulate(self.each))

    @property
    def cost(self) -> float:
        """What all rounds cost, in models that get everything; without halving that would be M."""
        steps = zip(self.sizes, self.shares, (0.0, *self.shares), strict=False)
        return sum(size * (share - before) for size, share, before in steps)

    def keep(self, scores: Column) -> list[str]:
        """The better half, rounded up, of the models of a round, best first.

        Args:
            scores: model -> number, higher is better, None for one that failed: dropped first. Equal ones by name.
        """
        order = sorted(scores, key=lambda model: (-_number(scores[model]), model))
        return order[: math.ceil(len(order) / 2)]


def _number(score: float | None) -> float:
    return -math.inf if score is None else score


class StepHalving:
    """Successive halving over fine-tuning steps: asks for a share of a fine-tuning, then for more of the survivors.

    A round is over when every model asked for in it was told; until then there is nothing more to ask for. Accuracies
    told must be those after the share asked for (with a learning-rate schedule that fits the share: a rate that decays
    at the end makes half a run look worse than it is). One that nobody asked for is ignored. A failed model is told
    as None and dropped; if all of a round failed, nothing is left to ask for.

    Args:
        view: the task; only the names of its candidates are read.
        pulls: see `Halving`.
    """

    def __init__(self, view: TaskView, pulls: int | None = None) -> None:
        self.plan = Halving(len(view.candidates), pulls)
        self._pool = frozenset(candidate.model for candidate in view.candidates)
        self._round = 0
        self._open(sorted(self._pool), None)

    def _open(self, models: Collection[str], told: Column | None) -> None:
        self._to_ask, self._before = list(models), told
        self._told: dict[str, float | None] = {}
        self._waiting: set[str] = set()

    def ask(self, n: int) -> list[Pick]:
        """Up to n further picks of this round; nothing while it waits to be told, or at the end."""
        check_number(n)
        now, self._to_ask = self._to_ask[:n], self._to_ask[n:]
        self._waiting |= set(now)
        return [Pick(model, self._reason(model), 0.0, self._tied(model), self._share) for model in now]

    @property
    def _share(self) -> float:
        return self.plan.shares[self._round]

    def _reason(self, model: str) -> str:
        place = f"halving round {self._round + 1} of {self.plan.rounds}: to {self._share:.1%} of a fine-tuning"
        if self._before is None:
            return f"{place}, all {len(self._pool)} models"
        tied = self._tied(model)
        ties = f", {tied} tied" if tied > 1 else ""
        return f"{place}, after {self._before[model]:.3f} at {self.plan.shares[self._round - 1]:.1%}{ties}"

    def _tied(self, model: str) -> int:
        if self._before is None:
            return 1  # nobody is left out in the first round
        return sum(value == self._before[model] for value in self._before.values())

    def tell(self, observations: Column) -> None:
        """Accuracies after the share asked for; ends the round when all of its models are told.

        Raises:
            ValueError: a model outside the pool or an accuracy outside [0, 1].
        """
        check_told(observations, self._pool)
        for model in self._waiting & observations.keys():
            self._told[model] = observations[model]
            self._waiting.discard(model)
        if self._told and not self._to_ask and not self._waiting:
            alive = {model: value for model, value in self._told.items() if value is not None}
            failed = dict.fromkeys(self._told.keys() - alive)
            kept = [model for model in self.plan.keep(alive | failed) if model in alive]
            if self._round + 1 < self.plan.rounds:
                self._round += 1
                self._open(kept, alive)
            else:
                self._open((), alive)


def step_halving(pulls: int | None = None) -> Callable[[TaskView, int], StepHalving]:
    """The builder function of `StepHalving`."""

    def make(view: TaskView, seed: int) -> StepHalving:
        del seed
        return StepHalving(view, pulls)

    return make
