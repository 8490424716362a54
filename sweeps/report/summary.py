"""The closing words in the terminal: what to fine-tune, why, how much the strategies lose, what failed, where it lies.

Every number is formatted by ``words``, as on the page. Reads well at 80 columns, and piped.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.report import words
from sweeps.types import Row

MOST_LINES, MOST_PROXIES = 10, 8
MOST_POOLS = 4  # columns that 80 characters hold
_STYLES = {"task": "bold", "model": "bold cyan", "rate": "bold cyan", "accuracy": "bold", "regret": "bold"}


def show(console: Console, out: Path, derived: Mapping[str, Sequence[Row]], failures: Sequence[Row] = (),
         notes: Sequence[str] = (), report: Path | None = None) -> None:  # fmt: skip
    """Print the summary of a sweep.

    Args:
        console: where to.
        out: the output folder.
        derived: the derived tables.
        failures: rows of ``jobs`` that failed.
        notes: what was left out of the derived tables.
        report: the page, if there is one.
    """
    _answers(console, derived["answer"])
    _strategies(console, derived["strategies"])
    _trust(console, derived["proxies"])
    _failures(console, failures)
    for note in notes[:MOST_LINES]:
        _say(console, "note: ", note, "yellow")
    if len(notes) > MOST_LINES:
        _say(console, "note: ", f"{words.count(len(notes) - MOST_LINES, 'further note')} in the report", "yellow")
    console.print()
    _place(console, "tables", Path(out) / "tables")
    if report is not None:
        _place(console, "report", report)


def _answers(console: Console, rows: Sequence[Row]) -> None:
    console.print()
    if not rows:
        console.print("There is no answer yet; the notes say why.", highlight=False)
    for row in rows:
        sentence = Text()
        for part in words.answer(row):
            sentence.append(words.printable(part.text), _STYLES.get(part.kind, ""))
        console.print(sentence)
        wide = max((len(name) for name in row["picks"] or ()), default=0)
        for name, reason in words.picks(row["picks"], row["reasons"]):
            line = Text(f" {'*' if name == row['model'] else '-'} {words.printable(name):<{wide}}  ")
            console.print(line.append(words.printable(reason), "dim"), soft_wrap=True)
        console.print()


def _strategies(console: Console, rows: Sequence[Row]) -> None:
    """Mean relative regret: a line per strategy and budget, a column per pool, the first with its interval."""
    if not rows:
        return
    found = list(dict.fromkeys(row["pool"] for row in rows))
    pools = found[:MOST_POOLS]
    cells = {(row["strategy"], row["budget"], row["pool"]): row for row in rows}
    table = Table(title="Mean relative regret, by pool (lower is better)", title_justify="left", title_style="bold",
                  box=box.SIMPLE_HEAD, pad_edge=False)  # fmt: skip
    table.add_column("strategy")
    table.add_column("budget", justify="right")
    for pool in pools:
        table.add_column(Text(words.printable(pool)), justify="right")
    for strategy, budget in dict.fromkeys((row["strategy"], row["budget"]) for row in rows):
        texts = [_mean(cells.get((strategy, budget, pool)), bounds=pool == pools[0]) for pool in pools]
        table.add_row(Text(words.strategy(strategy)), str(budget), *texts)
    console.print(table)
    if len(found) > len(pools):
        left = words.count(len(found) - len(pools), "more pool")
        console.print(Text(f"{left} in the report: {words.printable(words.listing(found[MOST_POOLS:]))}", "dim"))


def _mean(row: Row | None, *, bounds: bool) -> str:
    if row is None:
        return words.MISSING
    value = row["mean_relative_regret"]
    return words.within(value, row["low"], row["high"]) if bounds else words.percent(value)


def _trust(console: Console, rows: Sequence[Row]) -> None:
    """The proxies that lose least, the study's two, the static baselines and random, in the first pool."""
    here = [row for row in rows if row["pool"] == rows[0]["pool"]]
    scores = [row for row in here if row["kind"] in ("proxy", "combined")]
    if not scores:
        return
    shown = [row for row in here if row in scores[:MOST_PROXIES] or row["kind"] not in ("proxy", "combined")
             or row["proxy"] in words.STUDY]  # fmt: skip
    title = f"Which proxy to trust in pool {words.printable(rows[0]['pool'])}: relative regret, and the order of models"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("proxy")
    for heading in ("1 model tuned", "2 models", "weighted tau"):
        table.add_column(heading, justify="right")
    for row in shown:
        name = words.printable(words.proxy(row["proxy"])) + (" *" if row["kind"] == "static" else "")
        regret, tau = _bounded(row, "relative_regret_1"), _bounded(row, "weighted_tau")
        second = words.percent(row["relative_regret_2"])
        table.add_row(Text(name), words.within(*regret), second, words.real_within(*tau))
    console.print(table)
    left = len(scores) - sum(row in shown for row in scores)
    floors = [row["tau_floor"] for row in here if row["kind"] == "random" and row["tau_floor"] is not None]
    said = ["* never looks at the task"] if any(row["kind"] == "static" for row in shown) else []
    said += [f"random scores reach a tau of {words.real(floor)} by luck" for floor in floors]
    said += [f"{words.count(left, 'more proxy', 'more proxies')} in the report"] if left else []
    console.print(Text("; ".join(said), "dim"))


def _bounded(row: Row, column: str) -> tuple[float | None, float | None, float | None]:
    return row[column], row[f"{column}_low"], row[f"{column}_high"]


def _failures(console: Console, failures: Sequence[Row]) -> None:
    """One line each; jobs that only waited for a failed one are counted."""
    first = [row for row in failures if row["error_type"] != "Blocked"]
    for row in first[:MOST_LINES]:
        where = " on ".join(name for name in (row["model"], row["task"]) if name)
        _say(console, "failed: ", f"{row['kind']} {where}: {words.one_line(row['error'])}", "red")
    more = len(first) - MOST_LINES
    if more > 0:
        _say(console, "failed: ", f"{words.count(more, 'further job')}, all in the report", "red")
    if len(first) < len(failures):
        _say(console, "failed: ", f"{words.count(len(failures) - len(first), 'job')} that needed one of these", "red")


def _say(console: Console, head: str, text: str, style: str) -> None:
    console.print(Text(head, style).append(words.printable(text), ""), soft_wrap=True)


def _place(console: Console, what: str, path: Path) -> None:
    console.print(Text(f"{what:<7}", "bold").append(str(path)), soft_wrap=True)
