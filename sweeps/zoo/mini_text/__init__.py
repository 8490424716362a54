"""The embedded language zoo: thirteen tiny transformers, shipped as plain transformers folders with tokenizers.

`folder(name)` is what `AutoModel.from_pretrained` and `AutoTokenizer.from_pretrained` take; `cards()` says what is
known of each. Importing this loads neither torch nor transformers.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .recipes import RECIPES

__all__ = ["NAMES", "cards", "folder"]

NAMES: tuple[str, ...] = tuple(RECIPES)

_HERE = Path(__file__).parent


def folder(name: str) -> Path:
    """The model's folder: config.json, model.safetensors (half precision), tokenizer.json, tokenizer_config.json.

    Raises:
        ValueError: unknown name.
    """
    if name not in RECIPES:
        raise ValueError(f"name must be one of the language zoo's {len(RECIPES)} models, got {name!r}")
    return _HERE / "models" / name


@cache
def cards() -> Mapping[str, Mapping[str, Any]]:
    """Model name -> card, read-only, in the order of the names."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted((_HERE / "cards").glob("*.json")))
    return MappingProxyType({card["name"]: MappingProxyType(card) for card in found})
