"""The table of search strategies; each ranking lives in its own module.

A strategy asks and is told; it never evaluates a model itself. The same object replays a finished
table, drives a loop or feeds a scheduler. Adding one is a file and a line here; the conformance
tests run over this table. NumPy at most: importing it is what a planner does first.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from taskrel.strategies.agnostic import agnostic
from taskrel.strategies.chance import chance
from taskrel.strategies.data_halving import DataHalving, Doubling, ModelCost
from taskrel.strategies.halving import Halving, step_halving
from taskrel.strategies.hybrid import hybrid
from taskrel.strategies.learned import learned
from taskrel.strategies.neighbour import oracle_elsewhere, task2vec
from taskrel.strategies.oracle import oracle
from taskrel.strategies.proxy import by_proxy
from taskrel.strategies.rank_mean import by_mean_rank
from taskrel.strategies.ranking import Builder, Ranked, Strategy, ranked
from taskrel.strategies.view import TaskView

__all__ = [
    "STRATEGIES",
    "Builder",
    "DataHalving",
    "Doubling",
    "Halving",
    "ModelCost",
    "Ranked",
    "Strategy",
    "TaskView",
    "halving_builder",
    "hybrid_builder",
    "learned_builder",
    "proxy_builder",
    "rank_builder",
    "ranked",
]


def proxy_builder(proxy: str) -> Builder:
    """The strategy that fine-tunes the models a proxy scores highest; named after the proxy."""
    return Builder(
        name=proxy,
        make=ranked(by_proxy(proxy)),
        proxies=(proxy,),
        summary=f"highest {proxy} score on the task",
    )


def hybrid_builder(proxy: str) -> Builder:
    """The strategy "hybrid_<proxy>": the task-agnostic best, then a proxy's best of the rest."""
    return Builder(
        name=f"hybrid_{proxy}",
        make=ranked(hybrid(by_proxy(proxy))),
        proxies=(proxy,),
        min_budget=2,
        summary=f"best upstream model, then highest {proxy} score among the rest",
    )


def rank_builder(*proxies: str, hybrid_with_agnostic: bool = False) -> Builder:
    """The strategy of the best mean rank over any proxies, "<proxy>+<proxy>"; or its hybrid with the agnostic best."""
    name, rank = "+".join(proxies), by_mean_rank(proxies)
    if hybrid_with_agnostic:
        return Builder(
            name=f"hybrid_{name}",
            make=ranked(hybrid(rank)),
            proxies=proxies,
            min_budget=2,
            summary=f"best upstream model, then best mean rank over {', '.join(proxies)} among the rest",
        )
    return Builder(name, ranked(rank), proxies, summary=f"best mean rank over {', '.join(proxies)}")


def halving_builder(pulls: int | None = None) -> Builder:
    """Successive halving over fine-tuning steps; `pulls` as in `Halving`."""
    return Builder(
        name="halving",
        make=step_halving(pulls),
        adaptive=True,
        partial=True,
        summary="a little fine-tuning for all, more for the better half, and so on",
    )


def learned_builder(
    proxies: tuple[str, ...] | None = None,
    *,
    least: float = 0.0,
    per: Literal["model", "second"] = "model",
    tasks: int = 3,
) -> Builder:
    """Learned search; the settings as in `Learned`. Without `proxies` it learns from all scores that are there."""
    return Builder(
        name="learned",
        make=learned(proxies, least, per, tasks),
        proxies=proxies or (),
        needs=("elsewhere",),
        adaptive=True,
        summary="largest expected gain, by what other tasks taught of proxies, facts and models",
    )


_TABLE = (
    Builder("agnostic", ranked(agnostic), summary="best upstream accuracy, the same on every task"),
    proxy_builder("linear"),
    proxy_builder("knn"),
    rank_builder("linear", "knn"),
    hybrid_builder("linear"),
    hybrid_builder("knn"),
    Builder(
        "task2vec",
        ranked(task2vec),
        needs=("neighbours", "elsewhere"),
        summary="best models of the nearest other task",
    ),
    Builder(
        "hybrid_task2vec",
        ranked(hybrid(task2vec)),
        needs=("neighbours", "elsewhere"),
        min_budget=2,
        summary="best upstream model, then the best of the nearest other task among the rest",
    ),
    halving_builder(),
    learned_builder(),
    Builder(
        "oracle",
        ranked(oracle),
        needs=("accuracies",),
        summary="best mean fine-tuned accuracy over all tasks: a reference, not a method",
    ),
    Builder(
        "oracle_elsewhere",
        ranked(oracle_elsewhere),
        needs=("elsewhere",),
        summary="best mean fine-tuned accuracy over the other tasks",
    ),
    Builder("random", ranked(chance), summary="uniform draw without replacement: the floor"),
)

STRATEGIES: Mapping[str, Builder] = MappingProxyType({b.name: b for b in _TABLE})
