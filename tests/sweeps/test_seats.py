"""Workers that have not come get no job: a cluster that is smaller than asked for does all of the work."""

import pytest

from sweeps.cluster.seat import Resources
from sweeps.cluster.worker import Setup
from sweeps.types import Job, Model, Task
from tests.conftest import ROOT

pytestmark = pytest.mark.ray


def job(number):
    task = Task(name=f"t{number}", source="none", classes=(), sizes={}, revision="")
    return Job("note", 1, Model(name=f"m{number}", source="none"), task, {})


@pytest.mark.slow
def test_a_cluster_with_fewer_places_than_workers_asked_for(tmp_path):
    import ray

    from sweeps.cluster.ray_executor import RayExecutor

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        setup = Setup(cache=tmp_path, kinds={"note": "tests.doubles.notes:note"}, path=(str(ROOT),))
        executor = RayExecutor(setup, Resources(workers=4), storage=str(tmp_path))
        settled = []
        executor.run([job(number) for number in range(12)], (), settled.append, lambda _: None)
        assert sorted(outcome.job["task"] for outcome in settled) == sorted(f"t{number}" for number in range(12))
        assert all(outcome.ok for outcome in settled)
        assert sum(seat.coming is not None for seat in executor.seats) == 2
    finally:
        ray.shutdown()
