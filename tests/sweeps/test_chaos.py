"""Whatever dies or fails at a random moment, the same command ends with the same tables: `make chaos` has all seeds.

Disasters on one cluster that is kept (tests/chaos), with jobs of milliseconds; and three whole sweeps, with searches.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sweeps.config import parse
from sweeps.hands import How
from sweeps.run import run
from sweeps.store import DERIVED, Store
from tests.chaos.field import KINDS, Field
from tests.conftest import ROOT, tiny_config, write_toml
from tests.doubles.same import same_tables

MEASURED = ("jobs", "features", "scores", "runs", "models", "tasks", "plan")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def undisturbed(two_tasks, tmp_path):
    """The sweep's file, and its store as measured inline in peace."""
    config = tiny_config(two_tasks, delay=0.02)
    result = run(parse(config), tmp_path / "peace", How(executor="inline"))
    return write_toml(tmp_path / "tiny.toml", config), Store(result.out)


def start(sweep: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "sweeps", "run", str(sweep), "--out", str(out), "--workers", "2"]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_jobs(out: Path, process: subprocess.Popen, count: int) -> None:
    """Return when ``count`` jobs are settled or the sweep is over."""
    while process.poll() is None and len(Store(out).statuses()) < count:
        time.sleep(0.02)


def victims(process: subprocess.Popen, what: str) -> list[int]:
    """Process ids of the sweep's driver, raylet, or busy workers."""
    if what == "driver":
        return [process.pid]
    named = {"raylet": "raylet", "worker": "ray::Worker"}[what]
    return [child.pid for child in psutil.Process(process.pid).children(recursive=True)
            if named in (" ".join(child.cmdline()[:1]) or child.name())]  # fmt: skip


@pytest.mark.parametrize(("what", "seed"), [("driver", 1), ("worker", 2), ("raylet", 3)])
def test_a_killed_sweep_is_finished_by_the_same_command(undisturbed, tmp_path, what, seed):
    sweep, peace = undisturbed
    out, process = tmp_path / "chaos", start(sweep, tmp_path / "chaos")
    wait_for_jobs(out, process, random.Random(seed).randint(2, 26))
    struck = victims(process, what)[:1] if process.poll() is None else []
    for pid in struck:
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=240)
    assert struck, "nothing was alive to be killed: the test would prove nothing"
    last = start(sweep, out)
    text, _ = last.communicate(timeout=240)
    assert last.returncode == 0, text[-3000:]
    differences = same_tables(peace, Store(out), [*MEASURED, *DERIVED])
    assert not differences, "\n".join(differences[:5])


def test_a_job_that_kills_its_worker_is_a_failed_row(two_tasks, tmp_path):
    from tests.conftest import DOUBLES

    config = tiny_config(two_tasks, search=None)
    config["model"].append({"name": "deadly", "source": "factory:tiny:deadly", "path": str(DOUBLES)})
    config["finetune"] |= {"learning_rates": [0.1], "repeats": 1}
    result = run(parse(config), tmp_path / "out", How(executor="ray", workers=2, attempts=2))
    assert [(row["model"], row["kind"]) for row in result.failures] == [("deadly", "finetune")] * 2
    assert all(row["attempt"] == 2 and "its worker died 2 times" in row["error"] for row in result.failures)
    assert len([row for row in result.derived["accuracies"] if row["accuracy"] is not None]) == 4


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Last in this file: a sweep that starts while this cluster stands would join it."""
    kept = dict(os.environ)
    found = Field(tmp_path_factory.mktemp("field"))
    yield found
    found.close()
    os.environ.clear()
    os.environ.update(kept)


@pytest.mark.parametrize("seed", range(6), ids=lambda seed: KINDS[seed])
def test_no_row_is_lost_or_doubled(field, seed):
    verdict = field.run(seed)
    assert not verdict.wrong, str(verdict)
