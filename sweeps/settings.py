"""The sections of a sweep file: what each kind of job, search and judgement is told. Knows no file."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self

import pyarrow as pa
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from sweeps.predicates import holds
from sweeps.types import Row

BOUND_TAUS = (0.02, 0.1)  # at which models are compared: the same for all, named before anything is measured
EARLY = "early_stopping"  # the one proxy that is a job of its own: it trains


class Frozen(BaseModel):
    """A section: unknown keys are refused, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelEntry(Frozen):
    """A model that no registry knows: a timm name with options, a ``local-dir:`` folder, a factory function, a
    language model (``transformers:<hub id or folder>``), ``tf-hub:<handle or folder>`` or ``torchvision:<name>``.

    ``substitute``: why this is not the model that the name says, shown wherever the model is.
    """

    name: str
    source: str
    path: str | None = None
    args: dict[str, Any] = {}
    pretrained: bool = True
    revision: str = ""
    group: str = "user"
    family: str | None = None
    parameters: PositiveInt | None = None
    dim: PositiveInt | None = None
    input_size: PositiveInt | None = None
    upstream: str | None = None
    upstream_size: PositiveInt | None = None
    upstream_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    released: PositiveFloat | None = None
    licence: str | None = None
    substitute: str | None = None
    summary: str = ""


class TaskEntry(Frozen):
    """An image folder: ``<path>/{train,val,test}/<class>/*``, or ``<path>/<class>/*`` that is split from the seed; a
    prepared task; or arrays, a .npz or a folder of .npy files.

    With ``image`` or ``text``, a column, labelled images or texts: a CSV, TSV, JSONL or Parquet file, or a folder of
    one file per split, at ``path``; or ``dataset``, a Hugging Face dataset (``subset`` its configuration, ``revision``
    pinned). ``pair`` and ``label`` name columns too. Splits come from the column ``split``, from ``splits`` (train,
    val, test -> file or the dataset's split), or from the seed.
    """

    name: str
    path: str | None = None
    dataset: str | None = None
    subset: str | None = None
    revision: str | None = None
    image: str | None = None
    text: str | None = None
    pair: str | None = None
    label: str = "label"
    split: str | None = None
    splits: dict[Literal["train", "val", "test"], str] = {}
    group: str = "user"
    summary: str = ""

    @model_validator(mode="after")
    def _one_place(self) -> "TaskEntry":
        if (self.path is None) == (self.dataset is None):
            raise ValueError(f"task {self.name!r}: either path or dataset must be given, "
                             f"got {'both' if self.path else 'neither'}")  # fmt: skip
        if self.text is not None and self.image is not None:
            raise ValueError(f"task {self.name!r}: either image or text must name a column, got both")
        tables = ("dataset", "subset", "revision", "split", "splits") if self.image is None else ()
        given = [key for key in (*tables, "pair") if getattr(self, key)]
        if self.text is None and given:
            raise ValueError(f"task {self.name!r}: text (or image) must name a column, got {given[0]} without it")
        if self.split and self.splits:
            raise ValueError(f"task {self.name!r}: split (a column) and splits (files) must not both be given")
        return self


class Embed(Frozen):
    """The one forward pass per (model, task), ``batch`` examples at a time (None: as many as are fast, at most 64).

    ``image_size`` overrides every model's own input size.

    With ``reuse``, examples that the same model has embedded before in this folder are not embedded again, whatever
    became of their task; their features then differ from new ones in the sixth digit or later.

    Of a text, ``pooling`` says which tokens make the features (auto: the mean for encoders, the last for decoders),
    ``max_tokens`` where it is cut (None: what the model reads, at most 512), and ``layers`` which hidden states: the
    last layer's, the mean over layers, or those of the layer that suits the training split best by LogME. Fine-tuning
    reads the last layer in place of the best: it trains them all.

    ``examples`` is how many training examples are looked at at most, and a quarter as many of validation (None: all);
    fine-tuning reads everything. With ``halving``, models are first looked at on a part of these, the better half, by
    the strategy that picks, on twice as many, and so on: few are measured on all.
    """

    batch: PositiveInt | None = None
    image_size: PositiveInt | None = None
    pooling: Literal["auto", "cls", "mean", "last"] = "auto"
    layers: Literal["last", "mean", "best"] = "last"
    max_tokens: Annotated[int, Field(ge=4)] | None = None
    reuse: bool = False
    examples: PositiveInt | None = None
    halving: bool = False

    @model_validator(mode="after")
    def _reused(self) -> Self:
        if self.halving and (not self.reuse or self.layers == "best"):
            raise ValueError("halving must come with reuse = true and layers other than \"best\": it takes up what was "
                             f"embedded before, got reuse = {str(self.reuse).lower()}, layers = {self.layers!r}"
                             )  # fmt: skip
        return self

    def sizes(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """How many examples of training and validation are looked at, of a task that has so many."""
        return {split: looked(split, self.examples, sizes[split]) for split in ("train", "val")}

    def view(self, modality: str) -> dict[str, Any]:
        """How a model sees an example of that modality: what an embedding and a fine-tuning must agree on."""
        return self.model_dump(include=set(VIEWS[modality]))


def looked(split: str, examples: int | None, size: int) -> int:
    """How many examples of a split of some size are looked at, where ``examples`` of training are."""
    if examples is None:
        return size
    return min(size, examples if split == "train" else max(1, examples // 4))


# What of [embed] reaches the jobs, by modality.
VIEWS: Mapping[str, tuple[str, ...]] = {"image": ("image_size",), "text": ("pooling", "layers", "max_tokens")}


class Head2Toe(Frozen):
    """A linear head on selected features of all layers, beside one on the last layer.

    Several values of a setting are chosen among by cross-validation on the training part. The defaults are the paper's
    middle target size and one small setting; its whole search is three sizes, two penalties, eleven fractions, two
    rates and two lengths.

    ``finetune`` trains head and model on what was selected too, by the recipe and the learning rates of [finetune]:
    from the fitted head, or from a fresh one as in the paper.
    """

    sizes: tuple[PositiveInt, ...] = (512,)
    penalties: tuple[PositiveFloat, ...] = (1e-5,)
    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.02,)
    rates: tuple[PositiveFloat, ...] = (0.1,)
    steps: tuple[PositiveInt, ...] = (5000,)
    folds: Annotated[int, Field(ge=2)] = 5
    finetune: Literal["no", "fitted", "fresh"] = "no"


class TauSearch(Frozen):
    """Ray Tune over the cap tau (log-uniform; Optuna), for the least bound on held-out examples.

    ``head`` is how the reference classifier is made: "convex" under the cap exactly, or by the authors' gradient
    "penalty", whose learning rate is then searched with tau.
    """

    trials: PositiveInt = 6
    low: PositiveFloat = 0.002
    high: PositiveFloat = 2.0
    head: Literal["convex", "penalty"] = "convex"
    rate_low: PositiveFloat = 1e-5
    rate_high: PositiveFloat = 1e-2
    steps: PositiveInt = 2000

    @model_validator(mode="after")
    def _ordered(self) -> "TauSearch":
        if self.low >= self.high or self.rate_low >= self.rate_high:
            raise ValueError("low must be below high and rate_low below rate_high")
        return self

    @property
    def space(self) -> dict[str, tuple[float, float]]:
        """What is searched, each from where to where."""
        rates = {"learning_rate": (self.rate_low, self.rate_high)} if self.head == "penalty" else {}
        return {"tau": (self.low, self.high), **rates}


class Bound(Frozen):
    """Task-relatedness: the bound on every task's loss from every reference task, for each cap ``taus`` of the head.

    ``taus`` are the curve that the report draws; the caps of ``BOUND_TAUS`` are always among them. ``unlabelled``
    bounds also without target labels, class sizes by ``prior`` ("given": the task's own), pseudo-labels by ``start``.
    ``aligned`` bounds in logits too, at the map that brings those nearest. ``released`` runs so many steps of the
    authors' algorithm beside ours (0: none) in its ``released_mode``, after ``released_head`` steps of its classifier.
    Of a reference ``classes`` are used: all, or ``count`` of them (left out: as many as the target has).
    """

    references: tuple[str, ...]
    taus: tuple[NonNegativeFloat, ...] = (0.005, 0.05, 0.2, 1.0)
    features: Literal["identity", "shift", "scale", "rigid", "general"] = "shift"
    aligned: bool = True
    classes: Literal["all", "random", "related"] = "all"
    count: PositiveInt | None = None
    per_class: PositiveInt = 100
    unlabelled: bool = True
    prior: Literal["uniform", "estimated", "given"] = "uniform"
    start: Literal["clusters", "reference"] = "clusters"
    released: NonNegativeInt = 0
    released_mode: Literal["LearnedAll", "LearnedA", "FixedAll"] = "LearnedAll"
    released_head: PositiveInt = 10_001
    search: TauSearch | None = None

    @property
    def caps(self) -> tuple[float, ...]:
        """Every tau that is computed, rising."""
        return tuple(sorted({*self.taus, *BOUND_TAUS}))

    @property
    def scores(self) -> tuple[str, ...]:
        """What the bounds are called as scores of models."""
        given = ["relatedness", "relatedness_0.1", "relatedness_tuned", "relatedness_logits", "relatedness_least",
                 "relatedness_loss"]  # fmt: skip
        aligned = ["relatedness_aligned", "relatedness_aligned_0.1", "relatedness_aligned_tuned"] * self.aligned
        return (*given, *aligned, *["relatedness_unlabelled"] * self.unlabelled,
                *["relatedness_released"] * bool(self.released))  # fmt: skip

    @model_validator(mode="after")
    def _counted(self) -> "Bound":
        if self.classes == "all" and self.count is not None:
            raise ValueError("count must be left out where classes is 'all'")
        return self


class Task2Vec(Frozen):
    """Every task as the Fisher information of one probe network, with a head fitted to the task.

    ``probe`` is a model of the sweep, or one for images and one for texts; ``images`` the most training examples looked
    at. ``draws`` (labels per example) is for the Monte-Carlo estimate, ``steps`` for the variational one.
    """

    probe: str | tuple[str, ...]
    method: Literal["montecarlo", "variational"] = "montecarlo"
    images: PositiveInt = 1000
    batch: PositiveInt = 64
    draws: PositiveInt = 1
    steps: PositiveInt = 500


class Pool(Frozen):
    """A predicate over model facts; every given condition must hold. From-scratch baselines are in no pool.

    ``where`` compares any column of the ``models`` table: ``"licence = mit and upstream_size >= 1e6"``.
    """

    groups: tuple[str, ...] | None = None
    families: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    max_parameters: PositiveInt | None = None
    max_dim: PositiveInt | None = None
    where: str | None = None

    def members(self, models: Iterable[Row]) -> list[str]:
        """Names of the models (rows of the ``models`` table) that are in the pool; an unknown fact is not in it."""
        found = [row for row in models if row["group"] != "scratch" and self._holds(row)]
        if self.where is None or not found:
            return [row["model"] for row in found]
        there = holds(pa.Table.from_pylist(found), self.where).to_pylist()
        return [row["model"] for row, holding in zip(found, there, strict=True) if holding]

    def _holds(self, row: Row) -> bool:
        return (
            (self.groups is None or row["group"] in self.groups)
            and (self.families is None or row["family"] in self.families)
            and (self.models is None or any(fnmatchcase(row["model"], name) for name in self.models))
            and _at_most(row["parameters"], self.max_parameters)
            and _at_most(row["dim"], self.max_dim)
        )


def _at_most(value: int | None, limit: int | None) -> bool:
    return limit is None or (value is not None and value <= limit)


class Zoo(Frozen):
    """A file of models, in the form in which a sweep file gives them, and the pools that they are judged in."""

    summary: str = ""
    models: tuple[str, ...] = ()
    model: tuple[ModelEntry, ...] = ()
    pools: dict[str, Pool] = {}

    @model_validator(mode="after")
    def _something_in_it(self) -> Self:
        if not (self.models or self.model):
            raise ValueError("a zoo must hold at least one model, got none")
        return self


class Regret(Frozen):
    """Which strategies are compared, with which budgets, in which pools, with how many bootstrap samples."""

    strategies: tuple[str, ...] = ("agnostic", "linear", "knn", "hybrid_linear", "hybrid_knn", "oracle", "random")
    budgets: tuple[PositiveInt, ...] = (1, 2)
    bootstrap: PositiveInt = 1000
    answer: str = "hybrid_linear"
    answer_budget: PositiveInt = 2
