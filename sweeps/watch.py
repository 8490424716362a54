"""How far a sweep is (``sweeps status``), once or live, from the tables as they are. Reads, runs nothing."""

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.errors import OutputError
from sweeps.report import words
from sweeps.store import Store
from sweeps.types import Row

EVERY = 2.0  # seconds between two looks
SHARE = 0.05  # of the time, at most, that looking may take
MOST_FAILURES, MOST_TASKS = 5, 12


@dataclass(frozen=True)
class Standing:
    """Per stage and kind: planned, done, failed, missing, seconds; the failures; the best runs so far; who works."""

    stages: Sequence[tuple[str, str, int, int, int, int, float]]
    failures: Sequence[Row]
    best: Sequence[Row]
    working: bool

    @property
    def missing(self) -> int:
        """Planned and not tried."""
        return sum(row[5] for row in self.stages)

    @property
    def over(self) -> bool:
        """All that is planned was tried, and nobody plans more."""
        return not self.missing and not self.working


def standing(out: str | Path) -> Standing:
    """How the sweep in a folder stands now.

    Raises:
        OutputError: when the folder holds no sweep.
    """
    store = Store(out)
    plan = store.rows("plan") if store.folder.is_dir() else []
    if not plan:
        raise OutputError(f"the output folder must hold a sweep, got {out}; run 'sweeps run' first or give --out")
    columns = ["job", "kind", "model", "task", "status", "error", "seconds"]
    jobs = {row["job"]: row for row in store.read("jobs", columns=columns).to_pylist()}
    columns = ["job", "search", "model", "task", "learning_rate", "val_accuracy", "test_accuracy"]
    runs = store.read("runs", columns=columns).to_pylist()
    capped = store.read("bounds", columns=["search"])["search"].to_pylist()
    trials = Counter(search for search in (*(row["search"] for row in runs), *capped) if search)
    stages = []
    for stage, kind in dict.fromkeys((row["stage"], row["kind"]) for row in plan):
        ids = [row["job"] for row in plan if (row["stage"], row["kind"]) == (stage, kind)]
        states = Counter("ok" if trials[job] else jobs[job]["status"] if job in jobs else "missing" for job in ids)
        seconds = sum(jobs[job]["seconds"] or 0.0 for job in ids if job in jobs)
        stages.append((stage, kind, len(ids), states["ok"], states["failed"], states["missing"], seconds))
    planned = {row["job"] for row in plan}
    failures = [row for row in jobs.values() if row["job"] in planned and row["status"] == "failed"]
    told = [row for row in runs if row["val_accuracy"] is not None and planned & {row["job"], row["search"]}]
    best = {row["task"]: row for row in sorted(told, key=lambda row: row["val_accuracy"])}
    return Standing(stages, failures, [best[task] for task in sorted(best)], working(store))


def working(store: Store) -> bool:
    """Whether a run holds the folder, as far as one can tell when it is on another machine; of object storage none."""
    if store.remote is not None:
        return False
    path = store.out / ".holder.json"
    try:
        holder = json.loads(path.read_text())
        if holder["host"] == socket.gethostname():
            os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, KeyError):
        return path.exists()
    return True


def show_status(console: Console, out: str | Path) -> None:
    """Print how far the sweep in a folder is."""
    found = standing(out)
    console.print(_table(found))
    for row in found.failures:
        console.print(_failure(row), soft_wrap=True)


def watch(console: Console, out: str | Path, every: float = EVERY, pause: Callable[[float], None] = time.sleep) -> None:
    """Show how far it is until it is over: a live view in a terminal, otherwise a line whenever something changed."""
    begun = time.monotonic()
    found = standing(out)
    if not console.is_terminal:
        said = ""
        while True:
            if (line := _line(found)) != said:
                console.print(said := line, markup=False, highlight=False, soft_wrap=True)
            if found.over:
                return
            begun = _rest(begun, every, pause)
            found = standing(out)
    with Live(_view(found), console=console, auto_refresh=False) as live:
        while not found.over:
            begun = _rest(begun, every, pause)
            found = standing(out)
            live.update(_view(found), refresh=True)


def _rest(begun: float, every: float, pause: Callable[[float], None]) -> float:
    pause(max(every, (time.monotonic() - begun) / SHARE))
    return time.monotonic()


def _table(found: Standing) -> Table:
    table = Table("stage", "kind", "planned", "done", "failed", "missing", "time", box=None, pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for stage, kind, *numbers, seconds in found.stages:
        table.add_row(stage, kind, *map(str, numbers), words.duration(seconds))
    return table


def _view(found: Standing) -> Group:
    best = Table("best so far", "model", "learning rate", "validation", "test", box=None, pad_edge=False)
    for column in best.columns[2:]:
        column.justify = "right"
    for row in found.best[:MOST_TASKS]:
        best.add_row(Text(words.printable(row["task"])), Text(words.printable(row["model"])),
                     words.rate(row["learning_rate"]), words.percent(row["val_accuracy"]),
                     words.percent(row["test_accuracy"]))  # fmt: skip
    parts: list[RenderableType] = [_table(found), Text()]
    parts += [best, Text()] if found.best else []
    parts += [_failure(row) for row in found.failures[-MOST_FAILURES:]]
    return Group(*parts, Text(_line(found), "bold"))


def _failure(row: Row) -> Text:
    text = f"failed: {row['kind']} {row['model']} on {row['task']}: {row['error']}"
    return Text(words.printable(text), "red")


def _line(found: Standing) -> str:
    planned, done = sum(row[2] for row in found.stages), sum(row[3] for row in found.stages)
    parts = [f"{done:,} of {words.count(planned, 'job')} done"]
    parts += [f"{len(found.failures):,} failed"] * bool(found.failures)
    parts += [f"{found.missing:,} missing"] * bool(found.missing)
    state = "over" if found.over else "running" if found.working else "nobody works on it: 'sweeps run' goes on"
    return f"{', '.join(parts)}; {state}"
