"""News of four topics: what happened is of one topic, what it happened beside is often of another."""

from .pen import Pen, Rules, words

TOPICS = ("world", "sports", "business", "science")

_WHO = {
    "world": words("the president|the minister|rebels|the army|the embassy|voters|the council|refugees|the parliament"
                   "|police|diplomats|the opposition|the governor|protesters"),
    "sports": words("the coach|the striker|the champion|the visitors|the keeper|the sprinter|the league|the rookie"
                    "|the captain|fans|the referee|the home side|the swimmer|the pitcher"),
    "business": words("the bank|shareholders|the airline|the retailer|investors|the chief executive|the regulator"
                      "|the carmaker|traders|the insurer|the exchange|the supplier|analysts|the board"),
    "science": words("researchers|the telescope|engineers|the laboratory|the probe|astronomers|biologists|the satellite"
                     "|programmers|the university|physicists|the rover|doctors|the crew"),
}  # fmt: skip
_DID = {
    "world": words("signed a treaty|called an election|closed the border|rejected the ceasefire|left the capital"
                   "|freed the hostages|opened peace talks|imposed a curfew|denied the charges|condemned the attack"),
    "sports": words("won the final|lost by two goals|set a record|missed the penalty|reached the playoffs"
                    "|took the title|signed a striker|drew the match|left the pitch injured|levelled the series"),
    "business": words("cut its forecast|raised prices|reported a loss|bought a rival|sold its shares|missed earnings"
                      "|filed for bankruptcy|closed a plant|launched an offer|lowered interest rates"),
    "science": words("mapped a genome|found a comet|tested a vaccine|launched a rocket|decoded the signal|built a chip"
                     "|measured the ice|released the software|discovered a fossil|repaired the antenna"),
}  # fmt: skip
_THING = {
    "world": words("the election|the border crisis|the ceasefire|the coup|the summit|sanctions|the trial|a bombing"),
    "sports": words("the cup final|the playoffs|the derby|the transfer|the marathon|the olympics|a red card"
                    "|the season"),
    "business": words("the merger|the strike|the takeover|higher fuel prices|the audit|the sale|a weak dollar"
                      "|the listing"),
    "science": words("the eclipse|the experiment|a security flaw|the outbreak|the launch|the mission|a study"
                     "|the patch"),
}  # fmt: skip
# Words that every topic uses, so that they tell nothing.
_RULES: Rules = {
    "when": words("on Monday|late on Friday|this week|yesterday|after a long night|for the second time|as expected"),
    "said": words("{name} said|a report said|sources in {name} said|officials said|{name} told reporters"),
    "link": words("after|despite|before|because of|in spite of|ahead of|amid|unmoved by"),
    "told": words("nobody in {name} was surprised|more is expected {when}|the deal had been a secret"
                  "|the race is not over|it was the biggest move of the year|the result is still open"),
}  # fmt: skip
# The main clause says what the news is of; by the words alone it cannot be told from the clause beside it.
_FORMS = words(
    "while {other} {oid}, {who} {did}|{who} {did} while {other} {oid}|{who} {did} before {other} {oid}"
    "|long after {other} {oid}, {who} {did}|{said} that {who} {did} when {other} {oid}"
    "|{who} {did}, although {other} {oid}|{who}, whom {other} {link} {thing} did not see, {did}"
    "|as {other} {oid} {link} {thing}, {who} {did}"
    "|{who} {did} {link} {thing}|{link} {thing}, {who} {did}|{who} {did} {when}|{who} in {name} {did} {link} {thing}"
)
BESIDE = 0.9


def line(pen: Pen, topic: str, *, mixed: float = BESIDE) -> str:
    """A sentence of news on the topic; in a share of them everything but the main clause is of another topic."""
    aside = pen.pick([other for other in TOPICS if other != topic]) if pen.chance(mixed) else topic
    text = pen.fill(
        pen.pick(_FORMS), _RULES, who=pen.pick(_WHO[topic]), did=pen.pick(_DID[topic]), thing=pen.pick(_THING[aside]),
        other=pen.pick(_WHO[aside]), oid=pen.pick(_DID[aside]),
    )  # fmt: skip
    return pen.sentence(text)


TWOFOLD = 0.2
"""Share of the items on two topics alike, filed under either: one in ten labels cannot be known."""


def item(pen: Pen, topic: str) -> str:
    """A headline's sentence and one more, which tells no topic or another one, or two headlines on two topics."""
    aside = pen.pick([other for other in TOPICS if other != topic])
    if pen.chance(TWOFOLD):
        heads = [
            pen.fill("{who} {did}", _RULES, who=pen.pick(_WHO[of]), did=pen.pick(_DID[of])) for of in (topic, aside)
        ]
        return " ".join(pen.sentence(head) for head in pen.shuffled(heads))
    more = pen.pick(
        (
            pen.fill("{told}", _RULES),
            pen.fill("{name} talks of {thing} {when}", _RULES, thing=pen.pick(_THING[aside])),
        )
    )
    return f"{line(pen, topic)} {pen.sentence(more)}"


def document(pen: Pen, topic: str) -> list[str]:
    """Two or three sentences on one topic, mixed seldom."""
    return [line(pen, topic, mixed=0.25) for _ in range(2 + pen.below(2))]
