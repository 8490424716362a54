"""Scale on paper, with real code: the driver's own loop and store against workers that only take time.

    python benchmarks/simulate.py            # about three minutes
    python benchmarks/simulate.py --small    # seconds: for looking at the queue

Seconds of jobs are drawn from those measured in a sweep of nine real models on three tasks (benchmarks/costs.csv): a
factor for each model, one for each task, and what is left over. The driver is told the product of the factors, a job
takes that times the left-over. A worker that changes the model takes LOAD seconds more. Busy is the processor time of
the driver's loop and store, and of Ray's calls as measured by benchmarks/workers.py, per second of the simulated clock.
"""

import argparse
import csv
import math
import random
import resource
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from sweeps import sql
from sweeps.cluster.paper import PaperCrew
from sweeps.cluster.worker import job_row
from sweeps.store import PACE, SCHEMAS, Store
from sweeps.types import Job, Model, Outcome, Task

LOAD = 2.0
RAY_SECONDS = 0.0008  # of the driver for each job: (d) of benchmarks/workers.py without what is written
NOW = datetime.now(UTC)


class Costs:
    """Factors of models, of tasks, and of what is left over, drawn from a measured table."""

    def __init__(self, kind: str = "finetune", seed: int = 0) -> None:
        with open(Path(__file__).parent / "costs.csv", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["kind"] == kind]
        logs: dict[tuple[str, str], list[float]] = defaultdict(list)
        for row in rows:
            logs[row["model"], row["task"]].append(math.log(float(row["seconds"])))
        cells = {cell: statistics.fmean(values) for cell, values in logs.items()}
        self.mean = statistics.fmean(cells.values())
        self.models = sorted(self._factors(cells, 0))
        self.tasks = sorted(self._factors(cells, 1))
        self.rest = sorted(value - cells[cell] for cell, values in logs.items() for value in values)
        self.chance = random.Random(seed)

    def _factors(self, cells: dict[tuple[str, str], float], place: int) -> list[float]:
        names = {cell[place] for cell in cells}
        return [statistics.fmean(v - self.mean for cell, v in cells.items() if cell[place] == name) for name in names]

    def between(self, values: list[float]) -> float:
        """A value between two measured neighbours, as likely as they are."""
        place = self.chance.uniform(0, len(values) - 1)
        low = int(place)
        return values[low] + (place - low) * (values[min(low + 1, len(values) - 1)] - values[low])


def study(models: int, tasks: int, runs: int) -> tuple[list[Job], Callable[..., float]]:
    """The fine-tunings of a study, and what each takes."""
    costs = Costs()
    zoo = [(Model(f"m{number}", "none"), costs.between(costs.models)) for number in range(models)]
    suite = [(Task(f"t{number}", "none", (), {}, ""), costs.between(costs.tasks)) for number in range(tasks)]
    jobs = []
    for model, one in zoo:
        for task, other in suite:
            cost = math.exp(costs.mean + one + other)
            jobs += [Job("finetune", 1, model, task, {"run": run}, cost=cost) for run in range(runs)]
    rest = [math.exp(value) for value in costs.rest]

    def seconds(job: Job, *_: object) -> float:
        return job.cost * rest[int(job.id[:8], 16) % len(rest)]

    return jobs, seconds


def outcome(job: Job, seconds: float) -> Outcome:
    """The rows of a fine-tuning, as wide as real ones."""
    row = job_row(job) | {"attempt": 1, "seconds": seconds, "started": NOW, "finished": NOW, "host": "paper",
                          "worker": "paper", "device": "cuda", "commit": "none", "versions": "none"}  # fmt: skip
    value = int(job.id[:8], 16) / 2**32
    curve = [{"step": step, "train_loss": 1.0, "val_accuracy": value} for step in (10, 20, 30, 40)]
    run = {"job": job.id, "model": job.model.name, "task": job.task.name, "origin": "grid", "repeat": 0, "seed": 0,
           "learning_rate": 0.01, "steps": 40, "steps_done": 40, "status": "ok", "val_accuracy": value,
           "test_accuracy": value, "curve": curve, "seconds": seconds, "peak_memory_bytes": 10**9}  # fmt: skip
    return Outcome(row, {"runs": [run]})


def makespan(jobs: list[Job], seconds: Callable[..., float], workers: int) -> float:
    """Print what the loop makes of it; returns its processor seconds for each job."""
    took = [seconds(job) for job in jobs]
    bound = max(sum(took) / workers, max(took))
    crew, count = PaperCrew(workers, seconds, load=LOAD), [0]

    def settle(_: Outcome) -> None:
        count[0] += 1

    begun = time.process_time()
    crew.run(jobs, (), settle, lambda _: None)
    each = (time.process_time() - begun) / len(jobs)
    assert count[0] == len(jobs)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{len(jobs):9,d} jobs on {workers:5,d} workers: {crew.clock / 3600:9.2f} h, {crew.clock / bound:.3f} of the "
          f"lower bound; loop {1e6 * each:.0f} us a job, {len(jobs) / crew.clock:.1f} jobs/s; {held:.1f} GiB held",
          flush=True)  # fmt: skip
    return each


def writing(folder: Path, jobs: list[Job], seconds: Callable[..., float], together: int) -> float:
    """Print what the store takes for a job with two tables, packs included; returns processor seconds.

    ``together`` jobs end between one writing and the next.
    """
    store = Store(folder / "written")
    store.prepare()
    outcomes = [outcome(job, seconds(job)) for job in jobs]
    wall, begun = time.perf_counter(), time.process_time()
    for start in range(0, len(outcomes), together):
        for each in outcomes[start : start + together]:
            store.append(each)
        store.wait()
    store.compact()
    used, wall = time.process_time() - begun, time.perf_counter() - wall
    files = {table: len(list((store.folder / table).glob("*.parquet"))) for table in ("jobs", "runs")}
    print(f"store: {len(jobs):,d} jobs, {together} at a time, two tables, fsync: "
          f"{2 * len(jobs) / wall:.0f} rows/s written, "
          f"{1e3 * used / len(jobs):.2f} ms of processor a job; files after it: {files}", flush=True)  # fmt: skip
    return used / len(jobs)


def reading(folder: Path, rows: int) -> None:
    """Print how long it takes to read a million runs back and to find the best model of every task."""
    store = Store(folder / "million")
    store.prepare()
    each = outcome(Job("finetune", 1, Model("m", "none"), Task("t", "none", (), {}, ""), {}), 1.0).rows["runs"][0]
    size = 100_000
    for number in range(rows // size):
        index = range(number * size, (number + 1) * size)
        table = pa.Table.from_pylist([each], schema=SCHEMAS["runs"]).take(pa.array([0] * size))
        columns = {"job": [f"{i * 0x9E3779B97F4A7C15 % 2**64:032x}" for i in index],
                   "model": [f"m{i % 1000}" for i in index],
                   "task": [f"t{i // 1000 % 100}" for i in index],
                   "val_accuracy": [i * 7919 % 10007 / 10007 for i in index]}  # fmt: skip
        for name, values in columns.items():
            table = table.set_column(table.schema.get_field_index(name), SCHEMAS["runs"].field(name), [values])
        store._write("runs", f"pack-{number + 1:06d}-x", table.cast(SCHEMAS["runs"]))
    begun, used = time.perf_counter(), time.process_time()
    found = sql.query(folder / "million", "select task, arg_max(model, val_accuracy), max(val_accuracy), "
                      "quantile_cont(val_accuracy, 0.5) from all_runs group by task")  # fmt: skip
    print(f"{rows:,d} rows of {rows // size} packs read and the best model of {len(found)} tasks found: "
          f"{time.perf_counter() - begun:.1f} s, {time.process_time() - used:.1f} s of processor",
          flush=True)  # fmt: skip


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args().small
    jobs, seconds = study(46, 19, 10)
    for workers in (8, 64, 512):
        makespan(jobs, seconds, workers)
    many, longer = study(*((100, 100) if small else (1000, 1000)), 1)
    each = makespan(many, longer, 1000)
    mean = statistics.fmean(longer(job) for job in many)
    folder = Path(tempfile.mkdtemp(prefix="simulate-"))
    try:
        written = writing(folder, many[: 500 if small else 20_000], longer,
                          max(1, round(PACE * 1000 / mean)))  # fmt: skip
        busy = (each + written + RAY_SECONDS) * 1000 / mean
        print(f"driver at 1,000 workers with jobs of {mean:.0f} s: {100 * busy:.1f}% busy (loop {1e3 * each:.2f} ms, "
              f"store {1e3 * written:.2f} ms, Ray {1e3 * RAY_SECONDS:.2f} ms a job)", flush=True)  # fmt: skip
        reading(folder, 100_000 if small else 1_000_000)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
