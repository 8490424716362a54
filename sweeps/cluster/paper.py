"""Workers on paper: a crew for the driver's own loop with a clock that jumps from one end of a job to the next."""

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sweeps.cluster import loop
from sweeps.cluster.executor import Settle, Start
from sweeps.cluster.seat import Seat
from sweeps.types import Job, Outcome

Seconds = Callable[[Job, str, int], float]  # of a job on a worker at an attempt


class PaperCrew:
    """So many workers that all stand; a job takes ``seconds``, and ``load`` more on a worker that had another model.

    ``write`` makes what a job came to; by default there is a status and the seconds.
    """

    def __init__(self, workers: int, seconds: Seconds, *, load: float = 0.0, tick: float = math.inf,
                 write: Callable[[Job, float], Outcome] | None = None) -> None:  # fmt: skip
        self.attempts = 1
        self.seats = [Seat(f"worker-{index}") for index in range(workers)]
        self.clock = 0.0
        self._seconds, self._load, self._tick, self._write = seconds, load, tick, write or _plain
        self._ends: list[tuple[float, int]] = []
        self._took: dict[int, float] = {}
        self._free: dict[str, tuple[float, str]] = {}  # worker -> when it is done with all it was given, its model
        self._count = 0

    def now(self) -> float:
        """See :class:`sweeps.cluster.loop.Crew`."""
        return self.clock

    def stands(self, seat: Seat) -> bool:
        """See :class:`sweeps.cluster.loop.Crew`."""
        return True

    def send(self, seat: Seat, job: Job, attempt: int) -> int:
        """See :class:`sweeps.cluster.loop.Crew`."""
        free, model = self._free.get(seat.name, (0.0, ""))
        took = self._seconds(job, seat.name, attempt)
        end = max(self.clock, free) + took + (self._load if model != job.model.name else 0.0)
        self._count += 1
        self._free[seat.name], self._took[self._count] = (end, job.model.name), took
        heapq.heappush(self._ends, (end, self._count))
        return self._count

    def wait(self, refs: Sequence[Any]) -> Sequence[int]:
        """See :class:`sweeps.cluster.loop.Crew`."""
        if not self._ends or self._ends[0][0] > self.clock + self._tick:
            self.clock += self._tick
            return []
        self.clock, ref = heapq.heappop(self._ends)
        return [ref]

    def collect(self, ref: int, job: Job, attempt: int) -> Outcome:
        """See :class:`sweeps.cluster.loop.Crew`."""
        return self._write(job, self._took.pop(ref))

    def replace(self, seat: Seat, fault: BaseException) -> None:
        """See :class:`sweeps.cluster.loop.Crew`."""
        self._free[seat.name] = (self.clock, "")

    def check_alive(self) -> None:
        """See :class:`sweeps.cluster.loop.Crew`."""

    def run(self, jobs: Sequence[Job], done: Iterable[str], settle: Settle, start: Start) -> None:
        """See :class:`sweeps.cluster.executor.Executor`."""
        loop.run(self, jobs, done, settle, start)


def _plain(job: Job, seconds: float) -> Outcome:
    return Outcome({"job": job.id, "status": "ok", "seconds": seconds})
