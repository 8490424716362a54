"""The whole pool in the order in which each strategy would fine-tune it, from the tables; or why there is no order.

What a strategy sees and how it is named is :mod:`sweeps.picks`, the same as for the cells that are searched.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import fmean

from sweeps import picks as seen
from sweeps.errors import ConfigError
from sweeps.report.words import listing, proxy
from sweeps.types import Row
from taskrel.types import Pick


class Views:
    """The tasks as strategies see them, for any pool."""

    def __init__(self, models: Sequence[Row], scores: Iterable[Row], jobs: Iterable[Row], accuracies: Iterable[Row],
                 proxies: Iterable[str] = ()) -> None:  # fmt: skip
        """Read the tables.

        Args:
            models: rows of ``models``.
            scores: rows of ``scores``.
            jobs: rows of ``jobs``; the forward pass behind a score is paid by those of kind ``embed``.
            accuracies: rows of ``accuracies``, for strategies that are allowed to know the outcome.
            proxies: names that a strategy may be made of, besides those scored.
        """
        self._candidates = {candidate.model: candidate for candidate in seen.candidates(models)}
        forward = {(row["model"], row["task"]): row["seconds"] for row in jobs if row["kind"] == "embed"}
        self._scores: dict[str, list[Row]] = {}
        for row in scores:
            seconds = _sum(row["seconds"], forward.get((row["model"], row["task"]), 0.0))
            self._scores.setdefault(row["task"], []).append(row | {"seconds": seconds})
        self.proxies = sorted({*proxies, *(row["proxy"] for rows in self._scores.values() for row in rows)})
        self._means = _means(accuracies)

    def scored(self, task: str, name: str) -> Mapping[str, float]:
        """Model -> score, for the models that have one."""
        return {row["model"]: row["value"] for row in self._scores.get(task, ())
                if row["proxy"] == name and row["value"] is not None}  # fmt: skip

    def least_budget(self, strategy: str) -> int:
        """The smallest budget at which a strategy is defined."""
        try:
            return seen.builder(strategy, self.proxies).min_budget
        except ConfigError:
            return 1

    def rank(self, strategy: str, task: str, pool: Collection[str], seed: int) -> list[Pick] | str:
        """Every model of a pool once, best first, or why the strategy cannot say."""
        try:
            made = seen.builder(strategy, self.proxies)
        except ConfigError as error:
            return str(error)
        candidates = [self._candidates[name] for name in sorted(pool) if name in self._candidates]
        if not candidates:
            return "the pool is empty"
        lacking = [name for name in made.proxies if not self.scored(task, name)]
        if lacking:
            return f"no model has a {listing(proxy(name) for name in lacking)} score"
        if made.needs_accuracies and not self._means:
            return "no model is fine-tuned"
        view = seen.view(task, candidates, self._scores.get(task, ()), self._means)
        return made(view, seed=seed).ask(len(candidates))


def left_out(strategy: str, reasons: Mapping[str, Sequence[str]], pool: str) -> list[str]:
    """A note for each reason why a strategy is missing on some tasks."""
    return [f"strategy {strategy} is left out in pool {pool} on {listing(tasks)}: {reason}"
            for reason, tasks in reasons.items()]  # fmt: skip


def _sum(seconds: float | None, more: float | None) -> float | None:
    return None if seconds is None or more is None else seconds + more


def _means(accuracies: Iterable[Row]) -> dict[str, float | None]:
    """Model -> mean accuracy over the tasks on which it has one."""
    known: dict[str, list[float]] = {}
    for row in accuracies:
        if row["accuracy"] is not None:
            known.setdefault(row["model"], []).append(row["accuracy"])
    return {model: fmean(values) for model, values in known.items()}
