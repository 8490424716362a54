"""Documents: lists of sentences that belong together, by section; sections make up domains."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from . import encyclopaedia, news, opinions, prose, questions
from .pen import Pen

Document = Callable[[Pen], list[str]]

SECTIONS: Mapping[str, Document] = MappingProxyType(
    {
        **{name: partial(opinions.document, domain=name) for name in opinions.DOMAINS},
        **{name: partial(news.document, topic=name) for name in news.TOPICS},
        **{name: partial(encyclopaedia.document, section=name) for name in encyclopaedia.SECTIONS},
        "questions": questions.document,
        "prose": prose.document,
    }
)

DOMAINS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "opinions": opinions.DOMAINS,
        "news": news.TOPICS,
        "encyclopaedia": tuple(encyclopaedia.SECTIONS),
        "questions": ("questions",),
        "prose": ("prose",),
    }
)
"""Domain -> its sections: the shares of the whole corpus are even over domains."""


def pair(pen: Pen, follows: bool) -> tuple[str, str]:
    """Two sentences: neighbours in one document, or the second from a document of another section."""
    section = pen.pick(list(SECTIONS))
    first, second, *_ = SECTIONS[section](pen)
    if not follows:
        _, second, *_ = SECTIONS[pen.pick([other for other in SECTIONS if other != section])](pen)
    return first, second
