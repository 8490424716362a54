"""The model cards: facts about every model of the mini zoo, written by `pretrain`, read without torch or timm."""

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from .recipes import RECIPES

NAMES: tuple[str, ...] = tuple(RECIPES)


@lru_cache(maxsize=1)
def cards() -> Mapping[str, Mapping[str, Any]]:
    """Every model's card by name, in the order of `NAMES`: both mappings read-only.

    Raises:
        FileNotFoundError: a model of the table has no card in the package.
    """
    folder = resources.files(__package__) / "cards"
    return MappingProxyType(
        {name: MappingProxyType(json.loads((folder / f"{name}.json").read_text())) for name in NAMES}
    )
