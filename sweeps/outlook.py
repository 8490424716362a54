"""What a run would do (``sweeps plan``). Reads tables, runs nothing."""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sweeps import costs
from sweeps.config import SweepConfig
from sweeps.picks import BEST
from sweeps.plan import grid, pairs, rungs
from sweeps.run import Plan, plan
from sweeps.sifting import shown, survivors, told
from sweeps.store import Store
from sweeps.types import Job, Model, Row, Task


@dataclass(frozen=True)
class Outlook:
    """Per kind of job: how many, done, failed before, and estimated seconds left on one worker; then disk, faults
    of tasks, and notes on what of them is left out.

    ``tuned`` is for a sweep that fine-tunes picks only: how many, the seconds of that, and of fine-tuning all.
    ``trials`` are those of one search; then the planned jobs (of models that are sifted, guesses), ids of those done,
    rows of ``jobs`` measured here, and a line per task whose models are sifted.
    """

    models: int
    tasks: int
    kinds: dict[str, tuple[int, int, int, float]]
    searches: int
    measured: bool
    feature_bytes: int
    pixel_bytes: int
    free_bytes: int
    faults: dict[str, str]
    notes: tuple[str, ...] = ()
    tuned: tuple[int, float, float] | None = None
    trials: int = 0
    jobs: tuple[Job, ...] = ()
    done: frozenset[str] = frozenset()
    rows: tuple[Row, ...] = ()
    sifted: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Estimated seconds left on one worker."""
        return sum(left for *_, left in self.kinds.values()) + (self.tuned[1] if self.tuned else 0.0)


def outlook(config: SweepConfig, out: str | Path, planned: Plan | None = None) -> Outlook:
    """The plan of a sweep against what its output folder holds; ``planned`` is that plan, where it is known already."""
    models, tasks, jobs, faults = planned or plan(config)
    store = Store(out)
    statuses = store.statuses() if store.folder.is_dir() else {}
    rows = [row for row in store.rows("jobs") if row["status"] == "ok"] if statuses else []
    sieves, looks = told(config, models, tasks, store.rows("sifted") if statuses else [], statuses)
    jobs = (*looks, *survivors(jobs, sieves))
    seconds = costs.calibrated(jobs, rows, jobs)
    kinds = {kind: _tally([job for job in jobs if job.kind == kind], statuses, seconds)
             for kind in dict.fromkeys(job.kind for job in jobs)}  # fmt: skip
    searches = 0
    if config.search is not None:
        most = {"all": len(models), BEST: 1}.get(config.search.models, config.search.budget)
        searches = min(most, len(models)) * len(tasks) * config.search.trials
    tuned: tuple[int, float, float] | None = None
    if config.finetune is not None and config.finetune.models != "all":
        tuned = _tuned(config, models, tasks, jobs, rows)
    folder = next(path for path in (store.out.absolute(), *store.out.absolute().parents) if path.exists())
    return Outlook(len(models), len(tasks), kinds, searches, bool(rows), costs.feature_bytes(config, models, tasks),
                   costs.pixel_bytes(config, models, tasks), shutil.disk_usage(folder).free, faults,
                   tuple(_notes(config, tasks)), tuned,
                   config.search.trials if config.search else 0, jobs,
                   frozenset(job.id for job in jobs if statuses.get(job.id) == "ok"), tuple(rows),
                   tuple(shown(sieve) for sieve in sieves))  # fmt: skip


def _notes(config: SweepConfig, tasks: Sequence[Task]) -> Iterator[str]:
    """What is left out of the tasks, and of what models are embedded with."""
    for task in tasks:
        yield from task.notes
        looked = config.embed.sizes(task.sizes)["train"]
        if looked < task.sizes["train"]:
            yield (f"models are looked at on {looked:,} of {task.sizes['train']:,} training examples of {task.name}; "
                   "fine-tuning reads all")  # fmt: skip


def _tuned(config: SweepConfig, models: Sequence[Model], tasks: Sequence[Task], jobs: Sequence[Job],
           rows: Sequence[Row]) -> tuple[int, float, float]:  # fmt: skip
    """How many models are picked, the seconds of fine-tuning that many of middling cost, and those of all."""
    assert config.finetune is not None
    cells = [grid(config, model, task) for model, task in pairs(models, tasks)]
    every = [job for cell in cells for job in cell]
    seconds = costs.calibrated(every, rows, [*jobs, *every])
    repeats = config.final.repeats if config.final is not None else 0
    picked = min(config.finetune.budget, len(models))
    runs = picked * len(cells[0]) + repeats
    some = runs * sum(seconds.values()) / len(every)
    if config.finetune.halving:
        parts = [rungs(config, job) for job in every]
        guesses = costs.calibrated([part for run in parts for part in run], rows, [*jobs, *every])
        left, some = picked * len(cells[0]), max(0, repeats - 1) * sum(seconds.values()) / len(every)
        for part in zip(*parts, strict=True):
            some += left * sum(guesses[job.id] for job in part) / len(part)
            left = -(-left // 2)
    return picked, len(tasks) * some, sum(seconds.values())


def _tally(jobs: list[Job], statuses: dict[str, str], seconds: dict[str, float]) -> tuple[int, int, int, float]:
    done = sum(statuses.get(job.id) == "ok" for job in jobs)
    failed = sum(statuses.get(job.id) == "failed" for job in jobs)
    return len(jobs), done, failed, sum(seconds[job.id] for job in jobs if statuses.get(job.id) != "ok")


def show_outlook(console: Console, found: Outlook, out: str | Path) -> None:
    """Print a plan."""
    console.print(f"{found.models} models x {found.tasks} tasks -> {out}", markup=False, highlight=False)
    table = Table("jobs", "planned", "done", "failed", "to do", "seconds left", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for kind, (planned, done, failed, left) in found.kinds.items():
        table.add_row(kind, str(planned), str(done), str(failed), str(planned - done), f"{left:.0f}")
    console.print(table)
    for line in found.sifted:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if found.tuned:
        picked, some, every = found.tuned
        of = f"{picked} of {found.models} models"
        console.print(f"then {of} are fine-tuned, picked from the scores: about {some:.0f} "
                      f"s; all of them would take about {every:.0f} s", highlight=False)  # fmt: skip
    if found.searches:
        confirmed = ", and their confirmation" if not found.tuned else ""
        console.print(f"then at most {found.searches} search trials, on models picked from the scores{confirmed}")
    cores = len(os.sched_getaffinity(0))
    basis = "from earlier jobs here" if found.measured else "a guess, within a factor of about three"
    console.print(
        f"about {found.seconds:.0f} s on one worker, {found.seconds / cores:.0f} s on {cores} ({basis})",
        highlight=False,
    )
    console.print(f"disk: {_size(found.feature_bytes)} of features, {_size(found.pixel_bytes)} of decoded images; "
                  f"{_size(found.free_bytes)} free", highlight=False)  # fmt: skip
    for note in found.notes:
        console.print(f"note: {note}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    for fault in found.faults.values():
        console.print(f"left out: {fault}", style="red", markup=False, highlight=False, soft_wrap=True)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
