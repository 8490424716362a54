"""Ray Tune runs the trials of the searches, on the workers that are already there.

Tune's trial is a thin process: it asks its worker for the next evaluation, reports it, and Tune's scheduler says
whether to go on. The searcher and the scheduler given to Tune are fronts of :class:`Searches`, where Optuna and ASHA
decide cell by cell. Tune pickles and copies what it is given, so the fronts hold a key and find the live objects in
this process; rows are written from here, by the driver.
"""

import contextlib
import logging
import uuid
from dataclasses import dataclass, field
from typing import Any

from ray import tune
from ray.exceptions import RayError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweeps.cluster.executor import Settle, Start, end, stop
from sweeps.cluster.search import Searches, Trial
from sweeps.cluster.seat import Pool, Seat
from sweeps.cluster.trial import trainable
from sweeps.cluster.worker import Clock, lost
from sweeps.types import Outcome


@dataclass
class Live:
    """One search on Tune as it runs: the pool of seats, and Tune's trial id -> our trial and seat."""

    pool: Pool
    searches: Searches
    settle: Settle
    start: Start
    flying: dict[str, tuple[Trial, Seat, Clock]] = field(default_factory=dict)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial and the worker that runs it; None while every worker or every cell is busy."""
        taken = {id(seat) for _, seat, _ in self.flying.values()}
        free = [seat for seat in self.pool.seats if id(seat) not in taken and self.pool.stands(seat)]
        if not free:
            return None
        trial = self.searches.next(free[0].model)
        if trial is None:
            return None if self.flying else Searcher.FINISHED
        seat = next((each for each in free if each.model == trial.job.model.name), free[0])
        seat.model = trial.job.model.name
        self.flying[trial_id] = (trial, seat, Clock())
        self.start(trial.job)
        return {"job": trial.job, "worker": seat.actor, "attempt": trial.attempts}

    def result(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Note what a trial reported; False stops it."""
        trial, seat, clock = self.flying[trial_id]
        if "fault" in result:
            self._died(trial_id, result["fault"])
            return False
        step = result["step_result"]
        if isinstance(step, Outcome):
            del self.flying[trial_id]
            self.settle(end(trial, step))
            return False
        if trial.cell.report(trial, step):
            return True
        del self.flying[trial_id]
        self.settle(stop(trial, clock, self.pool.setup, seat.name))
        return False

    def _died(self, trial_id: str, fault: RayError) -> None:
        trial, seat, _ = self.flying.pop(trial_id)
        if trial.attempts < self.pool.resources.attempts:
            trial.cell.retry(trial)
        else:
            self.settle(end(trial, lost(trial.job, fault, trial.attempts)))
        self.pool.replace(seat, fault)


_LIVE: dict[str, Live] = {}


class _SearcherFront(Searcher):
    def __init__(self, key: str) -> None:
        super().__init__(metric="val_accuracy", mode="max")
        self.key = key

    def suggest(self, trial_id: str) -> Any:
        return _LIVE[self.key].suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in _LIVE[self.key].flying:  # Tune lost its own trial process
            _LIVE[self.key].result(trial_id, {"fault": RayError("Tune's trial process died")})

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: finished trials are replayed from the tables."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _SchedulerFront(FIFOScheduler):
    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        go_on = _LIVE[self.key].result(trial.trial_id, result)
        return TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP


class _Watch(tune.Callback):
    """Tune waits for ever for a trial process on a machine that is gone; this looks."""

    def __init__(self, key: str) -> None:
        self.key = key

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        _LIVE[self.key].pool.check_alive()


def search(pool: Pool, searches: Searches, settle: Settle, start: Start) -> None:
    """Run every trial that the searches still ask for."""
    most = searches.open()
    if not most:
        return
    key = uuid.uuid4().hex
    _LIVE[key] = Live(pool, searches, settle, start)
    try:
        while searches.open():
            _fit(pool, key, most * pool.resources.attempts)
    finally:
        del _LIVE[key]


def _fit(pool: Pool, key: str, samples: int) -> None:
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 0.01}),
        tune_config=tune.TuneConfig(
            search_alg=_SearcherFront(key), scheduler=_SchedulerFront(key), num_samples=samples, reuse_actors=True,
            max_concurrent_trials=len(pool.seats), trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(name=f"search-{key[:8]}", storage_path=pool.storage, verbose=0,
                                  callbacks=[_Watch(key)]),
    )  # fmt: skip
    with _silence():
        tuner.fit()


@contextlib.contextmanager
def _silence() -> Any:
    """Tune prints tables even at ``verbose=0``; the sweep has its own display."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.train")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
