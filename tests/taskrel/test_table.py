"""Rows into a dense table: what is refused, what is decided and said, and that the order of rows does not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrel.table import Labels, build

TASKS, MODELS = ["b", "b", "a", "a"], ["y", "x", "y", "x"]


def test_rows_find_their_cells():
    found = build(TASKS, MODELS, [0.1, 0.2, 0.3, None], scores={"p": [1.0, None, 3.0, 4.0]})
    assert found.tasks == ("b", "a")
    assert found.models == ("x", "y")
    assert np.array_equal(found.accuracy[:, :, 0], [[0.2, 0.1], [np.nan, 0.3]], equal_nan=True)
    assert np.array_equal(found.scores["p"], [[np.nan, 1.0], [4.0, 3.0]], equal_nan=True)
    assert found.notes == (
        "1 of 4 cells have no accuracy; on every task the oracle and the picks are among the models that have one; "
        "1 of 2 models have all",
        "only one model has an accuracy on a: there is nothing to choose there",
    )


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_order_of_rows_does_not_matter(data):
    rows = [(t, m, r, (t + 2 * m + 3 * r) / 20) for t in range(2) for m in range(3) for r in range(2)]
    shuffled = data.draw(st.permutations(rows))
    one, two = (build([f"t{t}" for t, *_ in r], [f"m{m}" for _, m, *_ in r], [v for *_, v in r],
                      repeats=[str(x[2]) for x in r]) for r in (rows, shuffled))  # fmt: skip
    assert one.models == two.models
    where = [two.tasks.index(task) for task in one.tasks]
    assert np.array_equal(np.sort(one.accuracy, axis=2), np.sort(two.accuracy[where], axis=2))


def test_repeats_are_the_same_for_all_models():
    found = build(["t"] * 3, ["a", "a", "b"], [0.1, 0.2, 0.3], repeats=["s0", "s1", "s1"])
    assert np.array_equal(found.accuracy[0], [[0.1, 0.2], [np.nan, 0.3]], equal_nan=True)
    assert found.notes == ("cells have 1 to 2 of 2 repeats",)
    assert found.means[0] == pytest.approx([0.15, 0.3])


def test_percent_is_seen_and_said():
    found = build(TASKS, MODELS, [71.5, 80, 99, 100])
    assert found.accuracy.max() == 1.0
    assert found.notes == ("accuracies are percentages (the greatest is 100) and were divided by 100",)
    mixed = build(TASKS, MODELS, [71.5, 80, 0.7, 0.9])
    assert "no accuracy is above 1 per cent on a" in mixed.notes[1]
    assert build(TASKS, MODELS, [1.0, 0, 0.5, 1]).notes == ()


@pytest.mark.parametrize(
    ("how", "expected"), [("mean", 0.4), ("median", 0.3), ("first", 0.8), ("max", 0.8), ("repeats", None)]
)
def test_duplicates_as_told(how, expected):
    found = build(["t"] * 4, ["m", "n", "m", "m"], [0.8, 0.5, 0.1, 0.3], duplicates=how)
    if expected is None:
        assert found.accuracy[0, 0].tolist() == [0.8, 0.1, 0.3]
        assert found.accuracy[0, 1, 0] == 0.5
        return
    assert found.accuracy[0, :, 0] == pytest.approx([expected, 0.5])
    note = f"1 of 2 cells had several rows (at most 3): their {how} counts"
    assert found.notes[0].startswith(note)
    assert ("favours" in found.notes[0]) == (how == "max")


def test_an_even_median_and_a_mean_that_does_not_leave_the_range():
    found = build(["t"] * 4, ["m"] * 4, [0.1, 0.7, 0.4, 0.3], duplicates="median")
    assert found.accuracy[0, 0, 0] == pytest.approx(0.35)
    assert build(["t"] * 3, ["m"] * 3, [0.1] * 3, duplicates="mean").accuracy[0, 0, 0] == 0.1


def test_scores_of_a_cell_are_averaged_and_equal_ones_stay_equal():
    found = build(["t"] * 5, ["a", "a", "a", "b", "b"], [0.5] * 5, repeats=list("12312"),
                  scores={"p": [0.1, 0.1, 0.1, 1.0, 2.0]})  # fmt: skip
    assert found.scores["p"].tolist() == [[0.1, 1.5]]
    assert "score 'p' differs between rows of 1 cells: their mean counts" in found.notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accuracy": [0.1, float("nan"), 0.3, 0.4]},
         r"a percentage, got NaN in row 2 \(task 'b', model 'x'\) \(leave the cell empty"),
        ({"accuracy": [0.1, 0.2, -0.3, 0.4]}, r"got -0.3 in row 3 \(task 'a', model 'y'\)"),
        ({"accuracy": [0.1, 0.2, 0.3, 101]}, r"got 101 in row 4 \(task 'a', model 'x'\)"),
        ({"accuracy": [0.1, 0.2, 0.3, float("inf")]}, "got inf in row 4"),
        ({"accuracy": [0.1, float("nan"), 0.3, 0.4], "numbers": np.array([5, 9, 11, 12])}, "got NaN in row 9 "),
        ({"accuracy": [None] * 4}, "accuracy must have a value in some row, got 4 rows without"),
        ({"accuracy": [0.1]}, "columns must be of one length, got 4 tasks, 4 models, 1"),
        ({"models": ["y", "y", "y", "x"]},
         r"got row 1 \(task 'b', model 'y'\) again as row 2, and 1 such cells in all; name a column of repeats"),
        ({"models": ["y", None, "y", "x"]}, r"model must be named in every row, got none in row 2"),
        ({"tasks": ["", "b", "a", "a"]}, r"task must be named in every row, got none in row 1"),
        ({"repeats": ["1", None, "1", "1"]}, "repeat must be named in every row, got none in row 2"),
        ({"scores": {"p": [1.0, float("inf"), 0, 0]}}, "score 'p' must be finite or empty, got inf in row 2"),
        ({"scores": {"p": [1.0, 2.0, float("nan"), 0]}}, "score 'p' must be finite or empty, got nan in row 3"),
        ({"duplicates": "sum"}, "duplicates must be one of refuse, mean"),
    ],
)  # fmt: skip
def test_refusals(change, message):
    arguments = {"tasks": TASKS, "models": MODELS, "accuracy": [0.1, 0.2, 0.3, 0.4]} | change
    with pytest.raises(ValueError, match=message):
        build(arguments.pop("tasks"), arguments.pop("models"), arguments.pop("accuracy"), **arguments)


def test_repeats_that_number_all_rows_are_refused():
    tasks, models = [str(i % 30) for i in range(3000)], [str(i // 30) for i in range(3000)]
    with pytest.raises(ValueError, match="repeats must be numbered within each task and model, got 9,000 for 3,000"):
        build(tasks, models, np.full(3000, 0.5), repeats=Labels(np.arange(3000), tuple(map(str, range(9000)))))


def test_labels_in_order_of_appearance():
    labels = Labels.of(["b", "a", None, "b", ""])
    assert labels.names == ("b", "a")
    assert labels.codes.tolist() == [0, 1, -1, 0, -1]
