"""The page: well-formed, self-contained, harmless whatever a model is called, and never an exception."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sweeps.config import SweepConfig
from sweeps.errors import OutputError
from sweeps.report import build, words
from sweeps.report.analysis import Derived
from sweeps.report.html import page, write_report
from sweeps.store import DERIVED, Store
from tests.sweeps.report.conftest import judge, tiny_tables
from tests.sweeps.report.made_up import HOSTILE, TASKS, filled, mini

VOID = {"meta", "wbr", "br", "hr", "img", "input", "link"}
LINKS = {"src", "href", "xlink:href", "action", "data", "poster", "srcset", "background", "formaction"}


class Reader(HTMLParser):
    """Reads a page and remembers what the tests ask for; a tag that closes another raises."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        """What a person reads."""
        return re.sub(r"\s+", " ", "".join(self.words))

    def ids(self) -> list[str]:
        """The ids of the page, each as often as it is given."""
        return [value for _, name, value in self.attributes if name == "id"]


@pytest.fixture(scope="module")
def text(derived: Derived) -> str:
    return page(derived, name="a <b>tiny</b> sweep", config='{"note": "</pre><script>alert(2)</script>"}')


@pytest.fixture(scope="module")
def reader(text: str) -> Reader:
    return Reader(text)


UNFINISHED = {
    "nothing": "There is no answer yet, because nothing is planned.",
    "planned": "There is no answer yet, because no proxy has been scored.",
    "scored": "none is fine-tuned yet.",
    "scores only": "This sweep fine-tunes no models.",
    "all failed": "no memory",
    "without facts": "No model is known yet.",
    "half": "The sweep is not finished",
    "one model": "fine-tune m at learning rate",
}


def unfinished(name: str, out: Path) -> Store:
    """A store of a sweep that is not finished, or has next to nothing in it."""
    if name == "half":
        return mini(out, tasks=TASKS[:2], done=0.5)
    if name == "one model":
        return mini(out, models=[("m", "expert")], tasks=TASKS[:1])
    tables = tiny_tables()
    scored = ("plan", "jobs", "scores")
    there = {"nothing": (), "planned": ("plan",), "all failed": ("plan", "jobs"), "scored": scored,
             "scores only": scored, "without facts": (*scored, "runs")}[name]  # fmt: skip
    if name == "all failed":
        failed = {"status": "failed", "error_type": "MemoryError", "error": "no memory"}
        tables["jobs"] = [row | failed for row in tables["jobs"]]
    if name == "scores only":
        tables["plan"] = [row for row in tables["plan"] if row["kind"] == "score"]
    facts = () if name in ("nothing", "without facts") else ("models", "tasks")
    return filled(out, {name: tables[name] for name in (*there, *facts)})


def test_the_page_is_well_formed(reader: Reader) -> None:
    assert {"html", "head", "body", "main", "h1", "table", "caption", "svg", "figure", "nav"} <= set(reader.tags)
    assert len(reader.ids()) == len(set(reader.ids()))


def test_every_inner_link_has_its_target(text: str, reader: Reader) -> None:
    links = [value for _, name, value in reader.attributes if name in LINKS]
    assert links
    assert all(value.startswith("#") and value[1:] in reader.ids() for value in links)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(reader.ids())


def test_the_page_asks_nobody_for_anything(text: str) -> None:
    assert "http://" not in text
    assert "https://" not in text
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest|<link|<img|<iframe|<object", text)


def test_only_the_pages_own_style_and_script_may_run(text: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "unsafe" not in policy.group(1)
    for tag in ("style", "script"):
        found = re.search(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found.group(1).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy.group(1)
    assert not re.search(r"<[^>]* style=", text)


def test_hostile_names_are_text(text: str, reader: Reader) -> None:
    assert "alert(1)</script>" not in text
    assert "alert(2)</script>" not in text
    assert reader.tags.count("script") == 1
    assert HOSTILE in reader.text.replace("\u200b", "")
    assert "<b>tiny</b>" in reader.text
    assert [name for _, name, _ in reader.attributes if name.startswith("on")] == []


def test_tables_have_captions_headings_and_row_heads(reader: Reader) -> None:
    tables = reader.tags.count("table")
    assert tables >= 6
    assert reader.tags.count("caption") == tables
    scopes = [value for tag, name, value in reader.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == reader.tags.count("th")
    assert set(scopes) == {"col", "row"}


def test_every_picture_says_what_it_shows(reader: Reader) -> None:
    labels = [value for tag, name, value in reader.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == reader.tags.count("svg") >= 7
    assert all(labels)


def test_pictures_are_drawn_in_colours_of_the_style_sheet(text: str) -> None:
    assert "#0a" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", text))
    style = re.search(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert style is not None
    known = dict(re.findall(r"(--[a-z0-9-]+): (light-dark\(#[0-9a-f]{6}, #[0-9a-f]{6}\));", style.group(1)))
    assert used - {"--sans", "--mono"} <= known.keys()


def test_the_first_screen_is_the_answer_in_words(derived: Derived, reader: Reader) -> None:
    for row in derived.tables["answer"]:
        assert words.plain(words.answer(row)) in reader.text
    assert reader.text.index("For t1 fine-tune") < reader.text.index("How much do the strategies lose?")


def test_the_page_shows_the_numbers_of_the_tables(derived: Derived, reader: Reader) -> None:
    for row in derived.tables["strategies"]:
        assert words.within(row["mean_relative_regret"], row["low"], row["high"]) in reader.text
    for row in derived.tables["accuracies"]:
        assert words.points(row["accuracy"]) in reader.text
    for note in derived.notes:
        assert re.sub(r"\s+", " ", note) in reader.text


def test_failures_divergences_and_gaps_are_named(reader: Reader) -> None:
    assert "\N{REPLACEMENT CHARACTER}[31mout of luck" in reader.text  # and the escape is not one any more
    assert "2 runs diverged at learning rate 0.1" in reader.text
    assert "no linear score" in reader.text
    assert "The sweep is not finished: 1 planned job of" in reader.text
    assert "of no interest here" not in reader.text


def test_provenance_is_there(reader: Reader) -> None:
    for what in ("0123456789abcdef", "node-1", "torch 2.8.0", "ray 2.60.0", '{"note": "</pre>'):
        assert what in reader.text


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_sweep_that_is_not_finished_has_a_page_that_says_so(out: Path, name: str) -> None:
    assert UNFINISHED[name] in Reader(page(judge(unfinished(name, out), bootstrap=20))).text


def test_a_page_of_the_mini_sweep_is_small_and_complete(out: Path) -> None:
    store = mini(out)
    path = write_report(out, judge(store, bootstrap=50), name="mini")
    assert path == out / "report.html"
    assert path.stat().st_size < 3_000_000
    text = Reader(path.read_text(encoding="utf-8")).text
    assert all(f"For mini/{task} fine-tune" in text for task in TASKS)
    assert [left.name for left in out.iterdir() if left.name.startswith(".tmp")] == []


@pytest.mark.slow
def test_a_page_of_46_models_and_19_tasks_is_small(out: Path) -> None:
    groups = {"expert": 18, "imagenet": 17, "vtab": 11}
    models = [(f"zoo/network_{group}_{number:02d}.in1k", group) for group, many in groups.items()
              for number in range(many)]  # fmt: skip
    proxies = dict.fromkeys(("linear", "knn", "logme", "leep", "nce", "hscore", "gbc", "parc"), 0.8)
    store = mini(out, models=models, tasks=[f"task_{number:02d}" for number in range(19)], proxies=proxies)
    path = write_report(out, judge(store, bootstrap=20), name="study")
    assert path.stat().st_size < 5_000_000
    text = Reader(path.read_text(encoding="utf-8")).text
    assert "On " in text[: text.index("For mini/task_00 fine-tune")]  # the many answers are summed up first


def test_a_report_that_cannot_be_written_says_where(tmp_path: Path, derived: Derived) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="the report must be writable at"):
        write_report(tmp_path / "file", derived)


def test_build_writes_the_derived_tables_and_the_page(out: Path) -> None:
    store = filled(out, tiny_tables())
    config = SweepConfig.model_validate({"name": "tiny", "models": ["a"], "tasks": ["t1"], "regret": {"bootstrap": 20}})
    tables, failures, notes, path = build(store, config, {"t3": "the task t3 must have images, got none"})
    assert {name: store.rows(name) for name in DERIVED} == tables
    assert [row["task"] for row in failures] == ["t3", "t2"]
    assert any("strategy knn" in note for note in notes)
    assert "the task t3 must have images" in Reader(path.read_text(encoding="utf-8")).text
