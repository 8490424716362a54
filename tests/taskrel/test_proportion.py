"""Wilson's interval: the quadratic it solves, its symmetry, its ends, and how often it holds the truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrel.proportion import wilson


@given(st.integers(1, 500), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_ends_are_where_the_score_test_just_rejects(examples, data, level):
    right = data.draw(st.integers(0, examples))
    low, high = wilson(right, examples, level)
    assert 0 <= low <= right / examples <= high <= 1
    z = {0.5: 0.6744897501960817, 0.9: 1.6448536269514722, 0.95: 1.959963984540054, 0.99: 2.5758293035489004}[level]
    for end in {low, high} - {0.0, 1.0}:
        off = abs(right / examples - end) / math.sqrt(end * (1 - end) / examples)
        assert off == pytest.approx(z, rel=1e-6)


@given(st.integers(1, 300), st.data())
def test_wrong_is_the_mirror_of_right(examples, data):
    right = data.draw(st.integers(0, examples))
    low, high = wilson(right, examples)
    assert wilson(examples - right, examples) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_it_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for truth in (0.1, 0.5, 0.93):
        drawn = rng.binomial(200, truth, 3000)
        held = np.mean([low <= truth <= high for low, high in (wilson(int(right), 200) for right in drawn)])
        assert 0.925 < held < 0.975


@pytest.mark.parametrize(("right", "examples", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (0, 0, 0.95), (1, 2, 1.0)])
def test_what_makes_no_sense_is_refused(right, examples, level):
    with pytest.raises(ValueError, match="must"):
        wilson(right, examples, level)
