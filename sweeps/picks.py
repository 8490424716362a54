"""What strategies see and pick, from the tables: candidates, scores, costs, and the cells worth searching.

The formulas are :mod:`taskrel.strategies`; this turns rows into their input and their picks back into jobs. A score is
measured (a proxy of the sweep), combined from the proxies of all models of a task, or static: known without the task.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from sweeps.config import SweepConfig
from sweeps.errors import ConfigError, did_you_mean
from sweeps.plan import LINEAR, SearchPlan, TauPlan, finetune_settings, pairs
from sweeps.predicates import holds
from sweeps.settings import EARLY
from sweeps.store import SCHEMAS
from sweeps.types import Job, Model, Row, Task
from taskrel.aggregate import COMBINED, combine
from taskrel.proxies import PROXIES
from taskrel.proxies.contract import declared
from taskrel.static import STATIC, Accuracies, static
from taskrel.strategies import STRATEGIES, Builder, TaskView, hybrid_builder, proxy_builder, rank_builder
from taskrel.types import Candidate, Pick

BEST = "best"  # of the models that are fine-tuned, the one that validates best
Columns = dict[str, dict[str, float | None]]  # score -> model -> number


def builder(name: str, proxies: Iterable[str]) -> Builder:
    """The strategy of that name: of the table, or a score, ``<score>+<score>`` by mean rank, or ``hybrid_`` and these.

    A score is a proxy of the sweep, a combined or a static one.

    Raises:
        ConfigError: for an unknown name.
    """
    if name in STRATEGIES:
        return STRATEGIES[name]
    scores = {*proxies, *COMBINED, *STATIC}
    if name in scores:
        return proxy_builder(name)
    if name.removeprefix("hybrid_") in scores:
        return hybrid_builder(name.removeprefix("hybrid_"))
    parts = name.removeprefix("hybrid_").split("+")
    if len(parts) > 1 and scores.issuperset(parts):
        return rank_builder(*parts, hybrid_with_agnostic=name.startswith("hybrid_"))
    known = {*STRATEGIES, *scores, *(f"hybrid_{score}" for score in scores)}
    raise ConfigError(f"a strategy must be known{did_you_mean(name, known)}")


def measured(score: str) -> tuple[str, ...]:
    """The proxies that a score is made of: itself, the parts of a combined one, none of a static one."""
    if score in COMBINED:
        return tuple(COMBINED[score].parts)
    return () if score in STATIC else (score,)


def check(config: SweepConfig) -> None:
    """Refuse a config that names unknown strategies or proxies, before anything runs.

    Raises:
        ConfigError: with the first unknown name, or a proxy that a strategy needs and the sweep does not compute.
    """
    for name, options in config.proxies.items():
        if name in COMBINED or name in STATIC:
            raise ConfigError(f"proxies must be measured, got {name!r}, which is "
                              f"{'made of ' + ', '.join(measured(name)) if name in COMBINED else 'always there'}; "
                              "name it under regret.strategies")  # fmt: skip
        if name not in PROXIES and name != EARLY and "function" not in options:
            raise ConfigError(f"proxies must be known{did_you_mean(name, PROXIES)}; "
                              "your own needs function = \"module:function\"")  # fmt: skip
        if name != EARLY:
            _settings(name, options)
    for pool in config.pools.values():
        if pool.where is not None:
            holds(SCHEMAS["models"].empty_table(), pool.where)
    wanted, scored = [*config.regret.strategies, config.regret.answer], scores(config)
    if config.final is not None and config.final.head and LINEAR not in config.proxies:
        raise ConfigError(f"final.head needs the proxy {LINEAR!r}, got proxies {sorted(config.proxies)}")
    if config.search is not None and config.search.models not in ("all", BEST):
        wanted.append(config.search.models)
        _beforehand("search.models", config.search.models, config)
    if config.finetune is not None and config.finetune.models != "all":
        wanted.append(config.finetune.models)
        _beforehand("finetune.models", config.finetune.models, config)
    for name in wanted:
        if "neighbours" in builder(name, scored).needs and config.task2vec is None:
            raise ConfigError(f"strategy {name!r} needs a [task2vec] section, got none")
        for proxy in (part for score in builder(name, scored).proxies for part in measured(score)):
            if proxy not in scored:
                raise ConfigError(f"strategy {name!r} needs the proxy {proxy!r}, got proxies {sorted(scored)}")


def _beforehand(key: str, name: str, config: SweepConfig) -> None:
    """Refuse a strategy that cannot pick before anything is fine-tuned."""
    made = builder(name, config.proxies)
    if made.needs or made.partial:
        needs = " and ".join(made.needs) or "parts of fine-tunings"
        raise ConfigError(f"{key} must be a strategy that can pick before anything is fine-tuned, got {name!r}, which "
                          f"needs {needs}")  # fmt: skip
    for score in made.proxies:
        if score in STATIC and STATIC[score].needs == "elsewhere":
            raise ConfigError(f"{key} must be a strategy that can pick before other tasks are fine-tuned, got {name!r}")


def scores(config: SweepConfig) -> tuple[str, ...]:
    """What the sweep measures of every model on every task: its proxies, bounds and Head2Toe."""
    bounds = config.bound.scores if config.bound is not None else ()
    return (*config.proxies, *bounds, *(("head2toe", "head2toe_cv") if config.head2toe is not None else ()))


def _settings(name: str, options: Mapping[str, Any]) -> None:
    """Refuse a setting that the proxy does not take, rather than fail once for every model on every task."""
    place = options.get("function") or PROXIES[name].function
    if not isinstance(place, str):
        return
    try:
        known = declared(place)
    except ValueError as fault:
        raise ConfigError(f"proxies.{name}: {fault}") from None
    for key in sorted(options.keys() - {"function"}):
        if known is not None and key not in known:
            raise ConfigError(f"proxies.{name}.{key} must be a setting of the proxy{did_you_mean(key, known)}")


def candidates(models: Iterable[Row]) -> tuple[Candidate, ...]:
    """The rows of ``models`` as strategies see them; from-scratch baselines are nobody's candidates."""
    return tuple(
        Candidate(model=row["model"], group=row["group"] or "", parameters=row["parameters"], dim=row["dim"],
                  upstream_accuracy=row["upstream_accuracy"], upstream_size=row["upstream_size"],
                  released=row["released"])
        for row in models if row["group"] != "scratch"
    )  # fmt: skip


def view(task: str, pool: Sequence[Candidate], scores: Iterable[Row],
         accuracies: Mapping[str, float | None] | None = None,
         elsewhere: Accuracies | None = None) -> TaskView:  # fmt: skip
    """One task as strategies see it: measured scores, what combines them within the pool, what is known without them.

    Args:
        task: its name.
        pool: the candidates.
        scores: rows of ``scores``, of any task.
        accuracies: model -> mean fine-tuned accuracy over all tasks, for the oracle only.
        elsewhere: accuracies on other tasks than this one, for static scores that read them.
    """
    names = {candidate.model for candidate in pool}
    values: Columns = {}
    seconds: Columns = {}
    for row in scores:
        if row["task"] == task and row["model"] in names:
            values.setdefault(row["proxy"], {})[row["model"]] = row["value"]
            seconds.setdefault(row["proxy"], {})[row["model"]] = row["seconds"]
    _combine(values, seconds, [candidate.model for candidate in pool])
    for name in STATIC:
        known = static(name, pool, elsewhere or {})
        if any(value is not None for value in known.values()):
            values[name], seconds[name] = dict(known), dict.fromkeys(known, 0.0)
    return TaskView(task=task, candidates=tuple(pool), scores=values, score_seconds=seconds, accuracies=accuracies)


def _combine(values: Columns, seconds: Columns, models: Sequence[str]) -> None:
    """Add the combined scores whose parts are there; one costs what its parts cost."""
    for name, combined in COMBINED.items():
        if all(part in values for part in combined.parts):
            found = combine(name, {part: [values[part].get(model) for model in models] for part in combined.parts})
            values[name] = dict(zip(models, found, strict=True))
            seconds[name] = {model: _total(seconds[part].get(model) for part in combined.parts) for model in models}


def _total(numbers: Iterable[float | None]) -> float | None:
    known = list(numbers)
    return None if None in known else sum(number for number in known if number is not None)


def picks(config: SweepConfig, name: str, budget: int, task_view: TaskView) -> list[Pick]:
    """The first ``budget`` picks of a strategy on one task."""
    return builder(name, config.proxies)(task_view, seed=config.seed).ask(budget)


def chosen(config: SweepConfig, name: str, budget: int, met: Sequence[Model], task: Task, facts: Sequence[Row],
           scores: Sequence[Row]) -> list[Pick]:  # fmt: skip
    """A strategy's first picks among the models that meet a task; none where it has nothing to pick by."""
    names = {model.name for model, _ in pairs(met, [task])}
    pool = tuple(candidate for candidate in candidates(facts) if candidate.model in names)
    if not pool:
        return []
    seen, known = view(task.name, pool, scores), builder(name, config.proxies)
    if not set(known.proxies) <= seen.scores.keys():
        return []  # every embedding of this task failed
    return picks(config, name, budget, seen)


def tuned(config: SweepConfig, models: Sequence[Model], tasks: Sequence[Task], facts: Sequence[Row],
          scores: Sequence[Row]) -> list[tuple[Model, Task]]:  # fmt: skip
    """The (model, task) pairs that are fine-tuned where not all are, task by task, best pick first."""
    assert config.finetune is not None
    by_name = {model.name: model for model in models}
    return [
        (by_name[pick.model], task)
        for task in tasks
        for pick in chosen(config, config.finetune.models, config.finetune.budget, models, task, facts, scores)
    ]


def winner(task: Task, runs: Iterable[Row]) -> tuple[str, float] | None:
    """Model and learning rate that validate best on a task: the median over repeats; of equals the smaller rate.

    Args:
        task: where.
        runs: rows of ``runs`` of the present plan.
    """
    reached: dict[tuple[str, float], list[float]] = {}
    for row in runs:
        if row["task"] == task.name and row["status"] == "ok" and row["val_accuracy"] is not None:
            reached.setdefault((row["model"], row["learning_rate"]), []).append(row["val_accuracy"])
    return min(reached, key=lambda arm: (-median(reached[arm]), arm[1], arm[0]), default=None)


def better_half(jobs: Sequence[Job], runs: Iterable[Row]) -> list[Job]:
    """Of runs that stand at one step, the half that validates better on each task; one alone goes on alone.

    Of equals, which are common on few examples, the one that did better at the look before, and so on.

    Args:
        jobs: the parts that were trained.
        runs: their rows; a part that diverged, failed or did not begin is out.
    """
    reached = {row["job"]: [-point["val_accuracy"] for point in reversed(row["curve"])]
               for row in runs if row["val_accuracy"] is not None}  # fmt: skip
    alive: dict[str, list[Job]] = {}
    for job in jobs:
        if job.id in reached:
            alive.setdefault(job.task.name, []).append(job)
    return [
        job
        for part in alive.values()
        for job in sorted(part, key=lambda job: (reached[job.id], job.settings["learning_rate"]))[: -(-len(part) // 2)]
    ]


def probed(task: Task, scores: Iterable[Row], above: float) -> tuple[str, float] | None:
    """The model whose linear probe validates best, and its rate, if that is more than ``above``."""
    rows = [row for row in scores if (row["task"], row["proxy"]) == (task.name, LINEAR) and row["value"] is not None]
    best = min(rows, key=lambda row: (-row["value"], row["model"]), default=None)
    if best is None or best["value"] <= above:
        return None
    return best["model"], json.loads(best["detail"])["learning_rate"]


def searched(config: SweepConfig, models: Sequence[Model], tasks: Sequence[Task], facts: Sequence[Row],
             scores: Sequence[Row], runs: Sequence[Row]) -> list[SearchPlan]:  # fmt: skip
    """The (model, task) pairs whose learning rate is searched: a strategy's picks, or all; none without their grid."""
    assert config.search is not None
    assert config.finetune is not None
    search, by_name, grid = config.search, {model.name: model for model in models}, _grid(runs)
    cells = []
    for task in tasks:
        met = {model.name for model, _ in pairs(models, [task])}
        names = [candidate.model for candidate in candidates(facts) if candidate.model in met]
        if search.models == BEST:
            best = winner(task, runs)
            names = [best[0]] if best else []
        elif search.models != "all":
            names = [pick.model for pick in chosen(config, search.models, search.budget, models, task, facts, scores)]
        for name in sorted(names):
            first = grid.get((name, task.name), [])
            if len(first) == len(config.finetune.recipe(task.modality).learning_rates):
                settings, (low, high) = finetune_settings(config, task, repeat=0), search.range(task.modality)
                cells.append(SearchPlan(by_name[name], task, settings, low, high, search.trials, config.seed,
                                        tuple(first)))  # fmt: skip
    return cells


def tau_searches(config: SweepConfig, jobs: Iterable[Job], bounds: Iterable[Row]) -> list[TauPlan]:
    """The bounds whose cap is searched, each started from its own grid; none without one."""
    if config.bound is None or config.bound.search is None:
        return []
    grid: dict[str, list[Row]] = {}
    for row in bounds:
        if row["mode"] == "labelled" and row["held_out"] is not None:
            grid.setdefault(row["job"], []).append(row)
    return [TauPlan(job, config.bound.search, tuple(sorted(grid[job.id], key=lambda row: row["tau"])))
            for job in jobs if job.kind == "bound" and job.id in grid]  # fmt: skip


def _grid(runs: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """(model, task) -> the grid's runs of repeat 0, by learning rate, halved ones as far as they came: what a search
    starts from."""
    found: dict[tuple[str, str], dict[float, Row]] = {}
    for row in sorted(runs, key=lambda row: row["steps_done"]):
        if row["origin"] in ("grid", "rung") and row["repeat"] == 0:
            found.setdefault((row["model"], row["task"]), {})[row["learning_rate"]] = row
    return {key: [rows[rate] for rate in sorted(rows)] for key, rows in found.items()}


def found(cells: Iterable[SearchPlan], trials: Iterable[Row]) -> list[tuple[Model, Task, float]]:
    """Where a search beat its grid on validation: (model, task, learning rate of its best full trial)."""
    best: dict[str, Row] = {}
    for row in trials:
        if row["status"] == "ok":
            rival = best.get(row["search"])
            if rival is None or (row["val_accuracy"], -row["trial"]) > (rival["val_accuracy"], -rival["trial"]):
                best[row["search"]] = row
    won = []
    for cell in cells:
        top = best.get(cell.job.id)
        grid = max((each["val_accuracy"] for each in cell.grid if each["val_accuracy"] is not None), default=-1.0)
        if top is not None and top["val_accuracy"] > grid:
            won.append((cell.model, cell.task, top["learning_rate"]))
    return won
