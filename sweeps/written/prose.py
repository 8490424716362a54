"""Plain prose about people and animals, and the same with one fault: agreement, pronouns, word order, a word amiss."""

from .pen import Pen, words

_NOUNS = tuple(pair.split("/") for pair in words(
    "dog/dogs|horse/horses|nurse/nurses|farmer/farmers|sailor/sailors|child/children|woman/women|fox/foxes"
    "|clerk/clerks|baker/bakers|goose/geese|guard/guards|student/students|boat/boats|lamp/lamps|letter/letters"
    "|key/keys|cart/carts"
))  # fmt: skip
_PEOPLE = {"he": words("the king|the old man|my uncle|the monk|his brother"),
           "she": words("the queen|my aunt|the widow|the girl|her sister"),
           "they": words("the twins|my parents|the guests|our neighbours|the children")}  # fmt: skip
_SELF = {"he": "himself", "she": "herself", "they": "themselves"}
_ADJECTIVES = words("old|small|tired|quiet|brown|young|wet|lazy|brave|hungry")
_VERBS = tuple(pair.split("/") for pair in words(
    "waits/wait|sleeps/sleep|sings/sing|falls/fall|arrives/arrive|runs/run|listens/listen|turns/turn|rests/rest"
    "|is/are"
))  # fmt: skip
_TRANSITIVE = tuple(pair.split("/") for pair in words(
    "follows/follow|sees/see|likes/like|hears/hear|carries/carry|fears/fear|finds/find|watches/watch"
))  # fmt: skip
_PLACES = words("near the river|in the yard|behind the house|on the hill|by the gate|under the bridge|at the market")
_PAST = words("saw|blamed|praised|asked|taught|washed|defended|forgave")
_JOINS = words("near|behind|beside|with|above|without")
_ADVERBS = words("often|never|always|slowly|seldom|again")
FAULTS = ("verb", "verb", "verb", "determiner", "self", "order", "order", "extra")


def _noun(pen: Pen, plural: bool, wrong: bool = False) -> str:
    """The noun phrase; with the fault, its determiner is of the other number."""
    determiner = pen.pick((("the", "this", "that", "every"), ("the", "these", "those", "some"))[plural])
    if wrong:
        determiner = pen.pick((("these", "those", "both"), ("this", "that", "every"))[plural])
    adjective = f" {pen.pick(_ADJECTIVES)}" if pen.chance(0.4) else ""
    return f"{determiner}{adjective} {pen.pick(_NOUNS)[plural]}"


def sentence(pen: Pen, fault: str | None = None) -> str:
    """A sentence of prose, right, or wrong in one respect.

    Args:
        fault: one of `FAULTS`, or none.
    """
    text = (
        _reflexive(pen, fault)
        if fault == "self" or (fault not in ("verb", "determiner") and pen.chance(0.25))
        else _agreeing(pen, fault)
    )
    tokens = text.split()
    if fault == "order":
        # Neighbours that change places leave no sentence, adverbs apart.
        places = [at for at in range(1, len(tokens) - 1) if not {*tokens[at : at + 2]} & {*_ADVERBS}]
        at = pen.pick(places)
        tokens[at], tokens[at + 1] = tokens[at + 1], tokens[at]
    elif fault == "extra":
        tokens.insert(1 + pen.below(len(tokens) - 1), pen.pick(("the", "is", "of", "and", "were")))
    return pen.sentence(" ".join(tokens))


def _agreeing(pen: Pen, fault: str | None) -> str:
    """A subject, often another noun between, and a verb of the subject's number."""
    plural, other = pen.chance(0.5), pen.chance(0.5)
    subject = _noun(pen, plural, fault == "determiner")
    between = f" {pen.pick(_JOINS)} {_noun(pen, other)}" if pen.chance(0.6) else ""
    if not between and pen.chance(0.4):
        between = f" that {pen.pick(_TRANSITIVE)[plural]} {_noun(pen, other)}"
    number = plural != (fault == "verb")
    adverb = f"{pen.pick(_ADVERBS)} " if pen.chance(0.3) else ""
    if pen.chance(0.5):
        verb = f"{adverb}{pen.pick(_TRANSITIVE)[number]} {_noun(pen, pen.chance(0.5))}"
    else:
        verb = f"{adverb}{pen.pick(_VERBS)[number]} {pen.pick(_PLACES)}"
    return f"{subject}{between} {verb}"


def _reflexive(pen: Pen, fault: str | None) -> str:
    """Someone did something to themselves; with the fault, to another gender or number."""
    who = pen.pick(list(_PEOPLE))
    object_ = _SELF[who if fault != "self" else pen.pick([other for other in _SELF if other != who])]
    beside = f" and {pen.pick(_PAST)} {_noun(pen, pen.chance(0.5))}" if pen.chance(0.4) else ""
    return f"{pen.pick(_PEOPLE[who])} {pen.pick(_PLACES)} {pen.pick(_PAST)} {object_}{beside}"


def document(pen: Pen) -> list[str]:
    """Two to four right sentences."""
    return [sentence(pen) for _ in range(2 + pen.below(3))]
