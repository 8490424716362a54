"""The tables of the page: which columns, in which order, formatted by ``words``. Knows no HTML."""

from collections.abc import Sequence
from typing import NamedTuple

from sweeps.report import words
from sweeps.report.evidence import Evidence
from sweeps.types import Row

KINDS = {"task": "task", "strategy": "strategy", "budget": "budget", "model": "model", "picked model": "model",
         "best model": "model", "best model there": "model", "best of the pool": "model"}  # fmt: skip


class Column(NamedTuple):
    """A heading; numbers stand to the right; a hint explains what the heading cannot."""

    title: str
    number: bool = False
    hint: str = ""

    @property
    def kind(self) -> str:
        """What the page links and filters the rows by, where the column names it."""
        return KINDS.get(self.title, "")


class Entry(NamedTuple):
    """What a table cell says, and what it is sorted by."""

    text: str
    key: float | str = ""
    mark: str = ""


class Table(NamedTuple):
    """A caption, headings, and rows of entries, the first entry of a row names it; and the pool that it is about."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Entry]]
    pool: str = ""


def _text(value: str | None, mark: str = "") -> Entry:
    text = value if value else words.MISSING
    return Entry(text, text.lower(), mark)


def _number(text: str, value: float | None, mark: str = "") -> Entry:
    return Entry(text, "" if value is None else value, mark)


def _share(value: float | None, mark: str = "") -> Entry:
    return _number(words.percent(value), value, mark)


def _points(value: float | None) -> Entry:
    return _number(words.points(value), value)


def _whole(value: int | None) -> Entry:
    return _number(words.MISSING if value is None else f"{value:,}", value)


def _rate(value: float | None) -> Entry:
    return _number(words.rate(value), value)


def _within(value: float | None, row: Row) -> Entry:
    return _number(words.within(value, row["low"], row["high"]), value, "strong")


def _large(value: int | None) -> Entry:
    return _number(words.magnitude(value), value)


def _real(value: float | None, mark: str = "") -> Entry:
    return _number(words.real(value), value, mark)


def _time(value: float | None) -> Entry:
    return _number(words.duration(value), value)


def _remark(text: str | None) -> Entry:
    return Entry(text or "", text or "", "small")


def answers(rows: Sequence[Row]) -> Table:
    """What to fine-tune for each task with an answer, beside the best of the pool and training from scratch."""
    columns = [
        Column("task"), Column("model"), Column("learning rate", True),
        Column("test accuracy", True, "median over repeats, with the range of the repeats"),
        Column("best of the pool"), Column("its accuracy", True), Column("regret", True, "in percentage points"),
        Column("relative regret", True, "the share of the remaining error that a perfect search would have removed"),
        Column("from scratch", True, "the accuracy without pre-training"),
    ]  # fmt: skip
    entries = [
        [
            _text(row["task"]), _text(row["model"], "strong"), _rate(row["learning_rate"]),
            _within(row["test_accuracy"], row), _text(row["oracle_model"]), _share(row["oracle"]),
            _points(row["regret"]), _share(row["relative_regret"]), _share(row["scratch_accuracy"]),
        ]
        for row in rows if row["model"] is not None
    ]  # fmt: skip
    return Table("The answer for each task", columns, entries)


def remarks(rows: Sequence[Row]) -> list[str]:
    """The notes of the answers, each once, with the tasks that it is about unless it is about all."""
    tasks: dict[str, list[str]] = {}
    for row in rows:
        for note in (row["note"] or "").split("; "):
            tasks.setdefault(note, []).append(row["task"])
    return [f"{note[0].upper()}{note[1:]}" + ("." if len(found) == len(rows) else f": {words.listing(found)}.")
            for note, found in tasks.items() if note]  # fmt: skip


def picks(rows: Sequence[Row]) -> Table:
    """What was picked for each task, and why."""
    columns = (Column("task"), Column("picked model"), Column("reason"))
    entries = [
        (_text(row["task"]), _text(name, "strong" * (name == row["model"])), _text(reason))
        for row in rows for name, reason in words.picks(row["picks"], row["reasons"])
    ]  # fmt: skip
    names = words.listing(dict.fromkeys(words.strategy(row["strategy"]) for row in rows))
    return Table(f"The models picked by {names}, with reasons; the answer in bold", columns, entries)


def strategies(rows: Sequence[Row], pool: str) -> Table:
    """How much each strategy loses on average in one pool, by budget."""
    columns = (
        Column("strategy"), Column("budget", True, "number of models fine-tuned"),
        Column("mean relative regret", True, "mean over tasks, with its bootstrap interval over tasks and repeats"),
        Column("mean regret", True, "in percentage points"), Column("tasks", True),
        Column("tasks at zero regret", True), Column("tasks above 25%", True, "relative regret above 25%"),
    )  # fmt: skip
    entries = [
        (
            _text(words.strategy(row["strategy"])), _whole(row["budget"]),
            _within(row["mean_relative_regret"], row), _points(row["mean_regret"]), _whole(row["tasks"]),
            _whole(row["tasks_at_zero"]), _whole(row["tasks_above_quarter"]),
        )
        for row in rows if row["pool"] == pool
    ]  # fmt: skip
    return Table(f"Selection strategies in pool {pool}", columns, entries, pool)


def comparisons(rows: Sequence[Row], pool: str) -> Table:
    """Every strategy against the one that the answer follows, task by task."""
    columns = (
        Column("strategy"), Column("against"), Column("budget", True, "number of models fine-tuned"),
        Column("difference", True, "of mean relative regret, in points; below 0 the strategy is better"),
        Column("better on", True, "tasks on which it loses less"), Column("worse on", True), Column("tasks", True),
        Column("mean delta", True, "share of the worse one's remaining error that it removes more"),
        Column("p", True, "two-sided sign-flip test over the tasks"),
        Column("p, all at once", True, "by Holm's rule, as many strategies are compared"),
    )  # fmt: skip
    entries = [
        (
            _text(words.strategy(row["strategy"])), _text(words.strategy(row["versus"])), _whole(row["budget"]),
            _number(f"{words.points(row['difference'])} {words.interval(row['low'], row['high'])}".rstrip(),
                    row["difference"], "strong"),
            _whole(row["wins"]), _whole(row["losses"]), _whole(row["tasks"]), _points(row["mean_delta"]),
            _real(row["p_value"]), _real(row["p_holm"]),
        )
        for row in rows if row["pool"] == pool
    ]  # fmt: skip
    return Table(f"Strategies compared task by task in pool {pool}", columns, entries, pool)


def budgets(rows: Sequence[Row], pool: str) -> Table:
    """How many models each strategy must fine-tune on each task until the best one is among them."""
    here = [row for row in rows if row["pool"] == pool]
    names = list(dict.fromkeys(row["strategy"] for row in here))
    cells = {(row["task"], row["strategy"]): row for row in here}
    columns = [Column("task"), *(Column(words.strategy(name), True) for name in names)]
    entries = [
        [_text(task), *(_span(cells.get((task, name))) for name in names)]
        for task in dict.fromkeys(row["task"] for row in here)
    ]
    return Table(f"Models to fine-tune until the best of pool {pool} is among them", columns, entries, pool)


def _span(row: Row | None) -> Entry:
    if row is None or row["optimistic"] is None:
        return _whole(None)
    least, most = round(row["optimistic"]), round(row["pessimistic"])
    return Entry(f"{least}" if least == most else f"{least} to {most}", row["expected"])


def trust(rows: Sequence[Row], pool: str) -> Table:
    """How every score does in one pool, best first as the picture has them."""
    columns = (
        Column("proxy"), Column("kind", False, "combined: relative to all models; static: never looks at the task"),
        Column("relative regret, one model", True, "mean over tasks of fine-tuning the best-scored model"),
        Column("two models", True, "relative regret of fine-tuning the two best-scored models"),
        Column("weighted tau", True, "mean over tasks, weighing the top of the ranking most"),
        Column("luck", True, "the magnitude that the mean tau of random scores exceeds in 5% of draws"),
        Column("Pearson", True), Column("tasks", True),
        Column("missing", True, "models x tasks without a score; strategies rank them last"),
        Column("flat", True, "tasks on which all scores are equal: their tau counts as 0"),
        Column("time", True, "of one score, the forward pass not included"),
    )  # fmt: skip
    entries = [
        (
            _text(words.proxy(row["proxy"])), _text(row["kind"]), _relative(row, "relative_regret_1", "strong"),
            _relative(row, "relative_regret_2"), _plain(row, "weighted_tau"), _real(row["tau_floor"]),
            _plain(row, "pearson"), _whole(row["tasks"]), _whole(row["missing"]), _whole(row["flat"]),
            _number(words.milliseconds(row["seconds"]), row["seconds"]),
        )
        for row in rows if row["pool"] == pool
    ]  # fmt: skip
    return Table(f"Every proxy, combined and static score in pool {pool}", columns, entries, pool)


def _relative(row: Row, column: str, mark: str = "") -> Entry:
    value, low, high = (row[f"{column}{end}"] for end in ("", "_low", "_high"))
    return _number(words.within(value, low, high), value, mark)


def _plain(row: Row, column: str) -> Entry:
    value, low, high = (row[f"{column}{end}"] for end in ("", "_low", "_high"))
    return _number(words.real_within(value, low, high), value)


def order(rows: Sequence[Row], answer: Sequence[Row]) -> Table:
    """How sure a ranking by score is; models that are never near the top are left out."""
    picked = {(row["task"], name) for row in answer for name in row["picks"] or ()}
    columns = (
        Column("task"), Column("model"), Column("proxy"), Column("score", True), Column("rank", True),
        Column("95% of ranks", True, "over resampled examples, the same for all models of the task"),
        Column("ranked first", True, "in how many of the resamples the model is ranked first"), Column("picked"),
    )  # fmt: skip
    entries = [
        (
            _text(row["task"]), _text(row["model"]), _text(words.proxy(row["proxy"])),
            _number(words.real(row["score"], 3), row["score"]),
            _rank(row["rank"]), Entry(f"{row['rank_low']:g} to {row['rank_high']:g}", row["rank_low"]),
            _share(row["top"], "strong"), Entry("picked" if (row["task"], row["model"]) in picked else ""),
        )
        for row in rows if row["top"] >= 0.005 or row["rank"] < 4 or (row["task"], row["model"]) in picked
    ]  # fmt: skip
    names = words.listing(dict.fromkeys(words.proxy(row["proxy"]) for row in rows))
    return Table(f"How sure the order by {names} is: ranks over resampled examples", columns, entries)


def _rank(value: float) -> Entry:
    return Entry(f"{value:g}", value)


def correlations(rows: Sequence[Row]) -> Table:
    """How well each proxy orders the models of each task."""
    columns = (Column("task"), Column("proxy"), Column("weighted tau", True), Column("Pearson", True),
               Column("Spearman", True), Column("models", True), Column("note"))  # fmt: skip
    entries = [
        (
            _text(row["task"]), _text(words.proxy(row["proxy"])), _real(row["weighted_tau"], "strong"),
            _real(row["pearson"]), _real(row["spearman"]), _whole(row["models"]), _remark(row["reason"]),
        )
        for row in rows
    ]  # fmt: skip
    return Table("Agreement of proxy scores with accuracy", columns, entries)


def accuracies(rows: Sequence[Row]) -> Table:
    """Every measured accuracy with its repeats."""
    columns = (Column("model"), Column("task"), Column("test accuracy", True, "median over repeats"),
               Column("repeats", False, "test accuracy of each repeat, percent"), Column("learning rate", True),
               Column("validation accuracy", True), Column("time", True))  # fmt: skip
    entries = [
        (
            _text(row["model"]), _text(row["task"]), _accuracy(row["accuracy"]), _repeats(row["repeats"]),
            _rate(row["learning_rate"]), _share(row["val_accuracy"]), _time(row["seconds"]),
        )
        for row in rows
    ]  # fmt: skip
    return Table("Accuracy of every fine-tuned model", columns, entries)


def _accuracy(value: float | None) -> Entry:
    return Entry("diverged", "", "strong") if value is None else _share(value, "strong")


def _repeats(values: Sequence[float | None]) -> Entry:
    text = ", ".join("diverged" if value is None else words.points(value) for value in values)
    return Entry(text or words.MISSING, text)


def models(rows: Sequence[Row]) -> Table:
    """The zoo: what is known of each model beforehand."""
    columns = [Column("model"), Column("group"), Column("family"), Column("parameters", True), Column("features", True),
               Column("input", True, "side in pixels, or the most tokens"), Column("upstream accuracy", True),
               Column("released", True, "the year its design was published"), Column("licence"),
               Column("source")]  # fmt: skip
    substitutes = any(row["substitute"] for row in rows)
    columns += [Column("substitute", False, "why it is not the model that the name says")] * substitutes
    entries = [
        (
            _text(row["model"]), _text(row["group"]), _text(row["family"]), _large(row["parameters"]),
            _whole(row["dim"]), _whole(row["input_size"]), _share(row["upstream_accuracy"]), _year(row["released"]),
            _text(row["licence"]), _text(row["source"]), *([_text(row["substitute"])] * substitutes),
        )
        for row in rows
    ]  # fmt: skip
    return Table("The models of the sweep", columns, entries)


def _year(value: float | None) -> Entry:
    return _number(words.MISSING if value is None else f"{value:.0f}", value)


def failures(evidence: Evidence) -> Table:
    """Failed jobs, diverged learning rates and undefined scores: what, where, why."""
    columns = (Column("what"), Column("model"), Column("task"), Column("reason"))
    faults = [(f"{row['kind']} {row['status']}", row["error"], row) for row in evidence.failures]
    diverged: dict[tuple[float, str, str], list[Row]] = {}
    for row in evidence.diverged:
        diverged.setdefault((row["learning_rate"], row["model"], row["task"]), []).append(row)
    faults += [(f"{words.count(len(found), 'run')} diverged at learning rate {words.rate(rate)}",
                found[0]["reason"], found[0]) for (rate, _, _), found in diverged.items()]  # fmt: skip
    unscored: dict[tuple[str, str | None], list[Row]] = {}
    for row in evidence.unscored:
        unscored.setdefault((row["proxy"], row["reason"]), []).append(row)
    faults += [(f"no {words.proxy(name)} score", reason,
                {key: words.listing(dict.fromkeys(row[key] for row in found), 4) for key in ("model", "task")})
               for (name, reason), found in unscored.items()]  # fmt: skip
    entries = [(_text(what), _text(row["model"]), _text(row["task"]), _text(words.one_line(reason)))
               for what, reason, row in faults]  # fmt: skip
    return Table("What failed, and why", columns, entries)


def missing(evidence: Evidence) -> Table:
    """What is planned and not measured yet, by cell."""
    columns = (Column("kind of job"), Column("model"), Column("task"), Column("missing", True), Column("planned", True))
    entries = [
        (_text(cell.kind), _text(cell.model), _text(cell.task), _whole(cell.jobs), _whole(cell.planned))
        for cell in evidence.missing
    ]
    return Table("Planned and not measured", columns, entries)


def jobs(evidence: Evidence) -> Table:
    """How many jobs of each kind there are, how they ended, how long they took."""
    columns = (Column("kind of job"), Column("planned", True), Column("done", True), Column("failed", True),
               Column("missing", True), Column("time", True, "summed over workers"))  # fmt: skip
    entries = [
        (_text(stage.kind), _whole(stage.planned), _whole(stage.done), _whole(stage.failed), _whole(stage.missing),
         _time(stage.seconds))
        for stage in evidence.stages
    ]  # fmt: skip
    return Table(f"Jobs of the plan: {progress(evidence)}", columns, entries)


def progress(evidence: Evidence) -> str:
    """How far the sweep is, in one line: ``678 of 680 jobs done, 1 failed, 1 missing; 2 h 05 min of work``."""
    stages = evidence.stages
    done, planned = sum(stage.done for stage in stages), sum(stage.planned for stage in stages)
    failed, missing = len(evidence.failures), sum(stage.missing for stage in stages)
    parts = [f"{done:,} of {words.count(planned, 'job')} done"]
    parts += [f"{failed:,} failed"] * bool(failed) + [f"{missing:,} missing"] * bool(missing)
    return f"{', '.join(parts)}; {words.duration(sum(stage.seconds for stage in stages))} of work"
