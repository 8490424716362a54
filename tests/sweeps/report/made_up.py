"""Rows of made-up stores: builders for one row of each table, and a store of the size of the mini sweep."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sweeps.store import Store
from sweeps.types import Row

Tables = dict[str, list[Row]]
HOSTILE = "<script>alert(1)</script>"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def job(name: str, kind: str, model: str, task: str, status: str = "ok", **changes: Any) -> Row:
    """One ``jobs`` row."""
    row: Row = {
        "job": name, "kind": kind, "model": model, "task": task, "status": status, "attempt": 1, "seconds": 2.0,
        "content": "{}", "started": START, "finished": START + timedelta(seconds=2), "host": "node-1", "worker": "w0",
        "device": "cpu", "commit": "0123456789abcdef", "versions": json.dumps({"torch": "2.8.0", "ray": "2.60.0"}),
    }  # fmt: skip
    return row | changes


def planned(name: str, kind: str, model: str, task: str) -> Row:
    """One ``plan`` row."""
    return {"job": name, "kind": kind, "model": model, "task": task, "stage": kind}


def run(name: str, model: str, task: str, rate: float, repeat: int, val: float | None, test: float | None,
        **changes: Any) -> Row:  # fmt: skip
    """One ``runs`` row of the grid, diverged when ``val`` is None."""
    row: Row = {
        "job": name, "model": model, "task": task, "origin": "grid", "learning_rate": rate, "repeat": repeat,
        "seed": repeat, "batch": 32, "steps": 100, "steps_done": 100 if val is not None else 7,
        "status": "ok" if val is not None else "diverged", "val_accuracy": val, "test_accuracy": test,
        "reason": None if val is not None else "the training loss was not finite at step 7", "seconds": 5.0,
    }  # fmt: skip
    return row | changes


def model(name: str, group: str = "a", accuracy: float | None = None, **changes: Any) -> Row:
    """One ``models`` row."""
    row: Row = {
        "model": name, "source": f"timm:{name}", "group": group, "family": "resnet", "parameters": 100_000, "dim": 64,
        "input_size": 32, "upstream": "drawn", "upstream_size": 1000, "upstream_accuracy": accuracy,
        "released": 2016.0,
        "pretrained": group != "scratch", "licence": "Apache-2.0", "revision": "r0", "summary": "",
    }  # fmt: skip
    return row | changes


def task(name: str, group: str = "drawn") -> Row:
    """One ``tasks`` row."""
    return {
        "task": name, "source": f"mini:{name}", "group": group, "classes": 4, "train": 800, "val": 200, "test": 500,
        "class_names": ["a", "b", "c", "d"], "seed": 0, "revision": "r0", "summary": "",
    }  # fmt: skip


def score(name: str, model_name: str, task_name: str, proxy: str, value: float | None, seconds: float = 1.0,
          replicates: Sequence[float] = ()) -> Row:  # fmt: skip
    """One ``scores`` row, with the range of its replicates as its interval."""
    return {
        "low": min(replicates, default=None), "high": max(replicates, default=None), "replicates": list(replicates),
        "job": name, "model": model_name, "task": task_name, "proxy": proxy, "value": value,
        "values": [] if value is None else [value], "seed": 0, "seconds": seconds,
        "reason": "one class has a single example" if value is None else None,
    }  # fmt: skip


# The size of the mini sweep ------------------------------------------------------------------------------------------

MODELS = (
    [(f"mini_resnet_v2_50.expert_{name}", "expert") for name in ("full", "animals", "glyphs", "things", "scenes")]
    + [(f"mini_{name}", "imagenet") for name in ("mobilenet_v1", "mobilenet_v2", "inception_v3", "nasnet_large")]
    + [(f"mini_{name}", "vtab") for name in ("rotation", "jigsaw", "exemplar", "sup_100", "vae")]
)
PROXIES = MappingProxyType({"linear": 0.5, "knn": 0.9, "logme": 0.7})  # name -> noise
SCRATCH = "mini_resnet_v2_50.scratch"
TASKS = ("digits", "letters", "textures", "terrain", "organisms", "crowds_count", "shapes_orientation", "scenes")
RATES = (0.1, 0.01)


def mini(out: Path, *, models: Sequence[tuple[str, str]] = tuple(MODELS), tasks: Sequence[str] = TASKS,
         done: float = 1.0, searched: bool = True, seed: int = 0,
         proxies: Mapping[str, float] = PROXIES) -> Store:  # fmt: skip
    """A store like the one of the mini sweep, with made-up numbers.

    ``done`` is the share of fine-tuning finished, ``proxies`` how noisy each proxy is.
    """
    dice, tables = random.Random(seed), {name: [] for name in ("plan", "jobs", "scores", "runs")}
    zoo = [*models, (SCRATCH, "scratch")]
    tables["models"] = [
        model(
            name,
            group,
            None if group != "imagenet" else 0.6 + 0.3 * number / len(zoo),
            parameters=20_000 * (number + 1),
        )
        for number, (name, group) in enumerate(zoo)
    ]
    tables["tasks"] = [task(f"mini/{name}", "drawn" if number % 2 else "structured")
                       for number, name in enumerate(tasks)]  # fmt: skip
    for name, group in zoo:
        talent = dice.gauss(0, 0.8) - (2.0 if group == "scratch" else 0)
        for short in tasks:
            _cell(tables, dice, name, f"mini/{short}", talent + dice.gauss(0.8, 0.7), done, proxies)
    for number, short in enumerate(tasks if searched else ()):
        names = [models[number % len(models)][0], models[(3 * number + 1) % len(models)][0]]
        for name in dict.fromkeys(names):
            _search(tables, dice, name, f"mini/{short}")
    return filled(out, tables)


def filled(out: Path, tables: Mapping[str, Sequence[Row]]) -> Store:
    """A store that holds these rows."""
    store = Store(out)
    store.prepare()
    for name, rows in tables.items():
        store.write(name, "all", rows)
    return store


def _sigmoid(value: float) -> float:
    return round(1 / (1 + math.exp(-value)), 3)


def _cell(tables: Tables, dice: random.Random, name: str, where: str, logit: float, done: float,
          proxies: Mapping[str, float]) -> None:  # fmt: skip
    def settle(key: str, kind: str, status: str = "ok", **changes: Any) -> None:
        tables["jobs"].append(job(key, kind, name, where, status, **changes))

    def plan(key: str, kind: str) -> str:
        tables["plan"].append(planned(key, kind, name, where))
        return key

    settle(plan(f"embed {name} {where}", "embed"), "embed", seconds=dice.uniform(1, 3))
    for proxy, noise in proxies.items() if name != SCRATCH else ():
        key = plan(f"{proxy} {name} {where}", "score")
        value = _sigmoid(logit - 0.5 + dice.gauss(0, noise)) - (1.2 if proxy == "logme" else 0)
        settle(key, "score", seconds=dice.uniform(0.1, 0.6))
        tables["scores"].append(score(key, name, where, proxy, value, 0.3,
                                      [value + dice.gauss(0, 0.02) for _ in range(20)]))  # fmt: skip
    for rate, repeat in product(RATES, range(3)):
        key = plan(f"finetune {name} {where} {rate} {repeat}", "finetune")
        if dice.random() > done:
            continue
        if dice.random() < 0.004:
            settle(key, "finetune", "failed", error_type="RuntimeError", traceback="Traceback ...",
                   error="CUDA out of memory: tried to allocate 2.1 GiB")  # fmt: skip
            continue
        seconds = dice.uniform(8, 20)
        settle(key, "finetune", seconds=seconds)
        wild = rate == 0.1 and dice.random() < 0.06
        val = None if wild else _sigmoid(logit + (0.2 if rate == 0.01 else 0.1) + dice.gauss(0, 0.12))
        test = None if val is None else round(min(1.0, max(0.0, val + dice.gauss(-0.005, 0.012))), 3)
        tables["runs"].append(run(key, name, where, rate, repeat, val, test, seconds=seconds))


def _search(tables: Tables, dice: random.Random, name: str, where: str) -> None:
    key = f"search {name} {where}"
    grid = [row["val_accuracy"] or 0.1 for row in tables["runs"] if (row["model"], row["task"]) == (name, where)]
    base, best = max(grid, default=0.6) + 0.01, (0.0, 0.1)
    for trial in range(6):
        rate = 10 ** dice.uniform(-3, -0.3)
        val = round(min(0.99, max(0.05, base - 0.12 * (math.log10(rate) + 1.6) ** 2 + dice.gauss(0, 0.01))), 3)
        stopped = trial in (3, 4)
        tables["runs"].append(run(key, name, where, rate, 0, val, None if stopped else val, origin="search", search=key,
                                  trial=trial, status="stopped" if stopped else "ok",
                                  steps_done=30 if stopped else 100))  # fmt: skip
        best = best if stopped else max(best, (val, rate))
    tables["runs"] += [run(key, name, where, best[1], repeat, min(1, best[0] + 0.002 * repeat - 0.004),
                           best[0] - 0.008 + 0.003 * repeat, origin="confirm", search=key)
                       for repeat in range(3)]  # fmt: skip
    tables["plan"].append(planned(key, "search", name, where))
    tables["jobs"].append(job(key, "search", name, where, seconds=95.0))
