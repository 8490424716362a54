"""The searches: which trial next, and does it go on? Ray Tune's own searcher and scheduler decide.

Each (model, task) has its own ``OptunaSearch`` and its own ``ASHAScheduler``, started from the grid's runs, and at
most one trial at a time: so what it asks and what it stops depend on its own results only, never on timing, and the
same search gives the same rows with any number of workers, inline, and after a kill (finished trials are replayed
from the tables). Concurrency comes from searching several (model, task) at once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace

from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from sweeps.plan import SearchPlan, TauPlan
from sweeps.tuning import evaluation_steps
from sweeps.types import Job, Point, Row

Plan = SearchPlan | TauPlan


@dataclass
class Trial:
    """One fine-tuning of a search, in flight or waiting to be."""

    cell: "CellSearch"
    job: Job
    points: list[Point] = field(default_factory=list)
    attempts: int = 0


class CellSearch:
    """Optuna asks for values and ASHA stops trials, for one cell, one trial at a time."""

    def __init__(self, cell: Plan) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        steps = evaluation_steps(*cell.looks)
        self.cell, self.asked = cell, 0
        self.waiting: Trial | None = None
        self.flying: Trial | None = None
        self._searcher = OptunaSearch(
            space={name: optuna.distributions.FloatDistribution(low, high, log=True)
                   for name, (low, high) in cell.space.items()},
            sampler=optuna.samplers.TPESampler(seed=cell.seed, n_startup_trials=2), metric="value", mode="max",
        )  # fmt: skip
        self._scheduler = ASHAScheduler(time_attr="step", metric="value", mode="max", max_t=steps[-1],
                                        grace_period=steps[0], reduction_factor=2)  # fmt: skip
        for number, row in enumerate(cell.grid):
            self._start_from(number, row)

    def _start_from(self, number: int, row: Row) -> None:
        """Tell both what the grid already measured."""
        value, known = self.cell.value(row), all(row.get(name) is not None for name in self.cell.space)
        if (
            value is not None
            and known
            and all(low <= row[name] <= high for name, (low, high) in self.cell.space.items())
        ):
            self._searcher.add_evaluated_point({name: row[name] for name in self.cell.space}, value)
        name = f"grid-{number}"
        self._scheduler.on_trial_add(None, SimpleNamespace(trial_id=name))
        for point in self.cell.curve(row):
            self._decide(name, Point(**point))

    def _decide(self, name: str, point: Point) -> bool:
        result = {"step": point.step, "value": point.val_accuracy}
        action = self._scheduler.on_trial_result(None, SimpleNamespace(trial_id=name), result)
        return action == TrialScheduler.CONTINUE or point.step >= self.cell.looks[0]

    def next(self, recorded: Callable[[str, str], Row | None]) -> Trial | None:
        """The trial to run next, after replaying those already measured; None when one flies or all are asked."""
        if self.flying is not None:
            return None
        while self.waiting is None and self.asked < self.cell.trials:
            trial = self._ask()
            row = recorded(self.cell.table, trial.job.id)
            if row is None:
                self.waiting = trial
            else:
                for point in self.cell.curve(row):
                    self.report(trial, Point(**point))
                self.finish(trial, row)
        return self.waiting

    def _ask(self) -> Trial:
        index, self.asked = self.asked, self.asked + 1
        asked = self._searcher.suggest(str(index))
        self._scheduler.on_trial_add(None, SimpleNamespace(trial_id=str(index)))
        return Trial(self, self.cell.trial(index, {name: float(asked[name]) for name in self.cell.space}))

    def report(self, trial: Trial, point: Point) -> bool:
        """Note a point; False means that ASHA stops the trial here."""
        trial.points.append(point)
        return self._decide(str(trial.job.settings["trial"]), point)

    def finish(self, trial: Trial, row: Row | None) -> None:
        """Note how a trial ended: its row, or None when it failed."""
        self.flying = self.waiting = None
        value = None if row is None else self.cell.value(row)
        result = None if value is None else {"value": value}
        self._searcher.on_trial_complete(str(trial.job.settings["trial"]), result, error=value is None)

    def retry(self, trial: Trial) -> None:
        """Put a trial whose worker died back; it starts from its first step, at the same learning rate."""
        self.flying, self.waiting = None, trial
        trial.points.clear()


class Searches:
    """All cells of a sweep; hands out trials in a fixed order of cells."""

    def __init__(self, cells: Iterable[Plan], recorded: Callable[[str, str], Row | None]) -> None:
        self.cells = [CellSearch(cell) for cell in cells]
        self._recorded = recorded

    def next(self, model: str | None = None) -> Trial | None:
        """The next trial, of ``model`` first; it counts as flying until it is finished or retried."""
        ready = [trial for cell in self.cells if (trial := cell.next(self._recorded)) is not None]
        trial = next((each for each in ready if each.job.model.name == model), ready[0] if ready else None)
        if trial is not None:
            trial.cell.flying, trial.cell.waiting = trial, None
            trial.attempts += 1
        return trial

    def open(self) -> int:
        """How many trials are still to be run at most, those in flight included (finished ones are replayed first)."""
        total = 0
        for cell in self.cells:
            cell.next(self._recorded)
            total += cell.cell.trials - cell.asked + (cell.waiting is not None) + (cell.flying is not None)
        return total
