"""The upstream sets: documents of all domains or of one, pairs of sentences, and two labelled sets.

No text of them, and no sentence of a document, is one of the tasks' texts, whatever the seeds: see
`sweeps.written.shelves`. Draws depend on (upstream, split, seed) alone. Knows nothing about models.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from sweeps.written.opinions import verdict
from sweeps.written.pen import Pen
from sweeps.written.sections import DOMAINS, SECTIONS, pair
from sweeps.written.shelves import PRETRAINING, from_shelf, shelf

Text = str | tuple[str, str]

UPSTREAMS = ("all", *DOMAINS, "pairs", "sections", "moods")
CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pairs": ("elsewhere", "next"),
        "sections": tuple(SECTIONS),
        "moods": ("very negative", "negative", "neutral", "positive", "very positive"),
    }
)
"""The classes of the labelled sets, in label order."""


@dataclass(frozen=True)
class Texts:
    """Texts (pairs in "pairs") and, in a labelled set, their labels (zeros elsewhere)."""

    texts: Sequence[Text]
    labels: Sequence[int]
    classes: tuple[str, ...]


def draw(upstream: str, split: str, seed: int, size: int) -> Texts:
    """Draw one split of an upstream set.

    Args:
        upstream: one of `UPSTREAMS`; "all" holds its five domains in even shares.
        split: "upstream" to train on, "held out" to measure with: no text is in both.
        seed: of the draw.
        size: number of texts.

    Raises:
        ValueError: unknown upstream set or split.
    """
    if upstream not in UPSTREAMS:
        raise ValueError(f"upstream must be one of {', '.join(UPSTREAMS)}, got {upstream!r}")
    if split not in PRETRAINING:
        raise ValueError(f"split must be one of {', '.join(PRETRAINING)}, got {split!r}")
    pen, classes = Pen("upstream", upstream, split, seed), CLASSES.get(upstream, ())
    labels = [pen.below(len(classes)) if classes else 0 for _ in range(size)]
    return Texts([from_shelf(split, _writer(upstream, pen, label)) for label in labels], labels, classes)


def _writer(upstream: str, pen: Pen, label: int) -> Callable[[], Text]:
    if upstream == "pairs":
        return lambda: _free_pair(pen, bool(label))
    if upstream == "moods":
        return lambda: verdict(pen, "gadgets", label)
    if upstream == "sections":
        # A document's first sentence or two: with more, the section is too easy to tell.
        return lambda: _document(pen, CLASSES["sections"][label], 2)
    domains = tuple(DOMAINS) if upstream == "all" else (upstream,)
    return lambda: _document(pen, pen.pick(DOMAINS[pen.pick(domains)]), 4)


def _document(pen: Pen, section: str, most: int) -> str:
    """The document's sentences, as many as asked for at most, without those that are kept for the tasks."""
    while not (lines := [line for line in SECTIONS[section](pen) if shelf(line) in PRETRAINING][:most]):
        pass
    return " ".join(lines)


def _free_pair(pen: Pen, follows: bool) -> tuple[str, str]:
    while True:
        both = pair(pen, follows)
        if all(shelf(line) in PRETRAINING for line in both):
            return both
