"""Which proxy to trust: rows of ``proxies``, and how sure the order by a score is. Computes no formula itself.

Every score is judged alike: measured proxies, those combined from them, static ones that never look at the task, and
``random``. A task counts in a pool as it does for regret: once every model of the pool was tried.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt

from sweeps.report.cells import Cells
from sweeps.report.regrets import CHANCE, Question
from sweeps.report.selection import Views
from sweeps.types import Row
from taskrel.aggregate import COMBINED
from taskrel.evaluation import Estimate, Evaluation, Outcomes, chance, evaluate, outcomes
from taskrel.resampling import ranks
from taskrel.static import STATIC

Floats = npt.NDArray[np.float64]
BUDGETS = (1, 2)


def trust(cells: Cells, tasks: Sequence[str], views: Views, question: Question) -> list[Row]:
    """One row for each pool and score, best first within a pool; pools without a judged task have none."""
    rows: list[Row] = []
    repeats = {(row["task"], row["model"]): row["repeats"] for row in cells.rows if row["accuracy"] is not None}
    for pool, members in question.pools.items():
        models, waiting = sorted(members), cells.unfinished(members)
        # One model alone is always the best: a task for one of many models judges nothing.
        least = min(2, len(models))
        judged = [task for task in tasks if task not in waiting and len(question.met(task, models)) >= least
                  and any((task, model) in repeats for model in models)]  # fmt: skip
        if not judged:
            continue
        table = _table([[repeats.get((task, model), ()) for model in models] for task in judged])
        found = outcomes(table, samples=question.bootstrap, seed=question.seed)
        here = [_row(pool, CHANCE, chance(found, budgets=BUDGETS), 0.0)]
        for name in views.names:
            judgement = _judge(views, name, judged, models, found)
            if judgement.tasks:
                here.append(_row(pool, name, judgement, _seconds(views, name, judged, models)))
        rows += sorted(here, key=_place)
    return rows


def _place(row: Row) -> tuple[bool, float, float, str]:
    """The least regret at one model fine-tuned first, of equals the score that orders better; unknown ones last."""
    regret = row["relative_regret_1"]
    return regret is None, round(regret or 0.0, 9), -(row["weighted_tau"] or 0.0), row["proxy"]


def kind(name: str) -> str:
    """What a score is: ``proxy``, ``combined``, ``static`` or ``random``."""
    if name == CHANCE:
        return "random"
    return "combined" if name in COMBINED else "static" if name in STATIC else "proxy"


def _table(cells: Sequence[Sequence[Sequence[float | None]]]) -> Floats:
    """[T, M, R] accuracies, NaN where a model or a repeat is missing."""
    repeats = max(len(cell) for task in cells for cell in task)
    return np.array([[[*(np.nan if value is None else value for value in cell), *[np.nan] * (repeats - len(cell))]
                      for cell in task] for task in cells], dtype=np.float64)  # fmt: skip


def _judge(views: Views, name: str, tasks: Sequence[str], models: Sequence[str], found: Outcomes) -> Evaluation:
    scored = [views.scored(task, name, models) for task in tasks]
    scores = np.array([[column.get(model, np.nan) for model in models] for column in scored], dtype=np.float64)
    drawn = [views.replicates(task, name, models) for task in tasks]
    number = min((each.shape[1] for each in drawn if each is not None), default=0)
    nothing = np.full((len(models), number), np.nan)
    replicates = np.stack([nothing if each is None else each[:, :number] for each in drawn]) if number else None
    return evaluate(scores, found, replicates=replicates, budgets=BUDGETS)


def _seconds(views: Views, name: str, tasks: Sequence[str], models: Sequence[str]) -> float | None:
    """What the score of one model on one task takes on average; nothing for what is published."""
    return fmean(known) if (known := [took for task in tasks for took in views.seconds(task, name, models)]) else None


def _row(pool: str, name: str, judgement: Evaluation, seconds: float | None) -> Row:
    return {
        "pool": pool, "proxy": name, "kind": kind(name), "tasks": judgement.tasks,
        **_columns("weighted_tau", judgement.weighted_tau), **_columns("pearson", judgement.pearson),
        **{key: value for budget, estimate in judgement.relative_regret.items()
           for key, value in _columns(f"relative_regret_{budget}", estimate).items()},
        "tau_floor": judgement.tau_floor, "missing": judgement.missing, "flat": judgement.flat, "seconds": seconds,
    }  # fmt: skip


def _columns(name: str, estimate: Estimate) -> Row:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def order(names: Iterable[str], tasks: Sequence[str], views: Views, pool: Sequence[str]) -> list[Row]:
    """How sure the ranking by a score is: a row per task and model, best first, for the first name with replicates.

    Args:
        names: scores, those that the answer's strategy reads before others.
        tasks: where.
        views: the scores.
        pool: the models that are ranked.
    """
    for name in names:
        rows: list[Row] = []
        for task in tasks:
            scored = views.scored(task, name, pool)
            models = sorted(scored, key=lambda model: (-scored[model], model))
            drawn = views.replicates(task, name, models) if models else None
            if drawn is not None:
                rows += _ranked(task, name, models, scored, drawn)
        if rows:
            return rows
    return []


def _ranked(task: str, name: str, models: Sequence[str], scored: Mapping[str, float], drawn: Floats) -> list[Row]:
    values = np.array([scored[model] for model in models])
    found = ranks(values, np.where(np.isnan(drawn), values[:, None], drawn))
    return [{"task": task, "proxy": name, "model": model, "score": scored[model], "rank": float(found.rank[place]),
             "rank_low": float(found.low[place]), "rank_high": float(found.high[place]),
             "top": float(found.top[place])} for place, model in enumerate(models)]  # fmt: skip
