"""Rank aggregation: the best mean rank over several proxies, any the user names."""

from __future__ import annotations

from collections.abc import Sequence

from taskrel.aggregate import rank_mean
from taskrel.strategies.ranking import Ranking, descending
from taskrel.strategies.view import TaskView
from taskrel.types import Pick


def by_mean_rank(proxies: Sequence[str]) -> Ranking:
    """The ranking of the pool by ascending mean rank over proxies; models that lack a score come last.

    Ranks are within the pool, 1 for the best, ties share theirs; so the unit of no proxy matters and none outweighs
    another. A model without all the scores is ranked as unscored, and the others as if it were not in the pool.

    Args:
        proxies: keys of `TaskView.scores`, at least one, distinct.

    Returns:
        A ranking function; each pick costs what all its scores cost together.

    Raises:
        ValueError: no proxy, or one twice.

    Source:
        Borda's rule; `taskrel.aggregate.rank_mean`.
    """
    if not proxies or len(set(proxies)) < len(proxies):
        raise ValueError(f"proxies must be one or more distinct names, got {list(proxies)}")

    def rank(view: TaskView, seed: int = 0) -> list[Pick]:
        del seed
        models = [candidate.model for candidate in view.candidates]
        columns = {proxy: [view.scores[proxy].get(model) for model in models] for proxy in proxies}
        means = dict(zip(models, rank_mean(columns), strict=True))
        seconds = {model: _total(view, proxies, model) for model in models}
        return descending(view, means, name="+".join(proxies), evidence="minus mean rank", seconds=seconds)

    return rank


def _total(view: TaskView, proxies: Sequence[str], model: str) -> float | None:
    """Seconds of all the proxies on one model, None where any is unknown."""
    known = [view.score_seconds.get(proxy, {}).get(model) for proxy in proxies]
    return None if None in known else sum(seconds for seconds in known if seconds is not None)
