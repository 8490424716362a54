"""Behind: a thread that writes while others go on measuring. Knows no table and no store."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


class Behind(Generic[Thing]):
    """Things written soon, together what came meanwhile, in the order given, at most ``backlog`` of them ahead.

    A disk or an object store takes a moment for each file, and a file of many rows takes no longer than one of a row.
    So there are at least ``pace`` seconds between one writing and the next: a thing alone is written at once, of many
    a second several are written together. What fails is raised where the next thing is given or waited for.
    """

    def __init__(self, write: Callable[[Sequence[Thing]], None], backlog: int, pace: float) -> None:
        self._write, self._backlog, self._pace = write, backlog, pace
        self._waiting: list[Thing] = []
        self._running = self._hurry = False
        self._last = -pace
        self._turn = threading.Condition()
        self._pool: ThreadPoolExecutor | None = None
        self._writing: Future[None] | None = None

    def give(self, thing: Thing) -> None:
        """Have a thing written; returns at once unless the backlog is full.

        Raises:
            Exception: what an earlier writing raised.
        """
        with self._turn:
            while self._running and len(self._waiting) >= self._backlog:
                self._hurried()
            if not self._running:
                self._raise()
            self._waiting.append(thing)
            self._start()

    def wait(self) -> None:
        """Return when all that was given is written.

        Raises:
            Exception: what the first one that failed raised.
        """
        with self._turn:
            while self._waiting or self._running:
                self._start()
                self._hurried()
                if not self._running:
                    self._raise()
            self._raise()

    def _start(self) -> None:
        if not self._running:
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="behind")
            self._running, self._writing = True, self._pool.submit(self._drain)

    def _hurried(self) -> None:
        self._hurry = True
        self._turn.notify_all()
        self._turn.wait()

    def _raise(self) -> None:
        done, self._writing = self._writing, None
        if done is not None:
            done.result()

    def _drain(self) -> None:
        fine = False
        try:
            while things := self._next():
                self._write(things)
            fine = True
        finally:
            if not fine:
                self._end()

    def _next(self) -> list[Thing]:
        with self._turn:
            if not self._waiting:
                self._end()  # while nobody can give more
                return []
            while not self._hurry and (left := self._last + self._pace - time.monotonic()) > 0:
                self._turn.wait(left)
            things, self._waiting = self._waiting, []
            self._hurry, self._last = False, time.monotonic()
            self._turn.notify_all()
            return things

    def _end(self) -> None:
        with self._turn:
            self._running = self._hurry = False
            self._turn.notify_all()
