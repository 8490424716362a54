"""Machines on one machine: network namespaces with addresses of their own on one switch, each with its own processes.

    with Machines(3, folder) as machines:
        machines.run(0, "ray start --head ...")
        machines.cut(1); machines.heal(1); machines.kill(2)

Each has its own process ids, so that `ray stop` there ends what runs there, and its own /tmp/ray and /dev/shm.
"""

import contextlib
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

import psutil


def missing() -> str | None:
    """Why there can be none here; None where there can."""
    lacks = [tool for tool in ("ip", "unshare", "nsenter", "mount") if shutil.which(tool) is None]
    if lacks:
        return f"{', '.join(lacks)} is not installed"
    bridge = ["ip", "link", "add", "name", "switch", "type", "bridge"]
    tried = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", *bridge], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"network namespaces are not permitted: {tried.stderr.strip()[:100]}"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Machines:
    """So many, with the addresses ``addresses``; ``folder`` holds their homes."""

    def __init__(self, count: int, folder: Path) -> None:
        self.name, self.folder = f"sw{os.getpid()}", folder
        self.addresses = [f"10.231.{os.getpid() % 250}.{10 + number}" for number in range(count)]
        self.holders: list[subprocess.Popen] = []

    def __enter__(self) -> Self:
        Path("/tmp/ray").mkdir(exist_ok=True)  # only a place to mount on
        try:
            ip("netns", "add", self.name)
            ip("-n", self.name, "link", "add", "switch", "type", "bridge")
            ip("-n", self.name, "link", "set", "switch", "up")
            for number in range(len(self.addresses)):
                self._plug(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _plug(self, number: int) -> None:
        space, home = f"{self.name}-{number}", self.folder / f"machine-{number}"
        ip("netns", "add", space)
        ip("-n", self.name, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("-n", self.name, "link", "set", f"port{number}", "master", "switch", "up")
        ip("-n", space, "addr", "add", f"{self.addresses[number]}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            ip("-n", space, "link", "set", device, "up")
        ip("-n", space, "route", "add", "default", "dev", "eth0")  # a machine finds its own address by its way out
        home.mkdir(parents=True)
        own = f"mount -t proc proc /proc; mount -t tmpfs tmpfs /dev/shm; mount --bind {home} /tmp/ray"
        self.holders.append(subprocess.Popen(
            ["ip", "netns", "exec", space, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "bash",
             "-c", f"hostname machine-{number}; {own}; exec sleep infinity"]))  # fmt: skip
        deadline = time.monotonic() + 30
        while self._init(number) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"machine {number} did not come up")
            time.sleep(0.05)

    def _init(self, number: int) -> int | None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.holders[number].pid).children(recursive=True):
                if child.name() == "sleep":
                    return child.pid
        return None

    def start(self, number: int, command: str, environment: dict[str, str], folder: Path) -> subprocess.Popen:
        """A command on a machine, in a shell there."""
        inside = ["nsenter", "--target", str(self._init(number)), "--net", "--mount", "--pid", "--uts"]
        there = f"cd {shlex.quote(str(folder))} && {{ {command}; }}"  # whoever enters stands at the root
        return subprocess.Popen([*inside, "bash", "-c", there], env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def run(self, number: int, command: str, environment: dict[str, str], folder: Path, seconds: float = 240) -> str:
        """What a command says.

        Raises:
            RuntimeError: when it fails.
        """
        process = self.start(number, command, environment, folder)
        said, _ = process.communicate(timeout=seconds)
        if process.returncode:
            raise RuntimeError(f"{command} on machine {number}: {said[-2000:]}")
        return said

    def cut(self, number: int) -> None:
        """Pull the plug of its network."""
        ip("-n", self.name, "link", "set", f"port{number}", "down")

    def heal(self, number: int) -> None:
        """Put it back."""
        ip("-n", self.name, "link", "set", f"port{number}", "up")

    def kill(self, number: int) -> None:
        """Switch it off."""
        self.holders[number].kill()  # its first process dies with it, and so all others there
        self.holders[number].wait()

    def __exit__(self, *_: object) -> None:
        for holder in self.holders:
            holder.kill()
            holder.wait()
        for number in range(len(self.addresses)):
            subprocess.run(["ip", "netns", "del", f"{self.name}-{number}"], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)
