"""The measured rows of the current plan, read once: what analysis, page and summary all start from."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from sweeps.checkpoints import judged
from sweeps.report.cells import GRID_KIND, planned_only
from sweeps.store import Store
from sweeps.types import Row

# A search has no job of its own: its trials are its jobs, and what they cost is what the search costs.
ORDER = ("sift", "embed", "score", "early", "task2vec", "bound", "tau", "head2toe", "head2toe_ft", "finetune", "rung",
         "search", "confirm", "head", "final", "export")  # fmt: skip
STAGE: Mapping[str, str] = {"trial": "search", "tau_trial": "tau"}


def stage_of(job: Row) -> str:
    """The kind of planned job that a row of ``jobs`` belongs to."""
    return str(STAGE.get(job["kind"], job["kind"]))


@dataclass(frozen=True)
class Stage:
    """How the planned jobs of one kind stand, and the seconds they took."""

    kind: str
    planned: int
    done: int
    failed: int
    seconds: float

    @property
    def missing(self) -> int:
        """Planned and not tried."""
        return self.planned - self.done - self.failed


@dataclass(frozen=True)
class Missing:
    """Jobs of one kind in one cell that are planned and not tried."""

    kind: str
    model: str
    task: str
    jobs: int
    planned: int


@dataclass(frozen=True)
class Evidence:
    """Rows of the measured tables and of the tables of facts; measured rows of other plans are left out.

    ``faults`` are the tasks that cannot be read, each with its reason.
    """

    models: list[Row]
    tasks: list[Row]
    plan: list[Row]
    jobs: list[Row]
    scores: list[Row]
    runs: list[Row]
    faults: Mapping[str, str] = field(default_factory=dict)
    embeddings: list[Row] = field(default_factory=list)
    bounds: list[Row] = field(default_factory=list)
    head2toe: list[Row] = field(default_factory=list)
    head2toe_ft: list[Row] = field(default_factory=list)
    sifted: list[Row] = field(default_factory=list)

    @cached_property
    def task_names(self) -> list[str]:
        """Tasks in the order of the sweep."""
        return list(dict.fromkeys([row["task"] for row in self.tasks] + [row["task"] for row in self.plan]))

    @cached_property
    def parts(self) -> Mapping[str, list[str]]:
        """Images, texts: the tasks of each that the sweep has, in its order; tasks without facts are images."""
        read = {row["task"]: row["modality"] for row in self.tasks}
        found: dict[str, list[str]] = defaultdict(list)
        for task in self.task_names:
            found[f"{read.get(task) or 'image'}s".capitalize()].append(task)
        return found

    @cached_property
    def model_names(self) -> list[str]:
        """Models in the order of the sweep, from-scratch baselines included."""
        return list(dict.fromkeys([row["model"] for row in self.models] + [row["model"] for row in self.plan]))

    @property
    def pool(self) -> list[str]:
        """Every model but the from-scratch baselines."""
        return [row["model"] for row in self.models if row["group"] != "scratch"]

    def met(self, task: str, models: Iterable[str]) -> list[str]:
        """Those models that the plan sends to a task (language models meet no images); all, if it sends none there."""
        sent = self._sent.get(task)
        return [model for model in models if sent is None or model in sent]

    @cached_property
    def _sent(self) -> Mapping[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for row in self.plan:
            found[row["task"]].add(row["model"])
        return found

    @property
    def scratch(self) -> set[str]:
        """The from-scratch baselines."""
        return {row["model"] for row in self.models if row["group"] == "scratch"}

    @cached_property
    def failures(self) -> list[Row]:
        """The jobs that were tried and gave no result, and the tasks that cannot be read."""
        unread = [{"kind": "read", "model": None, "task": task, "status": "failed", "error_type": "DataError",
                   "error": text} for task, text in self.faults.items()]  # fmt: skip
        return unread + [row for row in self.jobs if row["status"] != "ok"]

    @cached_property
    def diverged(self) -> list[Row]:
        """The runs that ended without an accuracy: the job is well, its learning rate was not."""
        return [row for row in self.runs if row["status"] == "diverged"]

    @cached_property
    def unscored(self) -> list[Row]:
        """The scores that are undefined, with their reason."""
        return [row for row in self.scores if row["value"] is None]

    @cached_property
    def dropped(self) -> Mapping[tuple[str, str], list[Row]]:
        """(task, model) -> the rows of ``sifted`` after which it was dropped: it was not looked at on all examples."""
        ended = {row["job"] for row in self.sifted}  # of the others nobody knows: they failed, or had no time
        went_on = {(row["task"], row["model"]) for row in self.plan if row["kind"] != "sift" or row["job"] not in ended}
        last: dict[tuple[str, str], list[Row]] = {}
        for row in sorted(self.sifted, key=lambda row: (-row["examples"], row["task"], row["model"], row["proxy"])):
            key = row["task"], row["model"]
            if key not in went_on and row["examples"] == last.get(key, [row])[0]["examples"]:
                last.setdefault(key, []).append(row)
        return last

    @cached_property
    def _status(self) -> dict[str, str]:
        """Planned job -> how it ended; a search has ended once it has a trial."""
        searched = {row["search"]: "ok" for row in (*self.runs, *self.bounds) if row["search"]}
        return searched | {row["job"]: row["status"] for row in self.jobs}

    @cached_property
    def stages(self) -> list[Stage]:
        """The plan by kind of job, in its order."""
        planned: Counter[str] = Counter()
        ended: Counter[tuple[str, bool]] = Counter()
        for row in self.plan:
            planned[row["kind"]] += 1
            if row["job"] in self._status:
                ended[row["kind"], self._status[row["job"]] == "ok"] += 1
        seconds: dict[str, float] = defaultdict(float)
        for row in self.jobs:
            seconds[stage_of(row)] += row["seconds"] or 0.0
        kinds = sorted(planned, key=lambda kind: (ORDER.index(kind) if kind in ORDER else len(ORDER), kind))
        return [Stage(kind, planned[kind], ended[kind, True], ended[kind, False], seconds[kind]) for kind in kinds]

    @cached_property
    def missing(self) -> list[Missing]:
        """Planned jobs that nobody has tried yet, counted by cell."""
        cells = Counter((row["kind"], row["model"], row["task"]) for row in self.plan)
        untried = Counter((row["kind"], row["model"], row["task"]) for row in self.plan
                          if row["job"] not in self._status)  # fmt: skip
        return [Missing(*cell, number, cells[cell]) for cell, number in untried.items()]

    @property
    def tried(self) -> set[str]:
        """The jobs that ended, well or not."""
        return {row["job"] for row in self.jobs}

    @property
    def fine_tuned(self) -> bool:
        """Whether any run of the grid has ended."""
        return any(row["origin"] == "grid" for row in self.runs)

    @property
    def fine_tuning_planned(self) -> bool:
        """Whether the plan has fine-tuning at all."""
        return any(row["kind"] == GRID_KIND for row in self.plan)


def gather(store: Store, faults: Mapping[str, str] | None = None) -> Evidence:
    """Read the store."""
    plan = store.rows("plan")
    planned = {row["job"] for row in plan}
    runs = planned_only(store.read("runs").drop_columns(["curve"]).to_pylist(), planned)
    runs = judged(runs, planned_only(store.rows("checkpoints"), planned))
    return Evidence(
        models=store.rows("models"),
        tasks=store.rows("tasks"),
        plan=plan,
        jobs=[row for row in store.rows("jobs") if row["job"] in planned or _search(row) in planned],
        scores=planned_only(_scores(store), planned),
        runs=[row for row in runs if row["origin"] != "head2toe"],
        faults=faults or {},
        embeddings=planned_only(store.rows("embeddings"), planned),
        bounds=planned_only(store.rows("bounds"), planned),
        head2toe=planned_only(store.rows("head2toe"), planned),
        head2toe_ft=[row for row in runs if row["origin"] == "head2toe"],
        sifted=planned_only(store.rows("sifted"), planned),
    )


def _scores(store: Store) -> list[Row]:
    """Rows of ``scores``; their replicates, hundreds a row, stay arrays."""
    table = store.read("scores")
    replicates = [None if each.values is None else each.values.to_numpy(zero_copy_only=False)
                  for each in table["replicates"]]  # fmt: skip
    return [row | {"replicates": drawn}
            for row, drawn in zip(table.drop_columns(["replicates"]).to_pylist(), replicates, strict=True)]  # fmt: skip


def _search(job: Row) -> str | None:
    """The search that a trial belongs to."""
    return json.loads(job["content"])["settings"].get("search") if job["kind"] in STAGE else None
