"""A machine's clock is put back while it measures: what took time still took it."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweeps.cluster import executor, worker
from sweeps.cluster.executor import stop
from sweeps.cluster.worker import Clock, Setup, Worker
from sweeps.types import Job, Model, Point, Task


@pytest.fixture
def falling(monkeypatch):
    """Every look at the calendar is an hour before the last one."""
    now = [datetime.now(UTC)]

    class Falling(datetime):
        @classmethod
        def now(cls, tz=None):
            now[0] -= timedelta(hours=1)
            return now[0]

    for module in (worker, executor):
        monkeypatch.setattr(module, "datetime", Falling)


def job(kind="slow", **settings):
    return Job(kind, 1, Model("m", "none"), Task("t", "none", ("a",), {}, ""), settings)


@pytest.mark.usefixtures("falling")
def test_a_job_takes_no_less_than_nothing():
    setup = Setup(cache=Path("none"), kinds={"slow": "tests.chaos.work:pause"}, context="tests.chaos.work:opened")
    row = Worker(setup).run(job()).job
    assert row["finished"] < row["started"]
    assert row["seconds"] >= 0.02


@pytest.mark.usefixtures("falling")
def test_a_stopped_trial_takes_no_less_than_nothing():
    told = []
    settings = {"origin": "search", "learning_rate": 0.1, "repeat": 0, "seed": 0, "batch": 8, "steps": 8, "trial": 0}
    trial = SimpleNamespace(job=job("trial", **settings), points=[Point(4, 1.0, 0.5)], attempts=1,
                            cell=SimpleNamespace(finish=lambda _, row: told.append(row)))  # fmt: skip
    clock = Clock()
    time.sleep(0.02)
    outcome = stop(trial, clock, Setup(cache=Path("none")), "w")
    assert outcome.job["seconds"] >= 0.02
    assert outcome.rows["runs"][0]["seconds"] == outcome.job["seconds"]
    assert len(told) == 1
