"""Jobs of a few milliseconds that need no torch, with rows as the real kinds write them, made from their ids."""

import json
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from sweeps.types import Job, Model, Row, Task

MODELS, TASKS, RATES = 3, 4, (0.1, 0.01)
PAUSE_SECONDS = 0.03


@dataclass
class Context:
    """As much of a worker's context as these jobs use."""

    cache: Path
    hardware: str = "cpu"

    def memory(self) -> None:
        """No GPU."""

    def prepare(self, model: Model) -> None:
        """Nothing to import."""

    def forget(self) -> None:
        """Nothing is kept."""


def opened(cache: Path, device: str, threads: int, shared: str | None) -> Context:
    return Context(cache)


def number(job: Job, of: str = "") -> float:
    """A number in [0, 1) that depends on the job alone."""
    return int(job.id[:8], 16) / 2**32 if not of else (int(job.id[:8], 16) ^ hash_of(of)) / 2**32


def hash_of(text: str) -> int:
    return sum(byte * 131**place for place, byte in enumerate(text.encode())) % 2**32


def embed(job: Job, context: Context) -> dict[str, list[Row]]:
    features(job, context)
    row = {"job": job.id, "model": job.model.name, "task": job.task.name, "dim": 8, "train": 10, "val": 5}
    return {"features": [row]}


def pause(job: Job, context: Context) -> dict[str, list[Row]]:
    time.sleep(PAUSE_SECONDS)
    return {}


def features(job: Job, context: Context) -> float:
    """Read from the cache, or made and kept there, as the real ones are."""
    path = context.cache / "features" / f"{job.id}.json"
    if not path.exists():
        time.sleep(PAUSE_SECONDS)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
        temporary.write_text(json.dumps(number(job)))
        os.replace(temporary, path)
    return float(json.loads(path.read_text()))


def score(job: Job, context: Context) -> dict[str, list[Row]]:
    seen = features(embedding(job.model, job.task), context)
    value = None if job.settings["proxy"] == "never" else (seen + number(job)) / 2
    row = {"job": job.id, "model": job.model.name, "task": job.task.name, "proxy": job.settings["proxy"],
           "value": value, "reason": None if value is not None else "this one cannot be computed"}  # fmt: skip
    return {"scores": [row]}


def finetune(job: Job, context: Context) -> dict[str, list[Row]]:
    time.sleep(PAUSE_SECONDS)
    if job.settings["learning_rate"] == RATES[0] and job.model.name == "m1" and job.task.name == "t1":
        raise ValueError("this one fails every time")
    row = {"job": job.id, "model": job.model.name, "task": job.task.name, "origin": "grid", "status": "ok",
           "learning_rate": job.settings["learning_rate"], "repeat": 0, "val_accuracy": number(job, "val"),
           "test_accuracy": number(job, "test")}  # fmt: skip
    return {"runs": [row]}


KINDS = {kind: f"tests.chaos.work:{name}" for kind, name in
         (("embed", "embed"), ("score", "score"), ("finetune", "finetune"), ("confirm", "finetune"))}  # fmt: skip


def embedding(model: Model, task: Task) -> Job:
    return Job("embed", 1, model, task, {}, cost=PAUSE_SECONDS)


def planned() -> list[Job]:
    """The jobs that are known beforehand."""
    jobs = []
    for model in (Model(f"m{number}", "none") for number in range(MODELS)):
        for task in (Task(f"t{number}", "none", (), {}, "") for number in range(TASKS)):
            embedded = embedding(model, task)
            jobs += [embedded, *(Job("score", 1, model, task, {"proxy": proxy}, needs=(embedded.id,), cost=0.001)
                                 for proxy in ("one", "two", "never"))]  # fmt: skip
            jobs += [Job("finetune", 1, model, task, {"learning_rate": rate}, cost=PAUSE_SECONDS) for rate in RATES]
    return jobs


def second(rows: list[Row]) -> list[Job]:
    """The jobs that depend on what was measured: the best run of each task once more."""
    best: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["job"]):
        if row["task"] not in best or row["val_accuracy"] > best[row["task"]]["val_accuracy"]:
            best[row["task"]] = row
    return [Job("confirm", 1, Model(row["model"], "none"), Task(task, "none", (), {}, ""),
                {"learning_rate": row["learning_rate"], "repeat": 1}, cost=PAUSE_SECONDS)
            for task, row in sorted(best.items())]  # fmt: skip
