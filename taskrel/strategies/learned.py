"""Learned search: what other tasks taught of proxies, facts and models; and when one more model is not worth it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from taskrel.strategies.agnostic import agnostic
from taskrel.strategies.features import features, total_seconds
from taskrel.strategies.forecast import Forecast, fit
from taskrel.strategies.hybrid import hybrid
from taskrel.strategies.proxy import by_proxy
from taskrel.strategies.ranking import Strategy, check_number, check_told, sentence
from taskrel.strategies.view import Column, TaskView
from taskrel.types import Pick

Floats = npt.NDArray[np.float64]
Per = Literal["model", "second"]

_DRAWS = 4096


class Learned:
    """Asks for the model whose fine-tuning is expected to raise the best accuracy most; stops when that is too little.

    The first pick has the highest expected accuracy. Every further one has the highest expected gain
    ``E max(0, a - best)``, best being the best accuracy told and the unknown ones of the picks still out; joint
    samples of the forecast give both. What it is told changes the forecast of the others: the level of the task, and
    the models that went together with the told one on other tasks.

    A new task is a draw from those there are, and fewer than three say nothing of how tasks differ: on one where the
    proxies fail they would seem useless everywhere. Then it is the hybrid of the agnostic and one proxy (the linear
    one if it is there), never stops, and says so. A task counts if two models of the pool were fine-tuned on it.

    Args:
        view: the task; reads `elsewhere`, `scores`, `scores_elsewhere` and the facts of the candidates, and
            `finetune_seconds` where gains are per second.
        seed: of the samples.
        proxies: which scores to learn from; None for all there are.
        least: the expected gain, as a fraction of accuracy (0.01 is a point), below which it stops asking; 0 never.
        per: whether gains are compared, and `least` is meant, per model or per second of fine-tuning. A model without
            known seconds counts as the median.
        tasks: how many other tasks it takes to learn from them.

    Raises:
        ValueError: a negative threshold, fewer than one task, or gains per second where no model's seconds are known.
    """

    def __init__(
        self,
        view: TaskView,
        seed: int = 0,
        *,
        proxies: Sequence[str] | None = None,
        least: float = 0.0,
        per: Per = "model",
        tasks: int = 3,
    ) -> None:
        if not least >= 0:
            raise ValueError(f"least must be at least 0, got {least}")
        if tasks < 1:
            raise ValueError(f"tasks must be at least 1, got {tasks}")
        self._view, self._seed, self._least = view, seed, least
        self._pool = frozenset(candidate.model for candidate in view.candidates)
        known = features(view, proxies)
        self._models, self._names = known.models, known.groups
        self._seconds = _seconds(view, known.models) if per == "second" else np.ones(len(known.models))
        self._told: dict[str, float | None] = {}
        self._asked: list[str] = []
        self.forecast: Forecast | None = None
        self.variances: dict[str, float] = {}
        self._instead: list[Pick] = []
        if len(known.tasks) >= tasks:
            taught = fit(known.accuracy, known.elsewhere, known.groups)
            self.forecast, self.variances = taught.forecast(known.here), taught.variances
        else:
            self._instead = _fallback(view, seed, len(known.tasks))

    def ask(self, n: int) -> list[Pick]:
        """Up to n further picks, best first; none once no other one is expected to gain the threshold."""
        check_number(n)
        if self.forecast is None:
            rest = [pick for pick in self._instead if pick.model not in self._told]
            self._instead = rest[n:]
            return rest[:n]
        picks: list[Pick] = []
        known = self._known()
        now = self.forecast.given(list(known), list(known.values()))
        draws = now.draws(_DRAWS, self._seed) if n and self._left() else np.zeros((0, 0))
        while len(picks) < n and (left := self._left()):
            pick = self._best(left, now, draws)
            if pick is None:
                break
            picks.append(pick)
            self._asked.append(pick.model)
        return picks

    def tell(self, observations: Column) -> None:
        """Conditions the forecast on accuracies of models, asked for or not; None drops a model that failed.

        Raises:
            ValueError: a model outside the pool or an accuracy outside [0, 1].
        """
        check_told(observations, self._pool)
        self._told.update(observations)

    def _left(self) -> list[int]:
        """Models neither asked for nor told."""
        out = {*self._asked, *self._told}
        return [i for i, model in enumerate(self._models) if model not in out]

    def _known(self) -> dict[int, float]:
        """Index -> accuracy told."""
        told = {model: value for model, value in self._told.items() if value is not None}
        return {i: told[model] for i, model in enumerate(self._models) if model in told}

    def _best(self, left: list[int], now: Forecast, draws: Floats) -> Pick | None:
        """The pick with the largest expected gain, or None if that is below the threshold."""
        out = [i for i, model in enumerate(self._models) if model in self._asked and model not in self._told]
        best = max(self._known().values(), default=-math.inf)
        reached = np.maximum(best, draws[:, out].max(axis=1)) if out else np.full(len(draws), best)
        first = not out and best < 0
        alike, tied = _alike(now, left, self._seconds)
        predicted = _over(alike, draws[:, left].mean(axis=0))
        gains = predicted if first else _over(alike, np.maximum(draws[:, left] - reached[:, None], 0).mean(axis=0))
        worth = gains if first else gains / self._seconds[left]
        # Hopeless models all gain nothing in the samples; of those that are alike the first by name.
        choice = max(range(len(left)), key=lambda i: (worth[i], predicted[i], -i))
        if not first and worth[choice] < self._least:
            return None
        model, count = self._models[left[choice]], int(tied[choice])
        what = "the highest" if first else f"expected gain {gains[choice]:.4f}"
        evidence = f"predicted {predicted[choice]:.3f} ± {draws[:, left[choice]].std():.3f}, {what}"
        reason = sentence("learned", len(self._asked) + 1, evidence, count)
        return Pick(model, reason, total_seconds(self._view, model, self._names), count)


def _alike(now: Forecast, left: Sequence[int], seconds: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Group of each model left, and its size: equal expectation, deviation and cost, but for rounding."""
    key = np.stack([now.mean[left], now.covariance.diagonal()[left], seconds[left]])
    key /= np.maximum(np.abs(key).max(axis=1, keepdims=True), 1e-12)
    _, group, counts = np.unique(np.round(key, 9), axis=1, return_inverse=True, return_counts=True)
    return group.ravel(), counts[group.ravel()]


def _over(group: npt.NDArray[np.intp], numbers: Floats) -> Floats:
    """Each number replaced by the mean of its group: samples differ where the forecast does not."""
    means: Floats = (np.bincount(group, numbers) / np.bincount(group))[group]
    return means


def _seconds(view: TaskView, models: Sequence[str]) -> Floats:
    """[M] expected seconds of a fine-tuning, the median where unknown."""
    known = {model: seconds for model in models if (seconds := view.finetune_seconds.get(model)) is not None}
    if not known or min(known.values()) <= 0:
        raise ValueError(f"finetune_seconds must be known and positive for gains per second, got {known}")
    middle = float(np.median(list(known.values())))
    return np.array([known.get(model, middle) for model in models])


def _fallback(view: TaskView, seed: int, tasks: int) -> list[Pick]:
    """The hybrid with the linear proxy, else with the first by name, else task-agnostic search."""
    proxies = sorted(view.scores, key=lambda proxy: (proxy != "linear", proxy))
    picks = hybrid(by_proxy(proxies[0]))(view, seed) if proxies else agnostic(view, seed)
    why = f"learned: {tasks or 'no'} other task{'' if tasks == 1 else 's'} to learn from, so "
    return [Pick(pick.model, why + pick.reason, pick.cost_seconds, pick.tied) for pick in picks]


def learned(
    proxies: Sequence[str] | None = None, least: float = 0.0, per: Per = "model", tasks: int = 3
) -> Callable[[TaskView, int], Strategy]:
    """The builder function of `Learned` with these settings."""

    def make(view: TaskView, seed: int) -> Strategy:
        return Learned(view, seed, proxies=proxies, least=least, per=per, tasks=tasks)

    return make
