"""The answer: which picked model, at which learning rate, how good, how sure. Formulas are ``taskrel``'s.

A learning rate of the grid speaks through all its repeats, a searched one only when repeats confirmed it: the best of
many single trials looks better than it is. Validation accuracy chooses; test accuracy is only read off afterwards.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from sweeps.report.cells import Cell, Cells
from sweeps.report.regrets import best_model
from sweeps.report.words import count, listing, percent, rate
from sweeps.types import Row
from taskrel.regret import relative_regret
from taskrel.types import Pick

REPEATED = ("grid", "confirm", "final", "head")


@dataclass(frozen=True)
class Arm:
    """One learning rate of one model, with all its repeats."""

    model: str
    learning_rate: float
    origin: str
    val: float
    tests: Sequence[float]
    diverged: int

    @property
    def rank(self) -> tuple[Any, ...]:
        """Smallest is best: never diverged, validates best; then the grid's, the smaller rate, the name."""
        return (self.diverged > 0, -self.val, REPEATED.index(self.origin), self.learning_rate, self.model)


@dataclass(frozen=True)
class Ground:
    """What answers stand on: runs, accuracies, the pool that each task is judged in, baselines, the groups of tasks.

    ``substitutes`` says of some models why they are not what their names say.
    """

    runs: Sequence[Row]
    cells: Cells
    pool: Mapping[str, Sequence[str]]
    scratch: Collection[str]
    groups: Mapping[str, str | None]
    substitutes: Mapping[str, str] = field(default_factory=dict)


def answers(picks: Mapping[str, Sequence[Pick]], ground: Ground, *, strategy: str, budget: int) -> list[Row]:
    """One row of ``answer`` for each task with picks; without a model while none of them is fine-tuned."""
    return [_answer(task, chosen, ground) | {"strategy": strategy, "budget": budget} for task, chosen in picks.items()]


def _answer(task: str, picks: Sequence[Pick], ground: Ground) -> Row:
    names = [pick.model for pick in picks]
    runs = [run for run in ground.runs if run["task"] == task and (run["model"] in names or run["origin"] == "head")]
    arms = [arm for arm in _arms(runs) if arm.origin != "grid" or Cell(arm.model, task) not in ground.cells.incomplete]
    # The winner was chosen before it was trained again: what the repeats say is its number, not a choice anew.
    final = [arm for arm in arms if arm.origin in ("final", "head")]
    best = min(final or arms, key=lambda arm: arm.rank, default=None)
    pool = ground.pool[task]
    known = {row["model"]: row for row in ground.cells.rows if row["task"] == task and row["accuracy"] is not None}
    waiting = [cell.model for cell in ground.cells.waiting if cell.task == task and cell.model in pool]
    apart = [cell.model for cell in ground.cells.apart if cell.task == task and cell.model in pool]
    in_pool = [name for name in pool if name in known] if not waiting and not apart else []
    oracle_model = best_model(known, in_pool) if in_pool else None
    oracle = known[oracle_model]["accuracy"] if oracle_model else None
    test = median(best.tests) if best else None
    scratch = [known[name]["accuracy"] for name in ground.scratch if name in known]
    regret = None if oracle is None or test is None else oracle - test
    notes = [*(_about(best) if best else ["no pick is fine-tuned yet"]),
             *_against_pool(regret, len(in_pool), len(pool), len(waiting)),
             *([f"{count(len(apart), 'model')} of the pool not fine-tuned, so no regret is known"] if apart else []),
             *_unused(runs, best), *_unfinished(names, arms)]  # fmt: skip
    return {
        "task": task, "group": ground.groups.get(task), "model": best.model if best else None,
        "learning_rate": best.learning_rate if best else None, "val_accuracy": best.val if best else None,
        "test_accuracy": test, "low": min(best.tests) if best and len(best.tests) > 1 else None,
        "high": max(best.tests) if best and len(best.tests) > 1 else None,
        "repeats": len(best.tests) if best else None, "origin": best.origin if best else None, "picks": names,
        "reasons": [_reason(pick, ground.substitutes) for pick in picks],
        "oracle_model": oracle_model, "oracle": oracle, "regret": regret,
        "relative_regret": None if oracle is None or test is None else float(relative_regret(oracle, test)),
        "scratch_accuracy": max(scratch, default=None), "note": "; ".join(notes),
    }  # fmt: skip


def _reason(pick: Pick, substitutes: Mapping[str, str]) -> str:
    return f"{pick.reason}; a substitute: {substitutes[pick.model]}" if pick.model in substitutes else pick.reason


def _arms(runs: Iterable[Row]) -> list[Arm]:
    """Every repeated learning rate of every model that has at least one accuracy."""
    groups: dict[tuple[str, float, str], list[Row]] = defaultdict(list)
    for run in runs:
        if run["origin"] in REPEATED:
            groups[run["model"], run["learning_rate"], run["origin"]].append(run)
    arms = []
    for (model, learning_rate, origin), group in groups.items():
        alive = [run for run in group if run["val_accuracy"] is not None and run["test_accuracy"] is not None]
        if alive:
            arms.append(Arm(model, learning_rate, origin, median(run["val_accuracy"] for run in alive),
                            [run["test_accuracy"] for run in alive], len(group) - len(alive)))  # fmt: skip
    return arms


def _about(best: Arm) -> list[str]:
    repeats = len(best.tests)
    notes = [f"interval: least and greatest of {repeats} repeats" if repeats > 1 else "one repeat, so no interval"]
    if best.origin == "final":
        notes.append("the winner by validation, trained anew")
    if best.origin == "head":
        notes.append("a linear head on the frozen features, which validates better than what was fine-tuned")
    if best.origin == "confirm":
        notes.append(f"learning rate found by search and confirmed by {count(repeats, 'repeat')}")
    if best.diverged:
        notes.append(f"{count(best.diverged, 'further repeat')} of it diverged")
    return notes


def _against_pool(regret: float | None, known: int, pool: int, waiting: int) -> list[str]:
    notes = [f"the regret waits for {count(waiting, 'model')} of the pool"] if waiting else []
    if regret is not None and regret < 0:
        notes.append("better than the best cell of the grid, so the regret is below zero")
    if regret is not None and known < pool:
        notes.append(f"the best of the pool is the best of the {known} of {count(pool, 'model')} with a complete grid")
    return notes


def _unused(runs: Sequence[Row], best: Arm | None) -> list[str]:
    """Says when an unconfirmed search trial validates better than the answer."""
    confirmed = {(run["model"], run["learning_rate"]) for run in runs if run["origin"] in REPEATED}
    trials = [run for run in runs
              if run["origin"] == "search" and run["status"] == "ok" and run["val_accuracy"] is not None
              and (run["model"], run["learning_rate"]) not in confirmed]  # fmt: skip
    top = max(trials, key=lambda run: run["val_accuracy"], default=None)
    if top is None or (best is not None and top["val_accuracy"] <= best.val):
        return []
    return [f"a search trial of {top['model']} at learning rate {rate(top['learning_rate'])} validates at "
            f"{percent(top['val_accuracy'])} but is not confirmed by repeats, so it is not used"]  # fmt: skip


def _unfinished(names: Sequence[str], arms: Sequence[Arm]) -> list[str]:
    silent = [name for name in names if name not in {arm.model for arm in arms}]
    return [f"no complete result yet for {listing(silent)}"] if silent and arms else []
