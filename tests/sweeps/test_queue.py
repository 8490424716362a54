"""Every job is handed out once, after its needs; a worker keeps its model; failures settle what needs them."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.cluster.queue import JobQueue
from sweeps.types import Job, Model, Task

TASK = Task("t", "mini:t", ("a", "b"), {"train": 1}, "r")


def job(name: str, model: str = "m", cost: float = 1.0, needs: tuple[str, ...] = ()) -> Job:
    return Job("score", 1, Model(model, "timm:m"), TASK, {"name": name}, needs=needs, cost=cost)


def drain(queue: JobQueue, workers: int, fails: set[str] = frozenset()) -> tuple[list[str], list[str]]:
    order, never, turn = [], [], 0
    while queue:
        turn += 1
        taken = queue.take(f"w{turn % workers}")
        if taken is None:
            assert any(queue.take(f"w{other}") is None for other in range(workers))
            continue
        order.append(taken.id)
        never += [each.id for each in queue.settle(taken, taken.id not in fails)]
    return order, never


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 25), st.integers(1, 4), st.data())
def test_each_job_once_and_after_its_needs(count, workers, data):
    jobs: list[Job] = []
    for index in range(count):
        needs = (
            data.draw(st.lists(st.sampled_from([each.id for each in jobs]), max_size=2, unique=True)) if jobs else []
        )
        jobs.append(job(str(index), model=f"m{index % 3}", cost=data.draw(st.floats(0, 9)), needs=tuple(needs)))
    fails = {each.id for each in jobs if data.draw(st.booleans())} if data.draw(st.booleans()) else set()
    order, never = drain(JobQueue(jobs), workers, fails)
    assert sorted(order + never) == sorted(each.id for each in jobs)
    place = {name: index for index, name in enumerate(order)}
    needs_of = {each.id: each.needs for each in jobs}
    for name in order:
        assert all(place[need] < place[name] and need not in fails for need in needs_of[name])
    for name in never:
        assert any(need in fails or need in never for need in needs_of[name])


def test_needs_measured_before_count_as_met():
    first = job("first")
    second = job("second", needs=(first.id,))
    assert JobQueue([second], done=[first.id]).take("w") is second


def test_longest_first_within_a_model_and_biggest_model_first():
    jobs = [job("a", "small", 1), job("b", "large", 2), job("c", "large", 5)]
    queue = JobQueue(jobs)
    assert [queue.take("w").settings["name"] for _ in range(3)] == ["c", "b", "a"]


def test_what_builds_on_an_embedding_follows_it_task_by_task():
    other = Task("other", "mini:other", ("a", "b"), {"train": 1}, "r")
    embeds = [job("embed", cost=1.0), Job("score", 1, Model("m", "timm:m"), other, {"name": "embed"}, cost=1.0)]
    scores = [
        Job("score", 1, each.model, each.task, {"name": name}, needs=(each.id,), cost=cost)
        for each in embeds
        for name, cost in (("slow", 0.9), ("fast", 0.1))
    ]
    queue = JobQueue([*embeds, *scores, job("long", cost=50.0)])
    taken = []
    while queue:
        one = queue.take("w")
        queue.settle(one, ok=True)
        taken.append((one.task.name, one.settings["name"]))
    assert taken[0] == ("t", "long")  # nothing is embedded yet: the longest first
    first = taken[1][0]
    second = {"t": "other", "other": "t"}[first]
    assert taken[1:] == [(task, name) for task in (first, second) for name in ("embed", "slow", "fast")]


def test_workers_shard_the_zoo_and_steal_at_the_tail():
    queue = JobQueue([job(f"{model}{index}", model) for model in ("x", "y") for index in range(2)])
    assert queue.take("one").model.name == "y"
    assert queue.take("two").model.name == "x"
    assert queue.take("one").model.name == "y"
    stolen = queue.take("one")
    assert stolen.model.name == "x"


def test_given_back_jobs_are_handed_out_again():
    queue = JobQueue([job("a")])
    taken = queue.take("one")
    queue.leave("one")
    queue.give_back(taken)
    assert queue.take("two") is taken
    assert queue.take("two") is None
    assert queue
    queue.settle(taken, True)
    assert not queue
