"""Answer: what a ranking came to, from the tables that the run left. Plain data, for people, notebooks and JSON."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from sweeps import picks
from sweeps.checkpoints import judged
from sweeps.config import SweepConfig
from sweeps.costs import calibrated
from sweeps.hands import How
from sweeps.plan import finals, grid, rungs
from sweeps.remote import Remote
from sweeps.run import Plan, Result
from sweeps.sifting import Dropped, told
from sweeps.store import Store
from sweeps.types import Row
from taskrel.proportion import wilson
from taskrel.resampling import ranks
from taskrel.types import Pick
from taskrel.within import chance_within, learn

SCHEMA = 1
MARGIN = 0.01
EVIDENCE = Path(__file__).parent / "evidence.csv"


@dataclass(frozen=True)
class Winner:
    """The model to use: accuracies are fractions; the interval is that of ``right`` of ``examples`` (95 %, Wilson).

    ``method`` is "fine-tuned", or "linear head" where one on the frozen features validates better than fine-tuning did.
    ``repeats`` are the test accuracies of the same setting with other seeds; with a checkpoint, ``test_accuracy`` is
    that of the checkpoint, which validates best of them.
    """

    model: str
    method: str
    learning_rate: float
    val_accuracy: float
    test_accuracy: float
    low: float
    high: float
    right: int
    examples: int
    repeats: Sequence[float]
    licence: str | None


@dataclass(frozen=True)
class Place:
    """One model of the zoo, in the order of the strategy: why there, what it scores, and what fine-tuning gave."""

    place: int
    model: str
    reason: str
    tied: int
    scores: Mapping[str, float | None]
    chance_first: float | None
    picked: bool
    val_accuracy: float | None
    test_accuracy: float | None


@dataclass(frozen=True)
class Answer:
    """What a ranking came to.

    ``within_a_point`` is the chance that no model of the zoo would be more than a point better than the winner (or,
    where nothing was fine-tuned, than the first of the ranking); None with the reason in ``notes``.
    """

    task: str
    strategy: str
    winner: Winner | None
    ranking: Sequence[Place] = field(repr=False)
    within_a_point: float | None
    checkpoint: Path | str | None
    report: Path | str | None
    out: Path | str
    seconds: Mapping[str, float | None]
    ran: Mapping[str, int]
    reused: Mapping[str, int]
    failures: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def picks(self) -> list[Place]:
        """The models that were to be fine-tuned, best pick first."""
        return [place for place in self.ranking if place.picked]

    def to_dict(self) -> dict[str, Any]:
        """The document that ``sweeps rank --json`` prints; docs/rank.md says what is in it."""
        found = asdict(self)
        for key in ("checkpoint", "report", "out"):
            found[key] = None if found[key] is None else str(found[key])
        return {"schema": SCHEMA, **found}


def answer(result: Result, config: SweepConfig, planned: Plan, how: How, remote: Remote | None = None) -> Answer:
    """Read the tables of a run of one task; ``remote`` is where the output is, if on object storage."""
    models, (task, *_), _, _ = planned
    tables = Tables(Store(result.out))

    def place(name: str) -> Path | str:
        return remote.below(name) if remote is not None else result.out / name

    order = picks.chosen(config, config.regret.answer, len(models), models, task, tables.facts, tables.scores)
    arms = tables.arms()
    tuned = config.finetune is not None
    dropped = [gone for sieve in told(config, models, [task], tables.sifted)[0]
               for gone in sieve.dropped]  # fmt: skip
    order = _behind(order, dropped, config.regret.answer_budget)
    places = _places(order, tables, dropped, config.regret.answer_budget if tuned else 0)
    notes = [note for note in result.notes if not note.startswith("no regret")]
    looked = config.embed.sizes(task.sizes)["train"]
    if looked < task.sizes["train"]:
        notes.append(f"ranked on {looked:,} of {task.sizes['train']:,} training examples; fine-tuning reads all")
    winner = _winner(tables, arms, task.sizes["test"]) if tuned else None
    chance, why = _within(places, arms, winner)
    unseen = sorted({model.name for model in models} - {row["model"] for row in tables.scores}
                    - {gone.model for gone in dropped})  # fmt: skip
    if unseen:
        notes.append("not scored, so ranked last or not at all: " + ", ".join(unseen))
    skipped = [place.model for place in places if place.picked and place.val_accuracy is None]
    if skipped and tuned:
        notes.append(f"not fine-tuned{' in the time given' if how.max_seconds or how.max_device_seconds else ''}: "
                     + ", ".join(skipped))  # fmt: skip
    failures = [_failure(row) for row in result.failures if row["error_type"] != "Blocked"]
    return Answer(
        task.name, config.regret.answer, winner, places, chance,
        place(f"checkpoints/{task.name}") if tables.checkpoint else None,
        place(result.report.name) if result.report else None, remote.uri if remote is not None else result.out,
        _seconds(config, planned, tables), dict(result.ran), dict(result.reused), failures, [*notes, *why],
    )  # fmt: skip


def _behind(order: Sequence[Pick], dropped: Sequence[Dropped], budget: int) -> list[Pick]:
    """The order with those that did not see all the data behind those that did, the latest dropped first.

    A pick stays where it is: a hybrid's task-agnostic one is picked whatever the data say.
    """
    reasons = {gone.model: gone.reason for gone in dropped if gone.model not in {pick.model for pick in order[:budget]}}
    by_name = {pick.model: pick for pick in order}
    return [*(pick for pick in order if pick.model not in reasons),
            *(replace(by_name[name], reason=reason, tied=1) for name, reason in reasons.items())]  # fmt: skip


class Tables:
    """The rows of the present plan that an answer is made of."""

    def __init__(self, store: Store) -> None:
        self.plan = {row["job"]: row for row in store.rows("plan")}
        self.facts = store.rows("models")
        self.scores = [row for row in store.rows("scores") if row["job"] in self.plan]
        self.sifted = store.rows("sifted")
        self.jobs = [row for row in store.rows("jobs") if row["status"] == "ok"]
        found = [row for row in store.rows("checkpoints") if row["job"] in self.plan]
        self.checkpoint = found[0] if found else None
        runs = [row for row in store.rows("runs") if row["job"] in self.plan or row["search"] in self.plan]
        self.runs = judged(runs, found)

    def arms(self) -> dict[tuple[str, float, str], list[Row]]:
        """(model, learning rate, origin) -> its runs that went through."""
        found: dict[tuple[str, float, str], list[Row]] = {}
        for row in sorted(self.runs, key=lambda row: row["repeat"]):
            if row["status"] == "ok":
                found.setdefault((row["model"], row["learning_rate"], row["origin"]), []).append(row)
        return found


def _places(order: Sequence[Pick], tables: Tables, dropped: Sequence[Dropped], budget: int) -> list[Place]:
    """The order with what is known of each: how the run that went furthest, the best of those, validates."""
    scored: dict[str, dict[str, float | None]] = {gone.model: dict(gone.scores) for gone in dropped}
    for row in tables.scores:
        scored.setdefault(row["model"], {})[row["proxy"]] = row["value"]
    first = _first(tables.scores)
    best: dict[str, Row] = {}
    for row in tables.runs:
        if row["val_accuracy"] is not None and row["origin"] != "head":
            best[row["model"]] = max(best.get(row["model"], row), row, key=_far)
    return [Place(number, pick.model, pick.reason, pick.tied, scored.get(pick.model, {}), first.get(pick.model),
                  number <= budget, best.get(pick.model, {}).get("val_accuracy"),
                  best.get(pick.model, {}).get("test_accuracy"))
            for number, pick in enumerate(order, start=1)]  # fmt: skip


def _far(row: Row) -> tuple[int, float, bool]:
    return row["steps_done"], row["val_accuracy"], row["test_accuracy"] is not None


def _first(scores: Sequence[Row]) -> dict[str, float]:
    """Model -> share of resamples of the examples in which a probe puts it first; empty without replicates."""
    for name in ("ridge", "logistic", "knn_loo", "logme"):
        rows = [row for row in scores if row["proxy"] == name and row["value"] is not None and row["replicates"]]
        if rows:
            number = min(len(row["replicates"]) for row in rows)
            found = ranks([row["value"] for row in rows], [row["replicates"][:number] for row in rows])
            return {row["model"]: float(top) for row, top in zip(rows, found.top, strict=True)}
    return {}


def _winner(tables: Tables, arms: Mapping[tuple[str, float, str], Sequence[Row]], test: int) -> Winner | None:
    """The final repeats' model, or the best by validation while there are none."""
    tested = {key: rows for key, rows in arms.items() if all(row["test_accuracy"] is not None for row in rows)}
    if not tested:
        return None
    final = {key: rows for key, rows in tested.items() if key[2] in ("final", "head")}
    (model, rate, origin), rows = min((final or tested).items(),
                                 key=lambda arm: (-median(row["val_accuracy"] for row in arm[1]), arm[0]))  # fmt: skip
    top = max(rows, key=lambda row: row["val_accuracy"])
    right = round(top["test_accuracy"] * test)
    if tables.checkpoint is not None:
        top, right = tables.checkpoint, tables.checkpoint["test_right"]
    licence = next((row["licence"] for row in tables.facts if row["model"] == model), None)
    method = "linear head" if origin == "head" else "fine-tuned"
    return Winner(model, method, rate, top["val_accuracy"], right / test, *wilson(right, test), right, test,
                  [row["test_accuracy"] for row in rows], licence)  # fmt: skip


def _within(places: Sequence[Place], arms: Mapping[tuple[str, float, str], Sequence[Row]],
            winner: Winner | None) -> tuple[float | None, list[str]]:  # fmt: skip
    """The chance of :func:`taskrel.within.chance_within` from the shipped evidence, or why it is not known.

    What was trained to the end without meeting the test split counts with its validation accuracy.
    """
    reached: dict[str, float] = {}
    for (model, _, origin), rows in arms.items():
        if origin != "head":
            each = [row["val_accuracy"] if row["test_accuracy"] is None else row["test_accuracy"] for row in rows]
            reached[model] = max(reached.get(model, 0.0), median(each))
    best = None
    if winner is not None and winner.method == "fine-tuned":
        reached[winner.model] = median(winner.repeats)
    elif winner is not None:
        best = winner.test_accuracy
    probe = np.array([place.scores.get("linear") for place in places], dtype=np.float64)
    if np.isnan(probe).all():
        return None, ["the chance of being within a point of the best needs the linear probe, got none"]
    known = {index: reached[place.model] for index, place in enumerate(places) if place.model in reached}
    return chance_within(lessons(), probe, known, MARGIN, best=best), []


def lessons() -> list[Any]:
    """What the finished tables that are shipped teach: the embedded zoo's tasks and those of docs/rank.md."""
    tasks: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with open(EVIDENCE, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            tasks.setdefault((row["zoo"], row["task"]), []).append((float(row["linear"]), float(row["accuracy"])))
    return [learn(*zip(*cells, strict=True)) for cells in tasks.values()]


def _seconds(config: SweepConfig, planned: Plan, tables: Tables) -> dict[str, float | None]:
    """Seconds on workers: by kind of job, together, and what fine-tuning every model would take by estimate."""
    models, (task, *_), jobs, _ = planned
    trials = {row["job"] for row in tables.runs}
    here = [row for row in tables.jobs if row["job"] in tables.plan or row["job"] in trials]
    found: dict[str, float | None] = {}
    for row in here:
        found[row["kind"]] = (found.get(row["kind"]) or 0.0) + row["seconds"]
    found["all"] = sum(row["seconds"] for row in here)
    found["exhaustive"] = None
    if config.finetune is not None:
        every = [job for model in models for job in grid(config, model, task)]
        parts = [part for job in every for part in rungs(config, job)]
        ends = [] if config.final is None else [
            end for job in every for end in finals(config, job.model, task, job.settings["learning_rate"])
        ]  # fmt: skip
        guesses = calibrated(every, here, [*jobs, *every, *parts, *ends])
        known = {row["job"]: row["seconds"] for row in here}
        found["exhaustive"] = sum(known.get(job.id, guesses[job.id]) for job in every)
    return found


def _failure(row: Row) -> str:
    where = " on ".join(name for name in (row["model"], row["task"]) if name)
    return f"{row['kind']} {where}: {row['error']}"
