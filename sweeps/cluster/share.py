"""How much of a GPU a model takes. Knows no Ray: pure arithmetic on what was measured.

Only what was measured counts: a guess that is too small would run out of memory, and going on in pieces changes what
batch norm sees. So a model has a GPU to itself until its peak is in the tables, and other kinds of jobs always do.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sweeps.types import Job, Row

MOST = 8  # workers on one GPU
SLACK, CONTEXT_BYTES = 1.25, 2**30  # beside a peak: what lies between its blocks, and what every process takes
TUNING = frozenset({"finetune", "confirm", "final", "trial"})


def peaks(runs: Iterable[Row], jobs: Iterable[Row]) -> dict[str, int]:
    """Model -> bytes at the peak of its most demanding fine-tuning on a GPU; without those never seen there."""
    there = {row["job"] for row in jobs if (row["device"] or "").startswith("cuda")}
    found: dict[str, int] = defaultdict(int)
    for row in runs:
        if row["job"] in there and row["peak_memory_bytes"]:
            found[row["model"]] = max(found[row["model"]], row["peak_memory_bytes"])
    return dict(found)


def share(peak: int | None, memory: int | None) -> float:
    """The part of a GPU of ``memory`` bytes that a worker holds, in (0, 1]: one over a whole number of workers."""
    if not peak or not memory:
        return 1.0
    return 1 / max(1, min(MOST, int(memory // (SLACK * peak + CONTEXT_BYTES))))


def parts(jobs: Sequence[Job], measured: Mapping[str, int], memory: int | None) -> list[tuple[float, list[Job]]]:
    """The jobs by the share of a GPU that they take, the largest first; one part if a job needs one of another part."""
    shares = {job.id: share(measured.get(job.model.name), memory) if job.kind in TUNING else 1.0 for job in jobs}
    if any(shares.get(need, shares[job.id]) != shares[job.id] for job in jobs for need in job.needs):
        return [(max(shares.values()), list(jobs))]
    found: dict[float, list[Job]] = defaultdict(list)
    for job in jobs:
        found[shares[job.id]].append(job)
    return sorted(found.items(), key=lambda each: -each[0])
