"""Formats: one example for each rule, and the rules that hold for all numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.report import words
from sweeps.types import Row

ANSWER: Row = {
    "task": "mini/digits", "model": "x", "learning_rate": 0.03, "test_accuracy": 0.912, "low": 0.901, "high": 0.92,
    "oracle_model": "y", "oracle": 0.916, "regret": 0.004, "picks": ["x", "z"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (words.percent(0.9123), "91.2%"),
        (words.percent(-1e-5), "0.0%"),
        (words.percent(None), "n/a"),
        (words.percent(1.0, 0), "100%"),
        (words.points(-0.0301), "-3.0"),
        (words.interval(0.901, 0.92), "[90.1, 92.0]"),
        (words.interval(None, 0.92), ""),
        (words.within(0.912, None, None), "91.2%"),
        (words.rate(0.03), "0.03"),
        (words.rate(0.00215443), "0.00215"),
        (words.rate(1e-5), "1e-05"),
        (words.duration(0.04), "0.0 s"),
        (words.duration(9.96), "10 s"),
        (words.duration(59.6), "1 min 00 s"),
        (words.duration(200), "3 min 20 s"),
        (words.duration(3599.7), "1 h 00 min"),
        (words.duration(7500), "2 h 05 min"),
        (words.duration(None), "n/a"),
        (words.magnitude(23_508_032), "23.5 M"),
        (words.milliseconds(0.0084), "8 ms"),
        (words.milliseconds(1.6), "1,600 ms"),
        (words.milliseconds(None), "n/a"),
        (words.real_within(0.621, 0.4, 0.715), "0.62 [0.40, 0.71]"),
        (words.real_within(-0.001, None, 0.7), "0.00"),
        (words.proxy("shrinkage_hscore"), "shrinkage H-score"),
        (words.proxy("early_stopping"), "early stopping"),
        (words.strategy("hybrid_static_rank"), "hybrid rank on other tasks"),
        (words.magnitude(999), "999"),
        (words.count(0, "task"), "no tasks"),
        (words.count(1, "task"), "1 task"),
        (words.count(1200, "search", "searches"), "1,200 searches"),
        (words.listing([]), "none"),
        (words.listing(["a"]), "a"),
        (words.listing(["a", "b", "c"]), "a, b and c"),
        (words.listing("abcdefghij", limit=4), "a, b, c and 7 more"),
        (words.strategy("hybrid_knn"), "hybrid kNN"),
        (words.strategy("hybrid_logme"), "hybrid LogME"),
        (words.shorten("abcdefghij", 5), "ab…ij"),
        (words.one_line("\n  first\x07 \n second"), "first\N{REPLACEMENT CHARACTER}"),
        (words.one_line(None), "no reason was recorded"),
        (words.versions(['{"torch": "2.8"}', '{"torch": "2.9", "ray": "2"}', "not json"]), "ray 2, torch 2.8 and 2.9"),
        (words.picks(["a", "b"], ["why"]), [("a", "why"), ("b", "")]),
    ],
)
def test_examples(found: object, wanted: object) -> None:
    assert found == wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, "[90.1, 92.0]; best of the pool was y (91.6%), regret 0.4 points."),
        ({"low": None}, "91.2%; best of the pool was y (91.6%), regret 0.4 points."),
        ({"oracle_model": "x", "oracle": 0.912, "regret": 0.0}, "[90.1, 92.0], the best of the pool."),
        ({"oracle": 0.912, "regret": 0.0}, "[90.1, 92.0], as good as the best of the pool, y."),
        ({"oracle": 0.902, "regret": -0.01}, "[90.1, 92.0], 1.0 points above the best of the grid, y (90.2%)."),
        ({"oracle_model": "x", "oracle": 0.902, "regret": -0.01},
         "[90.1, 92.0], 1.0 points above its own grid, where it is the best of the pool (90.2%)."),
        ({"oracle_model": "x"}, "the best of the pool (91.6% when every repeat has the rate that suits it)."),
        ({"oracle": None, "regret": None}, "the regret is unknown, as the pool is not fully fine-tuned here."),
    ],
)  # fmt: skip
def test_the_answer_in_a_sentence(changes: Row, wanted: str) -> None:
    sentence = words.plain(words.answer(ANSWER | changes))
    assert sentence.startswith("For mini/digits fine-tune x at learning rate 0.03: test accuracy 91.2%")
    assert sentence.endswith(wanted)


def test_an_answer_that_is_not_fine_tuned_yet_names_the_picks() -> None:
    sentence = words.plain(words.answer(ANSWER | {"model": None}))
    assert sentence == "For mini/digits the picks are x and z; none is fine-tuned yet."


@given(st.floats(-1, 1))
def test_percent_is_within_half_a_unit_and_never_a_negative_zero(value: float) -> None:
    text = words.percent(value)
    assert abs(float(text.removesuffix("%")) / 100 - value) <= 0.0005 + 1e-12
    assert text != "-0.0%"


@given(st.text(max_size=60), st.integers(2, 40))
def test_shorten_keeps_to_its_width_and_both_ends(text: str, width: int) -> None:
    short = words.shorten(text, width)
    assert len(short) <= width
    assert short == text or (text.startswith(short[0]) and "…" in short)


@given(st.text())
def test_printable_text_cannot_steer_a_terminal(text: str) -> None:
    assert words.printable(text).isprintable()
    assert len(words.printable(text)) == len(text)


@given(st.floats(0, 1e7))
def test_durations_read_like_a_clock(seconds: float) -> None:
    text = words.duration(seconds)
    assert "60 s" not in text
    assert " 60 min" not in text


def test_many_answers_are_summed_up_in_one_sentence() -> None:
    rows = [{"regret": regret} for regret in (0.0, -0.01, 0.04, None)]
    assert words.answers(rows) == (
        "On 2 of 3 tasks the answer is as good as the best of the pool; its mean regret is 1.0 points."
    )
    assert words.answers(rows[3:]) == "1 task has an answer; no regret is known yet."
