"""The table of search strategies; each ranking lives in its own module.

A strategy asks and is told; it never evaluates a model itself. The same object replays a finished
table, drives a loop or feeds a scheduler. Adding one is a file and a line here; the conformance
tests run over this table. NumPy at most: importing it is what a planner does first.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from taskrel.strategies.agnostic import agnostic
from taskrel.strategies.chance import chance
from taskrel.strategies.hybrid import hybrid
from taskrel.strategies.oracle import oracle
from taskrel.strategies.proxy import by_proxy
from taskrel.strategies.ranking import Builder, Ranked, Strategy, ranked
from taskrel.strategies.view import TaskView

__all__ = [
    "STRATEGIES",
    "Builder",
    "Ranked",
    "Strategy",
    "TaskView",
    "hybrid_builder",
    "proxy_builder",
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


_TABLE = (
    Builder("agnostic", ranked(agnostic), summary="best upstream accuracy, the same on every task"),
    proxy_builder("linear"),
    proxy_builder("knn"),
    hybrid_builder("linear"),
    hybrid_builder("knn"),
    Builder(
        "oracle",
        ranked(oracle),
        needs_accuracies=True,
        summary="best mean fine-tuned accuracy over all tasks: a reference, not a method",
    ),
    Builder("random", ranked(chance), summary="uniform draw without replacement: the floor"),
)

STRATEGIES: Mapping[str, Builder] = MappingProxyType({b.name: b for b in _TABLE})
