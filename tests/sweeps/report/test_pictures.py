"""Pictures: text stays text, labels stay apart, names stay different, nothing is drawn without data."""

from itertools import combinations
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from sweeps.report import figures, panels
from sweeps.report.analysis import Derived
from sweeps.report.ink import NAMES, boxes, colour, dots, drawing, strategy_colour, strategy_order, strokes, svg
from sweeps.report.labels import fit, place, short_names, two_lines, width
from sweeps.report.markup import Mark
from tests.sweeps.report.made_up import HOSTILE

NAME = st.text("abc._/-", min_size=1, max_size=40)


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter("text")]


def test_a_picture_keeps_its_texts_tips_and_colours() -> None:
    with drawing(300, 200) as figure:
        axes = figure.add_subplot()
        marks = [Mark(f"{HOSTILE} & $x_1$", HOSTILE, budget=2), Mark("", strategy="linear")]
        dots(axes, [(0.1234567, 1), (0.2, 2)], marks, "o", color=colour("accent"))
        axes.set_title("0.00123 $x$ <b>\x00", color=colour("ink"))
        picture = svg(figure, "one", "a <label>")
    root = ElementTree.fromstring(picture)
    assert "0.00123 $x$ <b>\N{REPLACEMENT CHARACTER}" in texts(picture)
    assert [title.text for title in root.iter("title")] == [f"{HOSTILE} & $x_1$"]
    told = [{key: value for key, value in use.attrib.items() if key.startswith("data-")} for use in root.iter("use")]
    assert told[-2:] == [{"data-model": HOSTILE, "data-budget": "2"}, {"data-strategy": "linear"}]
    assert root.get("aria-label") == "a <label>"
    assert "var(--accent)" in picture
    assert "#0a" not in picture
    assert all(element.get("id", "one-").startswith("one-") for element in root.iter())


def test_many_marks_are_one_artist_and_each_keeps_its_own_look() -> None:
    with drawing(300, 200) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 300), ylim=(0, 200))
        boxes(axes, [(10, 20, 30, 40), (50, 0, 10, 0)], [Mark("one", "m"), Mark("two", task="t")],
              [colour("good"), colour("bad")], [0.25, 0.5])  # fmt: skip
        strokes(axes, [((0, 0), (10, 10))], color=colour("ink"))
        assert len(axes.collections) == 2
        root = ElementTree.fromstring(svg(figure, "one", "x"))
    found = {path.findtext("title"): path for path in root.iter("path") if path.find("title") is not None}
    assert found["one"].get("d") == "M10 180L40 180L40 140L10 140z"
    assert [found[name].get("fill") for name in ("one", "two")] == ["var(--good)", "var(--bad)"]
    assert [found[name].get("fill-opacity") for name in ("one", "two")] == ["0.25", "0.5"]
    assert not any("style" in element.attrib for element in root.iter())  # the page allows none


def test_a_mark_that_is_not_drawn_takes_no_other_marks_place() -> None:
    with drawing(100, 100) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, 1), ylim=(0, 1))
        dots(axes, [(float("nan"), 0.5), (0.5, 0.5)], [Mark("nowhere"), Mark("there")], "o")
        root = ElementTree.fromstring(svg(figure, "one", "x"))
    assert list(root.iter("title")) == []


def test_two_pictures_share_no_id() -> None:
    def draw(name: str) -> set[str]:
        with drawing(200, 100) as figure:
            figure.add_subplot().plot([1, 2], [1, 2], "o-")
            return {element.get("id", "") for element in ElementTree.fromstring(svg(figure, name, "x")).iter()} - {""}

    assert draw("one")
    assert not draw("one") & draw("two")


def test_the_same_picture_twice_is_the_same_text(derived: Derived) -> None:
    rows = derived.tables
    pool = derived.evidence.pool
    assert figures.answers(rows["answer"], rows["accuracies"], pool) == figures.answers(
        rows["answer"], rows["accuracies"], pool
    )


def test_nothing_is_drawn_without_data() -> None:
    drawn = (
        figures.answers([], [], []), figures.regret_bars([], [], "all", ["t"]), figures.heat_map([], [], ["m"], ["t"]),
        panels.scatter([], [], [], [], "linear", ["t"]), panels.searches([], [], [])[0],
        panels.cost_by_model([], ["m"]), panels.regret_against_cost([], [], "all"), panels.regret_by_budget([], "all"),
    )  # fmt: skip
    assert set(drawn) == {""}


def test_the_heat_map_shows_every_accuracy_and_what_is_not_there(derived: Derived) -> None:
    picture = figures.heat_map(derived.tables["accuracies"], derived.tables["answer"], derived.evidence.model_names,
                               derived.evidence.task_names)  # fmt: skip
    found = texts(picture)
    assert {"82.0", "72.0", "35.0", "20.0", "90.0", "50.0"} <= set(found)
    assert found.count("diverged") == found.count("missing") == 1
    assert found.count("●") == 2


def test_a_search_shows_trials_repeats_and_the_chosen_rate(derived: Derived) -> None:
    picture, left_out = panels.searches(derived.evidence.runs, derived.tables["answer"], ["t1", "t2"])
    tips = [title.text or "" for title in ElementTree.fromstring(picture).iter("title")]
    assert left_out == 0
    assert "search, learning rate 0.05: 95.0%" in tips
    assert tips.count("confirm, learning rate 0.03: 80.0%") == 1
    assert sum(text.startswith("grid") for text in tips) == 4


def test_every_strategy_has_a_colour_and_a_place() -> None:
    names = ["random", "hybrid_logme", "agnostic", "logme"]
    assert strategy_order(names) == ["agnostic", "random", "hybrid_logme", "logme"]
    assert len({strategy_colour(name, names) for name in names}) == 4
    assert len({colour(name) for name in NAMES}) == len(NAMES)


@given(st.lists(NAME, max_size=8), st.integers(4, 30))
def test_short_names_are_short_and_as_different_as_the_names(names: list[str], longest: int) -> None:
    short = short_names(names, longest)
    assert short.keys() == set(names)
    assert all(0 < len(text) <= longest for text in short.values())
    if all(len(name) <= longest for name in names):
        assert len(set(short.values())) == len(set(names))


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["mini/digits", "mini/letters"], ["digits", "letters"]),
        (["digits"], ["digits"]),
        (["resnetv2_50x1_bit.expert_food", "vit_base_patch16.mae"], ["expert_food", "vit_base_patch16.mae"]),
        (["a_very_long_architecture.x", "one_more_long_network.x"], ["a_very_lon…tecture.x", "one_more_l…network.x"]),
    ],
)  # fmt: skip
def test_short_names_by_example(names: list[str], wanted: list[str]) -> None:
    assert list(short_names(names).values()) == wanted


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60), st.floats(30, 200))
def test_a_fitted_text_is_as_narrow_as_four_letters_allow(text: str, pixels: float) -> None:
    short = fit(text, pixels)
    assert width(short) <= pixels or len(short) <= 4


def test_two_lines_break_at_a_separator() -> None:
    assert two_lines("shapes_orientation", 80) == "shapes_\norientation"
    assert two_lines("shapes", 10) == "shapes"
    assert two_lines("shapes_orientation", 500) == "shapes_orientation"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_placed_labels_touch_neither_each_other_nor_the_frame(points: list[tuple[float, float]]) -> None:
    with drawing(260, 200) as figure:
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        axes.set(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
        written = place(axes, [(x, y, f"label {number}", "k") for number, (x, y) in enumerate(points)], points)
        for note in written:
            note.get_window_extent()  # settles where the text is; what it returns has the line to the point in it
        boxes = [Text.get_window_extent(note) for note in written]
        inside = axes.get_window_extent()
    assert all(not one.padded(-1).overlaps(two.padded(-1)) for one, two in combinations(boxes, 2))
    assert all(box.x0 >= inside.x0 - 2 and box.x1 <= inside.x1 + 6 for box in boxes)
    assert len(points) > 4 or written
