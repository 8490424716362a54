"""How each model of the mini zoo was made, read from ``recipes.toml``. Must not import torch or timm."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sweeps.config import read_toml

GROUPS = ("architecture", "expert", "other")


@dataclass(frozen=True)
class Recipe:
    """One pre-training run.

    Attributes:
        group: "architecture", "expert" or "other", as in the study's pools.
        upstream: the upstream set (`world.UPSTREAMS`).
        loss: a key of `objectives.OBJECTIVES`.
        steps: optimiser steps.
        batch: images per step.
        optimiser: "sgd" (momentum 0.9, Nesterov), "adamw", or "adversarial" (AdamW that forgets sooner).
        rate: peak learning rate; warm-up over a tenth of the steps, then a cosine to 0.
        decay: weight decay, on matrices only.
        world_seed: seed of the upstream draw.
        per_class: images per class, or none for the set's own number.
    """

    group: str
    upstream: str
    loss: str
    steps: int
    batch: int
    optimiser: str
    rate: float
    decay: float
    world_seed: int
    per_class: int | None = None


def read(path: Path) -> Mapping[str, Recipe]:
    """Model name -> recipe, in the file's order: a model's lines, over its group's, over the defaults."""
    given = read_toml(path, "the recipes of the mini zoo")
    return MappingProxyType({
        name: Recipe(group, **(given["defaults"] | given["groups"][group] | own))
        for group in GROUPS for name, own in given[group].items()
    })  # fmt: skip


RECIPES: Mapping[str, Recipe] = read(Path(__file__).with_name("recipes.toml"))
