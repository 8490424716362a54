"""Workers that have not come get no job: a cluster that is smaller than asked for does all of the work."""

import logging
from types import SimpleNamespace

import pytest
from ray.exceptions import RayActorError

from sweeps.cluster import ray_executor
from sweeps.cluster.ray_executor import RayExecutor
from sweeps.cluster.seat import Resources
from sweeps.cluster.worker import Setup, job_row
from sweeps.errors import ClusterError
from sweeps.types import Job, Model, Outcome, Task
from tests.conftest import ROOT


def job(number):
    task = Task(name=f"t{number}", source="none", classes=(), sizes={}, revision="")
    return Job("note", 1, Model(name=f"m{number}", source="timm:none"), task, {})


class Thing(SimpleNamespace):
    """Something with attributes that may be a key, as Ray's references are."""

    __hash__ = object.__hash__


class Paper:
    """Stands for Ray: ``arrives(name, hired)`` is whether a worker comes, a fault, or None while it is on its way."""

    def __init__(self, arrives):
        self.arrives, self.hired, self.looks = arrives, {}, 0

    def options(self, **_):
        return Thing(remote=self.hire)

    def hire(self, setup, name):
        self.hired[name] = self.hired.get(name, 0) + 1
        came = Thing(value=lambda: self.arrives(name, self.hired[name]))
        outcome = lambda job, attempt: Outcome(job_row(job) | {"worker": name, "attempt": attempt})  # noqa: E731
        run = Thing(remote=lambda job, attempt: Thing(value=lambda: outcome(job, attempt)))
        return Thing(ready=Thing(remote=lambda: came), run=run)

    def wait(self, refs, num_returns=1, timeout=0.0):
        self.looks += 1
        ready = [ref for ref in refs if ref.value() is not None]
        return ready[:num_returns], []

    def get(self, ref):
        if isinstance(ref.value(), Exception):
            raise ref.value()
        return ref.value()

    def install(self, monkeypatch):
        found = Thing(
            init=lambda **_: None, shutdown=lambda: None, kill=lambda _: None, wait=self.wait, get=self.get,
            nodes=lambda: [{"Alive": True}], cluster_resources=lambda: {"CPU": 3.0},
        )  # fmt: skip
        monkeypatch.setattr(ray_executor, "ray", found)
        monkeypatch.setattr(ray_executor, "RemoteWorker", self)
        return RayExecutor(Setup(cache=ROOT), Resources(workers=4), storage="none")


def run(executor):
    settled = []
    executor.run([job(number) for number in range(12)], (), settled.append, lambda _: None)
    assert sorted(outcome.job["task"] for outcome in settled) == sorted(f"t{number}" for number in range(12))
    return settled


def test_workers_that_never_come_get_no_job(monkeypatch):
    executor = Paper(lambda name, _: True if name in ("worker-1", "worker-3") else None).install(monkeypatch)
    assert {outcome.job["worker"] for outcome in run(executor)} == {"worker-1", "worker-3"}


def test_a_worker_that_dies_on_its_way_is_replaced_and_no_job_is_blamed(monkeypatch):
    paper = Paper(lambda name, hired: RayActorError() if name == "worker-0" and hired < 3 else True)
    settled = run(paper.install(monkeypatch))
    assert {outcome.job["attempt"] for outcome in settled} == {1}
    assert paper.hired["worker-0"] == 3


def test_workers_that_all_die_on_their_way_end_the_sweep(monkeypatch):
    with pytest.raises(ClusterError, match="workers must stay alive"):
        run(Paper(lambda *_: RayActorError()).install(monkeypatch))


def test_a_cluster_that_grows_late_is_waited_for_with_a_line(monkeypatch, caplog):
    paper = Paper(lambda *_: True if paper.looks > 200 else None)
    executor = paper.install(monkeypatch)
    monkeypatch.setattr(ray_executor, "ALIVE_SECONDS", 0.0)
    executor._patient_until = 0.0
    with caplog.at_level(logging.WARNING):
        run(executor)
    (line,) = caplog.messages
    assert line == "waiting: none of 4 workers has come yet; each needs 1 CPUs and 0 GPUs, the cluster has 3 and 0"


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_with_fewer_places_than_workers_asked_for(tmp_path):
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        setup = Setup(cache=tmp_path, kinds={"note": "tests.doubles.notes:note"}, path=(str(ROOT),))
        executor = RayExecutor(setup, Resources(workers=4), storage=str(tmp_path))
        assert all(outcome.ok for outcome in run(executor))
        assert sum(seat.coming is not None for seat in executor.seats) == 2
    finally:
        ray.shutdown()


def test_a_sweep_that_is_told_no_cluster_joins_none(monkeypatch):
    paper, told = Paper(lambda name, hired: True), []
    paper.install(monkeypatch)
    monkeypatch.setattr(ray_executor.ray, "init", lambda **options: told.append(options))
    RayExecutor(Setup(ROOT), Resources(None, 2), storage="")
    RayExecutor(Setup(ROOT), Resources("auto", 2), storage="")
    assert [options["address"] for options in told] == ["local", "auto"]
    assert [options.get("num_cpus") for options in told] == [3, None]
