"""Executor: what hands jobs to workers. The protocol, and the inline one that runs everything in this process."""

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from sweeps.cluster.queue import JobQueue
from sweeps.cluster.worker import Clock, Setup, Worker, blocked, job_row
from sweeps.jobs.runs import run_row, stopped
from sweeps.types import Job, Outcome, Point

if TYPE_CHECKING:  # it imports Tune, which takes a second that a sweep without a search need not wait
    from sweeps.cluster.search import Searches, Trial

Settle = Callable[[Outcome], None]
Start = Callable[[Job], None]


class Executor(Protocol):
    """Exactly one outcome for every job, in any order; the same outcomes whatever the executor."""

    def learn(self, measured: Mapping[str, int]) -> None:
        """Be told model -> bytes that its fine-tuning took of a GPU at its peak."""

    def run(self, jobs: Sequence[Job], done: Iterable[str], settle: Settle, start: Start) -> None:
        """Run jobs after their needs (``done`` are met already); call ``settle`` once for each."""

    def search(self, searches: "Searches", settle: Settle, start: Start) -> None:
        """Run trials until every search has asked all of its own."""

    def close(self) -> None:
        """Let go of workers and machines."""


class InlineExecutor:
    """One worker in this process: for debugging and tests."""

    def __init__(self, setup: Setup) -> None:
        self.worker = Worker(setup)

    def learn(self, measured: Mapping[str, int]) -> None:
        """See :class:`Executor`."""

    def run(self, jobs: Sequence[Job], done: Iterable[str], settle: Settle, start: Start) -> None:
        """See :class:`Executor`."""
        queue = JobQueue(jobs, done)
        while (job := queue.take("inline")) is not None:
            start(job)
            outcome = self.worker.run(job)
            settle(outcome)
            for never in queue.settle(job, outcome.ok):
                settle(blocked(never, job.label))

    def search(self, searches: "Searches", settle: Settle, start: Start) -> None:
        """See :class:`Executor`."""
        model = None
        while (trial := searches.next(model)) is not None:
            model = trial.job.model.name
            start(trial.job)
            clock = Clock()
            while isinstance(step := self.worker.advance(trial.job), Point):
                if not trial.cell.report(trial, step):
                    self.worker.drop()
                    settle(stop(trial, clock, self.worker.setup, self.worker.name))
                    break
            else:
                settle(end(trial, step))

    def close(self) -> None:
        """See :class:`Executor`."""
        self.worker.drop()


def end(trial: "Trial", outcome: Outcome) -> Outcome:
    """Tell the search how a trial ended."""
    rows = outcome.rows.get(trial.cell.cell.table, [])
    trial.cell.finish(trial, rows[0] if rows else None)
    return outcome


def stop(trial: "Trial", clock: Clock, setup: Setup, worker: str) -> Outcome:
    """The outcome of a trial that ASHA stopped at its last point."""
    row = run_row(trial.job) | stopped(trial.points)
    trial.cell.finish(trial, row)
    seconds = clock.seconds
    place = {"attempt": trial.attempts, "seconds": seconds, "started": clock.started, "finished": datetime.now(UTC),
             "host": socket.gethostname(), "worker": worker, **setup.provenance}  # fmt: skip
    return Outcome(job_row(trial.job) | place, {"runs": [row | {"seconds": seconds}]})
