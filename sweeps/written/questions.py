"""Questions of six types: every question names things of other types too; what is asked for decides."""

from .pen import Pen, Rules, words

TYPES = ("abbreviation", "entity", "description", "human", "location", "number")

_HEADS: Rules = {
    "abbreviation": words("abbreviation|acronym|short form|full name|set of initials"),
    "entity": words("animal|colour|food|sport|language|instrument|film|drink|metal|game|flower|book|song|tool"),
    "description": words("cause|meaning|origin|purpose|history|definition|reason|effect|use|nature"),
    "human": words("singer|mayor|doctor|inventor|captain|painter|author|queen|coach|founder|actor|thief|judge|widow"),
    "location": words(
        "city|country|river|island|street|harbour|province|mountain|village|continent|desert|square|coast"
    ),
    "number": words("height|price|age|population|speed|distance|weight|temperature|date|length|year|share|depth"),
}
_RULES: Rules = {
    "any": words("{entity}|{human}|{location}|{entity} {name}|{human} {name}|{location} {name}|{number}|{description}"),
    **_HEADS,
    "short": words("NRT|UKL|BDO|PSA|FGT|TOLU|MIRA|KSE|WDL|AFC"),
    "did": words("left|found|painted|sold|bought|described|visited|lost|named|built"),
    "base": words("leave|find|paint|sell|buy|describe|visit|lose|name|build"),
    "tail": words(
        "of the {any}|of the {any} and the {any}|behind the {any} of the {any}|that the {any} {did}"
        "|that {did} the {any}|{did} by the {human} where the {any} was {did}"
        "|for which the {human} who {did} the {any} is known"
        "|that the {any} stands for|when the {any} {did} the {any}|whose {any} {did} {short}"
        "|that has the {any} of a {any}"
    ),
    "frame": words(
        "what is the {head} {tail}|what was the {head} {tail}|which {head} {did} the {any}|name the {head} {tail}"
        "|what {head} {did} the {any}|which is the {head} {tail}|what {head} is the {any} known for"
        "|give the {head} {tail}|when the {any} {did} the {any}, what was its {head}|what is the {any}'s {head}"
    ),
}
# How people ask for the same without a noun: seldom, since one word would give the type away.
_BARE: Rules = {
    "abbreviation": words(
        "what does {short} stand for in the {any}|what is {short} short for|how is the {any} written in short"
    ),
    "entity": words("what did the {any} {base}|what do they {base} in the {any}|what was {did} by the {any}"),
    "description": words("why did the {any} {base} the {any}|how did the {any} {base} the {any}|what is a {any} like"),
    "human": words("who {did} the {any}|who was it that {did} the {any}|whose {entity} {did} the {any}"),
    "location": words("where did the {any} {base} the {any}|where is the {any}|from where was the {any} {did}"),
    "number": words("how many of them {did} the {any}|when did the {any} {base} the {any}|how far is the {any}"),
}
BARE = 0.25
_OPENINGS = ("tell me, ", "please, ", "in short, ", "does anyone know, ", "", "", "")
_ANSWERS = {
    "abbreviation": "it stands for {name} {name}", "entity": "it is a {entity}", "description": "because it was {did}",
    "human": "{name}, the {human}", "location": "in {name}, a {location}", "number": "about {n}",
}  # fmt: skip


def question(pen: Pen, kind: str) -> str:
    """A question of the type."""
    frame = pen.pick(_BARE[kind] if pen.chance(BARE) else _RULES["frame"])
    return pen.sentence(pen.pick(_OPENINGS) + pen.fill(frame, _RULES, head=pen.pick(_HEADS[kind])), "?")


def document(pen: Pen) -> list[str]:
    """A question and an answer of its type."""
    kind = pen.pick(TYPES)
    return [question(pen, kind), pen.sentence(pen.fill(_ANSWERS[kind], _RULES, n=str(10 + pen.below(990))))]
