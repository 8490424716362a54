"""Display: stages, what runs now, time left, failures; one live block in a terminal, plain lines when piped."""

import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from sweeps.types import Job, Outcome

LINE_SECONDS = 15.0  # how often a piped display says where it stands


class Display(Protocol):
    """What the driver tells as it goes."""

    def stage(self, name: str, seconds: Mapping[str, float], done: int, lanes: int) -> None:
        """A stage begins: job id -> estimated seconds of the jobs to do, how many were done before, workers."""

    def started(self, job: Job) -> None:
        """A job was sent to a worker."""

    def settled(self, outcome: Outcome) -> None:
        """A job has its outcome."""

    def close(self) -> None:
        """The last stage is over."""


class Silent:
    """Shows nothing."""

    def stage(self, name: str, seconds: Mapping[str, float], done: int, lanes: int) -> None:
        """See :class:`Display`."""

    def started(self, job: Job) -> None:
        """See :class:`Display`."""

    def settled(self, outcome: Outcome) -> None:
        """See :class:`Display`."""

    def close(self) -> None:
        """See :class:`Display`."""


class LiveDisplay:
    """The rich display. Time left is the estimated seconds of what is left, scaled by how this stage has gone."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description:<10}"), BarColumn(28), TextColumn("{task.completed:>5.0f}/{task.total:.0f}"),
            TimeElapsedColumn(), TextColumn("{task.fields[left]}"), console=console,
        )  # fmt: skip
        self._now, self._failures = Text(""), 0
        self._live: Live | None = None
        self._bar: TaskID | None = None
        self._seconds: dict[str, float] = {}
        self._spent = self._begun = self._said = 0.0
        self._total = 0
        self._lanes = 1

    def stage(self, name: str, seconds: Mapping[str, float], done: int, lanes: int) -> None:
        """See :class:`Display`."""
        if self._live is None and self._console.is_terminal:
            self._live = Live(Group(self._bars, self._now), console=self._console, refresh_per_second=4)
            self._live.start()
        self._seconds, self._lanes, self._spent = dict(seconds), max(1, lanes), 0.0
        self._total, self._begun, self._said = len(seconds) + done, 0.0, time.monotonic()
        self._bar = self._bars.add_task(name, total=self._total, completed=done, left="")
        if self._live is None:
            waiting = f", about {_clock(sum(seconds.values()) / self._lanes)}" if seconds else ""
            self._console.print(f"{name}: {len(seconds)} jobs to do, {done} done before{waiting}")

    def started(self, job: Job) -> None:
        """See :class:`Display`."""
        self._now.plain = f"  now: {job.label}"
        self._begun = self._begun or time.monotonic()

    def settled(self, outcome: Outcome) -> None:
        """See :class:`Display`."""
        assert self._bar is not None
        self._spent += self._seconds.pop(outcome.job["job"], 0.0)
        self._bars.update(self._bar, advance=1, left=self._left())
        if not outcome.ok:
            self._failures += 1
            if self._failures <= 10 and outcome.job["error_type"] != "Blocked":
                row = outcome.job
                self._console.print(f"failed: {row['kind']} {row['model']} on {row['task']}: {row['error']}",
                                    style="red", markup=False, highlight=False)  # fmt: skip
        if self._live is None and time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            task = self._bars.tasks[self._bar]
            self._console.print(f"{task.description}: {task.completed:.0f}/{self._total} {self._left()}")

    def _left(self) -> str:
        gone, left = time.monotonic() - self._begun, sum(self._seconds.values())
        if not left:
            return ""
        share = self._spent / (self._spent + left)
        guess, seen = left / self._lanes, left * gone / self._spent if self._spent else 0.0
        trust = min(1.0, 10 * share)  # the first jobs pay for start-up: believe the pace once a tenth is done
        return f"about {_clock((1 - trust) * guess + trust * seen)} left"

    def close(self) -> None:
        """See :class:`Display`."""
        if self._live is not None:
            self._now.plain = ""
            self._live.stop()
            self._live = None


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes}:{rest:02d}"
