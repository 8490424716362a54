"""RayExecutor: long-lived actors, one per device, driven by :mod:`sweeps.cluster.loop`; searches run on Tune.

Ray wraps the plain :class:`Worker` here, once.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError

from sweeps.cluster import loop
from sweeps.cluster.executor import Settle, Start
from sweeps.cluster.loop import WorkerLost
from sweeps.cluster.seat import Resources, Seat
from sweeps.cluster.share import parts
from sweeps.cluster.worker import Setup, Worker, lost
from sweeps.errors import ClusterError
from sweeps.types import Job, Outcome

if TYPE_CHECKING:
    from sweeps.cluster.search import Searches

RemoteWorker = ray.remote(Worker)

TICK_SECONDS = 0.5
ALIVE_SECONDS = 2.0
SAY_SECONDS = 30.0
_log = logging.getLogger("sweeps")


class RayExecutor:
    """Actors on a Ray cluster, or on this machine when no address is given."""

    def __init__(self, setup: Setup, resources: Resources, storage: str) -> None:
        self.setup, self.resources, self.storage = setup, resources, storage
        self.attempts = resources.attempts
        self._connect()
        self.gpus = self._gpus_each()
        self.shared = self.gpus == 1.0 and resources.gpus is None and resources.workers is None
        self.measured: Mapping[str, int] = {}
        self.memory: int | None = None
        self.seats = self._seats()
        self.deaths = 0
        self._looked = time.monotonic()
        self._patient_until = self._looked + SAY_SECONDS

    def _connect(self) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": True}
        try:
            if self.resources.address is not None:
                ray.init(address=self.resources.address, **quiet)
                return
            workers = self.resources.workers or _cores()
            # One logical CPU more than the workers hold: actors that hold every CPU starve all else (Tune's trials).
            # "local": never one that somebody else started on this machine, which Ray would join otherwise.
            cpus = int(workers * self.resources.cpus) + 1
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ClusterError(f"Ray must be reachable at {self.resources.address or 'this machine'}, got: {text}; "
                               "start one with 'ray start --head' or leave --address out") from None  # fmt: skip

    def _gpus_each(self) -> float:
        if self.resources.gpus is not None:
            return self.resources.gpus
        return 1.0 if ray.cluster_resources().get("GPU", 0) >= 1 else 0.0

    def _count(self) -> int:
        have = ray.cluster_resources()
        by_cpu = int((have.get("CPU", 1) - 1) // self.resources.cpus) if self.resources.cpus else 1
        by_gpu = int(have.get("GPU", 0) // self.gpus) if self.gpus else by_cpu
        return self.resources.workers or max(1, min(by_cpu, by_gpu))

    def _seats(self) -> list[Seat]:
        seats = [Seat(f"worker-{index}") for index in range(self._count())]
        for seat in seats:
            self.hire(seat)
        return seats

    def learn(self, measured: Mapping[str, int]) -> None:
        """See :class:`sweeps.cluster.executor.Executor`."""
        self.measured = measured

    def _resize(self, share: float) -> None:
        """Workers that hold another share of a GPU each, and as many more or fewer of them."""
        if share == self.gpus:
            return
        for seat in self.seats:
            ray.kill(seat.actor)
        self.gpus = share
        self.seats = self._seats()

    def hire(self, seat: Seat) -> None:
        """Start a worker in a seat."""
        options = {"num_cpus": self.resources.cpus, "num_gpus": self.gpus, "max_restarts": 0, "max_task_retries": 0}
        seat.actor, seat.model = RemoteWorker.options(**options).remote(self.setup, seat.name), None
        seat.coming = seat.actor.ready.remote()

    def stands(self, seat: Seat) -> bool:
        """Whether the worker of a seat has come; one that died on its way is replaced."""
        if seat.coming is not None and ray.wait([seat.coming], timeout=0)[0]:
            try:
                self.memory = ray.get(seat.coming)
                seat.coming = None
            except RayError as fault:
                self.replace(seat, fault)
        return seat.coming is None

    def replace(self, seat: Seat, fault: BaseException) -> None:
        """Start a new worker where one died.

        Raises:
            ClusterError: when workers die one after another without finishing anything.
        """
        self.deaths += 1
        if self.deaths > 3 * self.resources.attempts * len(self.seats):
            raise ClusterError(
                f"workers must stay alive, got {self.deaths} deaths in a row; the last one: {_short(fault)}"
            )
        ray.kill(seat.actor)
        self.hire(seat)

    def check_alive(self) -> None:
        """Refuse to wait for machines that are gone: Ray would wait for ever. Looks every few seconds.

        Raises:
            ClusterError: when no node of the cluster is alive.
        """
        if time.monotonic() - self._looked < ALIVE_SECONDS:
            return
        self._looked = time.monotonic()
        if self._looked > self._patient_until and all(seat.coming is not None for seat in self.seats):
            self._patient_until, have = self._looked + SAY_SECONDS, ray.cluster_resources()
            _log.warning(
                "waiting: none of %d workers has come yet; each needs %g CPUs and %g GPUs, the cluster has %g and %g",
                len(self.seats),
                self.resources.cpus,
                self.gpus,
                have.get("CPU", 0),
                have.get("GPU", 0),
            )
        if not any(node["Alive"] for node in ray.nodes()):
            raise ClusterError("Ray's node must stay alive, it died; what was measured is kept and the same command "
                               "goes on from there")  # fmt: skip

    def now(self) -> float:
        """See :class:`sweeps.cluster.loop.Crew`."""
        return time.monotonic()

    def send(self, seat: Seat, job: Job, attempt: int) -> Any:
        """See :class:`sweeps.cluster.loop.Crew`."""
        return seat.actor.run.remote(job, attempt)

    def wait(self, refs: Sequence[Any]) -> Sequence[Any]:
        """See :class:`sweeps.cluster.loop.Crew`."""
        ready, _ = ray.wait(list(refs), num_returns=1, timeout=TICK_SECONDS)
        return ray.wait(list(refs), num_returns=len(refs), timeout=0)[0] if ready else ready

    def collect(self, ref: Any, job: Job, attempt: int) -> Outcome:
        """See :class:`sweeps.cluster.loop.Crew`."""
        try:
            outcome = ray.get(ref)
        except RayTaskError as fault:  # the worker stands, but could not even report
            return lost(job, fault.cause or fault, attempt)
        except RayError as fault:
            raise WorkerLost from fault
        self.deaths = 0
        return outcome

    def run(self, jobs: Sequence[Job], done: Iterable[str], settle: Settle, start: Start) -> None:
        """See :class:`sweeps.cluster.executor.Executor`."""
        met = set(done)
        split = parts(jobs, self.measured, self.memory) if self.shared else [(self.gpus, list(jobs))]
        for share, part in split:
            self._resize(share)
            loop.run(self, part, met, settle, start)
            met |= {job.id for job in part}

    def search(self, searches: "Searches", settle: Settle, start: Start) -> None:
        """See :class:`sweeps.cluster.executor.Executor`."""
        from sweeps.cluster.tune import search

        search(self, searches, settle, start)

    def close(self) -> None:
        """Leave the cluster; workers end with their driver."""
        ray.shutdown()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _short(fault: BaseException) -> str:
    return (str(fault).strip() or type(fault).__name__).splitlines()[0][:200]
