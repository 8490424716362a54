"""Drawing in the page's own colours: matplotlib with stand-in colours, turned into SVG that follows the style sheet.

Every colour of a picture is a name of ``page.css`` (``--ink``, ``--accent``, ...). Matplotlib draws it as a stand-in
that no other colour uses; :mod:`sweeps.report.markup` puts ``var(--name)`` in its place, so one picture serves light,
dark and paper. Matplotlib's cost is by artist, not by mark: :func:`dots`, :func:`boxes` and :func:`strokes` draw many
marks as one artist, and each mark keeps its tip and what the page links and filters it by.
"""

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sweeps.report.labels import width
from sweeps.report.markup import Mark, for_page, mark_id

NAMES = (
    "ink", "muted", "faint", "line", "surface", "accent", "good", "bad", "heat",
    "s-agnostic", "s-linear", "s-knn", "s-hybrid-linear", "s-hybrid-knn", "s-oracle", "s-random",
    "s-other-1", "s-other-2", "s-other-3", "s-other-4", "s-other-5",
)  # fmt: skip
_STAND_IN = {name: f"#0a{number:02x}0b" for number, name in enumerate(NAMES)}
_STRATEGIES = {
    "agnostic": "s-agnostic", "linear": "s-linear", "knn": "s-knn", "hybrid_linear": "s-hybrid-linear",
    "hybrid_knn": "s-hybrid-knn", "oracle": "s-oracle", "random": "s-random",
}  # fmt: skip
PIXELS_PER_INCH = 72
_SETTINGS: Any = {
    "svg.fonttype": "none", "pdf.fonttype": 42, "text.parse_math": False, "font.family": ["DejaVu Sans"],
    "font.size": 11, "axes.linewidth": 0.8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlelocation": "left", "axes.titlesize": 12, "axes.labelsize": 11, "axes.titlepad": 8,
    "axes.axisbelow": True, "axes.unicode_minus": False, "axes.facecolor": "none", "figure.facecolor": "none",
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.labelsize": 10.5, "ytick.labelsize": 10.5,
    "legend.frameon": False, "legend.fontsize": 10.5, "lines.solid_capstyle": "round", "grid.linewidth": 0.7,
}  # fmt: skip
_COLOURED = {
    "text.color": "ink", "axes.edgecolor": "line", "axes.labelcolor": "muted", "axes.titlecolor": "ink",
    "xtick.color": "muted", "ytick.color": "muted", "grid.color": "line",
}  # fmt: skip


class Paper(NamedTuple):
    """Where pictures are kept as files, the colours they have there, and how wide the narrowest kept one is."""

    folder: Path
    colours: Mapping[str, str]
    least: int
    kept: list[Path]


_PAPER: ContextVar[Paper | None] = ContextVar("paper", default=None)


def colour(name: str) -> str:
    """The stand-in of a colour of the style sheet; on paper the colour itself."""
    paper = _PAPER.get()
    return paper.colours[name] if paper else _STAND_IN[name]


def strategy_colour(name: str, others: Sequence[str] = ()) -> str:
    """The stand-in of a strategy's colour; strategies without one of their own take turns in four more."""
    if name in _STRATEGIES:
        return colour(_STRATEGIES[name])
    unknown = sorted(set(others) - _STRATEGIES.keys())
    return colour(f"s-other-{unknown.index(name) % 4 + 1 if name in unknown else 1}")


def strategy_order(names: Iterable[str]) -> list[str]:
    """Strategies in the order of the legend: those with a colour of their own first, each name once."""
    found = list(dict.fromkeys(names))
    return [name for name in _STRATEGIES if name in found] + [name for name in found if name not in _STRATEGIES]


@contextmanager
def drawing(width: int, height: int) -> Iterator[Figure]:
    """An empty figure of so many pixels, in the page's manner."""
    with matplotlib.rc_context(_SETTINGS | {key: colour(name) for key, name in _COLOURED.items()}):
        yield Figure(figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH), dpi=PIXELS_PER_INCH)


def frame(axes: Axes, grid: str = "y") -> None:
    """Only the lines that help reading: the grid along one axis and the spine across it."""
    axes.grid(axis=grid)  # type: ignore[arg-type]
    axes.spines["left" if grid == "y" else "bottom"].set_visible(False)


def ticks(axes: Axes, size: float, sides: tuple[str, str]) -> None:
    """Grid, tick labels and axis labels of axes whose limits are settled: few artists where Matplotlib has five a tick.

    Args:
        axes: with everything drawn; no tick of their own is left.
        size: of the tick labels.
        sides: what runs across and what runs upwards; may be empty.
    """
    axes.autoscale_view()
    box, limits = axes.get_window_extent(), (axes.get_xlim(), axes.get_ylim())
    found = [[float(place) for place in axis.get_majorticklocs() if min(ends) <= place <= max(ends)]
             for axis, ends in zip((axes.xaxis, axes.yaxis), limits, strict=True)]  # fmt: skip
    xs, ys = ([*zip(places, axis.get_major_formatter().format_ticks(places), strict=True)] if places else []
              for axis, places in zip((axes.xaxis, axes.yaxis), found, strict=True))  # fmt: skip
    strokes(axes, [((x, limits[1][0]), (x, limits[1][1])) for x, _ in xs]
            + [((limits[0][0], y), (limits[0][1], y)) for y, _ in ys],
            color=colour("line"), linewidth=0.7, zorder=0.5)  # fmt: skip
    style: dict[str, Any] = {"color": colour("muted"), "fontsize": size}
    for x, label in xs:
        axes.text(x, -5 / box.height, label, transform=axes.get_xaxis_transform(), ha="center", va="top", **style)
    for y, label in ys:
        axes.text(-5 / box.width, y, label, transform=axes.get_yaxis_transform(), ha="right", va="center", **style)
    style = {"color": colour("muted"), "fontsize": 10, "transform": axes.transAxes}
    if sides[0]:
        axes.text(0.5, -(7 + 1.5 * size) / box.height, sides[0], ha="center", va="top", **style)
    if sides[1]:
        longest = max((width(label, size) for _, label in ys), default=0.0)
        axes.text(-(10 + longest) / box.width, 0.5, sides[1], ha="right", va="center", rotation=90, **style)
    axes.set(xticks=[], yticks=[], xlim=limits[0], ylim=limits[1])


@contextmanager
def on_paper(folder: Path, colours: Mapping[str, str], least: int) -> Iterator[list[Path]]:
    """Whatever is drawn meanwhile is also kept as files, SVG and PDF; yields their paths.

    Args:
        folder: to write into; it must exist.
        colours: name of a colour -> what it is on paper.
        least: pixels; narrower pictures, those for small screens, are not kept.
    """
    paper = Paper(folder, colours, least, [])
    token = _PAPER.set(paper)
    try:
        yield paper.kept
    finally:
        _PAPER.reset(token)


def tip(artist: Artist, *marks: Mark) -> None:
    """Say what the marks of an artist stand for: one after another, in the order in which they are drawn."""
    artist.set_gid(mark_id(marks))


def dots(axes: Axes, points: Sequence[tuple[float, float]], marks: Sequence[Mark], shape: str, **style: Any) -> None:
    """Marks of one shape and style at ``points``, each with what it stands for."""
    if points:
        xs, ys = zip(*points, strict=True)
        tip(axes.plot(xs, ys, shape, linestyle="none", **style)[0], *marks)


def tip_labels(axes: Axes, marks: Sequence[Mark]) -> None:
    """Say what the labels along the upright axis stand for, from the first to the last."""
    for label, mark in zip(axes.get_yticklabels(), marks, strict=True):
        tip(label, mark)


def boxes(axes: Axes, places: Sequence[tuple[float, float, float, float]], marks: Sequence[Mark],
          tints: Sequence[str], alphas: Sequence[float] | None = None) -> None:  # fmt: skip
    """Filled rectangles (left, low, width, height), each with its colour and what it stands for."""
    if places:
        shapes = [Rectangle((left, low), wide, high) for left, low, wide, high in places]
        drawn = PatchCollection(shapes, facecolors=list(tints), linewidth=0, alpha=alphas)
        tip(drawn, *marks)
        axes.add_collection(drawn)


def strokes(axes: Axes, segments: Sequence[tuple[tuple[float, float], tuple[float, float]]],
            marks: Sequence[Mark] = (), **style: Any) -> None:  # fmt: skip
    """Straight lines of one style, such as intervals, each with what it stands for, if it stands for anything."""
    if segments:
        drawn = LineCollection(list(segments), **style)
        tip(drawn, *marks)
        axes.add_collection(drawn)
        axes.autoscale_view()


def svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an SVG element for the body of a page.

    Args:
        figure: drawn within :func:`drawing`.
        name: unique on the page; keeps the ids of two pictures apart.
        label: what the picture shows, for those who cannot see it.
    """
    file, paper = io.StringIO(), _PAPER.get()
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s)Glyph .* missing")  # the page's typeface has it, or says so itself
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
        if paper is not None and figure.bbox.width >= paper.least:
            _keep(figure, paper, name, label)
    return for_page(file.getvalue(), name, label, {stand_in: known for known, stand_in in _STAND_IN.items()})


def _keep(figure: Figure, paper: Paper, name: str, label: str) -> None:
    for artist in figure.findobj(include_self=False):
        artist.set_gid(None)
    for kind, unsaid in (("svg", ("Creator", "Date")), ("pdf", ("Creator", "Producer", "CreationDate"))):
        path = paper.folder / f"{name.removesuffix(f'-{figure.bbox.width:.0f}')}.{kind}"
        figure.savefig(path, format=kind, metadata={"Title": label, **dict.fromkeys(unsaid)})
        paper.kept.append(path)
