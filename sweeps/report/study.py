"""The pictures of the study: who finds the best model how soon, duels of strategies, why correlations mislead.

SVG, or "" without data.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sweeps.report import words
from sweeps.report.figures import WIDE, by_strategy
from sweeps.report.ink import colour, dots, drawing, frame, strategy_colour, strategy_order, strokes, svg, tip
from sweeps.report.labels import fit, short_names, width
from sweeps.report.markup import Mark
from sweeps.report.panels import Point, grid, panel_title, strategy_key
from sweeps.types import Row
from taskrel.correlation import correlation

MOST_LINES = 30  # models up to which a budget is drawn
_STEP = 24
_PERCENT = FuncFormatter(lambda value, _: words.percent(value, 0))
_POINTS = FuncFormatter(lambda value, _: f"{100 * value:g}")


def solved(rows: Sequence[Row], pool: str) -> str:
    """The share of tasks on which the models that a strategy picks first hold the best one, by their number."""
    shown = [row for row in rows if row["pool"] == pool and row["expected"] is not None and row["budget"] <= MOST_LINES]
    most = max((row["budget"] for row in shown), default=0)
    if most < 2:
        return ""
    order = strategy_order(row["strategy"] for row in shown)
    with drawing(WIDE // 2, 380) as figure:
        axes = figure.add_axes((58 / (WIDE // 2), 48 / 380, (WIDE // 2 - 76) / (WIDE // 2), (380 - 152) / 380))
        groups = by_strategy(shown)
        for place, name in enumerate(order):
            tint, group = strategy_colour(name, order), groups[name]
            line = axes.plot([row["budget"] for row in group], [row["expected"] for row in group], color=tint,
                             linewidth=3.4 - 2 * place / max(1, len(order) - 1),
                             linestyle="-" if name != "random" else (0, (3, 3)))[0]  # fmt: skip
            tip(line, Mark("", strategy=words.strategy(name)))
            marks = [Mark(f"{words.strategy(name)}: the best of the pool is among the first "
                          f"{words.count(row['budget'], 'model')} on {words.percent(row['expected'], 0)} of "
                          f"{words.count(row['tasks'], 'task')}", strategy=words.strategy(name), budget=row["budget"])
                     for row in group]  # fmt: skip
            dots(axes, [(row["budget"], row["expected"]) for row in group], marks, "o", color=tint, markersize=4,
                 clip_on=False)  # fmt: skip
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlim(0.8, most + 0.2)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_formatter(_PERCENT)
        axes.set_xlabel("models fine-tuned")
        figure.text(58 / (WIDE // 2), 1 - 16 / 380, "tasks on which the best model is among them", weight="bold",
                    fontsize=12)  # fmt: skip
        strategy_key(figure, order, 1 - 28 / 380)
        frame(axes)
        return svg(figure, "solved", "Share of tasks solved by number of models fine-tuned, by strategy.")


def duels(rows: Sequence[Row], pool: str, wide: int = WIDE) -> str:
    """Every strategy against the answer's: the difference of relative regret on each task, and its mean."""
    shown = [row for row in rows if row["pool"] == pool]
    budgets = sorted({row["budget"] for row in shown})
    if not budgets:
        return ""
    by_budget = {budget: [row for row in shown if row["budget"] == budget] for budget in budgets}
    narrow = wide < 600
    left = min(170, 18 + max(width(words.strategy(row["strategy"]), 10.5) for row in shown))
    head, title, foot = 26, 30, 52
    high = head + sum(title + _STEP * len(found) + foot for found in by_budget.values())
    values = [value for row in shown for value in (*row["differences"], row["low"], row["high"]) if value is not None]
    reach = (min(-0.02, *values), max(0.02, *values))
    with drawing(wide, high) as figure:
        up = high - head
        for budget, found in by_budget.items():
            up -= title + _STEP * len(found)
            axes = figure.add_axes((left / wide, up / high, (wide - left - 16) / wide, _STEP * len(found) / high))
            _duel(axes, found, reach)
            axes.set_title(f"{words.count(budget, 'model')} fine-tuned, against {words.strategy(found[0]['versus'])}",
                           weight="bold", fontsize=11 if narrow else 12)  # fmt: skip
            up -= foot
        figure.legend(handles=_duel_key(), loc="upper left", bbox_to_anchor=(8 / wide, 1.0), ncols=2, borderaxespad=0,
                      borderpad=0.2, handletextpad=0.4, columnspacing=1.4)  # fmt: skip
        return svg(figure, f"duels-{wide}", "Difference of relative regret to the answer's strategy, by task.")


def _duel(axes: Axes, rows: Sequence[Row], reach: tuple[float, float]) -> None:
    found = [(value, level, task, row) for level, row in enumerate(rows)
             for task, value in zip(row["on"], row["differences"], strict=True)]  # fmt: skip
    dots(axes, [place[:2] for place in found],
         [Mark(f"{words.strategy(row['strategy'])} on {task}: {words.points(value)} points", task=task,
               strategy=words.strategy(row["strategy"]), budget=row["budget"]) for value, _, task, row in found],
         "o", markerfacecolor="none", markeredgecolor=colour("muted"), markersize=5)  # fmt: skip
    for tint, sign in (("good", -1), ("bad", 1), ("muted", 0)):
        here = [(level, row) for level, row in enumerate(rows) if np.sign(row["difference"]) == sign]
        ranged = [(level, row) for level, row in here if row["low"] is not None and row["high"] is not None]
        strokes(axes, [((row["low"], level), (row["high"], level)) for level, row in ranged],
                [Mark("", strategy=words.strategy(row["strategy"]), budget=row["budget"]) for _, row in ranged],
                color=colour(tint), linewidth=2, alpha=0.6)  # fmt: skip
        marks = [Mark(f"{words.strategy(row['strategy'])}, mean over {words.count(row['tasks'], 'task')}: "
                      f"{words.points(row['difference'])} {words.interval(row['low'], row['high'])} points, "
                      f"p = {words.real(row['p_value'])}", strategy=words.strategy(row["strategy"]),
                      budget=row["budget"]) for _, row in here]  # fmt: skip
        dots(axes, [(row["difference"], level) for level, row in here], marks, "D", color=colour(tint), markersize=7)
    axes.axvline(0, color=colour("ink"), linewidth=1)
    room = 0.03 * (reach[1] - reach[0])
    axes.set_xlim(reach[0] - room, reach[1] + room)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [fit(words.strategy(row["strategy"]), 156, 10.5) for row in rows])
    axes.tick_params(axis="y", labelcolor=colour("ink"))
    axes.xaxis.set_major_formatter(_POINTS)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel("relative regret, difference in points: better to the left", fontsize=10)
    frame(axes, "x")


def _duel_key() -> list[Line2D]:
    return [
        Line2D([], [], linewidth=0, marker="o", markerfacecolor="none", color=colour("muted"), label="one task"),
        Line2D([], [], marker="D", color=colour("good"), label="mean over tasks, 95%"),
    ]


def correlation_and_regret(rows: Sequence[Row]) -> str:
    """Weighted tau of every proxy on every task against what its best-scored model loses there."""
    points = [row for row in rows if row["weighted_tau"] is not None and row["relative_regret"] is not None]
    if len(points) < 3:
        return ""
    with drawing(WIDE // 2, 350) as figure:
        axes = figure.add_axes((58 / (WIDE // 2), 48 / 350, (WIDE // 2 - 76) / (WIDE // 2), (350 - 92) / 350))
        for odd in (False, True):
            here = [row for row in points if misleads(row) == odd]
            marks = [Mark(f"{words.proxy(row['proxy'])} on {row['task']}: τ {words.real(row['weighted_tau'])}, "
                          f"relative regret {words.percent(row['relative_regret'])}", task=row["task"])
                     for row in here]  # fmt: skip
            dots(axes, [(row["weighted_tau"], row["relative_regret"]) for row in here], marks, "o", clip_on=False,
                 markersize=5 if odd else 4, color=colour("bad" if odd else "muted"), alpha=0.9 if odd else 0.5,
                 markeredgewidth=0)  # fmt: skip
        axes.set_ylim(-0.03, 1.03 * max(0.05, *(row["relative_regret"] for row in points)))
        axes.yaxis.set_major_formatter(_PERCENT)
        axes.set_xlabel("weighted τ of score and accuracy, one dot per proxy and task")
        figure.text(58 / (WIDE // 2), 1 - 16 / 350, "relative regret of the best-scored model", weight="bold",
                    fontsize=12)  # fmt: skip
        frame(axes)
        return svg(figure, "misleading", "Weighted tau against relative regret, by proxy and task.")


def misleads(row: Row) -> bool:
    """Whether correlation and regret tell opposite stories: orders well and loses much, or badly and loses nothing."""
    tau, lost = row["weighted_tau"], row["relative_regret"]
    return tau is not None and lost is not None and ((tau >= 0.5 and lost > 0.1) or (tau < 0.2 and lost <= 0.01))


def dimension(scores: Sequence[Row], models: Sequence[Row], tasks: Sequence[str], pool: Sequence[str]) -> str:
    """The kNN score against the feature dimension, a panel per task with its correlation."""
    dims: Mapping[str, int] = {row["model"]: row["dim"] for row in models if row["dim"] and row["model"] in pool}
    points: dict[str, list[Point]] = {task: [] for task in tasks}
    for row in scores:
        if row["proxy"] == "knn" and row["value"] is not None and row["model"] in dims and row["task"] in points:
            points[row["task"]].append(Point(dims[row["model"]], row["value"], row["model"], None, None))
    shown = [task for task in tasks if len({point.score for point in points[task]}) > 1]
    if not shown:
        return ""
    titles = short_names(shown, 24)

    def draw(axes: Axes, number: int) -> None:
        found = points[shown[number]]
        marks = [Mark(f"{point.model}: {point.score:g} features, kNN {words.percent(point.accuracy)}", point.model,
                      shown[number]) for point in found]  # fmt: skip
        dots(axes, [point[:2] for point in found], marks, "o", markersize=6, markerfacecolor="none",
             markeredgecolor=colour("accent"), markeredgewidth=1.2)  # fmt: skip
        agreed = correlation(np.array([point.score for point in found], dtype=np.float64),
                             np.array([point.accuracy for point in found]), "pearson").value  # fmt: skip
        panel_title(axes, titles[shown[number]], "" if agreed is None else f"r {words.real(agreed)}")
        axes.margins(0.1, 0.14)
        axes.yaxis.set_major_formatter(_PERCENT)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))

    return grid(len(shown), draw, [], "dimension", "kNN score against the number of features, by task.",
                ("features", "kNN score"))  # fmt: skip
