"""The clock of paper against closed forms, the textbook's bounds, and the words of `sweeps plan --cluster`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.errors import ConfigError
from sweeps.forecast import Cluster, Forecast, least, lines, makespan
from sweeps.types import Job, Model, Task


def job(number, needs=(), model="m"):
    task = Task(name=f"t{number}", source="none", classes=(), sizes={}, revision="")
    return Job("note", 1, Model(name=model, source="none"), task, {}, needs=tuple(each.id for each in needs))


@pytest.mark.parametrize(("text", "found"), [("8:gpu", Cluster(8, "gpu")), ("64:cpu@0.05", Cluster(64, "cpu", 0.05))])
def test_clusters_are_read(text, found):
    assert Cluster.parse(text) == found


@pytest.mark.parametrize("text", ["", "gpu", "0:gpu", "8", "8:tpu", "8:gpu@", "8:gpu@-1", "-8:gpu"])
def test_what_is_no_cluster_is_one_line(text):
    with pytest.raises(ConfigError, match="--cluster must be workers:gpu or workers:cpu"):
        Cluster.parse(text)


def test_equal_jobs_fill_the_workers():
    jobs = [job(number, model=f"m{number % 4}") for number in range(12)]
    seconds = {each.id: 2.0 for each in jobs}
    assert [makespan(jobs, (), seconds, workers) for workers in (1, 4, 5, 12, 50)] == [24, 6, 6, 2, 2]


def test_a_chain_takes_its_length_and_what_is_done_is_not_waited_for():
    first = job(0)
    second = job(1, [first])
    third = job(2, [second])
    seconds = {first.id: 1.0, second.id: 2.0, third.id: 4.0}
    assert makespan([first, second, third], (), seconds, 9) == least([first, second, third], seconds, 9) == 7
    assert makespan([second, third], {first.id}, seconds, 9) == 6
    assert makespan([], (), {}, 3) == least([], {}, 3) == 0


@given(st.data())
def test_no_faster_than_the_bound_and_never_twice_as_slow(data):
    sizes = data.draw(st.lists(st.floats(0.1, 50), min_size=1, max_size=25))
    jobs, seconds = [], {}
    for number, size in enumerate(sizes):
        needs = [jobs[data.draw(st.integers(0, number - 1))]] if number and data.draw(st.booleans()) else []
        jobs.append(job(number, needs, model=f"m{number % 3}"))
        seconds[jobs[-1].id] = size
    workers = data.draw(st.integers(1, 6))
    took, bound = makespan(jobs, (), seconds, workers), least(jobs, seconds, workers)
    assert bound <= took * (1 + 1e-9)
    longest = least(jobs, seconds, 10**9)
    assert took <= sum(sizes) / workers + longest + 1e-9  # Graham 1966: any order that leaves nobody idle


def test_the_words():
    text = lines(Forecast(3600, 1800, 7200, "a guess"), Cluster(8, "gpu", 1.5))
    assert text[0].startswith(
        "on 8 gpu workers: 60 min (no order could be faster than 30 min), then at most 2.0 h of search"
    )
    assert text[1].startswith("24.00 worker-hours at most, 36.00 at 1.5 an hour each")
    assert " an hour" not in lines(Forecast(1, 1, 0, ""), Cluster(8, "gpu"))[1]
