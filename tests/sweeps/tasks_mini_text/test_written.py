"""The grammar says what its labels say: polarity, agreement, the main clause; the pen writes the same everywhere."""

import pytest

from sweeps.written import news, opinions, prose, questions
from sweeps.written.encyclopaedia import KINDS, entry
from sweeps.written.pen import Pen
from sweeps.written.sections import SECTIONS, pair
from sweeps.written.shelves import PRETRAINING, from_shelf, shelf

SIGNS = {
    word: value
    for lexicon in (opinions.ADJECTIVES, opinions._NOUNS)
    for value, words in lexicon.items()
    for word in words
} | {word: value for value, forms in opinions._VERBS.items() for words in forms for word in words}  # fmt: skip
NEGATORS = ("not", "hardly", "never", "no means", "anything but", "far from", "less than", "nothing")


def test_the_pen_is_the_same_on_every_machine() -> None:
    pen = Pen("a", 1)
    assert [pen.below(100) for _ in range(5)] == [49, 6, 48, 77, 19]
    assert Pen("a", 1).name() == Pen("a", 1).name() != Pen("a", 2).name()


def test_templates_articles_and_hurry() -> None:
    pen = Pen("t")
    assert pen.fill("{x} {y}", {"y": ("of {z}",), "z": ("b",)}, x="a") == "a of b"
    assert pen.sentence("a apple and a pear") == "An apple and a pear."
    assert Pen("q").casual("It is not very").split()[-1] in {"sooo", "soo"}


@pytest.mark.parametrize("value", opinions.VALUES)
@pytest.mark.parametrize("domain", opinions.DOMAINS)
def test_a_clause_means_its_value(domain: str, value: int) -> None:
    """The sign is that of its one valued word, turned by a negation; the strength is that of the word or its degree."""
    pen = Pen("clauses", domain, value)
    for _ in range(200):
        text = opinions.clause(pen, domain, value)
        plain = text
        for about in sorted(opinions.ASPECTS[domain] + opinions._WHOLE[domain], key=len, reverse=True):
            plain = plain.replace(about, "")
        (worth,) = [SIGNS[word] for word in plain.split() if word in SIGNS]
        negated = any(f" {negator} " in f" {plain} " for negator in NEGATORS)
        assert (worth > 0) == ((value > 0) != negated), text
        if not negated and not any(degree in plain for degree in opinions._RULES["less"] + opinions._RULES["more"]):
            assert worth == value


def _number(word: str) -> int | None:
    return next((pair.index(word) for pair in prose._NOUNS if word in pair), None)


def test_right_prose_agrees_and_a_faulty_verb_does_not() -> None:
    verbs = {word: number for pair in (*prose._VERBS, *prose._TRANSITIVE) for number, word in enumerate(pair)}
    for fault, agrees in ((None, True), ("verb", False)):
        pen, seen = Pen("agreement", str(fault)), 0
        for _ in range(300):
            tokens = prose.sentence(pen, fault).lower().rstrip(".").split()
            finite = [verbs[token] for token in tokens if token in verbs]
            if finite:  # the past tense, of reflexive sentences, has no number
                subject = next(number for token in tokens if (number := _number(token)) is not None)
                assert (finite[-1] == subject) == agrees, tokens
                seen += 1
        assert seen > 200


@pytest.mark.parametrize("fault", sorted(set(prose.FAULTS)))
def test_a_fault_is_never_a_right_sentence_by_chance(fault: str) -> None:
    pen = Pen("faults", fault)
    wrong = {prose.sentence(pen, fault) for _ in range(300)}
    assert len(wrong) > 250
    assert not wrong & {prose.sentence(pen) for _ in range(3000)}


def test_the_main_clause_tells_the_topic() -> None:
    for topic in news.TOPICS:
        pen = Pen("topics", topic)
        for _ in range(200):
            line = news.line(pen, topic).lower()
            assert any(did in line for did in news._DID[topic])
            assert any(who in line for who in news._WHO[topic])


def test_an_entry_is_of_its_kind_and_a_question_of_its_type() -> None:
    for kind, nouns in KINDS.items():
        pen = Pen("kinds", kind)
        assert all(any(noun in text for noun in nouns) for text in (entry(pen, kind) for _ in range(50)))
    pen = Pen("types")
    assert all(questions.question(pen, kind).endswith("?") for kind in questions.TYPES for _ in range(50))


def test_documents_have_two_sentences_and_pairs_come_from_them() -> None:
    for section, write in SECTIONS.items():
        pen = Pen("documents", section)
        assert all(len(write(pen)) >= 2 for _ in range(20))
    first, second = pair(Pen("pairs"), False)
    assert first != second


def test_a_text_is_on_one_shelf_whatever_its_case_and_most_are_for_pretraining() -> None:
    assert shelf("A  small text.") == shelf("a small TEXT.")
    assert shelf(("a", "b")) != shelf(("b", "a")) or shelf(("a b", "c")) != shelf(("a", "b c"))
    pen = Pen("shelves")
    shelves = [shelf(news.line(pen, "world")) for _ in range(2000)]
    assert 0.6 < sum(name in PRETRAINING for name in shelves) / 2000 < 0.78
    assert shelf(from_shelf("val", lambda: news.line(pen, "world"))) == "val"
