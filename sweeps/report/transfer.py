"""Linear head, Head2Toe and fine-tuning side by side: rows of ``transfer``, scores and pictures."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sweeps.report import words
from sweeps.report.cells import best_rate
from sweeps.report.ink import colour, dots
from sweeps.report.labels import short_names
from sweeps.report.markup import Mark
from sweeps.report.panels import grid, panel_title
from sweeps.report.tables import Column, Entry, Table
from sweeps.types import Row
from taskrel.correlation import correlation
from taskrel.paired import paired
from taskrel.regret import relative_regret

METHODS = ("linear", "head2toe", "head2toe-ft", "fine-tuning")
DRAWN = (
    ("fine-tuning", "s", "muted", ""),
    ("head2toe-ft", "D", "accent", ""),
    ("head2toe", "o", "accent", "accent"),
)  # mark, edge, inside
_POINTS = FuncFormatter(lambda value, _: f"{100 * value:g}")
_PERCENT = FuncFormatter(lambda value, _: words.percent(value, 0))


def scores(found: Iterable[Row]) -> list[Row]:
    """Rows like those of ``scores``: validation and cross-validated accuracy of Head2Toe."""
    return [
        {"job": None, "model": row["model"], "task": row["task"], "proxy": name, "value": row[column],
         "values": [row[column]], "low": None, "high": None, "replicates": None, "seconds": row["seconds"],
         "reason": None}
        for row in found for name, column in (("head2toe", "val_accuracy"), ("head2toe_cv", "cross_validated"))
    ]  # fmt: skip


def transfer(found: Sequence[Row], accuracies: Iterable[Row], scratch: Iterable[str], deep: Iterable[Row] = (),
             ) -> list[Row]:  # fmt: skip
    """A row per task, model and method: test accuracy, cost, bytes to keep, and what is lost to the best of all.

    The cost is that of one choice among the settings of the sweep: the repeats of fine-tuning are not added up.

    Args:
        found: rows of ``head2toe``.
        accuracies: rows of ``accuracies``.
        scratch: models that start from random weights; the best of them says how near a task is to a model's source.
        deep: rows of ``runs`` that fine-tune what Head2Toe selected; the best by validation counts.
    """
    deeper: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for run in deep:
        deeper[run["task"], run["model"]].append(run)
    tuned = {(row["task"], row["model"]): row for row in accuracies if row["accuracy"] is not None}
    baselines = set(scratch)
    alone: dict[str, float] = {}
    for (task, model), row in tuned.items():
        if model in baselines:
            alone[task] = max(alone.get(task, 0.0), row["accuracy"])
    rows: list[Row] = []
    for row in (row for row in found if row["model"] not in baselines):
        task, model, linear = row["task"], row["model"], row["linear_test_accuracy"]
        affinity = linear - alone[task] if task in alone else None
        shared = {"task": task, "model": model, "affinity": affinity}
        rows.append({**shared, "method": "linear", "accuracy": linear, "seconds": row["linear_seconds"],
                     "bytes": row["linear_bytes"]})  # fmt: skip
        rows.append({**shared, "method": "head2toe", "accuracy": row["test_accuracy"],
                     "seconds": row["extract_seconds"] + row["select_seconds"],
                     "bytes": row["stored_bytes"]})  # fmt: skip
        if (best_run := best_rate(deeper[task, model])) is not None:
            spent = sum(run["seconds"] or 0.0 for run in deeper[task, model])
            rows.append({**shared, "method": "head2toe-ft", "accuracy": best_run["test_accuracy"],
                         "seconds": row["extract_seconds"] + row["select_seconds"] + spent,
                         "bytes": row["model_bytes"] + row["stored_bytes"]})  # fmt: skip
        if (task, model) in tuned:
            whole = tuned[task, model]
            rows.append({**shared, "method": "fine-tuning", "accuracy": whole["accuracy"],
                         "seconds": whole["seconds"] / len(whole["repeats"]),
                         "bytes": row["model_bytes"] + row["linear_bytes"]})  # fmt: skip
    best: dict[str, float] = {}
    for row in rows:
        best[row["task"]] = max(best.get(row["task"], 0.0), row["accuracy"])
    for row in rows:
        row["regret"] = best[row["task"]] - row["accuracy"]
        row["relative_regret"] = float(relative_regret(best[row["task"]], row["accuracy"]))
    return rows


class Versus(NamedTuple):
    """One method against another over the tasks, each the mean over the models that have both."""

    tasks: int
    better: int
    mean: float
    low: float | None
    high: float | None
    p_value: float

    @property
    def text(self) -> str:
        """``6.6 points [2.4, 10.9]``."""
        return f"{words.points(self.mean)} points {words.interval(self.low, self.high)}".rstrip()


def versus(rows: Sequence[Row], method: str, other: str) -> Versus | None:
    """What a method gains over another, with its interval over resampled tasks; None where no cell has both."""
    found = _gains(rows, method, other)
    tasks = sorted({task for task, _, _ in found})
    if not tasks:
        return None
    means = np.array([fmean(gain for task, _, gain in found if task == name) for name in tasks])
    test = paired(-means[None], np.zeros(len(means)))
    low, high = (-float(end) if np.isfinite(end) else None for end in test.ends[0, ::-1])
    return Versus(len(tasks), int((means > 0).sum()), float(means.mean()), low, high, float(test.p_value[0]))


def said(rows: Sequence[Row]) -> list[str]:
    """What the methods come to, in sentences."""
    over = versus(rows, "head2toe", "linear")
    if over is None:
        return []
    lines = [
        f"Head2Toe gains {over.text} over a linear head on the last layer, mean over "
        f"{words.count(over.tasks, 'task')} (p = {words.real(over.p_value)}); it is better on {over.better}."
    ]
    for method in ("head2toe", "head2toe-ft"):
        beside = versus(rows, method, "fine-tuning")
        if beside is not None:
            lines.append(f"{words.method(method)} less fine-tuning is {beside.text} "
                         f"(p = {words.real(beside.p_value)}); it is better on {beside.better} of "
                         f"{words.count(beside.tasks, 'task')}.")  # fmt: skip
    lines += _where(rows)
    cost, room = (ratio(rows, "head2toe", column) for column in ("seconds", "bytes"))
    if cost is not None and room is not None:
        lines.append(f"Against fine-tuning Head2Toe takes {words.percent(cost)} of the time and keeps "
                     f"{words.percent(room)} of the bytes per task.")  # fmt: skip
    return lines


def _where(rows: Sequence[Row]) -> list[str]:
    """Where Head2Toe gains: with what the gain over the linear head goes together."""
    gained = {(task, model): gain for task, model, gain in _gains(rows, "head2toe", "linear")}
    heads = {(row["task"], row["model"]): row for row in rows if row["method"] == "linear"}
    lines = []
    for column, name in (("accuracy", "the linear accuracy"), ("affinity", "the affinity of the task")):
        known = [(heads[cell][column], gain) for cell, gain in gained.items() if heads[cell][column] is not None]
        below, above = np.array(known).T if known else (np.empty(0), np.empty(0))
        found = correlation(below, above, "pearson").value if len(known) > 2 else None
        if found is not None:
            lines.append(f"The correlation of that gain with {name} is {words.real(found)} over models and tasks "
                         "(below zero: it is larger where that is low).")  # fmt: skip
    if lines:
        lines[-1] += " Part of it is mechanical: both sides hold the linear accuracy, with opposite signs."
    return lines


def summary(rows: Sequence[Row]) -> Table:
    """Every method over all tasks: accuracy, gain over the linear head and over fine-tuning, cost, room."""
    columns = [Column("method"), Column("accuracy", True, "mean over tasks and models"),
               Column("over linear", True, "points, with the interval over tasks"), Column("p", True),
               Column("over fine-tuning", True, "points, with the interval over tasks"),
               Column("best of all", True, "tasks on which its best model is the best of all methods"),
               Column("time", True, "of fine-tuning"), Column("kept per task", True, "of fine-tuning")]  # fmt: skip
    tasks, entries = list(dict.fromkeys(row["task"] for row in rows)), []
    for method in METHODS:
        here = [row for row in rows if row["method"] == method]
        if not here:
            continue
        mean = fmean(fmean(row["accuracy"] for row in here if row["task"] == task)
                     for task in tasks if any(row["task"] == task for row in here))  # fmt: skip
        first, last = versus(rows, method, "linear"), versus(rows, method, "fine-tuning")
        leads = len({row["task"] for row in here if row["regret"] == 0})
        cost, room = ratio(rows, method, "seconds"), ratio(rows, method, "bytes")
        own = method == "linear"
        entries.append([
            Entry(words.method(method), METHODS.index(method)), Entry(words.percent(mean), mean, "strong"),
            Entry("" if own or first is None else first.text, first.mean if first else 0.0),
            Entry("" if own or first is None else words.real(first.p_value), first.p_value if first else 1.0),
            Entry("" if method == "fine-tuning" or last is None else last.text, last.mean if last else 0.0),
            Entry(str(leads), leads), Entry(words.percent(cost), cost or 0.0), Entry(words.percent(room), room or 0.0),
        ])  # fmt: skip
    return Table("The methods over all tasks", columns, entries)


def gains(rows: Sequence[Row], tasks: Sequence[str]) -> str:
    """What Head2Toe and fine-tuning gain over the linear head, by its accuracy; a panel per task, a dot per model."""
    cells = {(row["task"], row["model"], row["method"]): row["accuracy"] for row in rows}
    shown = [task for task in tasks if any(key[0] == task for key in cells)]
    if not shown:
        return ""
    titles = short_names(shown, 24)

    def draw(axes: Axes, number: int) -> None:
        task = shown[number]
        models = [model for one, model, method in cells if one == task and method == "linear"]
        for method, shape, tint, fill in DRAWN:
            found = [(model, cells[task, model, "linear"], cells[task, model, method]) for model in models
                     if (task, model, method) in cells]  # fmt: skip
            marks = [Mark(f"{model}: linear {words.percent(linear)}, {words.method(method)} {words.percent(reached)}",
                          model, task) for model, linear, reached in found]  # fmt: skip
            dots(axes, [(linear, reached - linear) for _, linear, reached in found], marks, shape, color=colour(tint),
                 markersize=5.5, markerfacecolor=colour(fill) if fill else "none")  # fmt: skip
        axes.axhline(0, color=colour("ink"), linewidth=0.9)
        axes.margins(0.1, 0.14)
        axes.yaxis.set_major_formatter(_POINTS)
        axes.xaxis.set_major_formatter(_PERCENT)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(3))
        mean = [gain for one, _, gain in _gains(rows, "head2toe", "linear") if one == task]
        panel_title(axes, titles[task], f"mean {100 * fmean(mean):+.1f}" if mean else "")

    key = [Line2D([], [], color=colour(tint), marker=shape, linewidth=0, label=words.method(method),
                  markerfacecolor=colour(fill) if fill else "none") for method, shape, tint, fill in DRAWN]  # fmt: skip
    return grid(len(shown), draw, key, "head2toe-gains", "Gain over a linear head, by its accuracy and by task.",
                ("accuracy of the linear head", "gain, points"))  # fmt: skip


def layers(found: Sequence[Row], tasks: Sequence[str]) -> str:
    """Which share of each layer's features is kept, by its depth; a panel per task, a line per model and their mean."""
    shown = [task for task in tasks if any(row["task"] == task and row["shares"] for row in found)]
    if not shown:
        return ""
    titles, depths = short_names(shown, 24), np.linspace(0, 1, 21)

    def draw(axes: Axes, number: int) -> None:
        lines = []
        for row in (row for row in found if row["task"] == shown[number] and row["shares"]):
            at = np.linspace(0, 1, len(row["shares"]))
            axes.plot(at, row["shares"], color=colour("faint"), linewidth=0.9)
            lines.append(np.interp(depths, at, row["shares"]))
            marks = [Mark(f"{row['model']}, {name}: {words.percent(share)} kept", row["model"], row["task"])
                     for name, share in zip(row["layers"], row["shares"], strict=True)]  # fmt: skip
            dots(axes, list(zip(at, row["shares"], strict=True)), marks, "o", color=colour("faint"), markersize=2)
        axes.plot(depths, np.mean(lines, axis=0), color=colour("accent"), linewidth=2.2)
        axes.set_xticks([0, 1], ["input", "output"])
        axes.yaxis.set_major_formatter(_PERCENT)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        panel_title(axes, titles[shown[number]], "")

    key = [Line2D([], [], color=colour("accent"), linewidth=2.2, label="mean over models"),
           Line2D([], [], color=colour("faint"), label="one model")]  # fmt: skip
    return grid(len(shown), draw, key, "head2toe-layers", "Share of features kept by depth of the layer, by task.",
                ("depth of the layer", "features kept"))  # fmt: skip


def table(rows: Sequence[Row], tasks: Sequence[str]) -> Table:
    """Every method on every task: mean over models, its best model, what that loses to the best of all methods."""
    columns = [Column("task"), Column("method"), Column("mean accuracy", True, "over models"), Column("best model"),
               Column("its accuracy", True), Column("relative regret", True, "of its best model to the best of all"),
               Column("time", True, "per model"), Column("kept per task", True, "bytes")]  # fmt: skip
    entries = []
    for task in tasks:
        for method in METHODS:
            here = [row for row in rows if (row["task"], row["method"]) == (task, method)]
            if here:
                best = max(here, key=lambda row: row["accuracy"])
                mean, spent = fmean(row["accuracy"] for row in here), _mean(row["seconds"] for row in here)
                entries.append([
                    Entry(task, task), Entry(words.method(method), METHODS.index(method)),
                    Entry(words.percent(mean), mean), Entry(best["model"], best["model"]),
                    Entry(words.percent(best["accuracy"]), best["accuracy"], "strong"),
                    Entry(words.percent(best["relative_regret"]), best["relative_regret"]),
                    Entry(words.duration(spent), spent or 0.0), Entry(words.magnitude(best["bytes"]), best["bytes"]),
                ])  # fmt: skip
    return Table("The methods on every task", columns, entries)


def _gains(rows: Sequence[Row], method: str, other: str) -> list[tuple[str, str, float]]:
    """(task, model, accuracy of a method less that of another)."""
    cells = {(row["task"], row["model"], row["method"]): row["accuracy"] for row in rows}
    return [(task, model, accuracy - cells[task, model, other]) for (task, model, name), accuracy in cells.items()
            if name == method and (task, model, other) in cells]  # fmt: skip


def ratio(rows: Sequence[Row], method: str, column: str) -> float | None:
    """Total of a method over total of fine-tuning, where both are there."""
    cells = {(row["task"], row["model"], row["method"]): row[column] for row in rows}
    known = [(value, cells[task, model, "fine-tuning"]) for (task, model, name), value in cells.items()
             if name == method and value is not None and cells.get((task, model, "fine-tuning"))]  # fmt: skip
    return sum(own for own, _ in known) / sum(whole for _, whole in known) if known else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
