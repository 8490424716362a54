"""The pictures of one thing at a time: proxies against accuracy, searches, cost. SVG, or "" without data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sweeps.report import words
from sweeps.report.evidence import stage_of
from sweeps.report.figures import WIDE, by_strategy, slug
from sweeps.report.ink import (
    PIXELS_PER_INCH,
    boxes,
    colour,
    dots,
    drawing,
    frame,
    strategy_colour,
    strategy_order,
    strokes,
    svg,
    ticks,
    tip,
    tip_labels,
)  # fmt: skip
from sweeps.report.labels import fit, place, short_names, width
from sweeps.report.markup import Mark
from sweeps.types import Row

COLUMNS, MOST_PANELS = 4, 24
GRID, AGAIN = ("grid", "rung"), ("confirm", "final", "head")  # origins of runs: what is tried first, what judges
_STAGES = {"sift": "s-random", "embed": "s-other-1", "score": "s-other-2", "early": "s-oracle", "task2vec": "s-random",
           "bound": "s-agnostic", "tau": "s-knn", "head2toe": "s-linear", "head2toe_ft": "s-hybrid-linear",
           "finetune": "s-other-3", "rung": "s-other-3", "search": "s-other-4", "confirm": "s-other-5",
           "head": "s-linear", "final": "s-other-5", "export": "s-other-1"}  # fmt: skip
_TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000, 86400)
_PERCENT = FuncFormatter(lambda value, _: words.percent(value, 0))


class Point(NamedTuple):
    """One model in a panel, with the interval of its score where there is one."""

    score: float
    accuracy: float
    model: str
    low: float | None
    high: float | None


def scatter(scores: Sequence[Row], accuracies: Sequence[Row], answer: Sequence[Row], correlations: Sequence[Row],
            name: str, tasks: Sequence[str]) -> str:  # fmt: skip
    """One proxy against accuracy, a panel per task; the best model and the picks of the answer are named."""
    values = {(row["task"], row["model"]): row for row in scores if row["proxy"] == name and row["value"] is not None}
    points: dict[str, list[Point]] = {task: [] for task in tasks}
    for row in accuracies:
        score = values.get((row["task"], row["model"]))
        if score is not None and row["accuracy"] is not None and row["task"] in points:
            points[row["task"]].append(
                Point(score["value"], row["accuracy"], row["model"], score["low"], score["high"])
            )
    shown = [task for task in tasks if len(points[task]) > 1]
    if not shown:
        return ""
    short = short_names({point.model for found in points.values() for point in found}, 20)
    titles = short_names(shown, 24)
    agreement = {row["task"]: row["weighted_tau"] for row in correlations if row["proxy"] == name}
    chosen = {row["task"]: set(row["picks"] or ()) for row in answer}

    def draw(axes: Axes, number: int) -> None:
        task = shown[number]
        tau = agreement.get(task)
        _scatter_panel(axes, task, points[task], chosen.get(task, set()), short)
        panel_title(axes, titles[task], "" if tau is None else f"τ {words.real(tau)}")

    key = [
        Line2D([], [], color=colour("good"), marker="D", linewidth=0, label="best model"),
        Line2D([], [], color=colour("accent"), marker="o", linewidth=0, label="picked by the answer's strategy"),
        Line2D([], [], color=colour("muted"), marker="o", markerfacecolor="none", linewidth=0, label="other models"),
    ]
    return grid(len(shown), draw, key, f"scatter-{name}", f"{words.proxy(name)} score against test accuracy, by task.",
                 (f"{words.proxy(name)} score", "test accuracy"))  # fmt: skip


def _scatter_panel(axes: Axes, task: str, points: Sequence[Point], picked: set[str], short: Mapping[str, str]) -> None:
    best = max(points, key=lambda point: point.accuracy).model
    axes.margins(0.12, 0.14)
    groups = {"muted": [point for point in points if point.model not in picked | {best}],
              "accent": [point for point in points if point.model in picked - {best}],
              "good": [point for point in points if point.model == best]}  # fmt: skip
    for tint, group in groups.items():
        ranged = [(low, high, y, model) for _, y, model, low, high in group if low is not None and high is not None]
        strokes(axes, [((low, y), (high, y)) for low, high, y, _ in ranged],
                [Mark("", model, task) for _, _, _, model in ranged],
                color=colour(tint), linewidth=1, alpha=0.5, zorder=1)  # fmt: skip
        marks = [Mark(f"{point.model} on {task}: score {words.real_within(point.score, point.low, point.high, 3)}, "
                      f"accuracy {words.percent(point.accuracy)}", point.model, task) for point in group]  # fmt: skip
        dots(axes, [point[:2] for point in group], marks, "D" if tint == "good" else "o", markeredgewidth=1.2,
             markersize=6 if tint == "muted" else 7, markeredgecolor=colour(tint),
             markerfacecolor="none" if tint == "muted" else colour(tint))  # fmt: skip
    named = [(x, y, short[model], colour(tint)) for tint in ("accent", "good") for x, y, model, _, _ in groups[tint]]
    for x, y, model, _, _ in groups["good"]:
        if model in picked:
            axes.plot(x, y, "o", markersize=13, markerfacecolor="none", markeredgecolor=colour("accent"))
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    place(axes, sorted(named, key=lambda label: -label[1])[:4], [point[:2] for point in points], 9.5)


def searches(runs: Sequence[Row], answer: Sequence[Row], tasks: Sequence[str]) -> tuple[str, int]:
    """Validation accuracy against learning rate for every searched cell, and how many cells found no room."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in runs:
        if row["origin"] == "search":
            cells.setdefault((row["task"], row["model"]), [])
    for row in runs:
        if (row["task"], row["model"]) in cells and row["learning_rate"]:
            cells[row["task"], row["model"]].append(row)
    shown = sorted(cells, key=lambda cell: (list(tasks).index(cell[0]), cell[1]))[:MOST_PANELS]
    if not shown:
        return "", 0
    chosen = {(row["task"], row["model"]): row["learning_rate"] for row in answer}
    titles, models = short_names((task for task, _ in shown), 24), short_names((model for _, model in shown), 30)

    def draw(axes: Axes, number: int) -> None:
        task, model = shown[number]
        _search_panel(axes, cells[task, model], chosen.get((task, model)))
        panel_title(axes, titles[task], "", models[model])

    def mark(label: str, **style: Any) -> Line2D:
        return Line2D([], [], linewidth=0, label=label, **style)

    key = [
        mark("grid, every repeat", marker="s", color=colour("muted"), markersize=6, markerfacecolor="none"),
        mark("search trial", marker="o", color=colour("accent"), markersize=6),
        mark("stopped early", marker="o", color=colour("accent"), markersize=6, markerfacecolor="none"),
        mark("confirming or final repeat", marker="D", color=colour("good"), markersize=6),
        mark("diverged", marker="x", color=colour("bad"), markersize=6),
        Line2D([], [], color=colour("good"), linewidth=1.2, linestyle=":", label="chosen rate"),
    ]
    picture = grid(len(shown), draw, key, "searches", "Validation accuracy against learning rate, by searched cell.",
                    ("learning rate", "validation accuracy"), head=42)  # fmt: skip
    return picture, len(cells) - len(shown)


def _search_panel(axes: Axes, runs: Sequence[Row], chosen: float | None) -> None:
    axes.set_xscale("log")
    known = [run["val_accuracy"] for run in runs if run["val_accuracy"] is not None]
    floor = min(known, default=0.0)
    low, high = floor - 0.12 * max(0.02, max(known, default=1.0) - floor), max(known, default=1.0)
    looks: dict[tuple[str, str, bool], list[Row]] = {}
    for run in runs:
        alive, origin = run["val_accuracy"] is not None, run["origin"]
        tint = "bad" if not alive else "muted" if origin in GRID else "good" if origin in AGAIN else "accent"
        shape = "x" if not alive else "s" if origin in GRID else "D" if origin in AGAIN else "o"
        hollow = alive and (origin in GRID or run["status"] == "stopped")
        looks.setdefault((tint, shape, hollow), []).append(run)
    for (tint, shape, hollow), group in looks.items():
        known_or_low = [low if run["val_accuracy"] is None else run["val_accuracy"] for run in group]
        marks = [Mark(f"{run['origin']}, learning rate {words.rate(run['learning_rate'])}: "
                      + ("diverged" if run["val_accuracy"] is None else words.percent(run["val_accuracy"])),
                      run["model"], run["task"]) for run in group]  # fmt: skip
        dots(axes, [(run["learning_rate"], y) for run, y in zip(group, known_or_low, strict=True)], marks, shape,
             color=colour(tint), markersize=6, markeredgewidth=1.3,
             markerfacecolor="none" if hollow else colour(tint))  # fmt: skip
    if chosen is not None:
        axes.axvline(chosen, color=colour("good"), linewidth=1.2, linestyle=":", zorder=0)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.1 * (high - low))
    axes.margins(x=0.1)
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(LogLocator(numticks=5))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def panel_title(axes: Axes, left: str, right: str, below: str = "") -> None:
    """What stands above a panel: its name to the left, a number to the right, maybe a line below."""
    wide = axes.get_window_extent().width
    lift = 16 if below else 0
    axes.annotate(fit(left, wide - width(right, 10.5) - 8, 12.5), (0, 1), (0, 8 + lift), weight="bold",
                  xycoords="axes fraction", textcoords="offset points", fontsize=11)  # fmt: skip
    axes.annotate(right, (1, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", ha="right",
                  fontsize=10.5, color=colour("muted"))  # fmt: skip
    axes.annotate(fit(below, wide + 10, 10.5), (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points",
                  fontsize=10, color=colour("muted"))  # fmt: skip


def grid(panels: int, draw: Callable[[Axes, int], None], key: Sequence[Line2D | Patch], name: str, label: str,
          sides: tuple[str, str], *, head: int = 26) -> str:  # fmt: skip
    """Small multiples in four columns: one legend, axis labels only at the rim.

    Args:
        panels: how many.
        draw: draws the panel of that number.
        key: the legend.
        name: of the picture, unique on the page.
        label: what the picture shows.
        sides: what runs across and what runs upwards.
        head: pixels for the titles of a panel.
    """
    rows, columns = -(-panels // COLUMNS), min(panels, COLUMNS)
    high, aside, left, bottom, top = 150, 54, 62, 46, 30 + head
    below = head + 36
    total = top + bottom + rows * high + (rows - 1) * below
    across = (WIDE - left - 12 - (COLUMNS - 1) * aside) / COLUMNS
    with drawing(WIDE, total) as figure:
        for number in range(panels):
            row, column = divmod(number, columns)
            up = bottom + (rows - 1 - row) * (high + below)
            spot = ((left + column * (across + aside)) / WIDE, up / total, across / WIDE, high / total)
            axes = figure.add_axes(spot)
            draw(axes, number)
            ticks(axes, 9.5, (sides[0] if number + columns >= panels else "", sides[1] if column == 0 else ""))
        if key:
            figure.legend(handles=key, loc="upper left", bbox_to_anchor=((left - 6) / WIDE, 1.0), ncols=len(key),
                          borderaxespad=0, borderpad=0.2, columnspacing=1.6, handletextpad=0.4)  # fmt: skip
        return svg(figure, name, label)


def cost_by_model(jobs: Sequence[Row], models: Sequence[str]) -> str:
    """Seconds that every model took, by kind of job."""
    seconds: dict[str, dict[str, float]] = {}
    for row in jobs:
        spent = seconds.setdefault(row["model"], {})
        kind = stage_of(row)
        spent[kind] = spent.get(kind, 0.0) + (row["seconds"] or 0.0)
    names = sorted((name for name in models if sum(seconds.get(name, {}).values()) > 0),
                   key=lambda name: sum(seconds[name].values()))  # fmt: skip
    if not names:
        return ""
    found = {kind for name in names for kind in seconds[name]}
    kinds = [kind for kind in _STAGES if kind in found] + sorted(found - _STAGES.keys())
    left = min(240.0, 18 + max(width(name, 10.5) for name in names))
    step, top, bottom = 22, 36, 40
    total = top + bottom + step * len(names)
    with drawing(WIDE, total) as figure:
        spot = (left / WIDE, bottom / total, (WIDE - left - 110) / WIDE, step * len(names) / total)
        axes = figure.add_axes(spot)
        _cost_bars(axes, [seconds[name] for name in names], names, kinds)
        axes.set_yticks(range(len(names)), [fit(name, left - 16, 10.5) for name in names])
        axes.tick_params(axis="y", labelcolor=colour("ink"))
        tip_labels(axes, [Mark("", name) for name in names])
        axes.set_ylim(-0.6, len(names) - 0.4)
        longest = max(sum(spent.values()) for spent in seconds.values())
        axes.set_xlim(0, 1.05 * longest)
        _time_axis(axes, longest)
        frame(axes, "x")
        handles = [Patch(color=colour(_STAGES.get(kind, "muted")), label=kind) for kind in kinds]
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=((left - 8) / WIDE, 1.0), ncols=len(kinds),
                      borderaxespad=0, borderpad=0.2, handlelength=1, handleheight=0.9)  # fmt: skip
        return svg(figure, "cost", "Seconds by model and kind of job.")


def _cost_bars(axes: Axes, spent: Sequence[Mapping[str, float]], names: Sequence[str], kinds: Sequence[str]) -> None:
    places, marks, tints = [], [], []
    for level, (name, times) in enumerate(zip(names, spent, strict=True)):
        start = 0.0
        for kind in (kind for kind in kinds if times.get(kind)):
            places.append((start, level - 0.36, times[kind], 0.72))
            marks.append(Mark(f"{name}, {kind}: {words.duration(times[kind])}", name))
            tints.append(colour(_STAGES.get(kind, "muted")))
            start += times[kind]
        axes.annotate(words.duration(start), (start, level), (6, 0), textcoords="offset points", va="center",
                      fontsize=10.5)  # fmt: skip
    boxes(axes, places, marks, tints)


def regret_against_cost(rows: Sequence[Row], regret: Sequence[Row], pool: str) -> str:
    """Mean relative regret of every strategy against what it costs per task, one line per strategy."""
    points = [(row, _mean_cost(row, regret)) for row in rows
              if row["pool"] == pool and row["mean_relative_regret"] is not None]  # fmt: skip
    known = [row | {"cost": cost} for row, cost in points if cost]
    if len(known) < 2:
        return ""
    with drawing(WIDE // 2, 350) as figure:
        axes = _half(figure, "mean relative regret against cost", "cost per task: proxies and fine-tuning")
        _strategy_lines(figure, axes, known, "cost")
        axes.set_xlim(0, 1.1 * max(row["cost"] for row in known))
        _time_axis(axes, axes.get_xlim()[1])
        return svg(figure, f"regret-cost-{slug(pool)}", "Mean relative regret against cost, by strategy.")


def regret_by_budget(rows: Sequence[Row], pool: str) -> str:
    """Mean relative regret of every strategy by the number of models fine-tuned."""
    known = [row for row in rows if row["pool"] == pool and row["mean_relative_regret"] is not None]
    budgets = sorted({row["budget"] for row in known})
    if len(budgets) < 2:
        return ""
    with drawing(WIDE // 2, 350) as figure:
        axes = _half(figure, "mean relative regret by budget", "models fine-tuned")
        _strategy_lines(figure, axes, known, "budget")
        axes.set_xticks(budgets)
        axes.margins(x=0.1)
        return svg(figure, f"regret-budget-{slug(pool)}", "Mean relative regret by budget, by strategy.")


def _time_axis(axes: Axes, longest: float) -> None:
    """Ticks at whole seconds, minutes or hours, four to eight of them."""
    step = next((step for step in _TIME_STEPS if longest / step <= 7), longest / 5)
    ticks = [step * number for number in range(int(longest / step) + 1)]
    axes.set_xticks(ticks, ["0" if not tick else _round_time(tick) for tick in ticks])


def _round_time(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return words.duration(seconds) if seconds >= 60 else f"{seconds:g} s"


def _half(figure: Figure, title: str, across: str) -> Axes:
    wide, high = figure.get_size_inches() * PIXELS_PER_INCH
    axes = figure.add_axes((58 / wide, 48 / high, (wide - 76) / wide, (high - 132) / high))
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(across)
    figure.text(58 / wide, 1 - 16 / high, title, weight="bold", fontsize=12)
    frame(axes)
    return axes


def _strategy_lines(figure: Figure, axes: Axes, rows: Sequence[Row], across: str) -> None:
    """A line per strategy; dots shrink from one to the next, so that equal ones show as rings."""
    order = strategy_order(row["strategy"] for row in rows)
    groups = by_strategy(rows)
    for place_in_order, name in enumerate(order):
        tint, group = strategy_colour(name, order), groups[name]
        xs, ys = [row[across] for row in group], [row["mean_relative_regret"] for row in group]
        tip(axes.plot(xs, ys, "-", color=tint, linewidth=1.6)[0], Mark("", strategy=words.strategy(name)))
        marks = [Mark(f"{words.strategy(name)}, {words.count(row['budget'], 'model')} fine-tuned: "
                      f"{words.within(row['mean_relative_regret'], row['low'], row['high'])}",
                      strategy=words.strategy(name), budget=row["budget"]) for row in group]  # fmt: skip
        dots(axes, list(zip(xs, ys, strict=True)), marks, "o", color=tint, clip_on=False,
             markersize=max(4, 12.5 - 1.5 * place_in_order))  # fmt: skip
    values = [row["mean_relative_regret"] for row in rows]
    low, high = min(0.0, *values), max(0.05, *values)
    axes.set_ylim(low - 0.06 * (high - low), high + 0.08 * (high - low))
    strategy_key(figure, order, 0.92)


def strategy_key(figure: Figure, order: Sequence[str], up: float) -> None:
    """The legend of a picture of lines; ``up`` is its upper edge as a share of the figure."""
    handles = [
        Line2D([], [], color=strategy_colour(name, order), marker="o", label=words.strategy(name)) for name in order
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.1, up), ncols=4, borderaxespad=0,
                  borderpad=0.2, columnspacing=1.2, handlelength=1.2, handletextpad=0.5, fontsize=9.5)  # fmt: skip


def _mean_cost(row: Row, regret: Sequence[Row]) -> float | None:
    costs = [one["cost_seconds"] for one in regret if one["cost_seconds"] is not None
             and all(one[key] == row[key] for key in ("pool", "strategy", "budget"))]  # fmt: skip
    return sum(costs) / len(costs) if costs else None
