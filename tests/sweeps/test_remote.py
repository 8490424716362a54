"""A sweep whose output is on S3, against a local server: rows, cache, Tune, resuming, throttling, two at once."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from sweeps import remote as remoting
from sweeps import store as storing
from sweeps.config import parse
from sweeps.errors import OutputError
from sweeps.hands import How
from sweeps.outlook import outlook
from sweeps.output import hold
from sweeps.remote import Remote, is_uri, lease, patiently
from sweeps.run import run
from sweeps.sql import query
from sweeps.store import DERIVED, Store
from tests.conftest import ROOT, tiny_config, write_toml
from tests.doubles.s3 import Server, program
from tests.doubles.same import same_tables
from tests.sweeps.test_compaction import fill, seen

MEASURED = ("jobs", "features", "scores", "runs", "models", "tasks", "plan")
needs_server = pytest.mark.skipif(program() is None, reason="moto's server is not installed: make setup")


@pytest.fixture(scope="module")
def server():
    keys = pytest.MonkeyPatch()
    keys.setenv("AWS_ACCESS_KEY_ID", "test")
    keys.setenv("AWS_SECRET_ACCESS_KEY", "test")
    keys.setenv("AWS_EC2_METADATA_DISABLED", "true")
    found = Server()
    yield found
    found.close()
    keys.undo()


@pytest.fixture
def uri(server, request):
    return server.uri(request.node.name.replace("[", "-").replace("]", ""))


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr(remoting, "BEAT_SECONDS", 1.0)
    monkeypatch.setattr(remoting, "LEASE_SECONDS", 5.0)


def test_what_is_an_address():
    assert [is_uri(out) for out in ("s3://b/x", "gs://b/x", "out/x", "/mnt/x", "file:///mnt/x")] == [True] * 2 + [
        False
    ] * 3


def test_an_address_that_nothing_reads_is_one_line():
    with pytest.raises(OutputError, match="the output must be a folder or an s3:// or gs:// address, got ftp://x/y"):
        Store("ftp://x/y")


# --- trying again ---------------------------------------------------------------------------------------------------


def failing(times, error):
    left = iter([error] * times)

    def action():
        for fault in left:
            raise fault
        return "done"

    return action


@pytest.mark.parametrize("error", [OSError("AWS Error SLOW_DOWN"), OSError(errno.ENOSPC, "No space left on device")])
def test_what_may_pass_is_waited_for_with_one_line(error, caplog, monkeypatch):
    monkeypatch.setattr(remoting.time, "sleep", lambda seconds: None)
    with caplog.at_level(logging.WARNING):
        assert patiently("the table must be writable", failing(5, error)) == "done"
    (line,) = caplog.messages
    assert line.startswith("waiting: the table must be writable, got: ")
    assert "trying again for 10 min, nothing is lost" in line


@pytest.mark.parametrize(
    "error", [OSError("AWS Error ACCESS_DENIED"), PermissionError(13, "no"), FileNotFoundError(2, "no")]
)
def test_what_will_not_pass_is_said_at_once(error):
    with pytest.raises(OSError):
        patiently("x", failing(1, error))


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(remoting, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(OSError, match="SLOW"):
        patiently("x", failing(99, OSError("SLOW_DOWN")))


def test_a_full_disk_is_waited_for_and_leaves_nothing_behind(tmp_path, monkeypatch):
    store = fill(tmp_path, ["a"])
    full = iter([OSError(errno.ENOSPC, "No space left on device")] * 2)
    sync = os.fsync
    monkeypatch.setattr(remoting.time, "sleep", lambda seconds: None)

    def full_at_first(descriptor):
        for fault in full:
            raise fault
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_first)
    store.write("scores", "b", [{"job": "b", "value": 1.0}])
    assert [row["job"] for row in store.rows("scores")] == ["a", "b"]
    assert not list((tmp_path / "tables").rglob(".tmp-*"))


# --- one store ------------------------------------------------------------------------------------------------------


@needs_server
def test_rows_are_there_for_another_machine_and_one_put_each(server, uri):
    store = fill(uri, ["a", "b"])
    server.requests.clear()
    store.write("scores", "c", [{"job": "c", "value": 1.0}])
    assert [verb for verb, _ in server.requests] == ["PUT"]
    other = Store(uri)
    assert seen(other)[1] == [("a", 1), ("b", 2)]
    assert [row["job"] for row in other.rows("scores")] == ["a", "b", "c"]
    store.compact(least=2)
    assert seen(Store(uri)) == seen(store)
    other.refresh()
    assert seen(other) == seen(store)
    assert len([name for name in store.remote.list("tables/jobs") if name.endswith(".parquet")]) == 1


@needs_server
def test_a_throttled_store_loses_nothing(server, uri):
    store = Store(uri)
    store.prepare()
    server.refuse = 12
    store.write("scores", "a", [{"job": "a", "value": 1.0}])
    assert server.refuse == 0
    assert len(Store(uri).rows("scores")) == 1


@needs_server
def test_a_bucket_that_is_not_there_is_one_line(server, uri):
    with pytest.raises(OutputError, match="must be reachable and writable, got: "):
        Store(uri.replace("s3://zoo", "s3://nowhere")).remote.put("x", b"")


@needs_server
def test_addresses_below_keep_what_is_asked():
    assert Remote("s3://b/x/?region=r").below("cache/tune") == "s3://b/x/cache/tune?region=r"


# --- two at once ----------------------------------------------------------------------------------------------------


@needs_server
@pytest.mark.usefixtures("hasty")
def test_a_second_run_is_refused_while_the_first_lives(uri):
    first, second = Store(uri), Store(uri)
    refused = pytest.raises(OutputError, match=r"one run at a time, process \d+ on .* since 20")
    with hold(first), refused, hold(second):
        pytest.fail("two runs hold the output")
    with hold(second):
        pass


@needs_server
@pytest.mark.usefixtures("hasty")
def test_a_killed_run_is_followed_by_the_next(uri):
    remote = Remote(uri)
    remote.put(".holders/dead.json", b"{}")
    began = time.monotonic()
    with lease(remote):
        assert time.monotonic() - began > 2  # it might have been alive
        assert len(remote.list(".holders")) == 1


@needs_server
@pytest.mark.usefixtures("hasty")
def test_a_run_that_was_taken_over_stops_writing(uri):
    store = Store(uri)
    with hold(store):
        (name,) = store.remote.list(".holders")
        store.remote.delete(name)
        assert store.remote.lost.wait(10)
        with pytest.raises(OutputError, match="another one took it over"):
            store.write("scores", "a", [])


# --- a whole sweep --------------------------------------------------------------------------------------------------


@needs_server
@pytest.mark.slow
def test_a_sweep_into_s3_is_the_same_as_into_a_folder(uri, two_tasks, tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "node"))
    monkeypatch.setattr(storing, "PACK_PARTS", 8)
    config = parse(tiny_config(two_tasks))
    peace = run(config, tmp_path / "peace", How(executor="inline"))
    result = run(config, uri, How(executor="inline"))
    other = Store(uri)
    assert not same_tables(Store(peace.out), other, [*MEASURED, *DERIVED])
    kept = other.remote.list()
    assert {"report.html", "sweep.json", ".report.json"} <= set(kept)
    assert not [name for name in kept if name.startswith(".holders/")]
    assert sum(name.startswith("cache/features/") for name in kept) == 4
    assert (
        result.sql("select count(*) n from runs").to_pylist() == query(uri, "select count(*) n from runs").to_pylist()
    )
    assert all(planned == done for planned, done, *_ in outlook(config, uri).kinds.values())


@needs_server
@pytest.mark.slow
def test_features_come_from_where_another_machine_put_them(uri, two_tasks, tmp_path, monkeypatch):
    from sweeps.jobs import embed

    config = tiny_config(
        two_tasks, search=None, finetune={"learning_rates": [0.1], "steps": 2, "batch": 8, "repeats": 1}
    )
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "one"))
    run(parse(config), uri, How(executor="inline"))
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "two"))
    monkeypatch.setattr(embed, "forward", lambda *_: pytest.fail("the features were there"))
    result = run(parse(config | {"proxies": {**config["proxies"], "logme": {}}}), uri, How(executor="inline"))
    assert not result.failures
    assert {row["proxy"] for row in Store(uri).rows("scores")} >= {"knn", "logme"}


@needs_server
@pytest.mark.ray
@pytest.mark.slow
def test_a_sweep_on_ray_into_s3_goes_on_after_a_kill(uri, two_tasks, tmp_path):
    config = tiny_config(two_tasks, delay=0.02)
    peace = run(parse(config), tmp_path / "peace", How(executor="inline"))
    sweep = write_toml(tmp_path / "tiny.toml", config)
    command = [sys.executable, "-m", "sweeps", "run", str(sweep), "--out", uri, "--workers", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SWEEPS_CACHE": str(tmp_path / "node")}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    remote = Remote(uri)
    while first.poll() is None and len(remote.list("tables/jobs")) < 6:
        time.sleep(0.2)
    assert first.poll() is None, first.communicate()[0][-3000:]
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    differences = same_tables(Store(peace.out), Store(uri), [*MEASURED, *DERIVED])
    assert not differences, "\n".join(differences[:5])
    assert remote.list("cache/tune")
