"""The sections [finetune], [search] and [final] of a sweep file: how models are trained on a task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from sweeps.settings import Frozen


class TextFineTune(Frozen):
    """The field's recipe for texts: AdamW, linear warm-up over a share of the steps, then linear decay to zero.

    ``steps``, ``repeats`` and ``evaluations`` are those of ``[finetune]`` unless given here; ``epochs`` counts passes
    over the task's training split in place of steps.
    """

    learning_rates: tuple[PositiveFloat, ...] = (1e-5, 2e-5, 5e-5)
    steps: PositiveInt | None = None
    epochs: PositiveInt | None = None
    batch: PositiveInt = 32
    repeats: PositiveInt | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.1
    schedule: Literal["constant", "linear"] = "linear"
    evaluations: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.steps is not None and self.epochs is not None:
            raise ValueError(f"steps and epochs must not both be given, got {self.steps} and {self.epochs}")
        return self


@dataclass(frozen=True)
class Recipe:
    """How models of one modality are fine-tuned: the grid, and every other setting of a run."""

    learning_rates: tuple[float, ...]
    repeats: int
    settings: Mapping[str, Any]


class FineTune(Frozen):
    """The study's protocol: new zero-started linear head, whole model, SGD with momentum, best by validation.

    ``models`` is ``"all"`` or the strategy whose first ``budget`` picks are fine-tuned on each task. With ``halving``
    the better half of their (model, rate) pairs, by validation, is trained on after every evaluation, and only the
    winner meets the test split. ``text`` is what differs for texts.
    """

    models: str = "all"
    budget: PositiveInt = 2
    halving: bool = False
    learning_rates: tuple[PositiveFloat, ...] = (0.1, 0.01)
    steps: PositiveInt = 2500
    batch: PositiveInt = 512
    repeats: PositiveInt = 5
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Literal["constant", "step"] = "step"
    evaluations: PositiveInt = 5
    text: TextFineTune = TextFineTune()

    @model_validator(mode="after")
    def _halved(self) -> Self:
        if self.halving and (self.models == "all" or self.repeats > 1):
            raise ValueError(f"halving must come with a strategy as models and one repeat, got {self.models!r} and "
                             f"{self.repeats}")  # fmt: skip
        return self

    def recipe(self, modality: str) -> Recipe:
        """The recipe of a modality."""
        if modality == "image":
            chosen = self.model_dump(exclude={"text", "models", "budget", "halving"})
        else:
            shared = {"steps": self.steps, "repeats": self.repeats, "evaluations": self.evaluations}
            chosen = {"optimiser": "adamw", **shared, **self.text.model_dump(exclude_none=True)}
        return Recipe(chosen.pop("learning_rates"), chosen.pop("repeats"), chosen)


class Range(Frozen):
    """The learning rates that are searched; as a section of ``[search]``, those for texts."""

    low: PositiveFloat = 1e-6
    high: PositiveFloat = 5e-4

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        return self


class Search(Range):
    """Ray Tune over the learning rate (log-uniform; Optuna, stopped early by ASHA), started from the grid's values.

    ``models`` is ``"all"``, ``"best"`` (of the fine-tuned ones, by validation), or the strategy whose first ``budget``
    picks are searched; ``trials`` counts the searched rates beyond the grid's.
    """

    models: str = "hybrid_linear"
    budget: PositiveInt = 2
    trials: PositiveInt = 4
    low: PositiveFloat = 1e-3
    high: PositiveFloat = 0.5
    confirm: bool = True
    text: Range = Range()

    def range(self, modality: str) -> tuple[float, float]:
        """The least and the greatest learning rate searched on tasks of a modality."""
        place = {"image": self, "text": self.text}[modality]
        return place.low, place.high


class Final(Frozen):
    """The winner of each task, by validation, fine-tuned ``repeats`` times more: its number, and its checkpoint.

    The repeat that validates best is kept, as a folder that timm or transformers loads. With ``head``, a linear head
    on the frozen features of the model with the best linear probe takes its place where it validates better.
    """

    repeats: PositiveInt = 2
    checkpoint: bool = True
    head: bool = False


def evaluation_steps(steps: int, evaluations: int) -> list[int]:
    """After how many steps to look at the validation split: the end, half of it, a quarter, ... in rising order.

    Halvings, because they are the rungs at which successive halving (ASHA, reduction factor 2) compares trials.
    """
    return sorted({steps >> halvings for halvings in range(evaluations)} - {0})
