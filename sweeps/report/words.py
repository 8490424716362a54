"""How a number, a name and a choice read: one function each for the page, the terminal and the pictures.

Knows no HTML and no terminal. Missing is ``n/a``, never an empty cell; an accuracy is a fraction in the tables and a
percentage here; a regret is in percentage points, a relative regret in percent.
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sweeps.types import Row

MISSING = "n/a"
STUDY = ("linear", "knn")  # the proxies of the study, shown whatever they are worth
_STRATEGIES = {"oracle": "agnostic oracle"}
_PROXIES = {
    "knn": "kNN", "knn_loo": "kNN leave-one-out", "logme": "LogME", "hscore": "H-score",
    "shrinkage_hscore": "shrinkage H-score", "lda": "LDA", "sfda": "SFDA", "ncc": "NCC", "msc": "MSC",
    "transrate": "TransRate", "gbc": "GBC", "lfc": "LFC", "parc": "PARC", "ncti": "NCTI", "ncti_seli": "NCTI SELI",
    "ncti_ncc": "NCTI NCC", "ncti_vc": "NCTI VC", "etran": "ETran", "pactran": "PACTran", "nleep": "NLEEP",
    "leep": "LEEP", "eep": "EEP", "nce": "NCE", "otce": "OTCE", "released": "release year",
    "static_rank": "rank on other tasks", "rank_mean": "mean rank", "task2vec": "Task2Vec",
    "head2toe": "Head2Toe", "head2toe_cv": "Head2Toe, cross-validated",
    "relatedness": "task-relatedness", "relatedness_0.1": "task-relatedness, τ 0.1",
    "relatedness_tuned": "task-relatedness, tuned τ", "relatedness_logits": "task-relatedness in logits",
    "relatedness_aligned": "task-relatedness, aligned", "relatedness_aligned_0.1": "task-relatedness, aligned, τ 0.1",
    "relatedness_aligned_tuned": "task-relatedness, aligned, tuned τ",
    "relatedness_least": "task-relatedness, least over τ",
    "relatedness_loss": "loss of the transformed head",
    "relatedness_unlabelled": "task-relatedness, unlabelled",
    "relatedness_released": "task-relatedness, as released",
}  # fmt: skip


class Part(NamedTuple):
    """A stretch of a sentence and what it is: ``text``, ``task``, ``model``, ``rate``, ``accuracy`` or ``regret``."""

    kind: str
    text: str


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage: ``91.2%``."""
    return MISSING if value is None else f"{_number(100 * value, digits)}%"


def points(value: float | None, digits: int = 1) -> str:
    """A difference of two fractions in percentage points, without the unit: ``0.4``."""
    return MISSING if value is None else _number(100 * value, digits)


def interval(low: float | None, high: float | None, digits: int = 1) -> str:
    """An interval of fractions in percent: ``[90.1, 92.0]``; empty when either end is unknown."""
    return "" if low is None or high is None else f"[{points(low, digits)}, {points(high, digits)}]"


def within(value: float | None, low: float | None, high: float | None) -> str:
    """A fraction with its interval: ``91.2% [90.1, 92.0]``."""
    return f"{percent(value)} {interval(low, high)}".rstrip()


def real(value: float | None, digits: int = 2) -> str:
    """A plain number, such as a correlation or a proxy score: ``0.62``."""
    return MISSING if value is None else _number(value, digits)


def real_within(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """A plain number with its interval: ``0.62 [0.40, 0.71]``."""
    bounds = "" if low is None or high is None else f" [{real(low, digits)}, {real(high, digits)}]"
    return f"{real(value, digits)}{bounds}"


def rate(value: float | None) -> str:
    """A learning rate in three digits: ``0.03``, ``0.00215``."""
    return MISSING if value is None else f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """A time in the two largest units that matter: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds is None:
        return MISSING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def milliseconds(seconds: float | None) -> str:
    """A short time in thousandths of a second: ``8 ms``."""
    return MISSING if seconds is None else f"{1000 * seconds:,.0f} ms"


def magnitude(value: int | None) -> str:
    """A large count in three digits: ``23.5 M`` parameters."""
    if value is None:
        return MISSING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return str(value)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: ``1 task``, ``3 tasks``, ``no tasks``."""
    return f"{number or 'no':{',' if number else ''}} {noun if number == 1 else plural or noun + 's'}"


def listing(items: Iterable[str], limit: int = 8) -> str:
    """Names in a sentence: ``a, b and c``; beyond ``limit`` the rest is counted."""
    names = list(items)
    if len(names) > limit:
        names = [*names[: limit - 1], f"{len(names) - limit + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def strategy(name: str | None) -> str:
    """How people say a strategy: ``hybrid linear`` for ``hybrid_linear``, a proxy's own name for the proxy."""
    if name is None:
        return MISSING
    if name.startswith("hybrid_"):
        return f"hybrid {proxy(name.removeprefix('hybrid_'))}"
    return _STRATEGIES.get(name, proxy(name))


def proxy(name: str) -> str:
    """How people write a proxy, a combined or a static score: ``kNN`` for ``knn``."""
    return _PROXIES.get(name, name.replace("_", " "))


def method(name: str) -> str:
    """How people write a way of transfer."""
    return {"linear": "linear head", "head2toe": "Head2Toe", "head2toe-ft": "Head2Toe-FT"}.get(name, name)


def trust(rows: Sequence[Row]) -> list[str]:
    """Which proxy to trust, in sentences.

    Args:
        rows: rows of ``proxies`` of one pool, the best first.
    """
    known = [row for row in rows if row["relative_regret_1"] is not None]
    scores = [row for row in known if row["kind"] in ("proxy", "combined")]
    static = [row for row in known if row["kind"] == "static"]
    luck = [f" (a random draw: {percent(row['relative_regret_1'])})" for row in known if row["kind"] == "random"]
    said = []
    if scores:
        said.append(f"With one model fine-tuned, {proxy(scores[0]['proxy'])} loses least: {_loss(scores[0])} of the "
                    f"remaining error{''.join(luck)}.{_alike(scores)}")  # fmt: skip
    if static:
        said.append(f"Of what is known without looking at the task, {proxy(static[0]['proxy'])} loses least: "
                    f"{_loss(static[0])}.")  # fmt: skip
    sure = [row for row in scores if None not in (row["weighted_tau"], row["tau_floor"])
            and row["weighted_tau"] > row["tau_floor"]]  # fmt: skip
    if scores:
        said.append(f"{len(sure)} of {count(len(scores), 'proxy', 'proxies')} order the models better than luck: their "
                    "mean weighted τ is above the range that holds 95% of random scores.")  # fmt: skip
    return said


def _alike(scores: Sequence[Row]) -> str:
    """A warning when others are as good within the interval: the best of many looks better than it is."""
    high = scores[0]["relative_regret_1_high"]
    lows = [row["relative_regret_1_low"] for row in scores[1:]]
    alike = sum(low <= high for low in lows if low is not None) if high is not None else 0
    if not alike:
        return ""
    return (f" The best of many looks better than it is: {count(alike, 'further interval')} "
            f"{'overlaps' if alike == 1 else 'overlap'} with its own.")  # fmt: skip


def _loss(row: Row) -> str:
    return within(*(row[f"relative_regret_1{end}"] for end in ("", "_low", "_high")))


def printable(text: str) -> str:
    """``text`` without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def one_line(text: str | None, width: int = 300) -> str:
    """The first line of a message that says something, cut at ``width``."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return shorten(printable(lines[0]), width) if lines else "no reason was recorded"


def shorten(text: str, width: int) -> str:
    """``text`` cut in its middle to ``width`` >= 2 characters, so that a name keeps its beginning and its end."""
    if len(text) <= width:
        return text
    head = width // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def versions(snapshots: Iterable[str]) -> str:
    """Package versions from their JSON snapshots: ``ray 2.60.0, torch 2.8.0``; several where workers differed."""
    found: dict[str, set[str]] = {}
    for snapshot in snapshots:
        try:
            packages = json.loads(snapshot)
        except ValueError:
            packages = {}
        for package, version in packages.items() if isinstance(packages, dict) else ():
            found.setdefault(str(package), set()).add(str(version))
    return ", ".join(f"{package} {' and '.join(sorted(found[package]))}" for package in sorted(found))


def picks(names: Sequence[str] | None, reasons: Sequence[str] | None) -> list[tuple[str, str]]:
    """Every picked model beside its reason; a missing reason is empty."""
    names, reasons = list(names or ()), list(reasons or ())
    return list(zip(names, reasons + [""] * (len(names) - len(reasons)), strict=False))


def answer(row: Row) -> list[Part]:
    """What to do for a task, and how good that is, as one sentence in parts."""
    if row["model"] is None:
        return [Part("text", "For "), Part("task", row["task"]), Part("text", " the picks are "),
                Part("model", listing(row["picks"] or ())), Part("text", "; none is fine-tuned yet.")]  # fmt: skip
    parts = [
        Part("text", "For "), Part("task", row["task"]), Part("text", " fine-tune "), Part("model", row["model"]),
        Part("text", " at learning rate "), Part("rate", rate(row["learning_rate"])), Part("text", ": test accuracy "),
        Part("accuracy", percent(row["test_accuracy"])),
    ]  # fmt: skip
    bounds = interval(row["low"], row["high"])
    return [*parts, Part("text", f" {bounds}" if bounds else ""), *_against_best(row), Part("text", ".")]


def answers(rows: Sequence[Row]) -> str:
    """The answers of many tasks in one sentence."""
    known = [row for row in rows if row["regret"] is not None]
    if not known:
        return f"{count(len(rows), 'task')} {'has' if len(rows) == 1 else 'have'} an answer; no regret is known yet."
    best = sum(row["regret"] <= 0 for row in known)
    mean = sum(row["regret"] for row in known) / len(known)
    return (f"On {best} of {count(len(known), 'task')} the answer is as good as the best of the pool; its mean regret "
            f"is {points(mean)} points.")  # fmt: skip


def _against_best(row: Row) -> list[Part]:
    if row["oracle"] is None or row["regret"] is None:
        return [Part("text", "; the regret is unknown, as the pool is not fully fine-tuned here")]
    best, gap, same = row["oracle_model"], points(row["regret"]), row["oracle_model"] == row["model"]
    if gap == "0.0":
        return [Part("text", ", the best of the pool" if same else f", as good as the best of the pool, {best}")]
    known = f"{best} ({percent(row['oracle'])})"
    if row["regret"] < 0:
        text = f"its own grid, where it is the best of the pool ({percent(row['oracle'])})" if same else (
            f"the best of the grid, {known}")  # fmt: skip
        return [Part("text", ", "), Part("regret", f"{gap.removeprefix('-')} points"), Part("text", f" above {text}")]
    if same:
        text = f", the best of the pool ({percent(row['oracle'])} when every repeat has the rate that suits it)"
        return [Part("text", text)]
    return [Part("text", f"; best of the pool was {known}, regret "), Part("regret", f"{gap} points")]


def plain(parts: Iterable[Part]) -> str:
    """A sentence without its marks."""
    return "".join(part.text for part in parts)


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text
