"""The pen: seeded choices, invented names, templates with slots, and the last touches to a sentence."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")
Rules = Mapping[str, Sequence[str]]

_SLOT = re.compile(r"\{(\w+)\}")
_BEFORE_VOWEL = re.compile(r"\b([Aa]) (?=[aeiou])")
_CASUAL = {
    "is not": "isn't", "was not": "wasn't", "are not": "aren't", "did not": "didn't", "does not": "doesn't",
    "it is": "it's", "I have": "I've", "cannot": "can't", "very": "sooo", "really": "rly", "you": "u",
}  # fmt: skip
_CASUAL_WORDS = re.compile("|".join(rf"\b{words}\b" for words in _CASUAL))


def words(text: str) -> tuple[str, ...]:
    """The alternatives of a lexicon's line, between bars."""
    return tuple(part.strip() for part in text.split("|"))


_ONSETS = words("b|br|c|d|dr|f|g|gl|h|j|k|l|m|n|p|r|s|st|t|tr|v|w|z")
_NUCLEI = words("a|e|i|o|u|ai|ea|or|an|el|ir|un")
_CODAS = words("n|l|r|s|th|m|x|nd|rk|ley|ton|mar|vik|low|den")


class Pen:
    """Seeded choices. The stream depends on the words given alone, on every machine and version of Python."""

    def __init__(self, *seed: str | int) -> None:
        digest = hashlib.sha256("\x1f".join(str(word) for word in seed).encode()).digest()
        self._random = Random(int.from_bytes(digest, "big")).random

    def chance(self, share: float) -> bool:
        """True in that share of the calls."""
        return self._random() < share

    def below(self, n: int) -> int:
        """An integer from 0 to n - 1."""
        return int(self._random() * n)

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, evenly."""
        return options[self.below(len(options))]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """The options in random order."""
        return [option for _, option in sorted(((self._random(), i), o) for i, o in enumerate(options))]

    def name(self) -> str:
        """An invented name of one or two syllables and an ending."""
        parts = [self.pick(_ONSETS) + self.pick(_NUCLEI) for _ in range(1 + self.below(2))]
        return ("".join(parts) + self.pick(_CODAS)).capitalize()

    def fill(self, template: str, rules: Rules, /, **given: str) -> str:
        """The template with each {slot} replaced: by what is given, else by one of the rules' alternatives, in turn.

        {name} is an invented name where nothing else is given.
        """

        def slot(match: re.Match[str]) -> str:
            key = match.group(1)
            if key in given:
                return given[key]
            if key == "name":
                return self.name()
            return self.fill(self.pick(rules[key]), rules, **given)

        return _SLOT.sub(slot, template)

    def sentence(self, text: str, end: str = ".") -> str:
        """The text as a sentence: a or an, a capital, a full stop."""
        text = _BEFORE_VOWEL.sub(r"\1n ", text.strip())
        return text[0].upper() + text[1:] + end

    def casual(self, text: str) -> str:
        """The text as it is typed in a hurry: contracted, no capitals, now and then two letters swapped."""
        text = _CASUAL_WORDS.sub(lambda match: _CASUAL[match.group()], text).lower()
        return " ".join(self._mistyped(word) if self.chance(0.05) else word for word in text.split())

    def _mistyped(self, word: str) -> str:
        if len(word) < 4:
            return word
        at = 1 + self.below(len(word) - 2)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
