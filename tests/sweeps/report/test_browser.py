"""The page in a real browser: it sorts, filters, links, restores its view, prints, is accessible, and asks for nothing.

Needs Debian's chromium, and Playwright without any browser of its own. One browser serves all tests.
"""

import shutil
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sweeps.report.analysis import Derived
from sweeps.report.html import write_report
from tests.sweeps.report.made_up import HOSTILE

CHROMIUM = shutil.which("chromium")
MISSING = [
    name
    for name, there in (
        ("chromium", CHROMIUM),
        ("playwright", find_spec("playwright")),
        ("axe_playwright_python", find_spec("axe_playwright_python")),
    )
    if not there
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}")
STRATEGIES = "#strategies-table"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, derived: Derived) -> str:
    """Where the page of the tiny sweep is; one of its models is called ``<script>alert(1)</script>``."""
    return write_report(tmp_path_factory.mktemp("page"), derived, name="tiny", config=HOSTILE).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, opened in a fresh context; it must neither complain nor ask anybody for anything, nor open a dialog."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    opened = context.new_page()
    faults: list[str] = []
    opened.on("console", lambda message: faults.append(f"console: {message.text}"))
    opened.on("pageerror", lambda error: faults.append(f"error: {error}"))
    opened.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    opened.on("request", lambda asked: asked.url.startswith(address) or faults.append(f"request: {asked.url}"))
    opened.goto(address)
    yield opened
    context.close()
    assert faults == []


def column(page: Any, table: str, number: int) -> list[str]:
    """The texts of a column's rows that are shown, from the top."""
    return [cell.inner_text() for cell in page.query_selector_all(f"{table} tbody tr > :nth-child({number})")
            if cell.is_visible()]  # fmt: skip


def fragment(page: Any) -> str:
    return str(page.evaluate("decodeURIComponent(location.hash)"))


def point_at(page: Any, mark: Any) -> None:
    """Move the pointer onto a mark; what is written over it may lie between."""
    mark.evaluate("mark => mark.scrollIntoView({block: 'center', behavior: 'instant'})")
    box = mark.bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 2)


def test_a_click_sorts_a_table_and_another_turns_it_round(page: Any) -> None:
    table = "#answer-table"
    best = page.locator(f"{table} thead th", has_text="test accuracy")
    best.get_by_role("button").click()
    assert best.get_attribute("aria-sort") == "ascending"
    rising = [float(text.split("%")[0]) for text in column(page, table, 4)]
    assert rising == sorted(rising)
    assert len(set(rising)) == 2
    best.get_by_role("button").press("Enter")
    assert best.get_attribute("aria-sort") == "descending"
    assert [float(text.split("%")[0]) for text in column(page, table, 4)] == rising[::-1]
    assert page.locator(f"{table} [aria-sort]").count() == 1
    assert fragment(page) == "#?sort=answer-table:3:down"


def test_missing_numbers_sort_to_the_end_whichever_way(page: Any) -> None:
    page.locator("#proxies details", has_text="Agreement").evaluate("part => { part.open = true; }")
    table = "#" + page.locator("#proxies table", has_text="Agreement").get_attribute("id")
    for _ in range(2):
        page.locator(f"{table} thead button", has_text="Pearson").click()
        assert column(page, table, 4)[-1] == "n/a"


def test_filters_act_on_tables_and_pictures_and_leave_the_answer_alone(page: Any) -> None:
    answer, before = column(page, "#answer-table", 2), len(column(page, STRATEGIES, 1))
    page.select_option("[name=strategy]", "linear")
    page.select_option("[name=budget]", "2")
    assert set(column(page, STRATEGIES, 1)) == {"linear"}
    assert set(column(page, STRATEGIES, 2)) == {"2"}
    bars = page.locator("#regret figure:visible path[data-strategy]")
    faded = bars.evaluate_all(
        "all => all.map(bar => [bar.dataset.strategy, bar.dataset.budget, getComputedStyle(bar).opacity])"
    )
    assert {(name == "linear" and budget == "2", float(opacity) > 0.5) for name, budget, opacity in faded} == {
        (True, True), (False, False)}  # fmt: skip
    assert column(page, "#answer-table", 2) == answer
    assert "Shown: strategy linear, budget 2" in page.inner_text("#view")
    page.get_by_role("button", name="Reset").click()
    page.locator("#view").wait_for(state="hidden")
    assert len(column(page, STRATEGIES, 1)) == before
    assert page.locator("svg .out").count() == 0


def test_a_pool_shows_its_own_tables_and_pictures_and_its_own_models(page: Any) -> None:
    page.select_option("[name=pool]", "other")
    assert page.locator("#regret figure:visible").evaluate_all(
        "all => all.map(one => one.textContent.includes('pool other'))"
    ) == [True]
    assert not page.locator(STRATEGIES).is_visible()
    assert page.locator("#strategies details[data-pool]:visible, #strategies details:visible").count() >= 1
    page.locator("#accuracies details").evaluate("part => { part.open = true; }")
    assert set(column(page, "#accuracies-1", 1)) == {HOSTILE}
    marks = page.locator("#accuracies path[data-model]")
    assert {
        (name == HOSTILE, "out" in (kind or ""))
        for name, kind in marks.evaluate_all("all => all.map(one => [one.dataset.model, one.getAttribute('class')])")
    } == {(True, False), (False, True)}


def test_text_filters_rows_and_marks(page: Any) -> None:
    page.locator("#accuracies details").evaluate("part => { part.open = true; }")
    page.fill("[name=text]", "SCRATCH")
    assert set(column(page, "#accuracies-1", 1)) == {"scratch"}
    page.fill("[name=text]", "no such thing")
    assert column(page, "#accuracies-1", 1) == []
    assert len(column(page, "#answer-table", 1)) == 2
    assert page.locator("#answer svg .out").count() == 0


def test_a_model_lights_up_everywhere_under_pointer_and_focus(page: Any) -> None:
    lit = "all => [...new Set(all.map(one => one.dataset.model ?? one.cells[0].textContent))]"
    cell = page.locator("#accuracies path[data-model='a']").first
    point_at(page, cell)
    assert page.locator("#tip").is_visible()
    assert page.locator("#tip").inner_text().startswith("a on t1: 72.0%")
    assert page.locator("svg .on").evaluate_all(lit) == ["a"]
    assert page.locator("svg .on").count() > 3
    assert page.locator("#models tr.on").count() == 1
    page.mouse.move(2, 2)
    assert not page.locator("#tip").is_visible()
    assert page.locator(".on").count() == 0
    page.locator("#picks-table tbody tr").first.focus()
    first = column(page, "#picks-table", 2)[0]
    assert page.locator("svg .on").evaluate_all(lit) == [first]
    page.keyboard.press("ArrowDown")
    assert page.locator("svg .on").evaluate_all(lit) == [column(page, "#picks-table", 2)[1]]


def test_tips_are_reached_and_read_by_keyboard(page: Any) -> None:
    page.locator("#accuracies figure").focus()
    said = []
    for _ in range(2):
        page.keyboard.press("ArrowRight")
        said.append(page.inner_text("#tip"))
        assert page.text_content("#said") == said[-1]
    assert said[0].startswith("a on t1: 72.0%")
    assert said[1] != said[0]
    page.keyboard.press("Enter")
    assert "model=" in fragment(page)
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()


def test_a_link_restores_the_view(page: Any, browser: Any) -> None:
    page.locator("nav a", has_text="Regret on every task").click()
    page.select_option("[name=strategy]", "linear")
    page.fill("[name=text]", "1")
    page.locator(f"{STRATEGIES} thead button", has_text="budget").click()
    page.locator("#picks-table tbody tr").first.click()
    assert fragment(page).startswith("#regret?")
    other = browser.new_context().new_page()
    other.goto(page.url)
    assert fragment(other) == fragment(page)
    assert other.locator("[name=strategy]").input_value() == "linear"
    assert column(other, STRATEGIES, 1) == column(page, STRATEGIES, 1)
    assert other.locator(f"{STRATEGIES} th[aria-sort=ascending]").inner_text().startswith("budget")
    assert other.locator("button[name=model]").inner_text() == page.locator("button[name=model]").inner_text() != ""
    deadline = time.monotonic() + 10  # a browser scrolls when it has drawn
    while abs(other.evaluate("document.getElementById('regret').getBoundingClientRect().top")) >= 120:
        assert time.monotonic() < deadline
        other.wait_for_timeout(50)
    other.context.close()


def test_dark_and_light_follow_the_system_until_chosen_and_are_kept(page: Any) -> None:
    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert background() == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    assert background() == "rgb(20, 23, 27)"
    page.locator("#theme[aria-pressed=true]").click()
    assert background() == "rgb(255, 255, 255)"
    page.reload()
    assert background() == "rgb(255, 255, 255)"
    assert page.get_by_role("button", name="Dark").get_attribute("aria-pressed") == "false"


def test_printed_it_is_whole_light_and_without_controls(page: Any) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for away in ("nav", "#theme", "[name=strategy]", "footer"):
        assert not page.locator(away).first.is_visible()
    folded = page.locator("details:not([open]) table")
    assert folded.count() > 2
    assert folded.evaluate_all("all => all.filter(one => !one.checkVisibility()).length") == 0
    beyond = "(all, right) => all.filter(one => one.getBoundingClientRect().right > right + 1).length"
    right = page.evaluate("document.body.getBoundingClientRect().right")
    assert page.locator("table, svg").evaluate_all(beyond, right) == 0
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF")
    assert 4 <= pdf.count(b"/Type /Page\n") <= 40


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_runs_off_the_side_of_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(page: Any, scheme: str) -> None:
    import axe_playwright_python

    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    page.evaluate(Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    bad = [(each["id"], each["nodes"][0]["html"][:200], len(each["nodes"])) for each in found["violations"]
           if each["impact"] in ("serious", "critical")]  # fmt: skip
    assert bad == []
    assert found["testEngine"]["name"] == "axe-core"


def test_a_hostile_name_is_text_and_its_script_does_not_run(page: Any) -> None:
    assert page.locator("script").count() == 1
    assert page.get_by_text(HOSTILE, exact=False).first.is_visible()
    point_at(page, page.locator(f"#accuracies path[data-model='{HOSTILE}']").first)
    assert HOSTILE in page.inner_text("#tip")


def test_without_scripts_the_page_is_whole(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(address)
    assert opened.locator("#answer-table tbody tr").count() == 2
    assert opened.locator("svg title").count() > 20
    assert not opened.locator("#filters").is_visible()
    context.close()
