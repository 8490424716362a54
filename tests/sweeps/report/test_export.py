"""Figures and tables for papers: one page of PDF, SVG in light colours, CSV that reads back, LaTeX that is escaped."""

import csv
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sweeps.errors import OutputError
from sweeps.report import tables, words
from sweeps.report.analysis import Derived
from sweeps.report.export import export, latex, to_csv, to_latex
from sweeps.report.tables import Column, Entry, Table
from tests.sweeps.report.made_up import HOSTILE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, derived: Derived) -> Path:
    found = tmp_path_factory.mktemp("paper")
    written = export(found, derived)
    assert sorted(written) == sorted(path for path in found.rglob("*") if path.is_file())
    return found


def test_every_figure_is_one_page_of_pdf_and_an_svg_in_the_light_colours(folder: Path) -> None:
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert {"answers-images", "heat-images", "regret-all", "scatter-linear", "searches", "cost"} <= names
    for name in names:
        pdf = (folder / "figures" / f"{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF")
        assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
        root = ElementTree.parse(folder / "figures" / f"{name}.svg").getroot()
        text = ElementTree.tostring(root, encoding="unicode")
        assert "var(--" not in text
        assert not re.search(r"#0a[0-9a-f]{2}0b", text)  # no stand-in of a colour
    assert "#0b5fa5" in (folder / "figures" / "answers-images.svg").read_text(encoding="utf-8")


def test_tables_read_back_in_full_precision(folder: Path, derived: Derived) -> None:
    with (folder / "tables" / "the-answer-for-each-task.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(derived.tables["answer"])
    for row, answer in zip(rows, derived.tables["answer"], strict=True):
        assert (row["task"], row["model"]) == (answer["task"], answer["model"])
        assert float(row["test accuracy"]) == answer["test_accuracy"]
        assert row["test accuracy, as shown"] == words.within(answer["test_accuracy"], answer["low"], answer["high"])
        assert float(row["regret"]) == answer["regret"]


def test_every_table_of_the_page_is_there_in_both_forms(folder: Path) -> None:
    kinds: dict[str, set[str]] = {"csv": set(), "tex": set()}
    for path in (folder / "tables").iterdir():
        kinds[path.suffix[1:]].add(path.stem)
    assert kinds["csv"] == kinds["tex"]
    assert {"accuracy-of-every-fine-tuned-model", "what-failed-and-why", "jobs-of-the-plan"} <= kinds["csv"]


def test_a_hostile_table_survives_csv_and_is_no_latex_of_its_own() -> None:
    names = [HOSTILE, 'a,"b"\nc', r"\input{x} & 50% $_#{}~^ -- [1]", "=1+1", ""]
    table = Table("50% of $x$", (Column("model"), Column("n_1", True)), [(Entry(name), Entry("n/a")) for name in names])
    back = list(csv.reader(io.StringIO(to_csv(table))))
    assert back == [["model", "n_1"], *([name, ""] for name in names)]
    lines = to_latex(table).splitlines()
    assert r"\caption{50\% of \$x\$}" in lines
    assert r"{}\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{} & n/a \\" in lines
    assert (r"{}\textbackslash{}input\{x\} \& 50\% \$\_\#\{\}\textasciitilde{}\textasciicircum{} -{}- [1] & n/a \\"
            in lines)  # fmt: skip
    assert [line.count(" & ") for line in lines if line.startswith("{}")] == [1] * len(names)
    assert [line for line in lines if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]


def test_latex_leaves_plain_words_alone() -> None:
    assert latex("kNN leave-one-out 81.6% [81.4, 81.8]") == r"kNN leave-one-out 81.6\% [81.4, 81.8]"
    assert latex("τ…\x00\x1b") == r"$\tau$\ldots{} "


def test_a_long_table_may_break_over_pages() -> None:
    table = Table("long", (Column("model"),), [(Entry(f"m{number}"),) for number in range(41)])
    assert r"\begin{longtable}{l}" in to_latex(table)
    assert r"\begin{tabular}{l}" in to_latex(table._replace(rows=table.rows[:40]))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, derived: Derived) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="the export must be writable at"):
        export(tmp_path / "file", derived)


def test_a_range_is_given_as_shown_too() -> None:
    columns = (Column("task"), Column("models", True))
    found = to_csv(Table("x", columns, [(Entry("t"), Entry("3 to 5", 4.0)), (Entry("u"), tables.Entry("2", 2.0))]))
    assert found == 'task,models,"models, as shown"\nt,4.0,3 to 5\nu,2.0,2\n'
