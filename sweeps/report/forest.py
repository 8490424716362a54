"""The picture of all proxies: what choosing by each one loses and how well it orders, best first. SVG, or ""."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sweeps.report import words
from sweeps.report.figures import WIDE
from sweeps.report.ink import colour, drawing, frame, svg, tip
from sweeps.report.labels import fit, width
from sweeps.report.markup import Mark
from sweeps.types import Row

MARKS = {
    "proxy": ("o", "accent"),
    "combined": ("s", "s-other-4"),
    "static": ("D", "s-agnostic"),
    "random": ("x", "muted"),
}
_STEP, _BOTTOM = 20, 44
_PERCENT = FuncFormatter(lambda value, _: words.percent(value, 0))


def forest(rows: Sequence[Row], pool: str, wide: int = WIDE) -> str:
    """Mean relative regret and mean weighted tau of every score in a pool, with intervals, best first.

    Args:
        rows: rows of ``proxies``, drawn in their order.
        pool: the pool that is shown.
        wide: pixels; a narrow picture leaves tau to the table.
    """
    shown = [row for row in rows if row["pool"] == pool]
    if len(shown) < 2:  # random alone
        return ""
    narrow = wide < 600
    names = [words.proxy(row["proxy"]) for row in shown]
    left = min(150 if narrow else 220, 18 + max(width(name, 10.5) for name in names))
    high, top = _STEP * len(shown), 54 if narrow else 32
    total, panel = top + _BOTTOM + high, (wide - left - 12) if narrow else (wide - left - 60) / 2
    with drawing(wide, total) as figure:
        axes = figure.add_axes((left / wide, _BOTTOM / total, panel / wide, high / total))
        _regrets(axes, shown)
        axes.set_yticks(range(len(shown)), [fit(name, left - 14, 10.5) for name in names])
        if not narrow:
            second = figure.add_axes(((left + panel + 48) / wide, _BOTTOM / total, panel / wide, high / total))
            _taus(second, shown)
            second.set_yticks([])
        anchor = ((8 if narrow else left - 8) / wide, 1.0)
        figure.legend(handles=_key(shown, narrow), loc="upper left", bbox_to_anchor=anchor, ncols=3 if narrow else 6,
                      borderaxespad=0, borderpad=0.2, columnspacing=1.4, handletextpad=0.4)  # fmt: skip
        return svg(figure, f"forest-{wide}", f"Relative regret and weighted tau of every proxy in the pool {pool}.")


def _regrets(axes: Axes, rows: Sequence[Row]) -> None:
    _side(axes, rows, "relative_regret_1", "mean relative regret, one model fine-tuned")
    luck = next((row["relative_regret_1"] for row in rows if row["kind"] == "random"), None)
    if luck is not None:
        axes.axvline(luck, color=colour("muted"), linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    known = [
        row[key] for row in rows for key in ("relative_regret_1", "relative_regret_1_low", "relative_regret_1_high")
    ]
    values = [value for value in known if value is not None]
    low, high = min(0.0, *values), max(0.05, *values)
    axes.set_xlim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    axes.xaxis.set_major_formatter(_PERCENT)


def _taus(axes: Axes, rows: Sequence[Row]) -> None:
    for level, row in enumerate(rows):
        if row["tau_floor"] is not None:
            floor = min(row["tau_floor"], 1.05)
            axes.add_patch(Rectangle((-floor, level - 0.5), 2 * floor, 1, color=colour("muted"), alpha=0.16,
                                     linewidth=0, zorder=0))  # fmt: skip
    _side(axes, rows, "weighted_tau", "mean weighted τ of score and accuracy")
    axes.axvline(0, color=colour("muted"), linewidth=0.8, zorder=0)
    lows = [row[key] for row in rows for key in ("weighted_tau", "weighted_tau_low") if row[key] is not None]
    axes.set_xlim(max(-1.05, min(-0.1, *lows) - 0.05), 1.03)


def _side(axes: Axes, rows: Sequence[Row], column: str, title: str) -> None:
    for level, row in enumerate(rows):
        value, low, high = (row[f"{column}{end}"] for end in ("", "_low", "_high"))
        if value is None:
            continue
        shape, tint = MARKS[row["kind"]]
        if low is not None and high is not None:
            axes.plot([low, high], [level, level], color=colour(tint), linewidth=1.6, alpha=0.55)
        mark = axes.plot(value, level, shape, color=colour(tint), markersize=6 if shape != "s" else 5.5, clip_on=False,
                         markeredgewidth=1.8 if shape == "x" else 0, markeredgecolor=colour(tint))[0]  # fmt: skip
        bounds = words.within(value, low, high) if column != "weighted_tau" else words.real_within(value, low, high)
        tip(mark, Mark(f"{words.proxy(row['proxy'])}, {title}: {bounds}"))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(title)
    axes.tick_params(axis="y", labelcolor=colour("ink"))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    frame(axes, "x")


def _key(rows: Sequence[Row], narrow: bool) -> list[Line2D | Patch]:
    titles = {"proxy": "proxy", "combined": "combined", "static": "static: never sees the task", "random": "random"}
    if narrow:
        titles["static"] = "static"
    found = {row["kind"] for row in rows}
    handles: list[Line2D | Patch] = [
        Line2D([], [], linewidth=0, marker=shape, color=colour(tint), markersize=6, label=titles[kind],
               markeredgewidth=1.8 if shape == "x" else 0)
        for kind, (shape, tint) in MARKS.items() if kind in found
    ]  # fmt: skip
    if not narrow:
        handles.append(Patch(color=colour("muted"), alpha=0.16, linewidth=0, label="what random scores reach"))
    return handles
