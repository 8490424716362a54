"""Strategies that are an order of the pool: the ask/tell object, and sorting with honest ties.

Knows no evidence: a ranking function turns a view into picks, best first, and `Ranked` hands them
out. A strategy that reacts to what it is told implements `Strategy` itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, Protocol

from taskrel.strategies.view import Column, TaskView
from taskrel.types import Candidate, Pick

Ranking = Callable[[TaskView, int], list[Pick]]
Need = Literal["accuracies", "elsewhere", "neighbours"]


class Strategy(Protocol):
    """Picks models to fine-tune, one batch at a time; passive."""

    def ask(self, n: int) -> list[Pick]:
        """Up to n further picks, best first; what is left, maybe nothing, at the end."""

    def tell(self, observations: Column) -> None:
        """Fine-tuned accuracies (fractions) of models of the pool, asked for or not; None for one that failed."""


class Ranked:
    """A fixed order of the pool, handed out from the top; what it is told changes nothing.

    Args:
        picks: the whole pool, best first, each model once.
    """

    def __init__(self, picks: Iterable[Pick]) -> None:
        self._left = list(picks)
        self._pool = frozenset(pick.model for pick in self._left)

    def ask(self, n: int) -> list[Pick]:
        """The next n picks of the order, or what is left of it.

        Raises:
            ValueError: n is negative.
        """
        check_number(n)
        now, self._left = self._left[:n], self._left[n:]
        return now

    def tell(self, observations: Column) -> None:
        """Checks the observations; a fixed order learns nothing from them.

        Raises:
            ValueError: a model outside the pool or an accuracy outside [0, 1].
        """
        check_told(observations, self._pool)


def check_number(n: int) -> None:
    """Refuses a negative number of picks."""
    if n < 0:
        raise ValueError(f"n must be at least 0, got {n}")


def check_told(observations: Column, pool: Collection[str]) -> None:
    """Refuses accuracies outside [0, 1] and models outside the pool."""
    for model, accuracy in observations.items():
        if model not in pool:
            raise ValueError(f"observations must be of models in the pool, got {model!r}")
        if accuracy is not None and not 0 <= accuracy <= 1:
            raise ValueError(f"accuracy must lie in [0, 1], got {accuracy} for {model!r}")


def ranked(rank: Ranking) -> Callable[[TaskView, int], Strategy]:
    """The builder function of a strategy that is nothing but a ranking."""

    def make(view: TaskView, seed: int) -> Strategy:
        return Ranked(rank(view, seed))

    return make


@dataclass(frozen=True)
class Builder:
    """An entry of the strategy table: makes a fresh strategy for one task.

    Args:
        name: key in tables and configurations.
        make: (view, seed) -> a strategy that has not been asked yet; `ranked` makes one of a
            ranking.
        proxies: the scores it reads from the view, so that a planner computes no others.
        needs: the fields of the view that must be given, because it reads them. "accuracies" marks a reference
            that knows the outcome; "elsewhere" and "neighbours" may be empty, and then the strategy says so.
        min_budget: the smallest budget at which its definition holds.
        adaptive: whether what it is told changes what it asks next, so that a replay must tell it.
        partial: whether it asks for shares of a fine-tuning (`Pick.share`), so that its picks are no ranking.
        summary: one line on what it prefers.
    """

    name: str
    make: Callable[[TaskView, int], Strategy]
    proxies: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    min_budget: int = 1
    adaptive: bool = False
    partial: bool = False
    summary: str = ""

    @property
    def needs_accuracies(self) -> bool:
        """Whether it reads fine-tuned accuracies of all tasks: a reference, not a method."""
        return "accuracies" in self.needs

    def __call__(self, view: TaskView, *, seed: int = 0) -> Strategy:
        """A strategy over the view's pool that has not been asked yet.

        Args:
            view: the task; never written to.
            seed: non-negative; only strategies with chance in them use it.

        Raises:
            ValueError: the view lacks what the strategy reads.
        """
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        for proxy in self.proxies:
            if proxy not in view.scores:
                raise ValueError(f"scores must hold {proxy!r} for strategy {self.name!r}, got {sorted(view.scores)}")
        for need in self.needs:
            if getattr(view, need) is None:
                raise ValueError(f"{need} must be given for strategy {self.name!r}, got None")
        return self.make(view, seed)


def ordered(
    candidates: Iterable[Candidate], key: Callable[[Candidate], tuple[float, ...]]
) -> list[tuple[Candidate, int]]:
    """Candidates by ascending key, equal keys by name, each with the size of its tie group."""
    out: list[tuple[Candidate, int]] = []
    by_key = sorted(candidates, key=lambda c: (key(c), c.model))
    for _, group in groupby(by_key, key=key):
        members = list(group)
        out += [(member, len(members)) for member in members]
    return out


def descending(
    view: TaskView,
    column: Column,
    *,
    name: str,
    evidence: str,
    seconds: Column,
    start: int = 1,
) -> list[Pick]:
    """The pool by descending number; equal numbers by name, models without one last.

    Args:
        view: the task, for its candidates.
        column: model -> number, None or absent where missing.
        name: the strategy, opening every reason.
        evidence: what the number is, or "" where the name says it.
        seconds: model -> seconds the number cost, None or absent where unknown.
        start: the place of the first, where others stand before it.

    Returns:
        Every candidate once.
    """

    def key(candidate: Candidate) -> tuple[float, ...]:
        number = column.get(candidate.model)
        return (math.inf,) if number is None else (-number,)

    def say(number: float | None) -> str:
        known = f"no {evidence or 'score'}" if number is None else f"{evidence} {number:.3f}"
        return known.strip()

    return [
        Pick(c.model, sentence(name, i, say(column.get(c.model)), tied), seconds.get(c.model), tied)
        for i, (c, tied) in enumerate(ordered(view.candidates, key), start)
    ]


def sentence(name: str, place: int, evidence: str, tied: int) -> str:
    """The reason of a pick: ``linear #1: 0.745, 3 tied``."""
    return f"{name} #{place}: {evidence}" + (f", {tied} tied" if tied > 1 else "")
