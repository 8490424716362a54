"""The embedded zoo: the study's 46 models in miniature, for 32 x 32 images, with weights in the package.

Importing this registers them with timm: ``timm.create_model("mini_resnet_v2_50.expert_full", pretrained=True)`` takes
timm's own path from name to weights. What is known of each model is in :mod:`sweeps.zoo.cards`.
"""

from . import architectures
from .recipes import RECIPES

__all__ = ["NAMES", "architectures"]

NAMES: tuple[str, ...] = tuple(RECIPES)
