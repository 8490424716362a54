"""The whole pool in the order in which each strategy would fine-tune it, from the tables; or why there is no order.

What a strategy sees and how it is named is :mod:`sweeps.picks`, the same as for the cells that are searched.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import fmean

import numpy as np
import numpy.typing as npt

from sweeps import picks as seen
from sweeps.errors import ConfigError
from sweeps.report import words
from sweeps.settings import EARLY
from sweeps.types import Row
from taskrel.aggregate import COMBINED, combine
from taskrel.static import STATIC
from taskrel.strategies import Strategy, TaskView
from taskrel.types import Pick

Floats = npt.NDArray[np.float64]


class Views:
    """The tasks as strategies see them, for any pool."""

    def __init__(self, models: Sequence[Row], scores: Iterable[Row], jobs: Iterable[Row], accuracies: Iterable[Row],
                 proxies: Iterable[str] = (), neighbours: Iterable[Row] = (),
                 embeddings: Iterable[Row] = ()) -> None:  # fmt: skip
        """Read the tables.

        Args:
            models: rows of ``models``.
            scores: rows of ``scores``.
            jobs: rows of ``jobs``; the forward pass behind a score is paid by those of kind ``embed``.
            accuracies: rows of ``accuracies``, for strategies that are allowed to know outcomes.
            proxies: names that a strategy may be made of, besides those scored.
            neighbours: rows of ``neighbours``.
            embeddings: rows of ``embeddings``, for what they took; the probe's forward pass is on top.
        """
        self._candidates = {candidate.model: candidate for candidate in seen.candidates(models)}
        self._forward = {(row["model"], row["task"]): row["seconds"] for row in jobs if row["kind"] == "embed"}
        self._scores: dict[str, list[Row]] = {}
        for row in scores:
            self._scores.setdefault(row["task"], []).append(row)
        self.proxies = sorted({*proxies, *(row["proxy"] for rows in self._scores.values() for row in rows)})
        self._reached: dict[str, dict[str, float]] = {}
        for row in accuracies:
            if row["accuracy"] is not None and row["model"] in self._candidates:
                self._reached.setdefault(row["task"], {})[row["model"]] = row["accuracy"]
        self._neighbours: dict[str, dict[str, float]] = {}
        for row in neighbours:
            self._neighbours.setdefault(row["task"], {})[row["other"]] = row["distance"]
        self._embedding = {row["task"]: _sum(row["seconds"], self._forward.get((row["probe"], row["task"])))
                           for row in embeddings}  # fmt: skip
        self._views: dict[tuple[str, tuple[str, ...]], TaskView] = {}

    @property
    def names(self) -> list[str]:
        """Every score there can be: measured, then combined from measured ones, then static."""
        combined = [name for name, entry in COMBINED.items() if set(entry.parts) <= set(self.proxies)]
        return [*self.proxies, *combined, *(name for name in STATIC if name not in self.proxies)]

    def scored(self, task: str, name: str, pool: Iterable[str] | None = None) -> Mapping[str, float]:
        """Model -> score, for the models that have one; a combined score is relative to the pool (or the whole zoo)."""
        members = self._candidates if pool is None else [model for model in pool if model in self._candidates]
        column = self._view(task, members).scores.get(name, {}) if members else {}
        return {model: value for model, value in column.items() if value is not None}

    def replicates(self, task: str, name: str, pool: Sequence[str]) -> Floats | None:
        """[M, K] a score over resampled examples, NaN for models without; None where no model has any."""
        parts = {part: self._drawn(task, part, pool) for part in seen.measured(name)}
        known = [drawn.shape[1] for drawn in parts.values() if drawn is not None]
        if not parts or len(known) < len(parts):
            return None
        if name not in COMBINED:
            return parts[name]
        columns = [combine(name, {part: _nones(drawn[:, number]) for part, drawn in parts.items() if drawn is not None})
                   for number in range(min(known))]  # fmt: skip
        return np.array([[np.nan if value is None else value for value in column] for column in columns]).T

    def seconds(self, task: str, name: str, pool: Sequence[str]) -> list[float]:
        """What computing a score took for each model where that is known, the forward pass not included."""
        took = {(row["model"], row["proxy"]): row["seconds"] for row in self._scores.get(task, ())
                if row["value"] is not None}  # fmt: skip
        each = [[took.get((model, part)) for part in seen.measured(name)] for model in pool]
        return [sum(numbers) for numbers in each if None not in numbers]  # type: ignore[arg-type]

    def reads(self, strategy: str) -> tuple[str, ...]:
        """The scores that a strategy ranks by."""
        try:
            return seen.builder(strategy, self.proxies).proxies
        except ConfigError:
            return ()

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
        members = sorted(name for name in pool if name in self._candidates)
        if not members:
            return "the pool is empty"
        for name in made.proxies:
            if not self.scored(task, name, members):
                return self._lacking(task, name, members)
        if made.needs_accuracies and not self._reached:
            return "no model is fine-tuned"
        if made.partial:
            return "it asks for parts of a fine-tuning, which finished runs do not hold"
        if "neighbours" in made.needs and (lacking := self._alone(task)):
            return lacking
        if "elsewhere" not in made.needs:
            return made(self._view(task, members), seed=seed).ask(len(members))
        if not self._reached.keys() - {task}:
            return "no model is fine-tuned on another task"
        taught = made(self._taught(task, members), seed=seed)
        return self._told(taught, task, members) if made.adaptive else taught.ask(len(members))

    def _alone(self, task: str) -> str:
        """Why a task has no neighbour to learn from, or ""."""
        if not self._neighbours:
            return "no two tasks are embedded"
        if task not in self._neighbours:
            return "the task is not embedded"
        known = self._neighbours[task].keys() & self._reached.keys()
        return "" if known else "no model is fine-tuned on another embedded task"

    def _told(self, strategy: Strategy, task: str, pool: Sequence[str]) -> list[Pick]:
        """The pool in the order in which a strategy asks that is told each accuracy before it asks for the next."""
        picks: list[Pick] = []
        while len(picks) < len(pool) and (asked := strategy.ask(1)):
            picks += asked
            strategy.tell({pick.model: self._reached.get(task, {}).get(pick.model) for pick in asked})
        return picks

    def _taught(self, task: str, pool: Sequence[str]) -> TaskView:
        """The task with what the other tasks taught: accuracies and scores there, and how near they are."""
        others = [other for other in self._reached if other != task]
        view = self._view(task, pool)
        took = self._embedding.get(task)
        share = None if took is None else took / len(pool)  # one embedding serves the whole pool
        return replace(
            view,
            neighbours=self._neighbours.get(task),
            score_seconds={**view.score_seconds, "task2vec": dict.fromkeys(pool, share)},
            elsewhere={other: {model: self._reached[other].get(model) for model in pool} for other in others},
            scores_elsewhere={other: self._view(other, pool).scores for other in others},
        )

    def _lacking(self, task: str, name: str, pool: Sequence[str]) -> str:
        """Why no model has that score."""
        if name in STATIC:
            return f"{words.proxy(name)} is not known of any model"
        lacking = [part for part in seen.measured(name) if not self.scored(task, part, pool)] or [name]
        return f"no model has a {words.listing(words.proxy(part) for part in lacking)} score"

    def _view(self, task: str, pool: Iterable[str]) -> TaskView:
        """The task with its costs, the forward pass included; kept, as every strategy looks at it."""
        names = tuple(sorted(pool))
        if (task, names) not in self._views:
            elsewhere = {other: reached for other, reached in self._reached.items() if other != task}
            view = seen.view(task, [self._candidates[name] for name in names], self._scores.get(task, ()),
                             self._means, elsewhere)  # fmt: skip
            seconds = {
                score: column if score in STATIC or score == EARLY else  # neither reads the features
                {model: _sum(took, self._forward.get((model, task), 0.0)) for model, took in column.items()}
                for score, column in view.score_seconds.items()
            }  # fmt: skip
            self._views[task, names] = replace(view, score_seconds=seconds)
        return self._views[task, names]

    @cached_property
    def _means(self) -> dict[str, float | None]:
        """Model -> mean accuracy over the tasks on which it has one."""
        known: dict[str, list[float]] = {}
        for reached in self._reached.values():
            for model, accuracy in reached.items():
                known.setdefault(model, []).append(accuracy)
        return {model: fmean(values) for model, values in known.items()}

    def _drawn(self, task: str, proxy: str, pool: Sequence[str]) -> Floats | None:
        found = {row["model"]: row["replicates"] for row in self._scores.get(task, ())
                 if row["proxy"] == proxy and row["replicates"] is not None and len(row["replicates"])}  # fmt: skip
        number = min((len(found[model]) for model in pool if model in found), default=0)
        if not number:
            return None
        nothing = np.full(number, np.nan)
        return np.stack([np.asarray(found.get(model, nothing), dtype=np.float64)[:number] for model in pool])


def left_out(strategy: str, reasons: Mapping[str, Sequence[str]], pool: str) -> list[str]:
    """A note for each reason why a strategy is missing on some tasks."""
    return [f"strategy {strategy} is left out in pool {pool} on {words.listing(tasks)}: {reason}"
            for reason, tasks in reasons.items()]  # fmt: skip


def _nones(column: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in column]


def _sum(seconds: float | None, more: float | None) -> float | None:
    return None if seconds is None or more is None else seconds + more
