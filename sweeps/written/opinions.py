"""Opinions on films, meals and gadgets: clauses of a known value from -2 to 2, through negation and intensity."""

from .pen import Pen, words

VALUES = (-2, -1, 1, 2)

ADJECTIVES = {
    2: words("superb|brilliant|magnificent|dazzling|masterful|exquisite|stunning|wonderful|glorious|thrilling|sublime"
             "|breathtaking|flawless|riveting|unforgettable|splendid|terrific|marvellous|outstanding|perfect"),
    1: words("good|nice|decent|pleasant|solid|likeable|neat|charming|clever|agreeable|fine|tidy|lively|sound|honest"
             "|amusing|fresh|polished|engaging|fair"),
    -1: words("dull|weak|bland|clumsy|flat|tired|thin|messy|slow|silly|awkward|stale|uneven|noisy|shallow|lazy|dated"
              "|tepid|muddled|bad"),
    -2: words("dreadful|awful|terrible|horrid|abysmal|appalling|wretched|atrocious|disastrous|ghastly|unbearable|vile"
              "|insufferable|hopeless|excruciating|dismal|woeful|abominable|pathetic|loathsome"),
}  # fmt: skip
_NOUNS = {
    2: words("triumph|masterpiece|marvel|gem|delight"), 1: words("pleasure|treat|success"),
    -1: words("bore|letdown|mess|chore"), -2: words("disaster|catastrophe|fiasco|insult|nightmare"),
}  # fmt: skip
_VERBS = {
    2: (words("loved|adored|cherished"), words("love|adore|cherish")),
    1: (words("liked|enjoyed|welcomed"), words("like|enjoy|welcome")),
    -1: (words("disliked|regretted|minded"), words("dislike|regret|mind")),
    -2: (words("hated|despised|loathed"), words("hate|despise|loathe")),
}

DOMAINS = ("film", "dining", "gadgets")
ASPECTS = {
    "film": words("the acting|the plot|the script|the music|the ending|the camera work|the dialogue|the pacing|the cast"
                  "|the hero|the villain|the humour|the opening scene|the romance|the editing|the story|the sequel"),
    "dining": words("the soup|the service|the waiter|the bread|the wine|the pasta|the dessert|the menu|the garden"
                    "|the fish|the coffee|the sauce|the breakfast|the room|the table|the salad|the terrace"),
    "gadgets": words("the battery|the screen|the keyboard|the camera|the speaker|the charger|the case|the software"
                     "|the manual|the lens|the cable|the design|the sound|the hinge|the display|the button"),
}  # fmt: skip
_WHOLE = {"film": words("this film|this movie|the whole thing|the picture"),
          "dining": words("this place|the meal|our visit|the dinner"),
          "gadgets": words("this device|the phone|the tablet|this thing")}  # fmt: skip
_FACTS = {
    "film": words("{name} directs|it is the {nth} film by {name}|it runs for two hours|{name} plays a {job}"
                  "|it was shot in {name}|the story is set in {name}|{name} wrote the script"),
    "dining": words("we came on a {day}|we sat near the window|{name} cooks here|it is in the centre of {name}"
                    "|they open at noon|we had the soup and the fish|it is the {nth} branch in {name}"),
    "gadgets": words("it arrived on a {day}|it is the {nth} model by {name}|it comes with a cable|{name} makes it"
                     "|it weighs little more than a pen|I use it at work"),
}  # fmt: skip
_RULES = {
    "nth": words("first|second|third|fourth"), "job": words("doctor|thief|king|teacher|spy"),
    "day": words("Monday|Tuesday|Friday|Sunday"),
    "more": words("very|really|extremely|utterly|truly|remarkably"),
    "less": words("somewhat|a little|rather|fairly|slightly"),
    "no": words("not|hardly|never|not exactly|by no means|not at all"),
    "other": words("my brother|my friend {name}|the woman next to us|the critic of the {name} Post|everyone else"),
    "before": words("last year|in the old days|on our first visit|years ago"),
}  # fmt: skip


def clause(pen: Pen, domain: str, value: int) -> str:
    """A clause of the value: plain words, or weaker and opposite ones turned by negation and intensity.

    Args:
        value: -2, -1, 1 or 2.
    """
    about = pen.pick(ASPECTS[domain]) if pen.chance(0.75) else pen.pick(_WHOLE[domain])
    weak, strong = (1, 2) if value > 0 else (-1, -2)
    if abs(value) == 2:
        forms = [
            ("{a} is {x}", ADJECTIVES[strong]), ("{a} is {x}", ADJECTIVES[strong]),
            ("{a} is {more} {x}", ADJECTIVES[weak]),
            ("{a} is anything but {x}", ADJECTIVES[-weak]), ("there is nothing {x} about {a}", ADJECTIVES[-weak]),
            ("not one thing about {a} is {x}", ADJECTIVES[-weak]), ("{a} could not be less {x}", ADJECTIVES[-weak]),
            ("{a} is a {x}", _NOUNS[strong]), ("I {x} {a}", _VERBS[strong][0]),
        ]  # fmt: skip
    else:
        forms = [
            ("{a} is {x}", ADJECTIVES[weak]), ("{a} is {less} {x}", ADJECTIVES[weak]),
            ("{a} is {no} {x}", ADJECTIVES[-weak]), ("{a} is {no} {x}", ADJECTIVES[-strong]),
            ("{a} is far from {x}", ADJECTIVES[-strong]), ("{a} is less than {x}", ADJECTIVES[-strong]),
            ("{a} is {no} a {x}", _NOUNS[-strong]), ("I {x} {a}", _VERBS[weak][0]),
            ("I did not {x} {a}", _VERBS[-weak][1]),
        ]  # fmt: skip
    form, lexicon = pen.pick(forms)
    return pen.fill(form, _RULES, a=about, x=pen.pick(lexicon))


def _neutral(pen: Pen, domain: str) -> str:
    sign = pen.pick((1, -1))
    if pen.chance(0.5):
        size = pen.pick((1, 2))
        one, two = clause(pen, domain, sign * size), clause(pen, domain, -sign * size)
        return f"{one}{pen.pick((', and', ' while', '; then again'))} {two}"
    good, bad = (pen.pick(ADJECTIVES[sign * size]) for size in pen.pick(((1, -1), (2, -2))))
    form = pen.pick(words(
        "{a} is neither {x} nor {y}|{a} is not {x}, not {y} either|half of it is {x} and half of it is {y}"
        "|{a} is {x} in places and {y} in others|some will call it {x} and some {y}|I cannot call {a} {x} or {y}"
    ))  # fmt: skip
    return pen.fill(form, _RULES, a=pen.pick(ASPECTS[domain] + _WHOLE[domain]), x=good, y=bad)


def verdict(pen: Pen, domain: str, stars: int, *, longer: float = 0.7) -> str:
    """A sentence of five-way sentiment: in a contrast the main clause decides.

    Args:
        stars: 0 (very bad) to 4 (very good).
        longer: share of the sentences that may hold a second clause, and of those that may hold a fact.
    """
    value = stars - 2
    if value == 0:
        text = _neutral(pen, domain)
    else:
        sign = 1 if value > 0 else -1
        text = main = clause(pen, domain, value)
        if pen.chance(longer):
            form = pen.pick(("{s} and {m}", "although {o}, {m}", "{o}, but {m}", "{m}, even if {o}"))
            same, other = clause(pen, domain, sign), clause(pen, domain, -sign * pen.pick((1, 1, 2)))
            text = pen.fill(form, _RULES, m=main, s=same, o=other)
    if pen.chance(longer * 0.4):
        fact = pen.fill(pen.pick(_FACTS[domain]), _RULES)
        text = f"{fact} and {text}" if pen.chance(0.5) else f"{text}; {fact}"
    return pen.sentence(text)


def review(pen: Pen, domain: str, stars: int) -> str:
    """A review of four sentences: three of the writer's own, by the stars, and one that does not count.

    What others said, and how it was before, leans the other way as often as not.
    """
    own = [verdict(pen, domain, stars + step, longer=0.2) for step in pen.pick(_SPREADS[stars])]
    form = pen.pick(("{other} said that {x}", "{before} I thought that {x}", "{other} once told me that {x}"))
    beside = pen.sentence(pen.fill(form, _RULES, x=clause(pen, domain, pen.pick(VALUES))))
    text = " ".join(pen.shuffled([*own, beside]))
    return pen.casual(text) if pen.chance(0.4) else text


# How three sentences spread around the stars of a review; the mean rounds to the stars.
_SPREADS = {
    0: ((0, 0, 0), (0, 0, 1)), 1: ((-1, 0, 1), (0, 0, 0), (-1, -1, 2), (0, 0, 1)),
    2: ((-1, 0, 1), (-2, 0, 2), (0, 0, 0), (-2, 1, 1), (2, -1, -1)),
    3: ((-1, 0, 1), (0, 0, 0), (1, 1, -2), (0, 0, -1)), 4: ((0, 0, 0), (0, 0, -1)),
}  # fmt: skip


def document(pen: Pen, domain: str) -> list[str]:
    """Two to four sentences of one mind, and the casual ones mistyped."""
    mood = pen.pick((0, 1, 2, 3, 4))
    casual = pen.chance(0.3)
    lines = []
    for _ in range(2 + pen.below(3)):
        line = verdict(pen, domain, min(4, max(0, mood + pen.pick((-1, 0, 0, 0, 1)))))
        lines.append(pen.casual(line) if casual else line)
    return lines
