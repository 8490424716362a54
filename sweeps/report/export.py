"""The figures and tables of the page as files for papers: SVG and PDF, CSV and LaTeX, of the same rows."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path

from sweeps.errors import OutputError
from sweeps.report import figures, tables
from sweeps.report.analysis import Derived
from sweeps.report.html import parts
from sweeps.report.ink import on_paper
from sweeps.report.sections import sections
from sweeps.report.tables import Entry, Table

LONG = 40  # rows above which a LaTeX table may break over pages
_COLOUR = re.compile(r"--([a-z0-9-]+): light-dark\((#[0-9a-f]{6})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_NOT_PLAIN = re.compile("[^a-z0-9]+")
_RANGE = re.compile(r"\[|\d (to|of) \d")
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "τ": r"$\tau$", "…": r"\ldots{}",
    "–": r"\textendash{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", "\N{REPLACEMENT CHARACTER}": "?",
} | {letter: f"\\{letter}" for letter in "&%$#_{}"}  # fmt: skip


def export(folder: Path, derived: Derived) -> list[Path]:
    """Write every figure as SVG and PDF into ``folder/figures``, every table as CSV and LaTeX into ``folder/tables``.

    Args:
        folder: to write into; files of the same names are replaced.
        derived: what :func:`sweeps.report.analysis.analyse` found.

    Returns:
        The files written.

    Raises:
        OutputError: when a file cannot be written.
    """
    evidence, rows = derived.evidence, derived.tables
    try:
        for name in ("figures", "tables"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        with on_paper(folder / "figures", _colours(), figures.NARROW + 1) as drawn:
            parts(evidence, rows)
            found = sections(evidence, rows, derived.order, derived.notes)
        shown = [table for one in found for table in (one.table, one.below, *one.more) if table is not None]
        written = _tables(folder / "tables", [tables.answers(rows["answer"]), *shown])
    except OSError as error:
        raise OutputError(f"the export must be writable at {folder}, got: {error.strerror}") from None
    return [*drawn, *written]


def _colours() -> dict[str, str]:
    """The light colours of the style sheet."""
    style = resources.files("sweeps.report").joinpath("page.css").read_text(encoding="utf-8")
    return dict(_COLOUR.findall(style))


def _tables(folder: Path, found: Sequence[Table]) -> list[Path]:
    written: list[Path] = []
    kinds: dict[str, Callable[[Table], str]] = {"csv": to_csv, "tex": to_latex}
    for name, table in _named(table for table in found if table.rows):
        for kind, text in kinds.items():
            path = folder / f"{name}.{kind}"
            path.write_text(text(table), encoding="utf-8", newline="")
            written.append(path)
    return written


def _named(found: Iterator[Table]) -> Iterator[tuple[str, Table]]:
    """Tables with names made of their captions, each once."""
    taken: dict[str, int] = {}
    for table in found:
        name = _NOT_PLAIN.sub("-", table.caption.partition(":")[0].lower()).strip("-")
        taken[name] = taken.get(name, 0) + 1
        yield name if taken[name] == 1 else f"{name}-{taken[name]}", table


def to_csv(table: Table) -> str:
    """A table as CSV: numbers in full precision, missing ones empty; a column of ranges also as the page shows it."""
    ranged = [column.number and any(_RANGE.search(row[at].text) for row in table.rows)
              for at, column in enumerate(table.columns)]  # fmt: skip
    lines = [[title for column, twice in zip(table.columns, ranged, strict=True)
              for title in (column.title, f"{column.title}, as shown")[: 1 + twice]]]  # fmt: skip
    for row in table.rows:
        values = zip(table.columns, ranged, row, strict=True)
        lines.append([value for column, twice, entry in values
                      for value in (_value(entry, column.number), entry.text)[: 1 + twice]])  # fmt: skip
    return "".join(_csv_line(line) for line in lines)


def _value(entry: Entry, number: bool) -> str:
    return str(entry.key) if number and not isinstance(entry.key, str) else "" if number else entry.text


def _csv_line(values: Sequence[str]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow(values)
    return file.getvalue()


def to_latex(table: Table) -> str:
    """A table as LaTeX with the rules of ``booktabs``, as the page shows it; a long one may break over pages."""
    columns = "".join("r" if column.number else "l" for column in table.columns)
    head = " & ".join(latex(column.title) for column in table.columns) + r" \\"
    body = "\n".join(f"{{}}{' & '.join(latex(entry.text) for entry in row)} \\\\" for row in table.rows)
    caption = f"\\caption{{{latex(table.caption)}}}"
    if len(table.rows) > LONG:
        lines = ["% needs \\usepackage{booktabs,longtable,textcomp}", f"\\begin{{longtable}}{{{columns}}}",
                 rf"{caption} \\", r"\toprule", head, r"\midrule", r"\endhead", body, r"\bottomrule",
                 r"\end{longtable}"]  # fmt: skip
    else:
        lines = ["% needs \\usepackage{booktabs,textcomp}", r"\begin{table}", r"\centering", caption,
                 f"\\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", body, r"\bottomrule",
                 r"\end{tabular}", r"\end{table}"]  # fmt: skip
    return "\n".join(lines) + "\n"


def latex(text: str) -> str:
    """``text`` as LaTeX prints it, whatever letters a name has."""
    return "".join(_LATEX.get(letter, letter) for letter in _CONTROL.sub(" ", text)).replace("--", "-{}-")
