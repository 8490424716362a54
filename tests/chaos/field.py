"""One Ray cluster of three nodes on this machine, sweeps on it, and what may befall them: one seed, one disaster."""

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sweeps.hands import How
from sweeps.store import Store
from tests.chaos import driver
from tests.doubles.s3 import Server
from tests.doubles.same import same_tables

MEASURED = ("jobs", "features", "scores", "runs", "plan", "accuracies")
LONGEST_SECONDS = 150.0  # a driver that takes longer hangs
FAST = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 500,
        "health_check_failure_threshold": 3}  # fmt: skip
DISK = ("eio", "enospc", "estale", "slow", "stall")  # of the driver, see tests/chaos/driver.py
KINDS = ("driver", "worker", "raylet", "eio", "node", "driver+enospc", "two", "notice", "slow", "cut",
         "drivers", "workers", "throttled", "estale", "pause", "worker+eio", "stall", "s3 driver", "raylet+driver",
         "head")  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """How a disaster ended: whether it struck at all, how often the sweep was started, and what is wrong."""

    seed: int
    kind: str
    struck: bool
    starts: int
    seconds: float
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        state = "ok" if not self.wrong else "WRONG: " + "; ".join(self.wrong)[:600]
        missed = "" if self.struck else ", came too late"
        return f"{self.seed:4d} {self.kind:14s} {self.seconds:5.1f} s, {self.starts} starts{missed}: {state}"


class Field:
    """The cluster, kept from one disaster to the next unless it is what was struck."""

    def __init__(self, folder: Path) -> None:
        os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1",
                       "RAY_gcs_rpc_server_reconnect_timeout_s": "3", "AWS_ACCESS_KEY_ID": "test",
                       "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true",
                       "SWEEPS_CACHE": str(folder / "cache")}  # fmt: skip
        self.folder, self._server = folder, None
        self.peace = driver.sweep(str(folder / "peace"), How(executor="inline"))
        self.total = len(self.peace.rows("jobs"))
        self.forks = multiprocessing.get_context("forkserver")
        self.forks.set_forkserver_preload(["tests.chaos.driver", "sweeps.cluster.ray_executor"])
        self._build()

    def _build(self) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": FAST}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self._mend()

    def _mend(self) -> None:
        """Two nodes beside the head, as at the start."""
        for node in list(self.cluster.worker_nodes):
            raylet = next(iter(node.all_processes.get("raylet", ())), None)
            if raylet is None or raylet.process.poll() is not None:
                with contextlib.suppress(Exception):
                    self.cluster.remove_node(node, allow_graceful=False)
                self.cluster.worker_nodes.discard(node)
        while len(self.cluster.worker_nodes) < 2:
            self.cluster.add_node(num_cpus=2)

    def close(self) -> None:
        """Nothing of ours is left."""
        self.cluster.shutdown()
        if self._server is not None:
            self._server.close()

    @property
    def server(self) -> Server:
        if self._server is None:
            self._server = Server()
        return self._server

    # --- one disaster -----------------------------------------------------------------------------------------------

    def run(self, seed: int) -> Verdict:
        """Everything about a disaster follows from its seed, but the clock of the machine."""
        kind, chance, began = KINDS[seed % len(KINDS)], random.Random(seed), time.monotonic()
        self._mend()
        out = (
            self.server.uri(f"seed-{seed}") if kind in ("throttled", "s3 driver") else str(self.folder / f"seed-{seed}")
        )
        fault = next((part for part in kind.split("+") if part in (*DISK, "two")), "none")
        strikes = [self.strike(part) for part in kind.split("+") if part not in (*DISK, "two")]
        strikes *= 3 if kind == "drivers" else 1
        wrong, struck, starts, code = [], fault in (*DISK, "two"), 0, None
        most = len(strikes) + 4
        while code != 0 and starts < most:
            processes = [
                self._start(out, fault, seed + starts) for _ in range(2 if kind == "two" and not starts else 1)
            ]
            starts += 1
            if strikes:
                struck |= self._moment(chance, processes[0], out) and strikes.pop(0)(chance, processes[0])
            for process in processes:
                process.join(LONGEST_SECONDS)
                if process.exitcode is None:
                    process.kill()
                    process.join()
                    wrong.append(f"the driver hung at start {starts}")
            code = max(abs(process.exitcode) for process in processes)
            if strikes and code == 0:  # the next one strikes a sweep that has nothing to do
                code = None
            if kind == "head":
                self._raise_again()
        wrong += [f"it did not end well, exit code {code}"] if code else self._differences(out)
        if not out.startswith("s3:") and not wrong:
            shutil.rmtree(out)
        return Verdict(seed, kind, struck, starts, time.monotonic() - began, tuple(wrong))

    def _start(self, out: str, fault: str, seed: int) -> Any:
        process = self.forks.Process(
            target=_drive, args=(out, self.cluster.address, fault, str(seed), str(self.folder))
        )
        process.start()
        return process

    def _moment(self, chance: random.Random, process: Any, out: str) -> bool:
        """Wait for the moment: so many jobs settled, or so many seconds. False: the sweep was over before."""
        if out.startswith("s3:") or chance.random() < 0.25:
            process.join(chance.uniform(0.0, 6.0))
        else:
            count, store = chance.randint(0, self.total), Store(out)
            while process.is_alive() and len(store.statuses()) < count:
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.1))
        return process.is_alive()

    def _differences(self, out: str) -> list[str]:
        store = Store(out)
        rows = store.rows("jobs")
        names = [row["job"] for row in rows]
        counts = [] if len(set(names)) == len(names) == self.total else [f"{len(names)} rows of {len(set(names))} jobs"]
        return counts + same_tables(self.peace, store, MEASURED)[:3]

    def _raise_again(self) -> None:
        with contextlib.suppress(Exception):
            self.cluster.shutdown()
        self._build()

    # --- what strikes -----------------------------------------------------------------------------------------------

    def strike(self, kind: str) -> Callable[[random.Random, Any], bool]:
        """What may befall a sweep; each says whether it did."""
        return {
            "driver": self._driver, "drivers": self._driver, "s3 driver": self._driver, "worker": self._worker,
            "workers": self._workers, "pause": self._pause, "raylet": self._raylet, "node": self._node,
            "notice": self._notice, "cut": self._cut, "head": self._head, "throttled": self._throttle,
        }[kind]  # fmt: skip

    def _driver(self, chance: random.Random, process: Any) -> bool:
        os.kill(process.pid, signal.SIGKILL)
        return True

    def _crowd(self, process: Any) -> list[psutil.Process]:
        """The sweep's workers, once there are any."""
        while process.is_alive():
            found = []
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    found += [child] if (child.cmdline() or [""])[0].startswith("ray::Worker") else []
            if found:
                return found
            time.sleep(0.02)
        return []

    def _worker(self, chance: random.Random, process: Any) -> bool:
        return _signal(signal.SIGKILL, [chance.choice(found)] if (found := self._crowd(process)) else [])

    def _workers(self, chance: random.Random, process: Any) -> bool:
        return _signal(signal.SIGKILL, self._crowd(process))

    def _pause(self, chance: random.Random, process: Any) -> bool:
        found = self._crowd(process)[:1]
        struck = _signal(signal.SIGSTOP, found)
        process.join(chance.uniform(1.0, 4.0))
        _signal(signal.SIGCONT, found)
        return struck

    def _raylets(self, chance: random.Random) -> list[psutil.Process]:
        node = chance.choice(sorted(self.cluster.worker_nodes, key=lambda each: each.node_id))
        return [psutil.Process(each.process.pid) for each in node.all_processes["raylet"]]

    def _raylet(self, chance: random.Random, process: Any) -> bool:
        return _signal(signal.SIGKILL, self._raylets(chance))

    def _node(self, chance: random.Random, process: Any) -> bool:
        (raylet,) = self._raylets(chance)
        return _signal(signal.SIGKILL, [raylet, *raylet.children(recursive=True)])

    def _notice(self, chance: random.Random, process: Any) -> bool:
        return _signal(signal.SIGTERM, self._raylets(chance))

    def _cut(self, chance: random.Random, process: Any) -> bool:
        """A node is not heard of for some seconds, then it is back: the others have given it up."""
        (raylet,) = self._raylets(chance)
        whole = [raylet, *raylet.children(recursive=True)]
        struck = _signal(signal.SIGSTOP, whole)
        process.join(chance.uniform(1.0, 6.0))
        _signal(signal.SIGCONT, whole)
        return struck

    def _head(self, chance: random.Random, process: Any) -> bool:
        head = self.cluster.head_node.all_processes
        return _signal(signal.SIGKILL, [psutil.Process(each.process.pid) for each in head["gcs_server"]])

    def _throttle(self, chance: random.Random, process: Any) -> bool:
        self.server.refuse = chance.randint(3, 30)
        return True


def _drive(out: str, address: str, fault: str, seed: str, folder: str) -> None:
    said = os.open(Path(folder) / f"driver-{seed}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os._exit(driver.main(out, address, fault, seed))


def _signal(number: signal.Signals, processes: list[psutil.Process]) -> bool:
    done = False
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
            done = True
    return done
