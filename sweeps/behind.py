"""Behind: a few threads that write while others go on measuring. Knows no table and no store."""

from collections.abc import Callable, Hashable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait


class Behind:
    """Actions done soon by ``threads``, at most ``backlog`` of them ahead; those of one name one after another.

    A disk or an object store takes a moment for each file, several take little longer together: the driver of many
    workers does not stand still meanwhile. What fails is raised where the next action is given or waited for.
    """

    def __init__(self, threads: int, backlog: int) -> None:
        self._threads, self._backlog = threads, backlog
        self._pool: ThreadPoolExecutor | None = None
        self._open: dict[Hashable, Future[None]] = {}

    def give(self, name: Hashable, action: Callable[[], None]) -> None:
        """Have an action done; returns at once unless the backlog is full or the last one of this name is not done.

        Raises:
            Exception: what an earlier action raised.
        """
        while len(self._open) >= self._backlog or name in self._open:
            self._sweep(wait(self._open.values(), return_when=FIRST_COMPLETED).done)
        self._sweep({future for future in self._open.values() if future.done()})
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="behind")
        self._open[name] = self._pool.submit(action)

    def wait(self) -> None:
        """Return when all that was given is done.

        Raises:
            Exception: what the first one that failed raised.
        """
        self._sweep(wait(self._open.values()).done)

    def _sweep(self, done: set[Future[None]]) -> None:
        self._open = {name: future for name, future in self._open.items() if future not in done}
        for future in done:
            future.result()
