"""The driver's loop on paper: one outcome for every job whatever dies, and a second issue of what is stuck."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.cluster import loop
from sweeps.cluster.loop import WorkerLost
from sweeps.cluster.paper import PaperCrew
from sweeps.cluster.queue import JobQueue
from sweeps.errors import ClusterError
from sweeps.forecast import least
from sweeps.types import Job, Model, Outcome, Task
from tests.oracles.queue import next_job


def job(number, cost=1.0, needs=(), model="m", kind="note"):
    task = Task(f"t{number}", "none", (), {}, "")
    return Job(kind, 1, Model(model, "none"), task, {}, needs=tuple(each.id for each in needs), cost=cost)


def draw(chance, count, models=3):
    jobs = []
    for number in range(count):
        needs = [chance.choice(jobs)] if number and chance.random() < 0.5 else []
        cost = chance.randint(1, 40) / 4  # sums of quarters are exact: equal work is equal
        jobs.append(job(number, cost, needs, f"m{chance.randrange(models)}"))
    return jobs


def run(crew, jobs):
    settled, started = [], []
    crew.run(jobs, (), settled.append, lambda each: started.append(each.id))
    assert sorted(outcome.job["job"] for outcome in settled) == sorted(each.id for each in jobs)
    return {outcome.job["job"]: outcome for outcome in settled}


# --- which job next -------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6))
def test_the_queue_takes_what_the_textbook_takes(seed):
    chance = random.Random(seed)
    jobs = draw(chance, chance.randint(1, 14))
    by_name, queue, workers = {each.id: each for each in jobs}, JobQueue(jobs), chance.randint(1, 4)
    done, held, holders = set(), {}, {}
    while len(done) < len(jobs):
        ready = ready_now(jobs, done, held)
        assert queue.ready == len(ready)
        step = chance.choice(["take", "take", "settle", "settle", "die"])
        if step == "take" and ready:
            worker = f"w{chance.randrange(workers)}"
            wanted = next_job(worker, ready, by_name.keys() - done - held.keys(), holders, by_name)
            taken = queue.take(worker)
            assert taken.id == wanted
            held[taken.id], holders[worker] = worker, taken.model.name
        elif step == "settle" and held:
            name = chance.choice(sorted(held))
            queue.settle(by_name[name], ok=True)
            done.add(name)
            del held[name]
        elif step == "die" and held:
            worker = chance.choice(sorted(held.values()))
            queue.leave(worker)
            holders.pop(worker, None)
            for name in [name for name, by in held.items() if by == worker]:
                queue.give_back(by_name[name])
                del held[name]
    assert not queue


def ready_now(jobs, done, held):
    return {each.id for each in jobs if each.id not in done | set(held) and done.issuperset(each.needs)}


def test_a_long_job_does_not_wait_until_its_model_has_most_work_left():
    jobs = [job(number, 1.0, model=f"m{number % 8}") for number in range(160)]
    jobs.append(job(999, 15.0, model="last"))
    crew = PaperCrew(4, lambda each, *_: each.cost)
    run(crew, jobs)
    assert least(jobs, {each.id: each.cost for each in jobs}, 4) == 43.75
    assert crew.clock == 44.0  # left to the end, it would be 55


# --- deaths ---------------------------------------------------------------------------------------------------------


class Mortal(PaperCrew):
    """A crew whose workers die with a job as often as it is told."""

    def __init__(self, workers, deaths, attempts):
        super().__init__(workers, lambda each, *_: each.cost)
        self.deaths, self.attempts, self.replaced = dict(deaths), attempts, 0

    def collect(self, ref, job, attempt):
        if self.deaths.get(job.id, 0) > 0:
            self.deaths[job.id] -= 1
            raise WorkerLost from RuntimeError("killed")
        return super().collect(ref, job, attempt)

    def replace(self, seat, fault):
        super().replace(seat, fault)
        self.replaced += 1


@settings(max_examples=60)
@given(st.data())
def test_one_outcome_for_every_job_whoever_dies(data):
    jobs = [job(number, data.draw(st.sampled_from([0.01, 0.1, 2.0])), model=f"m{number % 3}")
            for number in range(data.draw(st.integers(1, 15)))]  # fmt: skip
    deaths = {each.id: data.draw(st.integers(0, 3)) for each in jobs}
    crew = Mortal(data.draw(st.integers(1, 4)), deaths, attempts=3)
    found = run(crew, jobs)
    for each in jobs:
        outcome = found[each.id]
        assert outcome.job["status"] == ("ok" if deaths[each.id] < 3 else "failed")
        if deaths[each.id] >= 3:
            assert "its worker died 3 times (RuntimeError)" in outcome.job["error"]
    assert crew.replaced == sum(min(count, 3) for count in deaths.values())


def test_what_waits_for_a_lost_job_is_settled_too():
    first = job(0)
    found = run(Mortal(2, {first.id: 9}, attempts=2), [first, job(1, needs=[first]), job(2)])
    assert sorted((row.job["status"], row.job.get("error_type")) for row in found.values()) == [
        ("failed", "Blocked"), ("failed", "RuntimeError"), ("ok", None)]  # fmt: skip


def test_a_circle_of_needs_is_said():
    class Ring(Job):
        id = "ring"

    ring = Ring("note", 1, Model("m", "none"), Task("t", "none", (), {}, ""), {}, needs=("ring",))
    with pytest.raises(ClusterError, match="every job must become ready, 1 never did"):
        run(PaperCrew(1, lambda *_: 1.0), [ring])


# --- stragglers -----------------------------------------------------------------------------------------------------


class Stuck(PaperCrew):
    """The first worker that takes job 0 needs ``seconds`` for it; ``sent`` is who got it."""

    def __init__(self, workers, seconds, fails=()):
        super().__init__(workers, self.time, tick=1.0, write=self.written)
        self.slow, self.fails, self.sent, self.replaced = seconds, list(fails), [], []

    def time(self, each, worker, attempt):
        if each.task.name != "t0":
            return each.cost
        self.sent.append((worker, attempt, self.clock))
        return self.slow if len(self.sent) == 1 else each.cost

    def written(self, each, seconds):
        failed = each.task.name == "t0" and self.fails and self.fails.pop(0)
        return Outcome({"job": each.id, "status": "failed" if failed else "ok", "seconds": seconds})

    def replace(self, seat, fault):
        super().replace(seat, fault)
        self.replaced.append(seat.name)


def test_a_stuck_job_is_issued_again_and_its_worker_replaced():
    jobs = [job(number, 10.0 - number / 10) for number in range(12)]
    crew = Stuck(4, math.inf)
    found = run(crew, jobs)
    (first, attempt, _), (second, again, late) = crew.sent
    assert first != second
    assert attempt == again == 1  # no fault of the job: not counted as an attempt
    assert crew.replaced == [first]
    assert found[jobs[0].id].job["seconds"] == 10.0
    assert loop.STRAGGLES * 10 <= late <= loop.STRAGGLES * 10 + 2 * loop.LOOK_SECONDS
    assert crew.clock == pytest.approx(late + 10.0)


def test_a_slow_job_that_is_first_after_all_counts_once():
    jobs = [job(number, 10.0) for number in range(12)]
    crew = Stuck(4, 45.0)
    found = run(crew, jobs)
    assert len(crew.sent) == 2
    assert found[jobs[0].id].job["seconds"] == 45.0
    assert crew.replaced == [crew.sent[1][0]]


def test_a_second_issue_that_fails_leaves_the_first_alone():
    crew = Stuck(4, 200.0, fails=[True])
    jobs = [job(number, 10.0) for number in range(12)]
    found = run(crew, jobs)
    assert found[jobs[0].id].ok
    assert found[jobs[0].id].job["seconds"] in (10.0, 200.0)


def test_a_worker_that_dies_with_what_another_one_also_does_changes_nothing():
    crew = Stuck(4, 45.0)
    collect = crew.collect

    def dies(ref, each, attempt):
        if crew._took[ref] == 45.0:
            raise WorkerLost from RuntimeError("killed")
        return collect(ref, each, attempt)

    crew.collect = dies
    jobs = [job(number, 10.0) for number in range(12)]
    found = run(crew, jobs)
    assert found[jobs[0].id].ok
    assert len(crew.sent) == 2
    assert crew.replaced == [crew.sent[0][0]]


def test_nothing_is_issued_twice_while_all_go_as_forecast():
    chance = random.Random(0)
    jobs = [job(number, chance.uniform(20, 60), model=f"m{number % 5}") for number in range(60)]
    crew = PaperCrew(7, lambda each, *_: each.cost * (1.5 + int(each.id[0], 16) / 16), tick=1.0)
    run(crew, jobs)
    assert crew._count == len(jobs)


# --- how long it takes ----------------------------------------------------------------------------------------------


@given(st.data())
def test_many_jobs_end_close_to_the_bound(data):
    """Where no job is longer than a share of the rest, the last ends at most half a job after the bound."""
    workers = data.draw(st.integers(2, 8))
    chance = random.Random(data.draw(st.integers(0, 999)))
    jobs = [
        job(number, 1 + 9 * chance.random() ** 3, model=f"m{chance.randrange(4)}") for number in range(30 * workers)
    ]
    crew = PaperCrew(workers, lambda each, *_: each.cost)
    run(crew, jobs)
    bound = least(jobs, {each.id: each.cost for each in jobs}, workers)
    assert bound <= crew.clock * (1 + 1e-12)
    assert crew.clock <= 1.05 * bound
