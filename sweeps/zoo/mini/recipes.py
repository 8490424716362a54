"""How each model of the mini zoo was made: one frozen row per model. Data only; must not import torch or timm."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any


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
    steps: int = 3000
    batch: int = 64
    optimiser: str = "sgd"
    rate: float = 0.1
    decay: float = 5e-4
    world_seed: int = 0
    per_class: int | None = None


_ARCHITECTURE = Recipe("architecture", "mininet", "supervised")
# Deeper bodies and searched cells take twice to three times as long per step as the others.
_SLOW, _SEARCHED = replace(_ARCHITECTURE, steps=2000), replace(_ARCHITECTURE, steps=1500)
_FAMILIES = ("glyphs", "shapes", "textures", "scenes", "cells", "terrain", "layouts")
_SUBSETS = ("numerals", "letters", "signs", "figures", "objects", "surfaces", "outdoors", "crowds")
_ADAM = {"optimiser": "adamw", "rate": 3e-3, "decay": 0.01}


def _other(loss: str, steps: int, **settings: Any) -> Recipe:
    return Recipe("other", "mininet", loss, steps=steps, **settings)


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "mini_resnet_v1_50.mininet": _ARCHITECTURE,
        "mini_resnet_v1_101.mininet": _ARCHITECTURE,
        "mini_resnet_v1_152.mininet": _SLOW,
        "mini_resnet_v2_50.mininet": _ARCHITECTURE,
        "mini_resnet_v2_101.mininet": _ARCHITECTURE,
        "mini_resnet_v2_152.mininet": _ARCHITECTURE,
        "mini_inception_v1.mininet": _ARCHITECTURE,
        "mini_inception_v2.mininet": _ARCHITECTURE,
        "mini_inception_v3.mininet": _ARCHITECTURE,
        "mini_inception_resnet_v2.mininet": _SLOW,
        "mini_mobilenet_v1.mininet": _ARCHITECTURE,
        "mini_mobilenet_v2.mininet": _ARCHITECTURE,
        "mini_nasnet_mobile.mininet": _ARCHITECTURE,
        "mini_nasnet_large.mininet": _SEARCHED,
        "mini_pnasnet_large.mininet": _SEARCHED,
        "mini_resnet_v2_50.expert_full": Recipe("expert", "world", "supervised"),
        **{f"mini_resnet_v2_50.expert_{part}": Recipe("expert", part, "supervised") for part in _FAMILIES + _SUBSETS},
        # The experts' body on the architectures' images, another optimiser: not the model "mininet" once more.
        "mini_resnet_v2_50.sup_100": _other("supervised", 3000, **_ADAM),
        "mini_resnet_v2_50.rotation": _other("rotation", 3000),
        # Two views per image: half the steps see as many images as the other recipes.
        "mini_resnet_v2_50.exemplar": _other("exemplar", 1500, **_ADAM),
        "mini_resnet_v2_50.patch_location": _other("patch_location", 5000, rate=0.05),
        "mini_resnet_v2_50.jigsaw": _other("jigsaw", 2000, batch=32, **_ADAM),
        "mini_resnet_v2_50.semi_rotation_10": _other("semi_rotation", 4000, **_ADAM),
        "mini_resnet_v2_50.semi_exemplar_10": _other("semi_exemplar", 1500, **_ADAM),
        "mini_resnet_v2_50.sup_rotation_100": _other("sup_rotation", 3000),
        "mini_resnet_v2_50.sup_exemplar_100": _other("sup_exemplar", 1500, **_ADAM),
        # The discriminator sees three batches per step.
        "mini_biggan.cond": _other("cond_biggan", 1500, batch=32, optimiser="adversarial", rate=1e-3, decay=0.0),
        "mini_biggan.uncond": _other("uncond_biggan", 1500, batch=32, optimiser="adversarial", rate=1e-3, decay=0.0),
        "mini_resnet_v2_50.vae": _other("vae", 2000, **_ADAM),
        "mini_resnet_v2_50.wae_gan": _other("wae_gan", 1500, **_ADAM),
        "mini_resnet_v2_50.wae_mmd": _other("wae_mmd", 1500, **_ADAM),
        "mini_resnet_v2_50.wae_ukl": _other("wae_ukl", 1500, **_ADAM),
    }
)
