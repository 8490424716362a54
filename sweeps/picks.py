"""What strategies see and pick, from the tables: candidates, scores, costs, and the cells worth searching.

The formulas are :mod:`taskrel.strategies`; this turns rows into their input and their picks back into jobs.
"""

from collections.abc import Iterable, Mapping, Sequence

from sweeps.config import SweepConfig, did_you_mean
from sweeps.errors import ConfigError
from sweeps.plan import SearchPlan, finetune_settings
from sweeps.types import Model, Row, Task
from taskrel.strategies import STRATEGIES, Builder, TaskView, hybrid_builder, proxy_builder
from taskrel.types import Candidate, Pick


def builder(name: str, proxies: Iterable[str]) -> Builder:
    """The strategy of that name: of the table, or a proxy of the sweep, or ``hybrid_<proxy>``.

    Raises:
        ConfigError: for an unknown name.
    """
    proxies = list(proxies)
    if name in STRATEGIES:
        return STRATEGIES[name]
    if name in proxies:
        return proxy_builder(name)
    if name.removeprefix("hybrid_") in proxies:
        return hybrid_builder(name.removeprefix("hybrid_"))
    known = {*STRATEGIES, *proxies, *(f"hybrid_{proxy}" for proxy in proxies)}
    raise ConfigError(f"a strategy must be known{did_you_mean(name, known)}")


def check(config: SweepConfig) -> None:
    """Refuse a config that names unknown strategies or proxies, before anything runs.

    Raises:
        ConfigError: with the first unknown name, or a proxy that a strategy needs and the sweep does not compute.
    """
    from taskrel.proxies import PROXIES

    for name, options in config.proxies.items():
        if name not in PROXIES and "function" not in options:
            raise ConfigError(f"proxies must be known{did_you_mean(name, PROXIES)}; "
                              "your own needs function = \"module:function\"")  # fmt: skip
    wanted = [*config.regret.strategies, config.regret.answer]
    if config.search is not None and config.search.models != "all":
        wanted.append(config.search.models)
    for name in wanted:
        for proxy in builder(name, config.proxies).proxies:
            if proxy not in config.proxies:
                raise ConfigError(f"strategy {name!r} needs the proxy {proxy!r}, got proxies {sorted(config.proxies)}")


def candidates(models: Iterable[Row]) -> tuple[Candidate, ...]:
    """The rows of ``models`` as strategies see them; from-scratch baselines are nobody's candidates."""
    return tuple(
        Candidate(model=row["model"], group=row["group"] or "", parameters=row["parameters"], dim=row["dim"],
                  upstream_accuracy=row["upstream_accuracy"], upstream_size=row["upstream_size"])
        for row in models if row["group"] != "scratch"
    )  # fmt: skip


def view(task: str, pool: Sequence[Candidate], scores: Iterable[Row],
         accuracies: Mapping[str, float | None] | None = None) -> TaskView:  # fmt: skip
    """One task as strategies see it.

    Args:
        task: its name.
        pool: the candidates.
        scores: rows of ``scores``, of any task.
        accuracies: model -> mean fine-tuned accuracy over all tasks, for the oracle only.
    """
    names = {candidate.model for candidate in pool}
    values: dict[str, dict[str, float | None]] = {}
    seconds: dict[str, dict[str, float | None]] = {}
    for row in scores:
        if row["task"] == task and row["model"] in names:
            values.setdefault(row["proxy"], {})[row["model"]] = row["value"]
            seconds.setdefault(row["proxy"], {})[row["model"]] = row["seconds"]
    return TaskView(task=task, candidates=tuple(pool), scores=values, score_seconds=seconds, accuracies=accuracies)


def picks(config: SweepConfig, name: str, budget: int, task_view: TaskView) -> list[Pick]:
    """The first ``budget`` picks of a strategy on one task."""
    return builder(name, config.proxies)(task_view, seed=config.seed).ask(budget)


def searched(config: SweepConfig, models: Sequence[Model], tasks: Sequence[Task], facts: Sequence[Row],
             scores: Sequence[Row], runs: Sequence[Row]) -> list[SearchPlan]:  # fmt: skip
    """The (model, task) pairs whose learning rate is searched: a strategy's picks, or all; none without their grid."""
    assert config.search is not None
    assert config.finetune is not None
    search, by_name, pool = config.search, {model.name: model for model in models}, candidates(facts)
    grid = _grid(runs)
    cells = []
    for task in tasks:
        names = [candidate.model for candidate in pool]
        if search.models != "all":
            seen = view(task.name, pool, scores)
            known = builder(search.models, config.proxies)
            if not set(known.proxies) <= seen.scores.keys() or known.needs_accuracies:
                continue  # every embedding of this task failed: there is nothing to pick by
            names = [pick.model for pick in picks(config, search.models, search.budget, seen)]
        for name in sorted(names):
            first = grid.get((name, task.name), [])
            if len(first) == len(config.finetune.learning_rates):
                settings = finetune_settings(config, repeat=0)
                cells.append(SearchPlan(by_name[name], task, settings, search.low, search.high, search.trials,
                                        config.seed, tuple(first)))  # fmt: skip
    return cells


def _grid(runs: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """(model, task) -> the grid's runs of repeat 0, by learning rate: what a search starts from."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in runs:
        if row["origin"] == "grid" and row["repeat"] == 0:
            found.setdefault((row["model"], row["task"]), []).append(row)
    return {key: sorted(rows, key=lambda row: row["learning_rate"]) for key, rows in found.items()}


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
