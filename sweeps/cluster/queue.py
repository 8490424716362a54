"""JobQueue: which ready job a free worker takes next. Pure bookkeeping: no Ray, no clock, no I/O.

Each worker keeps the model it has loaded while that model has ready jobs; a worker without one takes the model with
the most work left that nobody else holds; at the tail it steals. Within a model, jobs that build on another one go
first and task by task, while the worker still has its features at hand; then the longest.
"""

from collections import defaultdict
from collections.abc import Iterable

from sweeps.types import Job


def _urgency(job: Job) -> tuple[bool, str, float, str]:
    """Ascending: the last is taken first."""
    return bool(job.needs), job.task.name if job.needs else "", job.cost, job.id


class JobQueue:
    """Jobs with needs, handed out once each and settled once each."""

    def __init__(self, jobs: Iterable[Job], done: Iterable[str] = ()) -> None:
        """Args: jobs to hand out, and ids of jobs that were measured before and satisfy needs."""
        self._jobs = {job.id: job for job in jobs}
        finished = set(done)
        self._needs: dict[str, set[str]] = {}
        self._dependants: dict[str, list[str]] = defaultdict(list)
        self._ready: dict[str, list[Job]] = defaultdict(list)
        for job in self._jobs.values():
            open_needs = {need for need in job.needs if need not in finished and need in self._jobs}
            self._needs[job.id] = open_needs
            for need in open_needs:
                self._dependants[need].append(job.id)
            if not open_needs:
                self._push(job)
        self.unsettled = len(self._jobs)
        self._never: set[str] = set()
        self._holders: dict[str, str] = {}

    def _push(self, job: Job) -> None:
        self._ready[job.model.name].append(job)
        self._ready[job.model.name].sort(key=_urgency)

    def __bool__(self) -> bool:
        """True while some job is not settled."""
        return self.unsettled > 0

    def take(self, worker: str) -> Job | None:
        """The next job for a worker, or None when nothing is ready."""
        held = self._holders.get(worker)
        if held is None or not self._ready[held]:
            held = self._next_model(worker)
            if held is None:
                return None
            self._holders[worker] = held
        return self._ready[held].pop()

    def _next_model(self, worker: str) -> str | None:
        work = {name: sum(job.cost for job in jobs) for name, jobs in self._ready.items() if jobs}
        if not work:
            return None
        others = {model for holder, model in self._holders.items() if holder != worker}
        free = [name for name in work if name not in others]
        return max(free or work, key=lambda name: (work[name], name))

    def give_back(self, job: Job) -> None:
        """Put a taken job back, as after its worker died."""
        self._push(job)

    def settle(self, job: Job, ok: bool) -> list[Job]:
        """Note that a job is settled.

        Returns:
            When it failed: the jobs that now can never run, each also settled by this call.
        """
        self.unsettled -= 1
        if ok:
            for dependant in self._dependants.pop(job.id, []):
                self._needs[dependant].discard(job.id)
                if not self._needs[dependant]:
                    self._push(self._jobs[dependant])
            return []
        never: list[Job] = []
        frontier = [job.id]
        while frontier:
            for dependant in self._dependants.pop(frontier.pop(), []):
                if dependant not in self._never:
                    self._never.add(dependant)
                    never.append(self._jobs[dependant])
                    frontier.append(dependant)
        self.unsettled -= len(never)
        return never

    def leave(self, worker: str) -> None:
        """A worker is gone: its model is free for others."""
        self._holders.pop(worker, None)
