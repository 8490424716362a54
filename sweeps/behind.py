"""Behind: a thread that writes while others go on measuring. Knows no table and no store."""

import atexit
import threading
import time
from collections.abc import Callable, Sequence
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
        self._busy = self._hurry = False
        self._fault: BaseException | None = None
        self._last = -pace
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None

    def give(self, thing: Thing) -> None:
        """Have a thing written; returns at once unless the backlog is full.

        Raises:
            Exception: what an earlier writing raised.
        """
        with self._turn:
            self._raise()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="behind", daemon=True)
                self._thread.start()
                atexit.register(self.wait)
            while len(self._waiting) >= self._backlog:
                self._hurried()
                self._raise()
            self._waiting.append(thing)
            self._turn.notify_all()

    def wait(self) -> None:
        """Return when all that was given is written.

        Raises:
            Exception: what the first one that failed raised.
        """
        with self._turn:
            while self._waiting or self._busy:
                self._hurried()
            self._raise()

    def _hurried(self) -> None:
        self._hurry = True
        self._turn.notify_all()
        self._turn.wait()

    def _raise(self) -> None:
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def _run(self) -> None:
        while True:
            with self._turn:
                while not self._waiting:
                    self._turn.wait()
                while not self._hurry and (left := self._last + self._pace - time.monotonic()) > 0:
                    self._turn.wait(left)
                things, self._waiting = self._waiting, []
                self._busy, self._hurry, self._last = True, False, time.monotonic()
                self._turn.notify_all()
            try:
                self._write(things)
                fault = None
            except BaseException as raised:  # not lost: raised in the thread that gave it
                fault = raised
            with self._turn:
                self._busy, self._fault = False, self._fault or fault
                self._turn.notify_all()
