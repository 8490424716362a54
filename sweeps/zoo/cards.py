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


# Year of the paper whose objective or design an embedded model is a small copy of, by the beginning of its tag and
# of its architecture's name; the first that fits counts.
_OBJECTIVES = {
    "expert": 2020.7, "rotation": 2018.2, "exemplar": 2014.5, "patch_location": 2015.4, "jigsaw": 2016.2,
    "semi_": 2019.3, "sup_rotation": 2019.3, "sup_exemplar": 2019.3, "vae": 2013.9, "wae_ukl": 2019.4, "wae": 2017.8,
}  # fmt: skip
_DESIGNS = {
    "mini_mobilenet_v1": 2017.3, "mini_mobilenet_v2": 2018.0, "mini_resnet_v1": 2015.9, "mini_resnet_v2": 2016.2,
    "mini_inception_v1": 2014.7, "mini_inception_v2": 2015.1, "mini_inception_v3": 2015.9,
    "mini_inception_resnet_v2": 2016.1, "mini_nasnet": 2017.5, "mini_pnasnet": 2017.9, "mini_biggan": 2018.7,
}  # fmt: skip


def released(name: str) -> float | None:
    """Year in which the design of an embedded model was published: of its objective, where that is the newer part."""
    architecture, _, tag = name.partition(".")
    for years, part in ((_OBJECTIVES, tag), (_DESIGNS, architecture)):
        found = next((year for beginning, year in years.items() if part.startswith(beginning)), None)
        if found is not None:
            return found
    return None
