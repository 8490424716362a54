"""How each model of the mini zoo was made: one frozen row per model. Data only; must not import torch or timm."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Recipe:
    """One pre-training run.

    Attributes:
        group: "architecture", "expert" or "other", as in the study's pools.
        upstream: the upstream set (`world.UPSTREAMS`).
        loss: "supervised", "rotation", "vae" or "exemplar".
        steps: optimiser steps.
        batch: images per step.
        optimiser: "sgd" (momentum 0.9, Nesterov) or "adamw".
        rate: peak learning rate; warm-up over a tenth of the steps, then a cosine to 0.
        decay: weight decay, on matrices only.
        world_seed: seed of the upstream draw.
        per_class: images per class, or none for the set's own number.
    """

    group: str
    upstream: str
    loss: str
    steps: int = 3000
    batch: int = 64
    optimiser: str = "sgd"
    rate: float = 0.1
    decay: float = 5e-4
    world_seed: int = 0
    per_class: int | None = None


_ARCHITECTURE = Recipe("architecture", "mininet", "supervised")
_FAMILIES = ("glyphs", "shapes", "textures", "scenes", "cells", "terrain", "layouts")

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "mini_resnet_v1_50.mininet": _ARCHITECTURE,
        "mini_resnet_v1_101.mininet": _ARCHITECTURE,
        "mini_resnet_v2_50.mininet": _ARCHITECTURE,
        "mini_mobilenet_v1.mininet": _ARCHITECTURE,
        "mini_mobilenet_v2.mininet": _ARCHITECTURE,
        "mini_resnet_v2_50.expert_full": Recipe("expert", "world", "supervised"),
        **{f"mini_resnet_v2_50.expert_{family}": Recipe("expert", family, "supervised") for family in _FAMILIES},
        "mini_resnet_v2_50.rotation": Recipe("other", "mininet", "rotation"),
        "mini_resnet_v2_50.vae": Recipe(
            "other", "mininet", "vae", steps=2000, optimiser="adamw", rate=3e-3, decay=0.01
        ),
        # Two views per image: half the steps see as many images as the other recipes.
        "mini_resnet_v2_50.exemplar": Recipe(
            "other", "mininet", "exemplar", steps=1500, optimiser="adamw", rate=3e-3, decay=0.01
        ),
    }
)
