"""A sweep of tiny jobs, by the real store, hold, hands, loop and executor, on a disk that may fail."""

import errno
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from sweeps import remote
from sweeps import store as storing
from sweeps.errors import SweepError
from sweeps.hands import Hands, How
from sweeps.ledger import note_plan
from sweeps.output import hold
from sweeps.progress import Silent
from sweeps.store import Store
from sweeps.types import Outcome
from tests.chaos.work import KINDS, planned, second
from tests.conftest import ROOT

remote.BEAT_SECONDS, remote.LEASE_SECONDS = 0.5, 3.0


class TinyHands(Hands):
    """Hands whose workers need no torch."""

    def _make(self) -> Any:
        from sweeps.cluster.worker import Setup

        setup = Setup(cache=self.cache, kinds=KINDS, path=(str(ROOT),), context="tests.chaos.work:opened",
                      provenance={"commit": "none"})  # fmt: skip
        self.cache.mkdir(parents=True, exist_ok=True)
        if self.how.executor == "inline":
            from sweeps.cluster.executor import InlineExecutor

            return InlineExecutor(setup)
        from sweeps.cluster.ray_executor import RayExecutor
        from sweeps.cluster.seat import Resources

        return RayExecutor(setup, Resources(self.how.address, self.how.workers, attempts=9), storage=str(self.cache))


def sweep(out: str, how: How) -> Store:
    """The same steps as :func:`sweeps.run.run`."""
    store = Store(out)
    store.prepare()
    with hold(store, how.wait), TinyHands(store, how) as hands:
        jobs = planned()

        def settle(outcome: Outcome) -> None:
            store.append(outcome)

        note_plan(store, "measure", jobs)
        hands.run("measure", jobs, settle, Silent())
        confirmed = second([row for row in store.rows("runs") if row["job"] in {job.id for job in jobs}])
        note_plan(store, "confirm", confirmed)
        hands.run("confirm", confirmed, settle, Silent())
        store.compact(least=24)
        rows = sorted(store.rows("runs"), key=lambda row: row["job"])
        store.write_facts("accuracies", [{"model": row["model"], "task": row["task"], "accuracy": row["test_accuracy"],
                                          "repeats": [row["val_accuracy"]]} for row in rows])  # fmt: skip
    return store


def break_the_disk(fault: str, seed: int) -> None:
    """Make some of this process's writes fail or take long, as a disk or a file server does at times."""
    chance, sync, replace = random.Random(seed), os.fsync, os.replace
    numbers = {"eio": errno.EIO, "enospc": errno.ENOSPC, "estale": errno.ESTALE}
    left = chance.randint(2, 5)

    def failing(action: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any) -> Any:
            nonlocal left
            if left and chance.random() < 0.08:
                left -= 1
                if fault in numbers:
                    raise OSError(numbers[fault], os.strerror(numbers[fault]))
                time.sleep(chance.uniform(0.1, 0.5) if fault == "slow" else 3.0 * (left == 0))
            return action(*given)

        return wrapped

    os.fsync, os.replace = failing(sync), failing(replace)  # type: ignore[assignment]


def main(out: str, address: str, fault: str, seed: str) -> int:
    logging.disable(logging.WARNING)
    if fault in ("eio", "enospc", "estale", "slow", "stall"):
        break_the_disk(fault, int(seed))
    chance = random.Random(seed)  # parts, packs of a few, packs of many: whatever comes together is written together
    storing.PACE, storing.TOGETHER = chance.choice([0.0, 0.05, 0.5]), chance.choice([2, 8])
    try:
        sweep(out, How(executor="ray", address=address, workers=3, wait=fault == "two"))
    except SweepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
