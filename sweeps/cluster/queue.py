"""JobQueue: which ready job a free worker takes next. Pure bookkeeping: no Ray, no clock, no I/O.

Each worker keeps the model it has loaded while that model has ready jobs; a worker without one takes the model with
the most work left that nobody else holds; then it shares one, where most work is left for each that holds it. Within
a model, jobs that build on another one go first and task by task, while the worker still has its features at hand;
then the longest. A job so long that it would end after all else if it waited is taken first, whoever holds its model.

Every choice costs the logarithm of the number of jobs or models: the heaps keep entries that are out of date, which
only ever promise too much, and put them right when they come up.
"""

import bisect
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from sweeps.types import Job

# A job longer than this share of what is left for each other worker goes first: at 1 it would just not end last if
# costs were exact, and they are not.
HASTE = 0.5


def chains(jobs: Mapping[str, Job]) -> dict[str, float]:
    """Job id -> estimated seconds of the job and of the longest chain of jobs that wait for it."""
    after: dict[str, float] = {}
    waits: Counter[str] = Counter(need for job in jobs.values() for need in job.needs if need in jobs)
    open_ = [name for name in jobs if not waits[name]]  # nothing waits for these
    while open_:
        name = open_.pop()
        length = jobs[name].cost + after.get(name, 0.0)
        for need in jobs[name].needs:
            if need in jobs:
                after[need] = max(after.get(need, 0.0), length)
                waits[need] -= 1
                if not waits[need]:
                    open_.append(need)
    return {name: job.cost + after.get(name, 0.0) for name, job in jobs.items()}


def _urgency(job: Job) -> tuple[bool, str, float, str]:
    """Ascending: the last is taken first."""
    return bool(job.needs), job.task.name if job.needs else "", job.cost, job.id


class JobQueue:
    """Jobs with needs, handed out once each and settled once each."""

    def __init__(self, jobs: Iterable[Job], done: Iterable[str] = ()) -> None:
        """Args: jobs to hand out, and ids of jobs that were measured before and satisfy needs."""
        self._jobs = {job.id: job for job in jobs}
        self._length = chains(self._jobs)
        self._rank = {name: -place for place, name in enumerate(sorted({j.model.name for j in self._jobs.values()}))}
        self._ready: dict[str, list[Job]] = defaultdict(list)  # by urgency; also jobs that were taken for their length
        self._open: set[str] = set()  # ready, and in nobody's hands
        self._work: dict[str, float] = defaultdict(float)  # model -> seconds of its open jobs
        self._count: Counter[str] = Counter()
        self._models: list[tuple[bool, float, int, str]] = []
        self._longest: list[tuple[float, str]] = []
        self._holders: dict[str, str] = {}
        self._crowd: Counter[str] = Counter()
        self._workers: set[str] = set()
        self._left = sum(job.cost for job in self._jobs.values())  # seconds of jobs that nobody has taken yet
        self.unsettled = len(self._jobs)
        self._never: set[str] = set()
        self._dependants: dict[str, list[str]] = defaultdict(list)
        self._needs: dict[str, int] = {}
        finished = done if isinstance(done, (set, frozenset, dict)) else set(done)
        for job in self._jobs.values():
            needs = {need for need in job.needs if need not in finished and need in self._jobs}
            for need in needs:
                self._dependants[need].append(job.id)
            if needs:
                self._needs[job.id] = len(needs)
            else:
                self._ready[job.model.name].append(job)
                self._opened(job)
        for name, ready in self._ready.items():
            ready.sort(key=_urgency)
            self._offer(name)

    def _opened(self, job: Job) -> None:
        self._open.add(job.id)
        self._work[job.model.name] += job.cost
        self._count[job.model.name] += 1
        heapq.heappush(self._longest, (-self._length[job.id], job.id))

    def _push(self, job: Job) -> None:
        bisect.insort(self._ready[job.model.name], job, key=_urgency)
        self._opened(job)
        self._offer(job.model.name)

    def _standing(self, model: str) -> tuple[bool, float, int, str]:
        """Ascending: the first is taken first."""
        crowd = self._crowd[model]
        return crowd > 0, -self._work[model] / (1 + crowd), self._rank[model], model

    def _offer(self, model: str) -> None:
        heapq.heappush(self._models, self._standing(model))

    def __bool__(self) -> bool:
        """True while some job is not settled."""
        return self.unsettled > 0

    @property
    def ready(self) -> int:
        """How many jobs may be taken now."""
        return len(self._open)

    def take(self, worker: str) -> Job | None:
        """The next job for a worker, or None when nothing is ready."""
        self._workers.add(worker)
        if not self._open:
            return None
        job = self._overdue()
        if job is None:
            held = self._holders.get(worker)
            model = held if held is not None and self._count[held] else self._next_model()
            job = self._most_urgent(model)
        self._hold(worker, job.model.name)
        self._open.discard(job.id)
        self._left -= job.cost
        self._count[job.model.name] -= 1
        self._work[job.model.name] -= job.cost
        if not self._count[job.model.name]:
            self._work[job.model.name] = 0.0  # sums and differences of floats do not come to 0
        return job

    def _overdue(self) -> Job | None:
        while self._longest[0][1] not in self._open:
            heapq.heappop(self._longest)
        length, name = self._longest[0]
        # One worker is never late, so that the order is free; of two, the other one can do all the rest meanwhile.
        return self._jobs[name] if -length * (len(self._workers) - 1) > HASTE * self._left else None

    def _most_urgent(self, model: str) -> Job:
        ready = self._ready[model]
        while (job := ready.pop()).id not in self._open:
            pass
        return job

    def _next_model(self) -> str:
        while True:
            entry = self._models[0]
            now = self._standing(entry[3])
            if not self._count[entry[3]]:
                heapq.heappop(self._models)
            elif now != entry:
                heapq.heapreplace(self._models, now)
            else:
                return entry[3]

    def _hold(self, worker: str, model: str) -> None:
        if self._holders.get(worker) != model:
            self._let_go(worker)
            self._holders[worker] = model
            self._crowd[model] += 1

    def _let_go(self, worker: str) -> None:
        held = self._holders.pop(worker, None)
        if held is not None:
            self._crowd[held] -= 1
            if self._count[held]:
                self._offer(held)

    def give_back(self, job: Job) -> None:
        """Put a taken job back, as after its worker died."""
        self._left += job.cost
        self._push(job)

    def settle(self, job: Job, ok: bool) -> list[Job]:
        """Note that a job is settled.

        Returns:
            When it failed: the jobs that now can never run, each also settled by this call.
        """
        self.unsettled -= 1
        if ok:
            for dependant in self._dependants.pop(job.id, []):
                self._needs[dependant] -= 1
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
        self._left -= sum(job.cost for job in never)
        return never

    def leave(self, worker: str) -> None:
        """A worker is gone: its model is free for others."""
        self._workers.discard(worker)
        self._let_go(worker)
