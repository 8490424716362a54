"""Hands: the part of a run that holds machines. Starts an executor only when there is work, and closes it always."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from sweeps.checkpoints import mark, write
from sweeps.costs import calibrated
from sweeps.fingerprint import fingerprint
from sweeps.limit import Limit
from sweeps.plan import SearchPlan, TauPlan
from sweeps.progress import Display
from sweeps.provenance import provenance
from sweeps.store import Store
from sweeps.track import Mode
from sweeps.types import Job, Outcome

if TYPE_CHECKING:
    from sweeps.cluster.executor import Executor


@dataclass(frozen=True)
class How:
    """How a sweep is run; none of it can change a number.

    ``workers`` None means one per GPU, or one per core where there is none. ``retry_failed`` measures jobs again
    that failed in an earlier run. With ``max_seconds`` (on the wall) or ``max_device_seconds`` (of all workers) no job
    begins that would not end in time, by the estimates.
    """

    executor: Literal["ray", "inline"] = "ray"
    address: str | None = None
    workers: int | None = None
    gpus: float | None = None
    attempts: int = 3
    device: str = "auto"
    cache: Path | None = None
    retry_failed: bool = True
    wait: bool = False
    wandb: Mode = "off"
    max_seconds: float | None = None
    max_device_seconds: float | None = None


class Hands:
    """Runs stages of jobs on an executor that is made on first use."""

    def __init__(self, store: Store, how: How) -> None:
        self.store, self.how = store, how
        self._executor: Executor | None = None
        self._statuses = store.statuses()
        self._known: dict[str, Job] = {}
        self.limit = Limit(how.max_seconds, how.max_device_seconds, self.lanes)
        self.ran: Counter[str] = Counter()
        self.reused: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.close()
        self.store.wait()  # what was measured is kept however the run ends

    @property
    def lanes(self) -> int:
        """How many jobs run at a time, for estimates."""
        return 1 if self.how.executor == "inline" else self.how.workers or len(os.sched_getaffinity(0))

    @property
    def cache(self) -> Path:
        """The folder of features, pixels and weights."""
        remote = self.store.remote
        return (self.how.cache or (_node_cache(remote.uri) if remote else self.store.out / "cache")).resolve()

    def todo(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs without a result; those that failed before are among them unless they are not to be retried."""
        settled = {"ok"} if self.how.retry_failed else {"ok", "failed"}
        return [job for job in jobs if self._statuses.get(job.id) not in settled]

    def forget(self, jobs: Iterable[Job]) -> None:
        """Measure jobs again whose results are kept outside the tables and are gone."""
        for job in jobs:
            self._statuses.pop(job.id, None)

    def run(self, stage: str, jobs: Sequence[Job], settle: Callable[[Outcome], None], display: Display,
            later: Sequence[Job] = ()) -> None:  # fmt: skip
        """Run what a stage lacks; under a limit, model by model while the next one and ``later`` fit."""
        todo = self.todo(jobs)
        self._known |= {job.id: job for job in jobs}
        self.reused.update(job.kind for job in jobs)
        self.reused.subtract(job.kind for job in todo)
        seconds = self.estimates(todo)
        display.stage(stage, seconds, len(jobs) - len(todo), self.lanes)
        parts = [list(part) for _, part in groupby(todo, key=lambda job: job.model.name)] if self.limit else [todo]
        while parts:
            now = self._next(parts, later)
            if not now:
                return
            done = [job for job, status in self._statuses.items() if status == "ok"]
            hands = self._hands()
            hands.learn(self._peaks())
            hands.run(now, done, self._noted(settle), display.started)

    def _peaks(self) -> dict[str, int]:
        from sweeps.cluster.share import peaks

        runs = self.store.read("runs", columns=["job", "model", "peak_memory_bytes"])
        return peaks(runs.to_pylist(), self.store.read("jobs", columns=["job", "device"]).to_pylist())

    def _next(self, parts: list[list[Job]], later: Sequence[Job]) -> list[Job]:
        """Take the parts that run now: all without a limit; else as many as busy every worker, or one, or none."""
        if not self.limit:
            return parts.pop()
        busy = next((count for count in range(1, len(parts)) if sum(map(len, parts[:count])) >= self.lanes), len(parts))
        for count in (busy, 1):
            now = [job for part in parts[:count] for job in part]
            seconds = self.estimates([*now, *later])
            if self.limit.fits([seconds[job.id] for job in now], [seconds[job.id] for job in later]):
                del parts[:count]
                return now
        return []

    def estimates(self, jobs: Sequence[Job]) -> dict[str, float]:
        """Job id -> estimated seconds, from all that was measured in this folder."""
        measured = [row for row in self.store.rows("jobs") if row["status"] == "ok"] if jobs else []
        return calibrated(jobs, measured, self._known.values())

    def search(self, stage: str, cells: Sequence[SearchPlan | TauPlan], settle: Callable[[Outcome], None],
               display: Display, later: Sequence[Job] = ()) -> None:  # fmt: skip
        """Run the trials that the searches lack; under a limit, of those that fit as a whole, and ``later`` too."""
        if self.limit:
            ahead = self.estimates(later)
            cells = [cell for cell in cells if self.limit.fits(self._trials(cell), list(ahead.values()))]
        most = sum(cell.trials for cell in cells)
        tables = {cell.table: self.store.read(cell.table, columns=["search", "seconds"]).to_pylist() for cell in cells}
        rows = [row for table in tables.values() for row in table]
        measured = Counter(row["search"] for row in rows if row["search"])
        if all(measured[cell.job.id] == cell.trials for cell in cells):
            display.stage(stage, {}, most, self.lanes)
            return
        from sweeps.cluster.search import Searches

        searches = Searches(cells, self._recorded)
        left = searches.open()
        took = [row["seconds"] for row in rows if row["seconds"] is not None]
        each = sum(took) / len(took) if took else 1.0  # ASHA will stop some early
        display.stage(stage, {f"trial {index}": each for index in range(left)}, most - left, self.lanes)
        if left:
            self._hands().search(searches, self._noted(settle), display.started)

    @staticmethod
    def _trials(cell: SearchPlan | TauPlan) -> list[float]:
        """Seconds of its trials one after another, if none is stopped early: they wait for each other."""
        took = [row["seconds"] for row in cell.grid if row["seconds"] is not None]
        return [cell.trials * sum(took) / len(took)] if took else []

    def _noted(self, settle: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
        """The same, after counting what ran and what it took."""

        def settled(outcome: Outcome) -> None:
            self.ran[outcome.job["kind"]] += 1
            self.limit.spent += outcome.job.get("seconds") or 0.0
            if outcome.ok:
                self._statuses[outcome.job["job"]] = "ok"
            if outcome.files:
                write(self.cache / "checkpoints" / outcome.job["job"], outcome.files)
            settle(outcome)

        return settled

    def _recorded(self, table: str, trial: str) -> dict | None:
        rows = self.store.rows(table, [trial])
        return rows[0] if rows else None

    def _hands(self) -> "Executor":
        if self._executor is None:
            self._executor = self._make()
        return self._executor

    def _make(self) -> "Executor":
        from sweeps.cluster.worker import Setup

        remote, cache = self.store.remote, self.cache
        cache.mkdir(parents=True, exist_ok=True)
        setup = Setup(
            cache=cache,
            device=self.how.device,
            provenance=provenance(),
            shared=remote.uri if remote else None,
            mark=None if remote else mark(cache),
        )
        if self.how.executor == "inline":
            from sweeps.cluster.executor import InlineExecutor

            return InlineExecutor(setup)
        from sweeps.cluster.ray_executor import RayExecutor
        from sweeps.cluster.seat import Resources

        resources = Resources(address=self.how.address, workers=self.how.workers, gpus=self.how.gpus,
                              attempts=self.how.attempts)  # fmt: skip
        return RayExecutor(setup, resources, storage=remote.below("cache/tune") if remote else str(cache / "tune"))


def _node_cache(uri: str) -> Path:
    """Where each machine keeps features and decoded images of an output on object storage; SWEEPS_CACHE says where."""
    return Path(os.environ.get("SWEEPS_CACHE") or Path(tempfile.gettempdir()) / "sweeps-cache") / fingerprint(uri)
