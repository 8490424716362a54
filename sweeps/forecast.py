"""How long a sweep takes on a cluster, and its cost: the driver's own loop, on a clock of paper.

Knows no Ray and no prices: the price of a worker is given.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from sweeps.cluster.paper import PaperCrew
from sweeps.cluster.queue import chains
from sweeps.costs import calibrated
from sweeps.errors import ConfigError
from sweeps.outlook import Outlook
from sweeps.types import Job


@dataclass(frozen=True)
class Cluster:
    """So many workers, each with a GPU or a core; what an hour of one costs, in the user's currency, or None."""

    workers: int
    device: str
    price: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """``8:gpu``, ``64:cpu``, ``8:gpu@1.21``.

        Raises:
            ConfigError: for anything else.
        """
        found = re.fullmatch(r"([1-9]\d*):(gpu|cpu)(?:@(\d+(?:\.\d+)?))?", text)
        if found is None:
            raise ConfigError("--cluster must be workers:gpu or workers:cpu, maybe @price of a worker's hour, "
                              f"got {text!r}; for example 8:gpu@1.21")  # fmt: skip
        return cls(int(found[1]), found[2], None if found[3] is None else float(found[3]))


@dataclass(frozen=True)
class Forecast:
    """Seconds until the last job ends, the least that any order could take, seconds of search beyond that at most.

    ``basis`` says where the seconds of a job come from.
    """

    seconds: float
    bound: float
    search: float
    basis: str


def makespan(jobs: Iterable[Job], done: Iterable[str], seconds: Mapping[str, float], workers: int) -> float:
    """Seconds until the last job ends when ``workers`` take jobs from the driver's own loop."""
    crew = PaperCrew(workers, lambda job, *_: job.cost)
    crew.run([replace(job, cost=seconds[job.id]) for job in jobs], done, lambda _: None, lambda _: None)
    return crew.clock


def least(jobs: Iterable[Job], seconds: Mapping[str, float], workers: int) -> float:
    """No order is faster, in seconds: the work shared out evenly, or the longest chain of needs."""
    costs = {job.id: replace(job, cost=seconds[job.id]) for job in jobs}
    return max(max(chains(costs).values(), default=0.0), sum(job.cost for job in costs.values()) / workers)


def forecast(found: Outlook, cluster: Cluster) -> Forecast:
    """The jobs that a sweep still lacks, on a cluster; start-up of machines and failures are not in it."""
    kind = "cuda" if cluster.device == "gpu" else "cpu"
    same = [row for row in found.rows if (row["device"] or "").startswith(kind)]
    rows = same or found.rows
    basis = f"from {len(rows)} earlier jobs here" if rows else "a guess for cores, within a factor of about three"
    if rows and not same:
        basis += f", none of them on a {cluster.device}"
    if not rows and cluster.device == "gpu":
        basis += "; a GPU is faster: measure a few jobs on one into this output, then plan again"
    seconds = calibrated(found.jobs, rows, found.jobs)
    todo = [job for job in found.jobs if job.id not in found.done]
    tunes = [seconds[job.id] for job in found.jobs if job.kind == "finetune"]
    each = sum(tunes) / len(tunes) if tunes else 0.0
    cells = found.searches // found.trials if found.trials else 0
    search = each * found.trials * -(-cells // cluster.workers)  # the trials of one cell follow one another
    return Forecast(
        makespan(todo, found.done, seconds, cluster.workers), least(todo, seconds, cluster.workers), search, basis
    )


def lines(found: Forecast, cluster: Cluster) -> list[str]:
    """What to print."""
    whole = found.seconds + found.search
    hours = whole * cluster.workers / 3600
    said = [f"on {cluster.workers} {cluster.device} workers: {_time(found.seconds)} (no order could be faster than "
            f"{_time(found.bound)}), then at most {_time(found.search)} of search ({found.basis})"]  # fmt: skip
    cost = "" if cluster.price is None else f", {hours * cluster.price:.2f} at {cluster.price:g} an hour each"
    return [*said, f"{hours:.2f} worker-hours at most{cost}; start of machines and repeats after failures not counted"]


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
