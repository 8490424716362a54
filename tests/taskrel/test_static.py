"""Scores that look at no task, by hand."""

import math

import pytest

from taskrel.static import STATIC, static
from taskrel.types import Candidate

POOL = (
    Candidate("a", parameters=5, upstream_accuracy=0.7, released=2015),
    Candidate("b", parameters=9, upstream_accuracy=0.8),
    Candidate("c", parameters=0, released=2019.5),
    Candidate("d"),
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("parameters", {"a": 5, "b": 9, "c": 0, "d": None}),
        ("upstream_accuracy", {"a": 0.7, "b": 0.8, "c": None, "d": None}),
        ("released", {"a": 2015, "b": None, "c": 2019.5, "d": None}),
    ],
)
def test_facts(name, expected):
    found = static(name, POOL)
    assert found == expected
    assert list(found) == ["a", "b", "c", "d"]
    assert all(value is None or type(value) is float for value in found.values())
    assert static(name, POOL, {"task": {"a": 0.1}}) == expected  # accuracies are not looked at


def test_rank_on_the_other_tasks():
    elsewhere = {
        "first": {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.1},  # ranks 1 2 3 4
        "second": {"a": 0.2, "b": 0.6, "c": 0.6, "d": 0.1},  # ranks 3 1.5 1.5 4
    }
    assert static("static_rank", POOL, elsewhere) == {"a": -2, "b": -1.75, "c": -2.25, "d": -4}


@pytest.mark.parametrize("missing", [None, math.nan, "absent"])
def test_a_missing_accuracy_leaves_the_model_out_of_that_task(missing):
    second = {"a": 0.2, "b": missing, "c": 0.6}
    if missing == "absent":
        del second["b"]
    elsewhere = {"first": {"a": 0.9, "b": 0.8, "c": 0.7}, "second": second, "empty": {}}
    # b ranks 2 of 3 and is not there twice; d nowhere.
    assert static("static_rank", POOL, elsewhere) == {"a": -1.5, "b": -2, "c": -2, "d": None}


def test_models_outside_the_pool_do_not_rank():
    elsewhere = {"first": {"z": 0.99, "a": 0.5, "b": 0.4}}
    assert static("static_rank", POOL[:2], elsewhere) == {"a": -1, "b": -2}


def test_an_accuracy_of_zero_is_one():
    assert static("static_rank", POOL[:2], {"first": {"a": 0.0, "b": 0.4}}) == {"a": -2, "b": -1}


def test_no_other_task_says_nothing():
    assert static("static_rank", POOL[:2], {}) == {"a": None, "b": None}
    assert static("static_rank", (), {"first": {"a": 0.5}}) == {}


def test_table():
    for name, entry in STATIC.items():
        assert entry.name == name
        assert entry.needs in ("facts", "elsewhere")
        assert entry.summary
    with pytest.raises(TypeError):
        STATIC["mine"] = STATIC["parameters"]


def test_refusals():
    with pytest.raises(ValueError, match=r"name must be one of .*static_rank, got 'year'"):
        static("year", POOL)
    with pytest.raises(ValueError, match=r"candidates must be distinct, got \['a'\] twice"):
        static("parameters", (*POOL, POOL[0]))
    with pytest.raises(ValueError, match="static_rank needs accuracies on other tasks, got none"):
        static("static_rank", POOL)
