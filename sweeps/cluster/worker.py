"""Worker: holds one device and runs jobs. A plain class: Ray wraps it elsewhere, the inline executor calls it.

The one broad ``except Exception`` of the system is here: a fault becomes a failed row with its traceback.
"""

import importlib
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweeps.checkpoints import contents, marked
from sweeps.errors import SweepError
from sweeps.fingerprint import canonical_json
from sweeps.jobs import KINDS
from sweeps.types import Job, Outcome, Point, Row


@dataclass(frozen=True)
class Setup:
    """What a worker is told when it starts: where the caches are, its device and threads, and the provenance.

    ``shared`` is the output on object storage through which workers on several machines share the features.
    ``mark`` is what the driver left in its cache, for a worker to find out whether that is its own.
    ``kinds`` says which function runs which kind of job, ``path`` where besides the installed packages to find it,
    ``context`` what makes of all this the context that jobs are given.
    """

    cache: Path
    device: str = "auto"
    threads: int = 1
    provenance: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=lambda: dict(KINDS))
    path: tuple[str, ...] = ()
    shared: str | None = None
    context: str = "sweeps.jobs.context:opened"
    mark: str | None = None


class Clock:
    """When something began, on the calendar, and how long it takes: calendars are put back, stop-watches are not."""

    def __init__(self) -> None:
        self.started, self._start = datetime.now(UTC), time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since then."""
        return time.perf_counter() - self._start


class Worker:
    """One device, one job at a time."""

    def __init__(self, setup: Setup, name: str = "inline") -> None:
        sys.path.extend(folder for folder in setup.path if folder not in sys.path)
        self.setup, self.name = setup, name
        self.context = _imported(setup.context)(Path(setup.cache), setup.device, setup.threads, setup.shared)
        self._open: tuple[str, Any, Clock] | None = None
        self._functions: dict[str, Callable[..., dict[str, list[Row]]]] = {}

    def ready(self) -> int | None:
        """Once it stands: bytes of memory of its GPU, None where it has none."""
        return self.context.memory()

    def run(self, job: Job, attempt: int = 1) -> Outcome:
        """Run one job to its end; whatever it raises becomes a failed row."""
        clock = Clock()
        try:
            self.context.prepare(job.model)
            clock = Clock()
            return self._outcome(job, self._function(job.kind)(job, self.context), None, clock, attempt)
        except Exception as fault:
            return self._outcome(job, {}, fault, clock, attempt)

    def advance(self, job: Job, attempt: int = 1) -> Point | Outcome:
        """Take a trial to its next evaluation, or to its end. A job that was not the last one starts afresh."""
        if job.kind != "trial":  # only a fine-tuning is looked at on its way
            return self.run(job, attempt)
        clock = Clock()
        try:
            if self._open is None or self._open[0] != job.id:
                from sweeps.jobs.finetune import advance

                self.drop()
                self.context.prepare(job.model)
                self._open = (job.id, advance(job, self.context), Clock())
            _, stages, clock = self._open
            return next(stages)
        except StopIteration as end:
            self._open = None
            return self._outcome(job, end.value, None, clock, attempt)
        except Exception as fault:
            self._open = None
            return self._outcome(job, {}, fault, clock, attempt)

    def drop(self) -> None:
        """Let go of a fine-tuning that was not taken to its end."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _outcome(self, job: Job, rows: dict[str, list[Row]], fault: Exception | None, clock: "Clock",
                 attempt: int) -> Outcome:  # fmt: skip
        seconds = clock.seconds
        if fault is not None:
            self.context.forget()
        for row in (row for part in rows.values() for row in part):
            row["seconds"] = row.get("seconds") or seconds  # a job of several rows times each
        for row in rows.get("features", []):
            row["images_per_second"] = (row["train"] + row["val"]) / seconds
        place = {
            "attempt": attempt, "seconds": seconds, "started": clock.started, "finished": datetime.now(UTC),
            "host": socket.gethostname(), "worker": f"{self.name}:{os.getpid()}", "device": self.context.hardware,
            **self.setup.provenance,
        }  # fmt: skip
        return Outcome(job_row(job, fault) | place, rows, {} if fault is not None else self._files(job))

    def _files(self, job: Job) -> dict[str, bytes]:
        """The checkpoint that a job left where the driver does not find it."""
        here = self.setup.shared is not None or marked(self.context.cache, self.setup.mark)
        return {} if job.kind != "export" or here else contents(self.context.cache / "checkpoints" / job.id)

    def _function(self, kind: str) -> Callable[..., dict[str, list[Row]]]:
        if kind not in self._functions:
            self._functions[kind] = _imported(self.setup.kinds[kind])
        return self._functions[kind]


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def job_row(job: Job, fault: BaseException | None = None) -> Row:
    """The columns of ``jobs`` that do not depend on when and where: identity, and the fault if there is one."""
    row: Row = {"job": job.id, "kind": job.kind, "model": job.model.name, "task": job.task.name,
                "content": canonical_json(job.content), "status": "ok"}  # fmt: skip
    if fault is not None:
        text = "".join(traceback.format_exception(fault))
        row |= {"status": "failed", "error_type": type(fault).__name__, "error": _one_line(job, fault),
                "traceback": text[-8000:]}  # fmt: skip
    return row


def _one_line(job: Job, fault: BaseException) -> str:
    text = (str(fault).strip() or type(fault).__name__).splitlines()[0][:500]
    if isinstance(fault, SweepError):
        return text
    if isinstance(fault, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return f"{job.label} ran out of memory; lower finetune.batch, embed.batch or embed.image_size"
    return f"{type(fault).__name__}: {text}"


def blocked(job: Job, need: str) -> Outcome:
    """The outcome of a job that cannot run because a job that it needs failed."""
    now = datetime.now(UTC)
    row = job_row(job) | {"status": "failed", "error_type": "Blocked", "error": f"needs {need}, which failed",
                          "started": now, "finished": now, "seconds": 0.0, "attempt": 0}  # fmt: skip
    return Outcome(row)


def lost(job: Job, fault: BaseException, attempts: int) -> Outcome:
    """The outcome of a job whose worker died every time it was tried."""
    now = datetime.now(UTC)
    row = job_row(job, fault) | {"started": now, "finished": now, "seconds": 0.0, "attempt": attempts}
    return Outcome(row | {"error": f"{job.label}: its worker died {attempts} times ({type(fault).__name__}); "
                          "it may need more memory than the machine has"})  # fmt: skip
