"""How many workers share a GPU: only by what was measured, never more than fit, and needs are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.cluster import ray_executor
from sweeps.cluster.ray_executor import RayExecutor
from sweeps.cluster.seat import Resources
from sweeps.cluster.share import CONTEXT_BYTES, MOST, SLACK, parts, peaks, share
from sweeps.cluster.worker import Setup
from sweeps.types import Job, Model, Task
from tests.conftest import ROOT
from tests.sweeps.test_seats import Paper

GIB = 2**30


def job(model, kind="finetune", needs=(), task="t"):
    return Job(kind, 1, Model(model, "none"), Task(task, "none", (), {}, ""), {}, needs=tuple(n.id for n in needs))


@given(st.integers(1, 200 * GIB), st.integers(1, 200 * GIB))
def test_as_many_as_fit_and_no_more(peak, memory):
    workers = round(1 / share(peak, memory))
    assert 1 <= workers <= MOST
    assert workers == 1 or workers * (SLACK * peak + CONTEXT_BYTES) <= memory
    assert workers == MOST or (workers + 1) * (SLACK * peak + CONTEXT_BYTES) > memory


def test_by_hand():
    assert share(4 * GIB, 24 * GIB) == 0.25  # 6 GiB each
    assert share(20 * GIB, 24 * GIB) == share(None, 24 * GIB) == share(GIB, None) == 1.0


def test_only_what_was_measured_on_a_gpu_counts():
    runs = [{"job": "a", "model": "m", "peak_memory_bytes": 5}, {"job": "b", "model": "m", "peak_memory_bytes": 7},
            {"job": "c", "model": "m", "peak_memory_bytes": 99},
            {"job": "d", "model": "n", "peak_memory_bytes": None}]  # fmt: skip
    jobs = [
        {"job": name, "device": device} for name, device in zip("abcd", ("cuda", "cuda:0", "cpu", "cuda"), strict=True)
    ]
    assert peaks(runs, jobs) == {"m": 7}


def test_the_largest_share_first_and_other_kinds_alone():
    jobs = [job("small"), job("large"), job("new"), job("small", "embed")]
    found = parts(jobs, {"small": GIB, "large": 10 * GIB}, 30 * GIB)
    assert found == [(1.0, [jobs[2], jobs[3]]), (0.5, [jobs[1]]), (0.125, [jobs[0]])]


def test_jobs_that_need_those_of_another_share_go_with_them():
    first = job("small", "embed")
    jobs = [first, job("small", needs=[first])]
    assert parts(jobs, {"small": GIB}, 30 * GIB) == [(1.0, jobs)]
    assert parts(jobs[1:], {"small": GIB}, 30 * GIB) == [(0.125, jobs[1:])]  # it was met before


@pytest.mark.parametrize(("resources", "seen"), [(Resources(), {1.0, 0.25}), (Resources(gpus=1.0), {1.0})])
def test_workers_are_hired_with_the_share(monkeypatch, resources, seen):
    paper, asked = Paper(lambda *_: 24 * GIB), []
    options = paper.options
    monkeypatch.setattr(paper, "options", lambda **given: asked.append(given["num_gpus"]) or options(**given))
    paper.install(monkeypatch).close()
    monkeypatch.setattr(ray_executor.ray, "cluster_resources", lambda: {"CPU": 17.0, "GPU": 2.0})
    asked.clear()
    executor = RayExecutor(Setup(cache=ROOT), resources, storage="none")
    settled = []
    run = lambda jobs: executor.run(jobs, (), settled.append, lambda _: None)  # noqa: E731
    run([job(f"m{number}", task="one") for number in range(4)])  # whole GPUs: nothing is known yet
    executor.learn({f"m{number}": 4 * GIB for number in range(4)})
    run([job(f"m{number}", task="two") for number in range(4)])
    assert set(asked) == seen
    assert asked.count(0.25) == (8 if 0.25 in seen else 0)  # two GPUs, four on each
    assert len(settled) == 8
