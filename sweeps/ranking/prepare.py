"""Arguments -> the sweep that answers, and :func:`rank`, which runs it."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweeps import run as running
from sweeps.config import SweepConfig, override_key, parse
from sweeps.errors import ConfigError
from sweeps.hands import How
from sweeps.picks import builder, measured
from sweeps.plan import LINEAR
from sweeps.progress import Display
from sweeps.ranking.answer import Answer, answer
from sweeps.ranking.data import task_entry
from sweeps.ranking.pool import DEFAULT, models
from sweeps.remote import Remote, is_uri
from sweeps.settings import EARLY
from sweeps.sifting import advised
from taskrel.api import CORE
from taskrel.proxies import PROXIES

STRATEGY, BUDGET = "hybrid_linear", 2
HEADS = {"steps": 500, "repeats": 2}  # of the probe: a tenth of the study's, and the same picks (docs/rank.md)
EPOCHS = {"image": 5, "text": 3}
STEPS = (60, 2500)  # at least and at most
EXAMPLES = 20_000  # of training that ranking looks at, at most
CHUNK = 1000  # that halving must begin with, at least: fewer say too little of a model


@dataclass(frozen=True)
class Prepared:
    """A sweep that is ready to run, and what is known of it before: ``halving`` is why it sifts the models, or not."""

    config: SweepConfig
    planned: running.Plan
    out: Path | str
    how: How
    halving: str = ""


def rank(data: str | Path, zoo: str | Sequence[str] = DEFAULT, *, display: Display | None = None,
         **wanted: Any) -> Answer:  # fmt: skip
    """The best model of a zoo for the data, fine-tuned within the budget.

    Args:
        data: see :func:`sweeps.ranking.data.task_entry`.
        zoo: see :func:`sweeps.ranking.pool.models`.
        display: told of the progress; silent by default.
        wanted: what :func:`prepare` takes.
    """
    return go(prepare(data, zoo, **wanted), display)


def go(ready: Prepared, display: Display | None = None) -> Answer:
    """Run what is prepared."""
    result = running.run(ready.config, ready.out, ready.how, display, ready.planned)
    return answer(result, ready.config, ready.planned, ready.how, Remote(str(ready.out)) if is_uri(ready.out) else None)


def prepare(data: str | Path, zoo: str | Sequence[str] = DEFAULT, *, budget: int | None = None,
            max_seconds: float | None = None, max_gpu_hours: float | None = None, strategy: str = STRATEGY,
            finetune: bool = True, out: str | Path | None = None, seed: int = 0,
            columns: Mapping[str, str | None] | None = None, overrides: Sequence[str] = (),
            how: How | None = None) -> Prepared:  # fmt: skip
    """Say what would be done; nothing is measured yet.

    Args:
        data: the labelled data.
        zoo: the models.
        budget: how many models are fine-tuned; 2, or as many as fit where a time is given.
        max_seconds: no fine-tuning begins that would not end within so many seconds from now.
        max_gpu_hours: the same in hours of all GPUs together, of workers where there is no GPU.
        strategy: who picks.
        finetune: False ranks only.
        out: output folder or s3:// or gs:// address; ``out/rank-<name>`` by default.
        seed: of splits, batch orders and searches.
        columns: of a table, see :func:`sweeps.ranking.data.task_entry`.
        overrides: ``dotted.key=value`` pairs in TOML syntax, over what this writes.
        how: executor, workers, cluster.

    Raises:
        SweepError: in one line, for whatever the user can mend.
    """
    entry = task_entry(data, columns or {})
    pool = models([zoo] if isinstance(zoo, str) else list(zoo))
    timed = max_seconds is not None or max_gpu_hours is not None
    for name, limit in (("budget", budget), ("max_seconds", max_seconds), ("max_gpu_hours", max_gpu_hours)):
        if limit is not None and limit <= 0:
            raise ConfigError(f"{name} must be above 0, got {limit}")
    sections = _sweep(entry, pool, strategy, seed, overrides)
    ready = running.plan(parse(sections, "rank"))
    count = len(ready[0])
    most = min(budget or (count if timed else BUDGET), count)
    if most < builder(strategy, parse(sections, "rank").proxies).min_budget <= count:
        raise ConfigError(f"budget must be at least 2 for the strategy {strategy!r}, got {most}; or name a proxy, such "
                          f"as --strategy {LINEAR}")  # fmt: skip
    if finetune:
        asked = any(each.strip().startswith("search") for each in overrides)
        sections |= _finetuning(ready[1][0], strategy, most, search=asked)
    sections["regret"] = {"strategies": [], "answer": strategy, "answer_budget": most}
    config, halving = _halving(parse(_overridden(sections, overrides), "rank"), ready, overrides)
    how = replace(how or How(), max_seconds=max_seconds,
                  max_device_seconds=None if max_gpu_hours is None else 3600 * max_gpu_hours)  # fmt: skip
    return Prepared(config, (*ready[:2], running.jobs(config, ready[0], ready[1]), ready[3]),
                    _place(out or Path("out") / f"rank-{config.name}"), how, halving)  # fmt: skip


def _halving(config: SweepConfig, ready: running.Plan, overrides: Sequence[str]) -> tuple[SweepConfig, str]:
    """Halve over parts of the data where that pays, unless the user says; and what there is to say of it."""
    pays, why = advised(config, ready[0], ready[1][0], CHUNK)
    if any(each.partition("=")[0].strip() == "embed.halving" for each in overrides):
        return config, ""
    return config.model_copy(update={"embed": config.embed.model_copy(update={"halving": pays})}), why


def _place(out: str | Path) -> Path | str:
    """A folder, or the address of one on object storage."""
    return str(out) if is_uri(out) else Path(out)


def _sweep(entry: Mapping[str, Any], pool: Mapping[str, Any], strategy: str, seed: int,
           overrides: Sequence[str]) -> dict[str, Any]:  # fmt: skip
    """The sweep without fine-tuning: one forward pass, the core proxies and those that the strategy reads."""
    needed = {part for score in builder(strategy, {*PROXIES, EARLY}).proxies for part in measured(score)}
    proxies: dict[str, Any] = {name: {} for name in sorted({*CORE, "knn", LINEAR, *needed})}
    name = re.sub(r"[^\w.-]+", "-", str(entry["name"])).strip("-.") or "data"
    proxies[LINEAR] = dict(HEADS)
    sections: dict[str, Any] = {
        "name": name, "seed": seed, "task": [{**entry, "name": name}], "proxies": proxies, "finetune": None,
        "embed": {"reuse": True, "examples": EXAMPLES}, "regret": {"strategies": [], "answer": strategy}, **pool,
    }  # fmt: skip
    return _overridden(sections, [each for each in overrides if not each.startswith(("finetune", "search", "final"))])


def _finetuning(task: Any, strategy: str, budget: int, *, search: bool) -> dict[str, Any]:
    """The recipe by the size of the data: some epochs, rates a decade apart, halved; Tune where it is asked for."""
    train = task.sizes["train"]
    batch = {"image": 32 if train < 2000 else 64}.get(task.modality, 32)
    epochs = EPOCHS.get(task.modality, EPOCHS["text"])
    steps = min(STEPS[1], max(STEPS[0], math.ceil(epochs * train / batch)))
    rates = {"image": {"learning_rates": [0.03, 0.003], "batch": batch}}.get(task.modality, {"text": {"batch": batch}})
    return {
        "finetune": {"models": strategy, "budget": budget, "steps": steps, "repeats": 1, "evaluations": 3,
                     "halving": True, **rates},
        **({"search": {"models": "best", "trials": 2, "confirm": False, "low": 3e-4, "high": 0.1}} if search else {}),
        "final": {"repeats": 1, "head": True},
    }  # fmt: skip


def _overridden(sections: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in sections.items()}
    for each in overrides:
        override_key(data, each)
    return data
