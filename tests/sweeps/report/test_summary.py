"""The terminal summary: the same numbers as on the page, no markup of ours or theirs, no line too long."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.report import words
from sweeps.report.analysis import Derived
from sweeps.report.summary import show
from sweeps.types import Row
from tests.sweeps.report.made_up import HOSTILE


def summary(derived: Derived, width: int = 80, failures: list[Row] | None = None, *, colour: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=colour)
    given = derived.evidence.failures if failures is None else failures
    show(console, Path("out/tiny"), derived.tables, given, derived.notes, Path("out/tiny/report.html"))
    return file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_summary_has_the_numbers_of_the_tables(derived: Derived, width: int) -> None:
    text = summary(derived, width)
    flat = " ".join(text.split())
    for row in derived.tables["answer"]:
        assert words.plain(words.answer(row)) in flat
        for name, reason in words.picks(row["picks"], row["reasons"]):
            assert f"{'*' if name == row['model'] else '-'} {name}" in text
            assert reason in text
    for row in derived.tables["strategies"]:
        assert words.percent(row["mean_relative_regret"]) in text


def test_tables_and_report_are_named_in_whole_lines(derived: Derived) -> None:
    lines = summary(derived, width=20).splitlines()
    assert "tables out/tiny/tables" in lines
    assert "report out/tiny/report.html" in lines


def test_piped_it_has_no_escapes_and_in_a_terminal_no_foreign_ones(derived: Derived) -> None:
    assert "\x1b" not in summary(derived)
    assert "\x1b[31mout of luck" not in summary(derived, colour=True)
    assert HOSTILE in summary(derived)


def test_it_keeps_to_its_width_where_it_wraps(derived: Derived) -> None:
    free = ("failed:", "note:", "tables", "report", " *", " -")
    assert all(len(line) <= 80 for line in summary(derived).splitlines() if not line.startswith(free))


def test_failures_are_one_line_each_and_those_that_only_waited_are_counted(derived: Derived) -> None:
    failed = {"kind": "embed", "model": "m", "task": "t", "error_type": "ModelError", "error": "broken\nfile"}
    blocked = failed | {"error_type": "Blocked", "error": "needs embed m on t, which failed"}
    unread = failed | {"kind": "read", "model": None, "error": "no images"}
    lines = [line for line in summary(derived, failures=[unread, *[failed] * 12, blocked, blocked]).splitlines()
             if line.startswith("failed")]  # fmt: skip
    assert lines[0] == "failed: read t: no images"
    assert lines[1] == "failed: embed m on t: broken"
    assert lines[-2:] == ["failed: 3 further jobs, all in the report", "failed: 2 jobs that needed one of these"]


def test_without_an_answer_it_says_so(derived: Derived) -> None:
    file = io.StringIO()
    empty: dict[str, list[Row]] = {name: [] for name in derived.tables}
    show(Console(file=file, width=80), Path("out"), empty, notes=["no answer for t1: nothing is scored"])
    assert "There is no answer yet; the notes say why." in file.getvalue()
    assert "note: no answer for t1: nothing is scored" in file.getvalue()
