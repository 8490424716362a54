"""Measured tables -> derived tables: accuracies, regret, strategies, correlations, answer. Pure but for reading.

Only rows that belong to the current plan count, so that an output folder may hold older sweeps. Nothing is left out in
silence: every strategy, budget or cell that could not be judged is a note.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from sweeps.report import relatedness, transfer
from sweeps.report.cells import Cells, accuracies
from sweeps.report.choice import Ground, answers
from sweeps.report.duels import comparisons
from sweeps.report.evidence import Evidence, gather
from sweeps.report.neighbours import distances
from sweeps.report.regrets import Question, regrets
from sweeps.report.selection import Views
from sweeps.report.trust import order, trust
from sweeps.report.words import count, listing, proxy
from sweeps.store import Store
from sweeps.types import Row
from taskrel.correlation import STATISTICS, correlation
from taskrel.regret import relative_regret
from taskrel.types import Pick


class Members(Protocol):
    """A pool: which models are in it."""

    def members(self, models: list[Row]) -> list[str]:
        """Names of the models that belong to the pool."""


@dataclass(frozen=True)
class Derived:
    """The derived tables by name, notes on what was left out of them, and the evidence that they stand on.

    ``order`` says how sure a ranking is: the one that the answer's strategy read, or else that of the best proxy;
    ``pools`` are the models of each pool by name.
    """

    tables: dict[str, list[Row]]
    notes: tuple[str, ...]
    evidence: Evidence
    order: Sequence[Row] = ()
    pools: Mapping[str, Sequence[str]] = field(default_factory=dict)


def analyse(store: Store, *, seed: int, pools: Mapping[str, Members], budgets: Sequence[int],
            strategies: Sequence[str], bootstrap: int, answer_strategy: str, answer_budget: int,
            proxies: Iterable[str] = (), faults: Mapping[str, str] | None = None) -> Derived:  # fmt: skip
    """What the measurements say.

    Args:
        store: with the current plan in its ``plan`` table.
        seed: of the bootstrap and of strategies with chance in them.
        pools: name -> predicate over the ``models`` table; from-scratch baselines never count.
        budgets: numbers of models to fine-tune.
        strategies: names of ``taskrel.STRATEGIES``, or ``<proxy>`` and ``hybrid_<proxy>`` for any measured proxy.
        bootstrap: number of samples behind an interval.
        answer_strategy: the strategy whose picks the answer chooses from, in the pool ``all`` or else the largest.
        answer_budget: how many models it may pick.
        proxies: the proxies of the sweep, also those without any score yet.
        faults: tasks that cannot be read, each with its reason.
    """
    evidence = gather(store, faults)
    cells = accuracies(evidence.runs, evidence.plan, evidence.tried, evidence.models)
    related = relatedness.scores(evidence.bounds, cells.rows, evidence.task_names, evidence.pool)
    plain = [row for row in evidence.scores if row["proxy"] in relatedness.PLAIN]
    evidence = replace(evidence, scores=[*evidence.scores, *related, *transfer.scores(evidence.head2toe)])
    near = distances(evidence.embeddings, evidence.task_names)
    views = Views(evidence.models, evidence.scores, evidence.jobs, cells.rows, proxies, near, evidence.embeddings)
    members = {name: [model for model in pool.members(evidence.models) if model not in evidence.scratch]
               for name, pool in pools.items()}  # fmt: skip
    question = Question(members, strategies, budgets, bootstrap, seed, evidence.met)
    judged = regrets(cells, evidence.task_names, views, question)
    pooled = members.get(main_pool(members), [])
    pool_of = {task: evidence.met(task, pooled) for task in evidence.task_names}
    picked, silent = _picks(views, pool_of, answer_strategy, answer_budget, seed)
    substitutes = {row["model"]: row["substitute"] for row in evidence.models if row["substitute"]}
    ground = Ground(evidence.runs, cells, pool_of, evidence.scratch,
                    {row["task"]: row["group"] for row in evidence.tasks}, substitutes)  # fmt: skip
    tables = {
        "accuracies": cells.rows,
        "regret": judged.regret,
        "strategies": judged.strategies,
        "budgets": judged.budgets,
        "solved": judged.solved,
        "comparisons": comparisons(judged.regret, views, answer_strategy, samples=bootstrap, seed=seed),
        "correlations": _correlations(evidence, cells.rows, views),
        "relatedness": relatedness.agreement(related, plain, cells.rows, evidence.task_names, evidence.pool),
        "transfer": transfer.transfer(evidence.head2toe, cells.rows, evidence.scratch, evidence.head2toe_ft),
        "proxies": trust(cells, evidence.task_names, views, question),
        "neighbours": near,
        "answer": answers(picked, ground, strategy=answer_strategy, budget=answer_budget),
    }
    best = [row["proxy"] for row in tables["proxies"] if row["pool"] == main_pool(members) and row["kind"] == "proxy"]
    ranked = order([*views.reads(answer_strategy), *best], evidence.task_names, views, sorted(pooled))
    read = [note for row in evidence.tasks for note in row.get("notes") or ()]
    stand_ins = [f"{model} is a substitute: {reason}" for model, reason in substitutes.items()]
    unseen = [*_cells(cells), *cells.notes, *_dropped(evidence), *_unscored(evidence, views)]
    notes = [*read, *unseen, *judged.notes, *silent, *stand_ins]
    return Derived(tables, tuple(dict.fromkeys(notes)), evidence, ranked, members)


def _picks(views: Views, pool_of: Mapping[str, Sequence[str]], strategy: str, budget: int, seed: int,
           ) -> tuple[dict[str, list[Pick]], list[str]]:  # fmt: skip
    """Task -> what the answer chooses from, and a note for each reason why tasks have nothing to choose from."""
    found: dict[str, list[Pick]] = {}
    reasons: dict[str, list[str]] = {}
    for task, pool in pool_of.items():
        order = views.rank(strategy, task, pool, seed)
        if isinstance(order, str):
            reasons.setdefault(order, []).append(task)
        else:
            found[task] = order[:budget]
    return found, [f"no answer for {listing(silent)}: strategy {strategy} cannot pick, {reason}"
                   for reason, silent in reasons.items()]  # fmt: skip


def write(store: Store, derived: Derived) -> None:
    """Replace the derived tables of the store."""
    for name, rows in derived.tables.items():
        store.write_facts(name, rows)


def main_pool(pools: Mapping[str, Sequence[str]]) -> str:
    """The pool answers are given for: ``all``, or else the largest; "" without pools."""
    return "all" if "all" in pools else max(pools, key=lambda name: len(pools[name]), default="")


def _correlations(evidence: Evidence, accuracy: Sequence[Row], views: Views) -> list[Row]:
    known = {(row["task"], row["model"]): row["accuracy"] for row in accuracy}
    rows = []
    for task in evidence.task_names:
        reached = _column(known.get((task, model)) for model in evidence.pool)
        for name in views.names:
            scored = views.scored(task, name)
            if not scored:
                continue
            column = _column(scored.get(model) for model in evidence.pool)
            found = {statistic: correlation(column, reached, statistic) for statistic in STATISTICS}
            reasons = dict.fromkeys(one.reason for one in found.values() if one.reason)
            rows.append({
                "task": task, "proxy": name, "models": max(one.models for one in found.values()),
                **{statistic: one.value for statistic, one in found.items()},
                "relative_regret": _lost(column, reached), "reason": "; ".join(reasons) or None,
            })  # fmt: skip
    return rows


def _lost(scores: np.ndarray, reached: np.ndarray) -> float | None:
    """Relative regret of fine-tuning the best-scored model that has an accuracy; of equals the first."""
    there = ~np.isnan(reached)
    if not (there & ~np.isnan(scores)).any():
        return None
    chosen = reached[np.where(there & ~np.isnan(scores), scores, -np.inf).argmax()]
    return float(relative_regret(np.nanmax(reached), chosen))


def _column(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _cells(cells: Cells) -> list[str]:
    """Says which cells of the grid count as missing, and why."""
    whys = {"are not finished": cells.waiting, "lack a run that failed": cells.broken,
            "diverged at every learning rate in every repeat": cells.diverged}  # fmt: skip
    in_all = len(cells.incomplete) + len(cells.rows)
    return [f"{len(found):,} of {count(in_all, 'fine-tuning cell')} {why} and count as missing: "
            + listing(f"{cell.model} on {cell.task}" for cell in found)
            for why, found in whys.items() if found]  # fmt: skip


def _dropped(evidence: Evidence) -> list[str]:
    """Says which models were not looked at on all examples."""
    notes = []
    for task in evidence.task_names:
        gone = {model: rows for (where, model), rows in evidence.dropped.items() if where == task}
        said = [f"{model} after {rows[0]['examples']:,} ({listing(_read(row) for row in rows)})"
                for model, rows in gone.items()]  # fmt: skip
        if said:
            notes.append(f"{count(len(said), 'model')} dropped before all examples of {task} were looked at: "
                         + listing(said))  # fmt: skip
    return notes


def _read(row: Row) -> str:
    return f"{proxy(row['proxy'])} " + ("unknown" if row["value"] is None else f"{row['value']:.3f}")


def _unscored(evidence: Evidence, views: Views) -> list[str]:
    """Says where proxies lack models of the pool: strategies rank those last."""
    lacking: dict[tuple[str, ...], list[str]] = {}
    for name in views.proxies:
        scored = {task: found for task in evidence.task_names if (found := views.scored(task, name))}
        cells = tuple(f"{model} on {task}" for task, found in scored.items()
                      for model in evidence.met(task, evidence.pool)
                      if model not in found and (task, model) not in evidence.dropped)  # fmt: skip
        lacking.setdefault(cells, []).append(name)
    return [f"{listing(proxy(name) for name in names)} {'has' if len(names) == 1 else 'have'} no score for "
            f"{listing(cells)}: strategies that read {'it' if len(names) == 1 else 'them'} rank "
            f"{'this model' if len(cells) == 1 else 'these models'} last"
            for cells, names in lacking.items() if cells]  # fmt: skip
