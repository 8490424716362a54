"""The driver's loop: jobs of a queue to workers, retries, a second issue of what takes too long. Knows no Ray.

It drives a :class:`Crew`: actors on a cluster, or workers on paper with a clock of their own. What it does for each job
does not grow with the number of workers, but for handing the crew what is waited for.
"""

import statistics
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sweeps.cluster.executor import Settle, Start
from sweeps.cluster.queue import JobQueue
from sweeps.cluster.seat import Seat
from sweeps.cluster.worker import blocked, lost
from sweeps.errors import ClusterError
from sweeps.types import Job, Outcome

# A job is given to an idle worker a second time when it takes so many times what jobs of its kind take by their
# estimates, and at least so many seconds: a model is loaded in that time.
STRAGGLES, STRAGGLES_SECONDS = 4.0, 30.0
PACED = 99  # the last jobs of a kind say how far its estimates are off
LOOK_SECONDS = 1.0


class WorkerLost(Exception):
    """A worker died with the job that it ran; the cause says how."""


class Crew(Protocol):
    """Who does the work, as the loop sees it."""

    attempts: int

    @property
    def seats(self) -> Sequence[Seat]:
        """The places for workers."""
        ...

    def now(self) -> float:
        """Seconds on a clock that never goes back."""
        ...

    def stands(self, seat: Seat) -> bool:
        """Whether the worker of a seat has come; one that died on its way is replaced."""
        ...

    def send(self, seat: Seat, job: Job, attempt: int) -> Any:
        """Give a worker a job; returns what tells when it is done."""
        ...

    def wait(self, refs: Sequence[Any]) -> Sequence[Any]:
        """Return when one of these is done, with all that are; or after a moment, with none."""
        ...

    def collect(self, ref: Any, job: Job, attempt: int) -> Outcome:
        """What became of a job that is done.

        Raises:
            WorkerLost: when its worker died.
        """
        ...

    def replace(self, seat: Seat, fault: BaseException) -> None:
        """Start a new worker in a seat, and end the one that is there."""
        ...

    def check_alive(self) -> None:
        """Raise when no machine is left."""
        ...


class Loop:
    """One run of a queue: every job gets exactly one outcome."""

    def __init__(self, crew: Crew, queue: JobQueue, settle: Settle, start: Start) -> None:
        self.crew, self.queue, self.settle, self.start = crew, queue, settle, start
        self.flight: dict[Any, Seat] = {}
        self.coming: dict[Any, Seat] = {}
        self.hungry: dict[str, Seat] = {}  # seats whose worker stands, and that may have room
        self.tried: Counter[str] = Counter()
        self.running: dict[str, list[Seat]] = {}  # job id -> where it is
        self.pace: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=PACED))
        self._looked = crew.now()
        for seat in crew.seats:
            self._greet(seat)

    def _greet(self, seat: Seat) -> None:
        """A seat whose worker stands is hungry, another one is waited for."""
        self.hungry.pop(seat.name, None)
        if seat.coming is None or self.crew.stands(seat):
            self.hungry[seat.name] = seat
        else:
            self.coming[seat.coming] = seat

    def run(self) -> None:
        """Until every job is settled.

        Raises:
            ClusterError: when jobs wait for each other, or no machine is left.
        """
        while self.queue:
            self._feed()
            self._issue_again()
            if not self.flight and not self.coming:
                raise ClusterError(
                    f"every job must become ready, {self.queue.unsettled} never did: their needs form a circle"
                )
            ready = self.crew.wait([*self.flight, *self.coming])
            self.crew.check_alive()
            for ref in ready:
                if ref in self.flight:
                    self._collect(ref)
                elif ref in self.coming:
                    self._greet(self.coming.pop(ref))

    def _feed(self) -> None:
        """Give each seat with room its next job, the emptiest seat first."""
        fed = True
        while fed and self.queue.ready:
            fed = False
            for seat in sorted(self.hungry.values(), key=lambda each: len(each.flight)):
                if not seat.has_room():
                    del self.hungry[seat.name]
                elif (job := self.queue.take(seat.name)) is not None:
                    self.tried[job.id] += 1
                    self.start(job)
                    self._send(seat, job)
                    fed = True
                else:
                    return

    def _send(self, seat: Seat, job: Job) -> None:
        ref = self.crew.send(seat, job, self.tried[job.id])
        if not seat.flight:
            seat.since = self.crew.now()
        seat.flight[ref], self.flight[ref], seat.model = job, seat, job.model.name
        self.running.setdefault(job.id, []).append(seat)

    def _issue_again(self) -> None:
        """Give idle workers, when nothing else is left for them, what others take too long for."""
        now = self.crew.now()
        if self.queue.ready or not self.hungry or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        idle = [seat for seat in self.hungry.values() if not seat.flight]
        late = []
        for seat in self.crew.seats if idle else ():
            job = next(iter(seat.flight.values()), None)
            if job is not None and self._straggles(job, now - seat.since):
                late.append((seat.since, seat.name, job))
        for seat, (_, _, job) in zip(idle, sorted(late, key=lambda each: each[:2]), strict=False):
            self._send(seat, job)

    def _straggles(self, job: Job, seconds: float) -> bool:
        pace = self.pace[job.kind]
        if len(self.running[job.id]) > 1 or len(pace) < 3 or seconds < STRAGGLES_SECONDS:
            return False
        return seconds > STRAGGLES * job.cost * statistics.median(pace)

    def _collect(self, ref: Any) -> None:
        seat = self.flight.pop(ref)
        job = seat.flight[ref]
        try:
            outcome = self.crew.collect(ref, job, self.tried[job.id])
        except WorkerLost as fault:
            self._bury(seat, fault.__cause__ or fault)
            return
        del seat.flight[ref]
        seat.since = self.crew.now()
        self.hungry[seat.name] = seat
        others = [other for other in self.running[job.id] if other is not seat]
        if others and not outcome.ok:  # it may yet succeed where it was first
            self.running[job.id] = others
            return
        if outcome.ok and job.cost > 0 and outcome.job.get("seconds"):
            self.pace[job.kind].append(outcome.job["seconds"] / job.cost)
        self._settled(job, outcome)
        for other in others:  # the slower one: its worker may never come back to us
            self._clear(other, blame=False)
            self.crew.replace(other, TimeoutError(f"{job.label} took too long, another worker was faster"))
            self._greet(other)

    def _settled(self, job: Job, outcome: Outcome) -> None:
        del self.running[job.id]
        self.settle(outcome)
        for never in self.queue.settle(job, outcome.ok):
            self.settle(blocked(never, job.label))

    def _bury(self, seat: Seat, fault: BaseException) -> None:
        """A worker died: hand its jobs on, or give up on the one it ran when tried too often; start another worker."""
        job = self._clear(seat, blame=True)
        if job is not None:
            self._settled(job, lost(job, fault, self.tried[job.id]))
        self.crew.replace(seat, fault)
        self._greet(seat)

    def _clear(self, seat: Seat, *, blame: bool) -> Job | None:
        """Take all jobs from a seat and hand them on; returns the one that was tried too often, if there is one."""
        gone = list(seat.flight.items())  # in the order sent, which is the order run
        seat.flight.clear()
        self.queue.leave(seat.name)
        given_up = None
        for place, (ref, job) in enumerate(gone):
            self.flight.pop(ref, None)
            if job.id not in self.running:  # settled elsewhere
                continue
            self.running[job.id].remove(seat)
            if self.running[job.id]:
                continue
            if place > 0 or not blame:  # sent ahead, never begun: not their fault
                self.tried[job.id] -= 1
            elif self.tried[job.id] >= self.crew.attempts:
                given_up = job
                continue
            del self.running[job.id]
            self.queue.give_back(job)
        return given_up


def run(crew: Crew, jobs: Sequence[Job], done: Iterable[str], settle: Settle, start: Start) -> None:
    """Give every job exactly one outcome (``done`` are met already)."""
    Loop(crew, JobQueue(jobs, done), settle, start).run()
