"""A place for a worker, how many there are, and what a search may ask of all of them. Knows no Ray."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sweeps.cluster.worker import Setup
from sweeps.types import Job

# Short jobs are sent ahead until this many estimated seconds wait at a worker, long ones never: a queue on one
# worker is work that another cannot take.
AHEAD_SECONDS, AHEAD_JOBS = 0.3, 4


@dataclass(frozen=True)
class Resources:
    """How a sweep runs on Ray: the cluster, how many workers (None: one per GPU, else per core), what each holds."""

    address: str | None = None
    workers: int | None = None
    cpus: float = 1
    gpus: float | None = None
    attempts: int = 3


@dataclass
class Seat:
    """A place for a worker: its handle, and the jobs in flight there. The handle changes when a worker dies.

    ``coming`` is what tells that the worker stands, None once it does: on a cluster that grows it may take minutes,
    or never come to pass, and a job given to it would wait as long. ``since`` is when the first job in flight began.
    """

    name: str
    actor: Any = None
    coming: Any = None
    flight: dict[Any, Job] = field(default_factory=dict)
    model: str | None = None
    since: float = 0.0

    @property
    def load(self) -> float:
        """Estimated seconds of the jobs in flight."""
        return sum(job.cost for job in self.flight.values())

    def has_room(self) -> bool:
        """True when another job may be sent."""
        return not self.flight or (self.load < AHEAD_SECONDS and len(self.flight) < AHEAD_JOBS)


class Pool(Protocol):
    """The seats of a sweep, as a search sees them."""

    setup: Setup
    resources: Resources
    storage: str

    @property
    def seats(self) -> Sequence[Seat]:
        """All of them, taken or free."""
        ...

    def stands(self, seat: Seat) -> bool:
        """Whether the worker of a seat has come."""
        ...

    def replace(self, seat: Seat, fault: Exception) -> None:
        """Hire a new worker for a seat whose worker died."""
        ...

    def check_alive(self) -> None:
        """Raise when no machine is left."""
        ...
