"""Hands: the part of a run that holds machines. Starts an executor only when there is work, and closes it always."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from sweeps.fingerprint import fingerprint
from sweeps.plan import SearchPlan, TauPlan, calibrated
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
    that failed in an earlier run.
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


class Hands:
    """Runs stages of jobs on an executor that is made on first use."""

    def __init__(self, store: Store, how: How) -> None:
        self.store, self.how = store, how
        self._executor: Executor | None = None
        self._statuses = store.statuses()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._executor is not None:
            self._executor.close()

    @property
    def lanes(self) -> int:
        """How many jobs run at a time, for estimates."""
        return 1 if self.how.executor == "inline" else self.how.workers or len(os.sched_getaffinity(0))

    def todo(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs without a result; those that failed before are among them unless they are not to be retried."""
        settled = {"ok"} if self.how.retry_failed else {"ok", "failed"}
        return [job for job in jobs if self._statuses.get(job.id) not in settled]

    def run(self, stage: str, jobs: Sequence[Job], settle: Callable[[Outcome], None], display: Display) -> None:
        """Run what a stage lacks."""
        todo = self.todo(jobs)
        measured = [row for row in self.store.rows("jobs") if row["status"] == "ok"] if todo else []
        display.stage(stage, calibrated(todo, measured), len(jobs) - len(todo), self.lanes)
        if todo:
            done = [job for job, status in self._statuses.items() if status == "ok"]
            self._hands().run(todo, done, settle, display.started)

    def search(self, stage: str, cells: Sequence[SearchPlan] | Sequence[TauPlan], settle: Callable[[Outcome], None],
               display: Display) -> None:  # fmt: skip
        """Run the trials that the searches lack."""
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
            self._hands().search(searches, settle, display.started)

    def _recorded(self, table: str, trial: str) -> dict | None:
        rows = self.store.rows(table, [trial])
        return rows[0] if rows else None

    def _hands(self) -> "Executor":
        if self._executor is None:
            self._executor = self._make()
        return self._executor

    def _make(self) -> "Executor":
        from sweeps.cluster.worker import Setup

        remote = self.store.remote
        cache = (self.how.cache or (_node_cache(remote.uri) if remote else self.store.out / "cache")).resolve()
        cache.mkdir(parents=True, exist_ok=True)
        setup = Setup(
            cache=cache, device=self.how.device, provenance=provenance(), shared=remote.uri if remote else None
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
