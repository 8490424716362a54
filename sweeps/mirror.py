"""What a mirror of the tables says: one run per model, one per searched cell, from rows that are whole. No W&B here.

A run's history only grows: the steps of a job that was told keep their numbers, whoever dies in between, because their
order is written to the cursor *before* they are told. Keys, host names and tracebacks stay at home.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa

from sweeps.config import SweepConfig
from sweeps.fingerprint import fingerprint
from sweeps.parquet import write_parquet
from sweeps.store import DERIVED, Store
from sweeps.types import Row

CURSOR = ".mirror.json"
STAGED = ".mirror"  # tables without places, as they are told
MEASURED = ("models", "tasks", "plan", "jobs", "features", "sifted", "scores", "runs", "embeddings", "bounds",
            "head2toe")  # fmt: skip
PLACES = ("host", "worker", "traceback")
TERMS = ("total", "reference_loss", "label_mismatch", "distribution_mismatch")
FACTS = ("source", "group", "family", "parameters", "dim", "input_size", "upstream", "upstream_size",
         "upstream_accuracy", "released", "pretrained", "licence", "revision", "modality")  # fmt: skip


@dataclass(frozen=True)
class Shard:
    """One run of the mirror.

    ``points`` are rows of history by the job that measured them, each job's in order; ``summary`` the last word.
    """

    key: str
    name: str
    job_type: str
    config: Mapping[str, Any]
    points: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """Names all that it says."""
        return fingerprint([self.name, self.job_type, dict(self.config), {job: list(rows) for job, rows in
                            self.points.items()}, dict(self.summary)])  # fmt: skip

    def steps(self, order: Iterable[str]) -> list[Row]:
        """The history in the order of the jobs: its place is a row's step."""
        return [row for job in order for row in self.points.get(job, ())]


class Cursor:
    """How far the mirror is at one destination: the order of the jobs of every run, and what was told whole."""

    def __init__(self, out: Path, destination: str) -> None:
        self._path, self._destination = out / CURSOR, destination
        try:
            self._all = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._all = {}
        self._here: dict[str, Any] = self._all.setdefault(destination, {})

    def get(self, key: str, what: str) -> Any:
        """What is known of a run or of the report; None if nothing."""
        return self._here.get(key, {}).get(what)

    def note(self, key: str, **what: Any) -> None:
        """Remember, on the disk when this returns."""
        self._here[key] = self._here.get(key, {}) | what
        temporary = self._path.with_name(f".tmp-{os.getpid()}-{CURSOR}")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(self._all, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)

    def order(self, shard: Shard, finished: Mapping[str, Any]) -> list[str]:
        """The jobs of a run: those told before in their order, then the new ones as they finished."""
        before = [job for job in self.get(shard.key, "order") or () if job in shard.points]
        new = sorted(shard.points.keys() - set(before), key=lambda job: (str(finished.get(job)), job))
        return before + new


@dataclass(frozen=True)
class View:
    """The rows of the current plan, as plain data."""

    tables: Mapping[str, Sequence[Row]]

    @property
    def finished(self) -> dict[str, Any]:
        """Job -> when it was done."""
        return {row["job"]: row["finished"] for row in self.tables["jobs"]}


def read(store: Store) -> View:
    """The measured rows of the current plan, and what was derived last."""
    plan = store.rows("plan")
    planned = {row["job"] for row in plan}
    found: dict[str, Sequence[Row]] = {"plan": plan, "models": store.rows("models"), "tasks": store.rows("tasks"),
                                       "accuracies": store.rows("accuracies")}  # fmt: skip
    for name in ("features", "scores", "runs", "bounds", "head2toe"):
        table = store.read(name)
        light = table.drop_columns([column for column in ("values", "replicates") if column in table.column_names])
        found[name] = [row for row in light.to_pylist() if row["job"] in planned or row.get("search") in planned]
    told = planned | {row["job"] for name in ("runs", "bounds") for row in found[name]}
    found["jobs"] = [row for row in store.rows("jobs") if row["job"] in told]
    return View(found)


def shards(view: View, config: SweepConfig) -> list[Shard]:
    """The runs that the rows make, those of models first."""
    return [*_models(view, config), *_searches(view, config)]


def _by(rows: Iterable[Row], *columns: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[columns[0]] if len(columns) == 1 else tuple(row[column] for column in columns)].append(row)
    return found


def _models(view: View, config: SweepConfig) -> list[Shard]:
    facts = {row["model"]: row for row in view.tables["models"]}
    names = ("jobs", "runs", "scores", "features", "bounds", "head2toe", "accuracies")
    each = {name: _by(view.tables[name], "model") for name in names}
    shared = {"sweep": config.name, "sweep_id": config.fingerprint, "settings": settings(config)}
    found = []
    for model in dict.fromkeys(row["model"] for row in view.tables["plan"]):
        rows = {name: each[name].get(model, []) for name in names}
        if rows["jobs"]:
            told = {key: value for key in FACTS if (value := facts.get(model, {}).get(key)) is not None}
            found.append(Shard(f"model/{model}", model, "model", shared | {"model": model} | told,
                               {row["job"]: curve(row) for row in rows["runs"] if row["search"] is None},
                               model_summary(rows)))  # fmt: skip
    return found


def settings(config: SweepConfig) -> dict[str, Any]:
    """The resolved config without what every model's own run says of it, and without folders of this machine."""
    plain = config.model_dump(mode="json")
    plain["model"], plain["task"] = [row["name"] for row in plain["model"]], [row["name"] for row in plain["task"]]
    return plain


def curve(run: Row) -> list[Row]:
    """The history rows of one fine-tuning: its own step, and loss and accuracy under the name of task, rate, repeat."""
    rows = []
    for point in run["curve"] or ():
        told = {name: point[name] for name in ("train_loss", "val_accuracy")}
        known = {f"{where(run)}/{name}": value for name, value in told.items() if value is not None and isfinite(value)}
        rows.append({"finetune_step": point["step"]} | known)
    return rows


def where(run: Row) -> str:
    """The name under which a fine-tuning's curves are: task, rate and repeat, so that models share it."""
    return f"curves/{run['task']}/rate {run['learning_rate']:.3g}/repeat {run['repeat']}"


def model_summary(rows: Mapping[str, Sequence[Row]]) -> Row:
    """The last word on a model: accuracies, scores, terms of its least bound by task, and what it cost."""
    told: Row = {}
    for row in rows["accuracies"]:
        told |= {f"{name}/{row['task']}": row[name] for name in ("accuracy", "learning_rate")}
    told |= {f"score/{row['proxy']}/{row['task']}": row["value"] for row in rows["scores"]}
    bounds = _by((row for row in rows["bounds"] if row["total"] is not None and row["mode"] == "labelled"), "task")
    for task, found in bounds.items():
        least = min(found, key=lambda row: row["total"])
        told |= {f"bound/{task}/{term}": least[term] for term in TERMS} | {f"bound/{task}/tau": least["tau"]}
    told |= {f"head2toe/{row['task']}": row["test_accuracy"] for row in rows["head2toe"]}
    for kind, found in _by(rows["jobs"], "kind").items():
        told[f"seconds/{kind}"] = sum(row["seconds"] or 0.0 for row in found)
    told["jobs/ok"] = sum(row["status"] == "ok" for row in rows["jobs"])
    told["jobs/failed"] = len(rows["jobs"]) - told["jobs/ok"]
    told["peak_memory_bytes"] = max((row["peak_memory_bytes"] or 0 for row in rows["runs"]), default=0) or None
    for row in rows["features"]:
        told[f"images_per_second/{row['task']}"] = row["images_per_second"]
    told["devices"] = ", ".join(sorted({row["device"] for row in rows["jobs"] if row["device"]})) or None
    return {key: value for key, value in told.items() if value is not None}


def _searches(view: View, config: SweepConfig) -> list[Shard]:
    """One run per searched model and task: its trials over learning rate and tau, and the best of each."""
    rates = _by((row for row in view.tables["runs"] if row["search"]), "model", "task")
    taus = _by((row for row in view.tables["bounds"] if row["search"]), "model", "task")
    found = []
    for model, task in dict.fromkeys([*rates, *taus]):
        tuned, capped = rates.get((model, task), []), taus.get((model, task), [])
        points = {row["job"]: [_known(row, "trial", "learning_rate", "val_accuracy", "test_accuracy", "steps_done",
                                      "seconds")] for row in tuned}  # fmt: skip
        points |= {row["job"]: [_known(row, "trial", "tau", "total", "gap", "seconds")] for row in capped}
        summary: Row = {"trials": len(tuned) + len(capped), "seconds": sum(row["seconds"] or 0.0 for row in
                                                                           (*tuned, *capped))}  # fmt: skip
        best = max((row for row in tuned if row["val_accuracy"] is not None), key=lambda row: row["val_accuracy"],
                   default=None)  # fmt: skip
        least = min((row for row in capped if row["total"] is not None), key=lambda row: row["total"], default=None)
        summary |= _known(best, "learning_rate", "val_accuracy") if best else {}
        summary |= _known(least, "tau", "total") if least else {}
        found.append(Shard(f"search/{model}/{task}", f"{model} on {task}", "search",
                           {"sweep": config.name, "sweep_id": config.fingerprint, "model": model, "task": task},
                           points, summary))  # fmt: skip
    return found


def _known(row: Row, *columns: str) -> Row:
    return {column: row[column] for column in columns if row[column] is not None}


def verdict(store: Store, config: SweepConfig) -> Shard:
    """The run that the report belongs to: the whole config, and the mean regrets by pool, budget and strategy."""
    told = {f"mean_relative_regret/{row['pool']}/{row['budget']}/{row['strategy']}": row["mean_relative_regret"]
            for row in store.rows("strategies")}  # fmt: skip
    shared = {"sweep": config.name, "sweep_id": config.fingerprint, "settings": settings(config)}
    return Shard("report", config.name, "report", shared, {}, told)


def discreet(text: str, hosts: Iterable[str | None]) -> str:
    """A message without the names of machines."""
    for host in hosts:
        text = re.sub(rf"(?<![\w-]){re.escape(host)}(?![\w-])", "a host", text) if host else text
    return text


def stage(store: Store, mode: str) -> dict[str, list[Path]]:
    """Write the tables without places, as a mode tells them: ``measured`` and ``derived``, a file per table."""
    kinds = {"measured": MEASURED, "derived": DERIVED}
    found: dict[str, list[Path]] = {}
    for kind, tables in kinds.items():
        for name in tables:
            table = store.read(name)
            if name == "jobs":
                hosts, column = sorted({*table["host"].to_pylist()} - {None}), table.column_names.index("error")
                errors = [text and discreet(text, hosts) for text in table["error"].to_pylist()]
                table = table.set_column(column, "error", pa.array(errors, pa.string()))
            path = store.out / STAGED / mode / kind / f"{name}.parquet"
            write_parquet(path, table.drop_columns([column for column in PLACES if column in table.column_names]))
            found.setdefault(kind, []).append(path)
    return found
