"""Linear head, Head2Toe and fine-tuning side by side: rows of ``transfer``, scores and pictures."""

from collections.abc import Iterable, Sequence
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sweeps.report import words
from sweeps.report.ink import colour, tip
from sweeps.report.labels import short_names
from sweeps.report.panels import grid, panel_title
from sweeps.report.tables import Column, Entry, Table
from sweeps.types import Row
from taskrel.correlation import correlation
from taskrel.paired import paired
from taskrel.regret import relative_regret

METHODS = ("linear", "head2toe", "fine-tuning")
DRAWN = (("fine-tuning", "s", "muted", ""), ("head2toe", "o", "accent", "accent"))  # mark, edge, inside
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


def transfer(found: Sequence[Row], accuracies: Iterable[Row], scratch: Iterable[str]) -> list[Row]:
    """A row per task, model and method: test accuracy, cost, bytes to keep, and what is lost to the best of all.

    Args:
        found: rows of ``head2toe``.
        accuracies: rows of ``accuracies``.
        scratch: models that start from random weights; the best of them says how near a task is to a model's source.
    """
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
        if (task, model) in tuned:
            whole = tuned[task, model]
            rows.append({**shared, "method": "fine-tuning", "accuracy": whole["accuracy"], "seconds": whole["seconds"],
                         "bytes": row["model_bytes"] + row["linear_bytes"]})  # fmt: skip
    best: dict[str, float] = {}
    for row in rows:
        best[row["task"]] = max(best.get(row["task"], 0.0), row["accuracy"])
    for row in rows:
        row["regret"] = best[row["task"]] - row["accuracy"]
        row["relative_regret"] = float(relative_regret(best[row["task"]], row["accuracy"]))
    return rows


def said(rows: Sequence[Row]) -> list[str]:
    """What the methods come to, in sentences."""
    gains = _gains(rows)
    if not gains:
        return []
    tasks = sorted({task for task, _, _ in gains})
    each = [[gain for task, _, gain in gains if task == name] for name in tasks]
    means = np.array([fmean(one) for one in each])
    test = paired(-means[None], np.zeros(len(means)))
    low, high = (-100 * test.ends[0, 1], -100 * test.ends[0, 0])
    within = f" [{low:.1f}, {high:.1f}]" if np.isfinite(low) else ""
    lines = [f"Head2Toe gains {words.points(float(means.mean()))} points{within} over a linear head on the last layer, "
             f"mean over {words.count(len(tasks), 'task')} (p = {words.real(float(test.p_value[0]))}); it is better on "
             f"{int((means > 0).sum())}."]  # fmt: skip
    linear = np.array([row["accuracy"] for row in rows if row["method"] == "linear"])
    weak = correlation(linear, np.array([gain for _, _, gain in gains]), "pearson").value
    if weak is not None:
        lines.append(f"Where the linear head is weak the gain is {'larger' if weak < 0 else 'not larger'}: its "
                     f"correlation with the linear accuracy is {words.real(weak)} over models and tasks (partly "
                     "mechanical: the same noise with opposite signs).")  # fmt: skip
    cost, room = _ratio(rows, "seconds"), _ratio(rows, "bytes")
    if cost is not None and room is not None:
        lines.append(f"Against fine-tuning it takes {words.percent(cost)} of the time and keeps {words.percent(room)} "
                     "of the bytes per task.")  # fmt: skip
    return lines


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
        for model in models:
            linear = cells[task, model, "linear"]
            for method, shape, tint, fill in DRAWN:
                reached = cells.get((task, model, method))
                if reached is not None:
                    mark = axes.plot(linear, reached - linear, shape, color=colour(tint), markersize=5.5,
                                     markerfacecolor=colour(fill) if fill else "none")[0]  # fmt: skip
                    text = f"{words.method(method)} {words.percent(reached)}"
                    tip(mark, f"{model}: linear {words.percent(linear)}, {text}")
        axes.axhline(0, color=colour("ink"), linewidth=0.9)
        axes.margins(0.1, 0.14)
        axes.yaxis.set_major_formatter(_POINTS)
        axes.xaxis.set_major_formatter(_PERCENT)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(3))
        mean = [gain for one, _, gain in _gains(rows) if one == task]
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
            for place, name, share in zip(at, row["layers"], row["shares"], strict=True):
                mark = axes.plot(place, share, "o", color=colour("faint"), markersize=2)[0]
                tip(mark, f"{row['model']}, {name}: {words.percent(share)} kept")
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
    return Table("Linear head, Head2Toe and fine-tuning", columns, entries)


def _gains(rows: Sequence[Row]) -> list[tuple[str, str, float]]:
    """(task, model, accuracy of Head2Toe less that of the linear head)."""
    cells = {(row["task"], row["model"], row["method"]): row["accuracy"] for row in rows}
    return [(task, model, cells[task, model, "head2toe"] - linear)
            for (task, model, method), linear in cells.items() if method == "linear"]  # fmt: skip


def _ratio(rows: Sequence[Row], column: str) -> float | None:
    """Mean of Head2Toe over mean of fine-tuning, where both are there."""
    both = [{row["method"]: row[column] for row in rows if (row["task"], row["model"]) == cell}
            for cell in {(row["task"], row["model"]) for row in rows}]  # fmt: skip
    known = [each for each in both if each.get("fine-tuning") and each.get("head2toe") is not None]
    if not known:
        return None
    return sum(each["head2toe"] for each in known) / sum(each["fine-tuning"] for each in known)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
