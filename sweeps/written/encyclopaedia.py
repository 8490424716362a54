"""Encyclopaedia entries on fourteen kinds of things. An entry names other kinds too: what it is not."""

from .pen import Pen, Rules, words

KINDS = {
    "company": words("brewery|publisher|airline|software firm|shipping line|carmaker|record label|bank"),
    "school": words("college|grammar school|university|academy|conservatory|seminary|polytechnic|boarding school"),
    "artist": words("painter|sculptor|singer|pianist|composer|novelist|drummer|poet"),
    "athlete": words("footballer|sprinter|rower|wrestler|goalkeeper|cyclist|boxer|figure skater"),
    "politician": words("senator|mayor|minister|governor|member of parliament|judge|chancellor|ambassador"),
    "vehicle": words("steam locomotive|frigate|sports car|submarine|bomber|tram|ferry|motorcycle"),
    "building": words("church|castle|lighthouse|museum|town hall|abbey|mansion|theatre"),
    "nature": words("river|mountain|lake|glacier|bay|valley|waterfall|volcano"),
    "village": words("village|hamlet|small town|parish|settlement|township|commune|fishing village"),
    "animal": words("beetle|moth|frog|snail|bat|lizard|carp|finch"),
    "plant": words("orchid|fern|shrub|grass|cactus|moss|oak|lily"),
    "album": words("studio album|live album|debut album|compilation|soundtrack album|double album|EP|box set"),
    "film": words("comedy film|silent film|thriller|documentary|western|horror film|animated film|drama film"),
    "book": words("novel|short story|memoir|play|children's book|essay|textbook|book of poems"),
}
SECTIONS = {
    "bodies": ("company", "school", "building", "vehicle"), "people": ("artist", "athlete", "politician"),
    "land": ("nature", "village", "animal", "plant"), "works": ("album", "film", "book"),
}  # fmt: skip
_FACTS = {
    "company": words("it employs {number} people|its profits fell in {year}|it was sold in {year}"),
    "school": words("it has {number} pupils|it teaches law and music|its students live on the campus"),
    "artist": words("the works hang in {name}|fame came in {year}|a first concert was in {year}"),
    "athlete": words("a medal came in {year}|the career ended with an injury|the club was {name}"),
    "politician": words("the party lost in {year}|the term began in {year}|voters in {name} stayed loyal"),
    "vehicle": words("it has four engines|it was built in {name}|{number} were made"),
    "building": words("its tower is of brick|it was restored in {year}|the roof burned in {year}"),
    "nature": words("it is {number} metres deep|it freezes in winter|it lies north of {name}"),
    "village": words("it has {number} inhabitants|the census was in {year}|it lies on the road to {name}"),
    "animal": words("it lays {number} eggs|it feeds at night|its wings are grey"),
    "plant": words("it grows on wet soil|its leaves are narrow|it flowers in May"),
    "album": words("it has ten tracks|it was recorded in {name}|it reached number {small}"),
    "film": words("it was shot in {name}|it stars {name} and {name}|it runs for {small} reels"),
    "book": words("it has {small} chapters|it was translated in {year}|its narrator lies"),
}
_RULES: Rules = {
    "year": tuple(str(year) for year in range(1870, 2010, 7)), "number": tuple(str(70 * n) for n in range(2, 40, 3)),
    "small": tuple(str(n) for n in range(3, 20)),
    "how": words("small|famous|former|rare|old|northern|large|private|little known|popular|late"),
    "where": words("in {name}|from {name}|of the {name} region|near {name}"),
    "tie": words("named after the {other} {name}|best known for the {other} {name}|not to be confused with a {other}"
                 "|often seen beside the {other} of {name}|described in a {other} by {name}|once home to a {other}"
                 "|loved by the {other} {name}|the subject of a {other}"),
}  # fmt: skip
_FORMS = words(
    "{subject} is a {how} {kind} {where}, {tie}|{subject}, {tie}, is a {kind} {where}"
    "|{subject} was a {kind} {where}, {tie}|like the {other} {name}, {subject} is a {how} {kind}"
    "|{subject} ({year}) is a {kind}, {tie} and {tie2}"
    "|neither a {other} nor a {other2}, {subject} is a {kind} {where}|{subject} is a {how} {kind} {where}"
    "|once taken for a {other}, {subject} turned out to be a {how} {kind}"
)


def entry(pen: Pen, kind: str, subject: str | None = None) -> str:
    """The opening sentence of an entry; the other kinds that it names are drawn from all."""
    one, two = (pen.pick(KINDS[pen.pick(list(KINDS))]) for _ in range(2))
    again = pen.pick(_RULES["tie"]).replace("{other}", "{other2}")
    return pen.sentence(pen.fill(
        pen.pick(_FORMS).replace("{tie2}", again), _RULES, subject=subject or pen.name(), kind=pen.pick(KINDS[kind]),
        other=one, other2=two,
    ))  # fmt: skip


def fact(pen: Pen, kind: str) -> str:
    """A sentence that could stand in an entry of the kind."""
    return pen.sentence(pen.fill(pen.pick(_FACTS[kind]), _RULES))


def article(pen: Pen, kind: str) -> str:
    """An opening sentence and, half of the time, a fact."""
    opening = entry(pen, kind)
    return f"{opening} {fact(pen, kind)}" if pen.chance(0.5) else opening


def document(pen: Pen, section: str) -> list[str]:
    """An entry of one of the section's kinds: an opening, a fact or two about the same thing."""
    kind = pen.pick(SECTIONS[section])
    return [entry(pen, kind), *(fact(pen, kind) for _ in range(1 + pen.below(2)))]
