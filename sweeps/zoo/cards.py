"""The cards of the embedded models: what is known of each, written when it was pre-trained.

Apart from :mod:`sweeps.zoo.mini`, which registers the models with timm and so loads timm and torch: a sweep is planned
from the cards alone.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

FOLDER = Path(__file__).parent / "mini" / "cards"


@cache
def cards() -> Mapping[str, Mapping[str, Any]]:
    """Model name -> card, read-only, in the order of the names."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json")))
    return MappingProxyType({card["name"]: MappingProxyType(card) for card in found})
