"""Which texts may be used where: a text's own hash puts it on one shelf, whatever the seed; no text is on two.

Most texts are for pre-training, a few of those to measure it with; the rest are for the tasks' splits.
"""

import hashlib
from collections.abc import Callable
from typing import TypeVar

Text = TypeVar("Text", bound="str | tuple[str, str]")

_SHELVES = ("upstream",) * 10 + ("held out",) + ("train",) * 2 + ("val",) + ("test",) * 2
PRETRAINING = ("upstream", "held out")


def shelf(text: str | tuple[str, str]) -> str:
    """The shelf of a text or pair: "upstream", "held out", "train", "val" or "test"; case and spacing are ignored."""
    plain = " ".join((text if isinstance(text, str) else " \x1f ".join(text)).lower().split())
    return _SHELVES[hashlib.sha256(plain.encode()).digest()[0] % len(_SHELVES)]


def from_shelf(name: str, write: Callable[[], Text]) -> Text:
    """The first text (or pair) written that belongs on the shelf."""
    while shelf(text := write()) != name:
        pass
    return text
