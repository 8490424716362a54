"""Pre-train the embedded zoos as jobs on the executor: ``make zoo``. What is there already is left alone."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from sweeps.errors import ConfigError, did_you_mean
from sweeps.hands import Hands, How
from sweeps.output import claim
from sweeps.progress import Display
from sweeps.store import Store
from sweeps.types import Job, Model, Outcome, Row, Task
from sweeps.versions import PRETRAIN
from sweeps.zoo.mini.recipes import RECIPES as IMAGE_RECIPES
from sweeps.zoo.mini_text.recipes import RECIPES as TEXT_RECIPES

UPSTREAMS = {name: recipe.upstream for name, recipe in IMAGE_RECIPES.items()}
UPSTREAMS |= {name: recipe.upstream for name, recipe in TEXT_RECIPES.items()}


def pretraining_jobs(names: Sequence[str] | None = None, seed: int = 0) -> tuple[Job, ...]:
    """One job per recipe.

    Raises:
        ConfigError: for a name or pattern that matches no recipe.
    """
    chosen = []
    for pattern in names or ["*"]:
        matches = [name for name in UPSTREAMS if fnmatchcase(name, pattern)]
        if not matches:
            raise ConfigError(f"models must name models of the embedded zoo{did_you_mean(pattern, UPSTREAMS)}")
        chosen += matches
    return tuple(_job(name, seed) for name in dict.fromkeys(chosen))


def _job(name: str, seed: int) -> Job:
    upstream = UPSTREAMS[name]
    image = name in IMAGE_RECIPES
    source, modality = (f"timm:{name}", "image") if image else (f"transformers:{name}", "text")
    model = Model(name=name, source=source, pretrained=False, revision="recipe", modality=modality)
    task = Task(name=f"upstream/{upstream}", source="upstream", classes=(), sizes={}, revision="drawn")
    return Job("pretrain", PRETRAIN, model, task, {"seed": seed}, cost=180.0 if image else 90.0)


def pretrain_all(names: Sequence[str] | None, out: Path, how: How, display: Display) -> list[Row]:
    """Pre-train what is missing below ``out``.

    Returns:
        The ``jobs`` rows of those that failed.
    """
    store, failures = Store(out), []
    store.prepare()

    def settle(outcome: Outcome) -> None:
        store.append(outcome)
        display.settled(outcome)
        if not outcome.ok:
            failures.append(outcome.job)

    with claim(out, how.wait), Hands(store, replace(how, cache=out)) as hands:
        hands.run("pretrain", pretraining_jobs(names), settle, display)
        display.close()
    return failures
