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

TEXTS = Path(__file__).parent / "mini_text"
FOLDER = Path(__file__).parent / "mini" / "cards"


@cache
def cards() -> Mapping[str, Mapping[str, Any]]:
    """Model name -> card, read-only, in the order of the names."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json")))
    return MappingProxyType({card["name"]: MappingProxyType(card) for card in found})


@cache
def text_cards() -> Mapping[str, Mapping[str, Any]]:
    """The same for the embedded language models, each with the ``folder`` that transformers loads it from."""
    found: dict[str, Mapping[str, Any]] = {}
    for folder in sorted(path.parent for path in TEXTS.glob("models/*/config.json")):
        places = (TEXTS / "cards" / f"{folder.name}.json", folder / "card.json")
        card: dict[str, Any] = next(
            (json.loads(path.read_text(encoding="utf-8")) for path in places if path.is_file()), {}
        )
        found[card.get("name", folder.name)] = MappingProxyType({**card, "folder": str(folder)})
    return MappingProxyType(found)


# Year of the paper whose design or objective an embedded model is a small copy of, by part of its name.
_YEARS = {
    "mobilenet_v1": 2017.3, "mobilenet_v2": 2018.0, "resnet_v1": 2015.9, "resnet_v2": 2016.2, "expert": 2020.7,
    "rotation": 2018.2, "exemplar": 2014.5, "vae": 2013.9,
}  # fmt: skip


def released(name: str) -> float | None:
    """Year in which the design of an embedded model was published: of its objective, where that is the newer part."""
    objective = name.rpartition(".")[2].partition("_")[0]
    design = next((year for part, year in _YEARS.items() if part in name.partition(".")[0]), None)
    return _YEARS.get(objective, design)
