"""SweepConfig -> jobs: pure, ordered, de-duplicated, each with a cost estimate. Reads nothing and runs nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from sweeps.config import SweepConfig
from sweeps.costs import (
    EVALUATED,
    embed_seconds,
    finetune_seconds,
    forward_seconds,
    rung_seconds,
    score_seconds,
    steps,
)
from sweeps.errors import ConfigError, did_you_mean
from sweeps.settings import EARLY, Bound, Head2Toe, Task2Vec, TauSearch, looked
from sweeps.tuning import FineTune, evaluation_steps
from sweeps.types import Job, Model, Row, Task
from sweeps.versions import BOUND, EMBED, FINETUNE, HEAD2TOE, HEAD2TOE_FT, SCORE, TASK2VEC
from taskrel.proxies import PROXIES

LINEAR = "linear"  # the probe whose settings make the head on frozen features


def measurements(config: SweepConfig, models: Sequence[Model], tasks: Sequence[Task]) -> tuple[Job, ...]:
    """The jobs that are known before anything is measured: embed, score and fine-tune every model on every task.

    Raises:
        ConfigError: for a probe or a reference that is not of the sweep, or a setting that nobody knows.
    """
    jobs: list[Job] = []
    by_name = {task.name: task for task in tasks}
    # Baselines are in no pool: they are fine-tuned for comparison, and nothing would read their scores.
    scored = [model for model in models if model.group != "scratch"]
    for model, task in pairs(models, tasks):
        if model in scored:
            embed = _embed(config, model, task)
            jobs.append(embed)
            jobs += [_score(config, embed, name, options, by_name) for name, options in config.proxies.items()]
        if config.finetune is not None and config.finetune.models == "all":
            jobs += grid(config, model, task)
    jobs += task_embeddings(config, scored, tasks)
    if config.bound is not None:
        jobs += bounds(config, config.bound, scored, by_name)
    if config.head2toe is not None:
        for model, task in pairs(scored, tasks):
            jobs += _head2toe(config, config.head2toe, model, task)
    return tuple({job.id: job for job in jobs}.values())


def met(config: SweepConfig, models: Sequence[Model], tasks: Sequence[Task]) -> tuple[Model, ...]:
    """The models that meet a task; a pattern may match others, a name may not.

    Raises:
        ConfigError: for a model that is named and reads what no task holds.
    """
    read = {task.modality for task in tasks}
    named = {*config.models, *(entry.name for entry in config.model)}
    for model in models:
        if model.modality not in read and model.name in named:
            raise ConfigError(f"a model must meet a task, got {model.name!r}, which reads {model.modality}s, "
                              f"and no task of {model.modality}s")  # fmt: skip
    return tuple(model for model in models if model.modality in read)


def pairs(models: Iterable[Model], tasks: Sequence[Task]) -> list[tuple[Model, Task]]:
    """Who meets whom: every model every task of its own modality, model by model."""
    return [(model, task) for model in models for task in tasks if model.modality == task.modality]


def _embed(config: SweepConfig, model: Model, task: Task, *, whole: bool = False) -> Job:
    settings = {"batch": config.embed.batch, **config.embed.view(task.modality)}
    settings |= {"reuse": True} if config.embed.reuse else {}
    if config.embed.examples is not None and not whole:
        settings |= _part(config, task, config.embed.examples)
    return Job("embed", EMBED, model, task, settings, cost=embed_seconds(config, model, task))


def _part(config: SweepConfig, task: Task, examples: int) -> dict[str, Any]:
    """The settings of an embedding of so many examples; none where that is all there are."""
    if all(looked(split, examples, task.sizes[split]) == task.sizes[split] for split in ("train", "val")):
        return {}
    if examples < len(task.classes):
        raise ConfigError(f"embed.examples must be at least the classes of task {task.name!r} ({len(task.classes)}), "
                          f"got {examples}")  # fmt: skip
    return {"examples": examples, "seed": config.seed}


def sift(config: SweepConfig, model: Model, task: Task, proxies: Sequence[str], examples: int, before: int = 0) -> Job:
    """A look at the first ``examples`` of a task, of which so many were embedded ``before``."""
    settings = {**_embed(config, model, task).settings, **_part(config, task, examples)}
    asked = {name: dict(config.proxies[name]) for name in sorted(proxies)}
    version = SCORE + sum(PROXIES[name].version if name in PROXIES else 1 for name in proxies)
    new = sum(looked(split, examples, task.sizes[split]) - (looked(split, before, task.sizes[split]) if before else 0)
              for split in ("train", "val"))  # fmt: skip
    cost = forward_seconds(config, model) * new + 0.05 + sum(score_seconds(*each) for each in asked.items())
    return Job("sift", version, model, task, {"embed": settings, "proxies": asked, "seed": config.seed}, cost=cost)


def _score(config: SweepConfig, embed: Job, name: str, options: Mapping[str, Any], tasks: Mapping[str, Task]) -> Job:
    if name == EARLY:
        return _early(config, embed.model, embed.task, options)
    options = dict(options)
    function = options.pop("function", None)
    reference = _reference(name, options.pop("reference", None), tasks, embed.task.modality)
    settings = {"proxy": name, "function": function, "options": options, "seed": config.seed,
                "embed": dict(embed.settings)}  # fmt: skip
    version = SCORE + (PROXIES[name].version if name in PROXIES else 1)
    needs = [embed.id] if reference is None else [embed.id, _embed(config, embed.model, reference).id]
    return Job("score", version, embed.model, embed.task, settings, reference, tuple(needs),
               score_seconds(name, options))  # fmt: skip


def _reference(proxy: str, names: str | Sequence[str] | None, tasks: Mapping[str, Task], modality: str) -> Task | None:
    """The first reference task of a modality; none makes the score null, with its reason."""
    names = [names] if isinstance(names, str) else names or []
    for name in names:
        if name not in tasks:
            raise ConfigError(f"proxies.{proxy}.reference must be a task of the sweep{did_you_mean(name, tasks)}")
    return next((tasks[name] for name in names if tasks[name].modality == modality), None)


def _early(config: SweepConfig, model: Model, task: Task, options: Mapping[str, Any]) -> Job:
    """The early-stopping proxy; what it is not told it takes from [finetune], the steps and repeats from the study."""
    recipe = (config.finetune or FineTune()).recipe(task.modality)
    own = {
        key: value
        for key, value in recipe.settings.items()
        if key not in ("schedule", "evaluations", "warmup", "epochs")
    }
    own |= {"learning_rates": list(recipe.learning_rates), "steps": 10, "repeats": 5}
    given = dict(options)
    texts = {key: given[key] for key in ("steps", "repeats") if key in given} | given.pop("text", {})
    chosen = {"image": given, "text": texts}[task.modality]
    if unknown := sorted(chosen.keys() - own.keys()):
        raise ConfigError(f"proxies.{EARLY}.{unknown[0]} must be a known key{did_you_mean(unknown[0], own)}")
    settings = {**own, **chosen, **config.embed.view(task.modality), "seed": config.seed}
    runs = len(settings["learning_rates"]) * settings["repeats"]
    images = EVALUATED * settings["steps"] * min(settings["batch"], task.sizes["train"]) + task.sizes["val"]
    cost = runs * forward_seconds(config, model) * images + 0.05
    return Job("early", SCORE + FINETUNE, model, task, settings, cost=cost)


def task_embeddings(config: SweepConfig, models: Sequence[Model], tasks: Sequence[Task]) -> list[Job]:
    """Task2Vec of every task by the one probe that can read it; none without the section."""
    if config.task2vec is None:
        return []
    asked, by_name = config.task2vec, {model.name: model for model in models}
    probes: dict[str, Model] = {}
    for name in [asked.probe] if isinstance(asked.probe, str) else asked.probe:
        if name not in by_name:
            raise ConfigError(f"task2vec.probe must be a model of the sweep{did_you_mean(name, by_name)}")
        probe = by_name[name]
        if (other := probes.setdefault(probe.modality, probe)) is not probe:
            raise ConfigError(f"task2vec.probe must be one model that all tasks of {probe.modality}s share, got "
                              f"{other.name!r} and {name!r}")  # fmt: skip
    return [_task2vec(config, asked, probes[task.modality], task) for task in tasks if task.modality in probes]


def _task2vec(config: SweepConfig, asked: Task2Vec, probe: Model, task: Task) -> Job:
    """One task; a setting of the other method is not part of the job, so that it cannot measure anything again."""
    other, embed = "steps" if asked.method == "montecarlo" else "draws", _embed(config, probe, task)
    settings = asked.model_dump(exclude={"probe", other}) | {"seed": config.seed, "embed": dict(embed.settings)}
    # An example's own gradient costs a pass of its own, far from the speed of a batch.
    images = min(asked.images, task.sizes["train"]) * asked.draws * 4
    if asked.method == "variational":
        images = asked.steps * min(asked.batch, asked.images, task.sizes["train"]) * 2
    cost = EVALUATED * images * forward_seconds(config, probe) + 0.5
    return Job("task2vec", TASK2VEC, probe, task, settings, needs=(embed.id,), cost=cost)


def bounds(config: SweepConfig, asked: Bound, models: Sequence[Model], tasks: Mapping[str, Task]) -> list[Job]:
    """The bound on every task but the reference itself, from every reference, through every model."""
    for name in asked.references:
        if name not in tasks:
            raise ConfigError(f"bound.references must be tasks of the sweep{did_you_mean(name, tasks)}")
    settings = asked.model_dump(exclude={"references", "taus", "search"})
    settings |= {"taus": list(asked.caps), "seed": config.seed}
    jobs = []
    for model in models:
        for name in asked.references:
            for _, task in pairs([model], [task for task in tasks.values() if task.name != name]):
                if tasks[name].modality != task.modality:
                    continue
                embeds = [_embed(config, model, each) for each in (task, tasks[name])]
                whole = settings | {"embed": dict(embeds[0].settings)}
                cost = 0.1 * len(asked.caps) * (1 + asked.aligned) + asked.unlabelled + 0.1 * asked.released
                jobs.append(Job("bound", BOUND, model, task, whole, tasks[name],
                                tuple(embed.id for embed in embeds), cost))  # fmt: skip
    return jobs


def _head2toe(config: SweepConfig, asked: Head2Toe, model: Model, task: Task) -> list[Job]:
    """The selection, and the fine-tunings that start from it."""
    embed = _embed(config, model, task, whole=True)  # of every layer too all examples are read
    settings = asked.model_dump(mode="json", exclude={"finetune"}) | {
        "seed": config.seed,
        "embed": dict(embed.settings),
    }
    tried = len(asked.sizes) * len(asked.penalties) * (asked.folds + 1)
    cost = 2 * forward_seconds(config, model) * sum(task.sizes.values()) + 0.3 * tried
    selection = Job("head2toe", HEAD2TOE, model, task, settings, needs=(embed.id,), cost=cost)
    if asked.finetune == "no":
        return [selection]
    if config.finetune is None:
        raise ConfigError("head2toe.finetune must have a section [finetune], whose recipe it follows, got none")
    shared = {**finetune_settings(config, task, 0), "origin": "head2toe", "start": asked.finetune, "head2toe": settings}
    return [selection] + [
        Job("head2toe_ft", HEAD2TOE_FT, model, task, {**shared, "learning_rate": rate}, needs=(selection.id,),
            cost=2 * finetune_seconds(config, model, task))
        for rate in config.finetune.recipe(task.modality).learning_rates
    ]  # fmt: skip


def grid(config: SweepConfig, model: Model, task: Task) -> list[Job]:
    """The study's grid of one (model, task): every learning rate, every repeat."""
    assert config.finetune is not None
    recipe = config.finetune.recipe(task.modality)
    return [
        _finetune(config, "finetune", model, task, {"learning_rate": rate, "repeat": repeat, "origin": "grid"})
        for rate in recipe.learning_rates
        for repeat in range(recipe.repeats)
    ]


def rungs(config: SweepConfig, run: Job) -> list[Job]:
    """A fine-tuning of the grid in parts, each up to an evaluation: what halving takes on, one after another."""
    looks = [0, *evaluation_steps(run.settings["steps"], run.settings["evaluations"])]
    return [
        Job("rung", FINETUNE, run.model, run.task, {**run.settings, "origin": "rung", "until": until},
            cost=rung_seconds(config, run.model, run.task, begun, until))
        for begun, until in pairwise(looks)
    ]  # fmt: skip


def confirmations(config: SweepConfig, best: Iterable[tuple[Model, Task, float]]) -> tuple[Job, ...]:
    """All repeats at a learning rate that a search found, so that it is judged like the grid's rates."""
    assert config.finetune is not None
    return tuple(
        _finetune(config, "confirm", model, task, {"learning_rate": rate, "repeat": repeat, "origin": "confirm"})
        for model, task, rate in best
        for repeat in range(config.finetune.recipe(task.modality).repeats)
    )


def finals(config: SweepConfig, model: Model, task: Task, rate: float) -> list[Job]:
    """The repeats by which the winner of a task is judged."""
    assert config.final is not None
    assert config.finetune is not None
    what = {"learning_rate": rate, "origin": "final", **_judged(config)}
    jobs = [_finetune(config, "final", model, task, what | {"repeat": each}) for each in range(config.final.repeats)]
    if config.finetune.halving:  # the first is trained already: what is left is the test split
        jobs[0] = replace(jobs[0], cost=forward_seconds(config, model) * task.sizes["test"] + 0.05)
    return jobs


def _judged(config: SweepConfig) -> dict[str, Any]:
    """Nothing, or that one repeat leaves the test split to its checkpoint: the same images are not looked at twice."""
    assert config.final is not None
    return {"test": False} if config.final.checkpoint and config.final.repeats == 1 else {}


def head(config: SweepConfig, model: Model, task: Task, rate: float) -> Job:
    """A linear head on the frozen features of a model, by the settings of the linear probe."""
    embed, options = _embed(config, model, task), config.proxies[LINEAR]
    settings = {**config.embed.view(task.modality), "embed": dict(embed.settings), "origin": "head",
                "steps": options.get("steps", 2500), "batch": options.get("batch", 512), "learning_rate": rate,
                "repeat": 0, "seed": config.seed, **_judged(config)}  # fmt: skip
    looked = 0 if "test" in settings else task.sizes["test"]
    return Job("head", FINETUNE, model, task, settings, needs=(embed.id,),
               cost=forward_seconds(config, model) * looked + 0.5)  # fmt: skip


def export(final: Job) -> Job:
    """The checkpoint of one final repeat: its weights, trained again where they are no longer kept."""
    return Job("export", FINETUNE, final.model, final.task, final.settings, needs=(final.id,), cost=0.1 * final.cost)


def _finetune(config: SweepConfig, kind: str, model: Model, task: Task, what: Mapping[str, Any]) -> Job:
    settings = {**finetune_settings(config, task, what["repeat"]), **what}
    return Job(kind, FINETUNE, model, task, settings, cost=finetune_seconds(config, model, task))


@dataclass(frozen=True)
class SearchPlan:
    """One (model, task) to search: fine-tune settings without the learning rate, the range, and the grid's runs."""

    model: Model
    task: Task
    finetune: Mapping[str, Any]
    low: float
    high: float
    trials: int
    seed: int
    grid: Sequence[Row] = field(default=(), compare=False)
    table = "runs"

    @property
    def job(self) -> Job:
        """The search as a whole; its id is the ``search`` column of its trials."""
        settings = {"finetune": dict(self.finetune), "low": self.low, "high": self.high, "trials": self.trials,
                    "seed": self.seed, "grid": [row["job"] for row in self.grid]}  # fmt: skip
        return Job("search", FINETUNE, self.model, self.task, settings)

    @property
    def space(self) -> Mapping[str, tuple[float, float]]:
        """What is searched, log-uniformly."""
        return {"learning_rate": (self.low, self.high)}

    @property
    def looks(self) -> tuple[int, int]:
        """Steps of a trial, and how often it is looked at."""
        return self.finetune["steps"], self.finetune["evaluations"]

    def trial(self, number: int, values: Mapping[str, float]) -> Job:
        """One trial of the search."""
        settings = {**self.finetune, **values, "origin": "search", "search": self.job.id, "trial": number}
        return Job("trial", FINETUNE, self.model, self.task, settings)

    @staticmethod
    def value(row: Row) -> float | None:
        """What is maximised."""
        return row["val_accuracy"]

    @staticmethod
    def curve(row: Row) -> Sequence[Row]:
        """The looks at a trial that is measured."""
        return row["curve"]


@dataclass(frozen=True)
class TauPlan:
    """One (model, reference, target) whose cap is searched for the least bound on held-out examples."""

    bound: Job
    asked: TauSearch
    grid: Sequence[Row] = field(default=(), compare=False)
    table = "bounds"
    looks = (1, 1)

    @property
    def job(self) -> Job:
        """The search as a whole; its id is the ``search`` column of its trials."""
        settings = {**self.bound.settings, **self.asked.model_dump(), "grid": [row["job"] for row in self.grid]}
        return Job("tau", BOUND, self.bound.model, self.bound.task, settings, self.bound.reference)

    @property
    def trials(self) -> int:
        """How many are tried beyond the grid."""
        return self.asked.trials

    @property
    def seed(self) -> int:
        """Of the searcher."""
        return int(self.bound.settings["seed"])

    @property
    def space(self) -> Mapping[str, tuple[float, float]]:
        """What is searched, log-uniformly."""
        return self.asked.space

    def trial(self, number: int, values: Mapping[str, float]) -> Job:
        """One trial of the search."""
        known = ("features", "classes", "count", "per_class", "seed", "embed")
        settings = {name: self.bound.settings[name] for name in known} | {
            "head": self.asked.head, "steps": self.asked.steps, **values, "search": self.job.id, "trial": number,
        }  # fmt: skip
        return Job("tau_trial", BOUND, self.bound.model, self.bound.task, settings, self.bound.reference)

    @staticmethod
    def value(row: Row) -> float | None:
        """What is maximised: minus the bound on held-out examples."""
        return None if row["held_out"] is None else -float(row["held_out"])

    @staticmethod
    def curve(row: Row) -> Sequence[Row]:
        """Nothing is looked at on the way."""
        del row
        return ()


def finetune_settings(config: SweepConfig, task: Task, repeat: int) -> dict[str, Any]:
    """All settings of a fine-tuning but the learning rate and its origin. Repeats differ in their seed alone."""
    assert config.finetune is not None
    settings = {**config.finetune.recipe(task.modality).settings, **config.embed.view(task.modality)}
    settings["steps"] = steps(settings, task)
    settings.pop("epochs", None)
    return settings | {"repeat": repeat, "seed": 1000 * config.seed + repeat}
