"""Successive halving over chunks of data, for any proxy: who is scored on what, what it takes, whether it pays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from taskrel.strategies.halving import Halving
from taskrel.strategies.view import Column


@dataclass(frozen=True)
class ModelCost:
    """What one model takes, in seconds; estimates are fine, as plans are compared under the same ones.

    Args:
        load: L, loading the model; paid once for each pass over training and once for each over test data.
        example: inference of one example.
        proxy: E, computing the proxy, per training example.
    """

    load: float
    example: float
    proxy: float


@dataclass(frozen=True)
class Round:
    """One round of a plan.

    Args:
        models: how many models take part: the better half of the round before, rounded up.
        first: index of the first new training example.
        stop: index after the last; the proxy is computed on examples 0 to stop.
    """

    models: int
    first: int
    stop: int


@dataclass(frozen=True)
class Verdict:
    """Whether halving pays: both plans in seconds.

    Args:
        with_halving: seconds if the slowest models survive every round (the worst case).
        without: seconds to score all models on all data.
    """

    with_halving: float
    without: float

    @property
    def pays(self) -> bool:
        """Whether halving is cheaper even in its worst case."""
        return self.with_halving < self.without

    def __str__(self) -> str:
        plain, halved = f"{self.without:,.1f} s", f"{self.with_halving:,.1f} s"
        if self.pays:
            return f"halving pays: at most {halved} instead of {plain} ({self.without / self.with_halving:.1f}x)"
        return f"halving does not pay: up to {halved} against {plain} for all models on all data; score them all"


@dataclass(frozen=True)
class DataHalving:
    """The plan of successive halving over the training data of one task.

    The examples must be in random order. The order decides what early rounds see; the rank of the survivors on all
    data does not depend on it.

    Args:
        models: M, the size of the pool.
        examples: N, training examples, at least one per pull.
        test_examples: O, examples the proxy is evaluated on; 0 for one that needs none.
        pulls: see `Halving`.

    Raises:
        ValueError: too few examples or pulls.

    Source:
        Renggli et al., SHiFT, VLDB 2022, corrected: spec/model_search.md section 9.
    """

    models: int
    examples: int
    test_examples: int = 0
    pulls: int | None = None

    def __post_init__(self) -> None:
        least = sum(self.schedule.each)
        if self.examples < least:
            raise ValueError(f"examples must be at least {least}, one for each pull of a survivor, got {self.examples}")
        if self.test_examples < 0:
            raise ValueError(f"test_examples must be at least 0, got {self.test_examples}")

    @property
    def schedule(self) -> Halving:
        """The schedule this plan follows."""
        return Halving(self.models, self.pulls)

    @property
    def rounds(self) -> tuple[Round, ...]:
        """Every round with its models and its new examples; the last one ends with the last example."""
        schedule = self.schedule
        stops = [round(self.examples * share) for share in schedule.shares]
        return tuple(map(Round, schedule.sizes, (0, *stops), stops))

    def keep(self, scores: Column) -> list[str]:
        """The better half of a round by score on all examples so far, rounded up, best first; see `Halving.keep`."""
        return self.schedule.keep(scores)

    def verdict(self, costs: Mapping[str, ModelCost] | Iterable[ModelCost], devices: int = 1,
                read: float = 0.0) -> Verdict:  # fmt: skip
        """What this plan takes against scoring all models on all data.

        Without halving a model takes ``(N + O)(read + example) + 2 load + E N`` seconds, spread over the devices. In a
        round of halving a survivor is loaded again, reads and infers its new chunk, and the proxy is computed anew on
        all it has seen; test examples are inferred in the first round only. A round cannot use more devices than it
        has models, and the slowest models are assumed to survive.

        Args:
            costs: one per model of the pool.
            devices: P, how many models are scored at a time.
            read: seconds to read one example.

        Raises:
            ValueError: not one cost per model, or no device.
        """
        whole = (Round(self.models, 0, self.examples),)
        each = _each(costs, self.models, devices)
        return Verdict(*(_seconds(rounds, self.test_examples, each, devices, read) for rounds in (self.rounds, whole)))


@dataclass(frozen=True)
class Doubling:
    """Halving that stops early: the better half goes on with twice the examples until few are left, who see them all.

    The examples must be in random order. Where several models are wanted in the end, as many must have seen everything.

    Args:
        models: M, the size of the pool.
        examples: N; of too few for all rounds the first get none.
        least: how many models are kept in any case, at least 1.

    Raises:
        ValueError: no model, or nobody to keep.

    Source:
        Ours; `DataHalving` is the published schedule, which goes on until one or two are left.
    """

    models: int
    examples: int
    least: int = 1

    def __post_init__(self) -> None:
        if self.models < 1 or self.least < 1:
            raise ValueError(f"models and least must be at least 1, got {self.models} and {self.least}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many models take part in each round."""
        found = [self.models]
        while found[-1] > self.least:
            found.append(max(self.least, math.ceil(found[-1] / 2)))
        return tuple(found)

    @property
    def rounds(self) -> tuple[Round, ...]:
        """Every round with its models and its new examples; the last one ends with the last example."""
        sizes = self.sizes
        stops = [self.examples >> (len(sizes) - 1 - number) for number in range(len(sizes))]
        return tuple(map(Round, sizes, (0, *stops), stops))

    def verdict(self, costs: Mapping[str, ModelCost] | Iterable[ModelCost], devices: int = 1) -> Verdict:
        """What this takes against looking at all examples with all models; see `DataHalving.verdict`."""
        whole = (Round(self.models, 0, self.examples),)
        each = _each(costs, self.models, devices)
        return Verdict(*(_seconds(rounds, 0, each, devices, 0.0) for rounds in (self.rounds, whole)))


def _each(costs: Mapping[str, ModelCost] | Iterable[ModelCost], models: int, devices: int) -> list[ModelCost]:
    each = list(costs.values() if isinstance(costs, Mapping) else costs)
    if len(each) != models:
        raise ValueError(f"costs must be as many as models ({models}), got {len(each)}")
    if devices < 1:
        raise ValueError(f"devices must be at least 1, got {devices}")
    return each


def _seconds(rounds: tuple[Round, ...], tests: int, costs: list[ModelCost], devices: int, read: float) -> float:
    total = 0.0
    for number, turn in enumerate(rounds):
        first = number == 0
        new = turn.stop - turn.first + (tests if first else 0)
        took = [
            new * (read + cost.example) + (2 if first else 1) * cost.load + cost.proxy * turn.stop for cost in costs
        ]
        total += sum(sorted(took)[-turn.models :]) / min(devices, turn.models)
    return total
