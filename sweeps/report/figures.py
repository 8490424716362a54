"""The pictures of the whole sweep: answers, regret, budgets, accuracies. Each is an SVG element, or "" without data."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sweeps.report import words
from sweeps.report.ink import (
    boxes,
    colour,
    dots,
    drawing,
    frame,
    strategy_colour,
    strategy_order,
    strokes,
    svg,
    tip,
    tip_labels,
)  # fmt: skip
from sweeps.report.labels import fit, short_names, two_lines, width
from sweeps.report.markup import Mark
from sweeps.types import Row

WIDE, NARROW = 1040, 360
KEY_COLUMNS = 8
MOST_BAR, MOST_COLUMN = 28, 150  # pixels: a picture of few tasks is not blown up
_PERCENT = FuncFormatter(lambda value, _: words.percent(value, 0))


def answers(rows: Sequence[Row], accuracies: Sequence[Row], pool: Sequence[str], wide: int = WIDE, *,
            name: str = "answers") -> str:  # fmt: skip
    """Per task where the chosen model stands: its accuracy among those of all models, the best, and from scratch."""
    rows = [row for row in rows if row["test_accuracy"] is not None]
    if not rows:
        return ""
    narrow = wide < 600
    step, top, bottom = (54, 54, 44) if narrow else (34, 30, 44)
    with drawing(wide, top + bottom + step * len(rows)) as figure:
        names = short_names(row["task"] for row in rows)
        left = 8 if narrow else 24 + max(width(names[row["task"]], 11.5) for row in rows)
        right = 14 if narrow else 290
        axes = _axes(figure, left, bottom, wide - left - right, step * len(rows))
        _answer_marks(axes, rows[::-1], [_others(row, accuracies, pool) for row in reversed(rows)])
        for level, row in enumerate(reversed(rows)):
            (_names_above if narrow else _names_beside)(axes, level, row, names[row["task"]], wide)
        axes.set_ylim(-0.55, len(rows) - (0.2 if narrow else 0.45))
        axes.set_yticks(range(len(rows)), ["" if narrow else names[row["task"]] for row in reversed(rows)])
        axes.tick_params(axis="y", labelsize=11.5, labelcolor=colour("ink"), pad=10)
        axes.xaxis.set_major_formatter(_PERCENT)
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8, steps=[1, 2, 2.5, 5, 10]))
        axes.set_xlabel("test accuracy after fine-tuning")
        frame(axes, "x")
        figure.legend(handles=_answer_key(), loc="upper left", bbox_to_anchor=((left - 8) / wide, 1.0), borderpad=0.2,
                      ncols=2 if narrow else 4, handletextpad=0.5, columnspacing=1.6, borderaxespad=0)  # fmt: skip
        return svg(figure, f"{name}-{wide}", "Test accuracy of the chosen model for each task, among all models.")


def _names_beside(axes: Axes, level: int, row: Row, _: str, __: int) -> None:
    at: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    axes.annotate(words.percent(row["test_accuracy"]), (1, level), (58, 0), ha="right", weight="bold", **at)
    axes.annotate(fit(row["model"], 205), (1, level), (70, 0), **at)


def _names_above(axes: Axes, level: int, row: Row, task: str, wide: int) -> None:
    at: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    model = fit(row["model"], wide - 92 - width(task, 12))
    axes.annotate(task, (0, level), (0, 11), fontsize=11, weight="bold", **at)
    axes.annotate(f"{model}  {words.percent(row['test_accuracy'])}", (1, level), (0, 11), ha="right", fontsize=10, **at)


def _others(row: Row, accuracies: Sequence[Row], pool: Sequence[str]) -> list[Row]:
    return [other for other in accuracies
            if other["task"] == row["task"] and other["accuracy"] is not None and other["model"] in pool]  # fmt: skip


def _answer_marks(axes: Axes, rows: Sequence[Row], others: Sequence[Sequence[Row]]) -> None:
    """From the bottom up: a level per row."""
    levels = list(enumerate(rows))
    behind = [(level, other) for level, found in enumerate(others) for other in found]
    dots(axes, [(other["accuracy"], level) for level, other in behind],
         [Mark(f"{other['model']} on {other['task']}: {words.percent(other['accuracy'])}", other["model"],
               other["task"]) for _, other in behind],
         "|", color=colour("faint"), markersize=11, markeredgewidth=1.6)  # fmt: skip
    alone = [(level, row) for level, row in levels if row["scratch_accuracy"] is not None]
    dots(axes, [(row["scratch_accuracy"], level) for level, row in alone],
         [Mark(f"from scratch: {words.percent(row['scratch_accuracy'])}", task=row["task"]) for _, row in alone],
         "x", color=colour("bad"), markersize=7, markeredgewidth=1.8)  # fmt: skip
    strokes(axes, [((row["low"], level), (row["high"], level)) for level, row in levels
                   if row["low"] is not None and row["high"] is not None],
            color=colour("accent"), linewidth=4, alpha=0.4)  # fmt: skip
    dots(axes, [(row["test_accuracy"], level) for level, row in levels],
         [Mark(words.plain(words.answer(row)), row["model"], row["task"]) for row in rows],
         "o", color=colour("accent"), markersize=9)  # fmt: skip
    for same, size in ((True, 11), (False, 8)):
        best = [(level, row) for level, row in levels
                if row["oracle"] is not None and same == (row["oracle_model"] == row["model"])]  # fmt: skip
        dots(axes, [(row["oracle"], level) for level, row in best],
             [Mark(f"best of the pool on {row['task']}: {row['oracle_model']}, {words.percent(row['oracle'])}",
                   row["oracle_model"], row["task"]) for _, row in best],
             "D", markerfacecolor="none", markeredgecolor=colour("ink"), markersize=size,
             markeredgewidth=1.4)  # fmt: skip


def _answer_key() -> list[Line2D]:
    return [
        Line2D([], [], color=colour("accent"), marker="o", markersize=8, linewidth=4, label="chosen, range of repeats"),
        Line2D([], [], color=colour("ink"), marker="D", markerfacecolor="none", linewidth=0, label="best of the pool"),
        Line2D([], [], color=colour("faint"), marker="|", markersize=11, markeredgewidth=1.6, linewidth=0,
               label="other models"),
        Line2D([], [], color=colour("bad"), marker="x", markeredgewidth=1.8, linewidth=0, label="from scratch"),
    ]  # fmt: skip


def regret_bars(regret: Sequence[Row], strategies: Sequence[Row], pool: str, tasks: Sequence[str],
                wide: int = WIDE) -> str:  # fmt: skip
    """Relative regret of every strategy on every task of a pool, one panel per budget, the mean over tasks first."""
    regret = [row for row in regret if row["pool"] == pool and row["relative_regret"] is not None]
    means = [row for row in strategies if row["pool"] == pool and row["mean_relative_regret"] is not None]
    budgets = sorted({row["budget"] for row in regret})
    present = [task for task in tasks if any(row["task"] == task for row in regret)]
    if not budgets or not present:
        return ""
    order = strategy_order(row["strategy"] for row in regret)
    room = (wide - 80) / (len(present) + 1.5)
    names, turned = _columns(present, room)
    bottom = 74 if turned else 44
    top, panel, gap = 34 + 18 * ((len(order) - 1) // KEY_COLUMNS), 168, bottom + 28
    with drawing(wide, top + bottom + len(budgets) * panel + (len(budgets) - 1) * gap + 20) as figure:
        lows = [row["low"] for row in regret if row["low"] is not None] + [row["relative_regret"] for row in regret]
        highs = [row["high"] for row in regret if row["high"] is not None] + [row["relative_regret"] for row in regret]
        for number, budget in enumerate(reversed(budgets)):  # from the bottom up
            axes = _axes(figure, 62, bottom + number * (panel + gap), wide - 80, panel)
            chosen = [row for row in regret if row["budget"] == budget]
            _bars(axes, chosen, [row for row in means if row["budget"] == budget], present, order, MOST_BAR / room)
            axes.set_title(f"{words.count(budget, 'model')} fine-tuned", weight="bold")
            axes.set_ylim(min(0, *lows) * 1.08, max(0.05, *highs) * 1.08)
            axes.yaxis.set_major_formatter(_PERCENT)
            axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
            axes.set_xlim(-0.6, len(present) + 0.9)
            axes.set_xticks([0, *(place + 1.3 for place in range(len(present)))], ["mean", *names],
                            rotation=30 if turned else 0, ha="right" if turned else "center")  # fmt: skip
            axes.set_ylabel("relative regret")
            frame(axes)
        figure.legend(handles=[Patch(color=strategy_colour(name, order), label=words.strategy(name)) for name in order],
                      loc="upper left", bbox_to_anchor=(54 / wide, 1.0), ncols=min(len(order), KEY_COLUMNS),
                      columnspacing=1.4, handlelength=1, handleheight=0.9, borderaxespad=0, borderpad=0.2)  # fmt: skip
        return svg(figure, f"regret-{slug(pool)}", f"Relative regret by task and strategy in the pool {pool}.")


def _bars(axes: Axes, rows: Sequence[Row], means: Sequence[Row], tasks: Sequence[str], order: Sequence[str],
          most: float) -> None:  # fmt: skip
    here = [name for name in order if any(row["strategy"] == name for row in rows)]
    thick = min(most, 0.84 / max(1, len(here)))
    cells = {(row["strategy"], row["task"]): row for row in rows}
    over_tasks = {row["strategy"]: row | {"relative_regret": row["mean_relative_regret"]} for row in means}
    drawn: list[tuple[float, Row, Mark]] = []
    for slot, name in enumerate(here):
        places = [(0.0, over_tasks.get(name), "")]
        places += [(place + 1.3, cells.get((name, task)), task) for place, task in enumerate(tasks)]
        shift = (slot - (len(here) - 1) / 2) * thick
        drawn += [(middle + shift, row, _bar_mark(row, task)) for middle, row, task in places if row is not None]
    boxes(axes, [(x - 0.43 * thick, 0, 0.86 * thick, row["relative_regret"]) for x, row, _ in drawn],
          [mark for _, _, mark in drawn], [strategy_colour(row["strategy"], order) for _, row, _ in drawn])  # fmt: skip
    for name in here:
        nothing = [(x, mark) for x, row, mark in drawn
                   if row["strategy"] == name and words.percent(row["relative_regret"]) == "0.0%"]  # fmt: skip
        dots(axes, [(x, 0.0) for x, _ in nothing], [mark for _, mark in nothing], "o",
             color=strategy_colour(name, order), markersize=3.5, clip_on=False)  # fmt: skip
    ranged = [(x, row, mark) for x, row, mark in drawn
              if row["low"] is not None and row["high"] is not None and row["high"] > row["low"]]  # fmt: skip
    strokes(axes, [((x, row["low"]), (x, row["high"])) for x, row, _ in ranged],
            [mark._replace(tip="") for _, _, mark in ranged],
            color=colour("ink"), linewidth=1, alpha=0.55)  # fmt: skip
    axes.axhline(0, color=colour("muted"), linewidth=0.8)
    axes.axvline(0.65, color=colour("line"), linewidth=1)


def _bar_mark(row: Row, task: str) -> Mark:
    name = words.strategy(row["strategy"])
    text = f"{name}, {task or 'all tasks'}: {words.within(row['relative_regret'], row['low'], row['high'])}"
    picked = f" with {', '.join(row['picks'])}" if row.get("picks") else ""
    return Mark(text + picked, task=task, strategy=name, budget=row["budget"])


def heat_map(accuracies: Sequence[Row], answer: Sequence[Row], models: Sequence[str], tasks: Sequence[str],
             wide: int = WIDE, *, name: str = "heat") -> str:  # fmt: skip
    """Accuracy of every model on every task; shade runs within a task from the worst model to the best.

    Args:
        accuracies: rows of ``accuracies``.
        answer: rows of ``answer``, whose models get a dot.
        models: from top to bottom.
        tasks: from left to right.
        wide: pixels.
        name: of the picture, unique on the page.
    """
    cells = {(row["model"], row["task"]): row for row in accuracies}
    models = [model for model in models if any((model, task) in cells for task in tasks)]
    tasks = [task for task in tasks if any((model, task) in cells for model in models)]
    if not models or not tasks:
        return ""
    left = min(240.0, 18 + max(width(model, 10.5) for model in models))
    names, turned = _columns(tasks, (wide - left - 10) / len(tasks))
    step, top = 23, 84 if turned else 44
    across_all = min(wide - left - (70 if turned else 10), MOST_COLUMN * len(tasks))
    with drawing(wide, top + 6 + step * len(models)) as figure:
        axes = _axes(figure, left, 6, across_all, step * len(models))
        spans = [_span(cells.get((model, task)) for model in models) for task in tasks]
        picked = {(row["model"], row["task"]) for row in answer}
        known = [(across, down, cells[model, task]) for across, task in enumerate(tasks)
                 for down, model in enumerate(models) if (model, task) in cells]  # fmt: skip
        _heat(axes, [(across, down, row) for across, down, row in known if row["accuracy"] is not None], spans, picked)
        for across, task in enumerate(tasks):
            for down, model in enumerate(models):
                if (row := cells.get((model, task))) is None or row["accuracy"] is None:
                    axes.text(across, down, "missing" if row is None else "diverged", ha="center", va="center",
                              fontsize=9, color=colour("muted"), style="italic")  # fmt: skip
        axes.set_xlim(-0.5, len(tasks) - 0.5)
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.set_xticks(range(len(tasks)), names, rotation=30 if turned else 0, ha="left" if turned else "center")
        axes.set_yticks(range(len(models)), [fit(model, left - 16, 10.5) for model in models])
        axes.tick_params(labeltop=True, labelbottom=False, labelcolor=colour("ink"))
        tip_labels(axes, [Mark("", model) for model in models])
        for spine in axes.spines.values():
            spine.set_visible(False)
        return svg(figure, name, "Test accuracy of every model on every task.")


def _span(column: Iterable[Row | None]) -> tuple[float, float]:
    """The worst and the best accuracy of a task."""
    known = [row["accuracy"] for row in column if row is not None and row["accuracy"] is not None]
    return (min(known), max(known)) if known else (0.0, 0.0)


def _heat(axes: Axes, cells: Sequence[tuple[int, int, Row]], spans: Sequence[tuple[float, float]],
          picked: Collection[tuple[str, str]]) -> None:  # fmt: skip
    """Cells at (column, row): the stronger the nearer to the best of its column."""
    shares = [1.0 if spans[across][0] == spans[across][1]
              else (row["accuracy"] - spans[across][0]) / (spans[across][1] - spans[across][0])
              for across, _, row in cells]  # fmt: skip
    strengths = [0.05 + 0.85 * share**1.5 for share in shares]
    marks = [Mark(f"{row['model']} on {row['task']}: {words.percent(row['accuracy'])}, "
                  f"learning rate {words.rate(row['learning_rate'])}", row["model"], row["task"])
             for _, _, row in cells]  # fmt: skip
    boxes(axes, [(across - 0.485, down - 0.46, 0.97, 0.92) for across, down, _ in cells], marks,
          [colour("heat")] * len(cells), strengths)  # fmt: skip
    for (across, down, row), strength in zip(cells, strengths, strict=True):
        tint, won = colour("surface" if strength > 0.75 else "ink"), row["accuracy"] == spans[across][1]
        parts: list[Artist] = [axes.text(across, down + 0.02, words.points(row["accuracy"]), ha="center", va="center",
                                         fontsize=10.5, color=tint, weight="bold" if won else "normal")]  # fmt: skip
        if won:
            parts.append(axes.add_patch(Rectangle((across - 0.485, down - 0.46), 0.97, 0.92, fill=False, linewidth=1.8,
                                                  edgecolor=colour("ink"), zorder=3)))  # fmt: skip
        if (row["model"], row["task"]) in picked:
            parts.append(axes.annotate("●", (across + 0.47, down), (-3, 0), textcoords="offset points", ha="right",
                                       va="center", fontsize=8, color=tint))  # fmt: skip
        for part in parts:
            tip(part, Mark("", row["model"], row["task"]))


def _axes(figure: Figure, left: float, bottom: float, wide: float, high: float) -> Axes:
    """Axes at a place given in pixels."""
    across, up = figure.get_size_inches() * figure.dpi
    return figure.add_axes((left / across, bottom / up, wide / across, high / up))


def _columns(names: Sequence[str], room: float) -> tuple[list[str], bool]:
    """Names for the columns of a picture, in one or two lines, and whether they must be turned to fit."""
    short = [two_lines(name, room - 8, 10.5) for name in short_names(names, 22).values()]
    if max(width(line, 10.5) for name in short for line in name.split("\n")) <= room - 8:
        return short, False
    return list(short_names(names, 18).values()), True


def slug(text: str) -> str:
    """A name that may stand in an id and in a file name; two names that would come out alike stay apart."""
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text)
    return plain if plain == text else f"{plain}-{crc32(text.encode('utf-8', 'replace')):08x}"


def by_strategy(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    """Rows grouped by strategy, each group by rising budget."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["strategy"], []).append(row)
    return {name: sorted(group, key=lambda row: row["budget"]) for name, group in groups.items()}
