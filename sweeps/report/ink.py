"""Drawing in the page's own colours: matplotlib with stand-in colours, turned into SVG that follows the style sheet.

Every colour of a picture is a name of ``page.css`` (``--ink``, ``--accent``, ...). Matplotlib draws it as a stand-in
that no other colour uses, and :func:`svg` puts ``var(--name)`` in its place, so one picture serves light, dark and
paper. Text stays text and takes the page's typeface, which is narrower than the one it was measured with.
"""

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_LONG = re.compile(r"(\d\.\d\d)\d+")
_SETTINGS: Any = {
    "svg.fonttype": "none", "text.parse_math": False, "font.family": ["DejaVu Sans"], "font.size": 11,
    "axes.linewidth": 0.8, "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left",
    "axes.titlesize": 12, "axes.labelsize": 11, "axes.titlepad": 8, "axes.axisbelow": True, "axes.unicode_minus": False,
    "axes.facecolor": "none", "figure.facecolor": "none", "xtick.major.size": 0, "ytick.major.size": 0,
    "xtick.labelsize": 10.5, "ytick.labelsize": 10.5, "legend.frameon": False, "legend.fontsize": 10.5,
    "lines.solid_capstyle": "round",
    "text.color": _STAND_IN["ink"], "axes.edgecolor": _STAND_IN["line"], "axes.labelcolor": _STAND_IN["muted"],
    "axes.titlecolor": _STAND_IN["ink"], "xtick.color": _STAND_IN["muted"], "ytick.color": _STAND_IN["muted"],
    "grid.color": _STAND_IN["line"], "grid.linewidth": 0.7,
}  # fmt: skip


def colour(name: str) -> str:
    """The stand-in of a colour of the style sheet."""
    return _STAND_IN[name]


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
    with matplotlib.rc_context(_SETTINGS):
        yield Figure(figsize=(width / PIXELS_PER_INCH, height / PIXELS_PER_INCH), dpi=PIXELS_PER_INCH)


def tip(artist: Artist, text: str) -> None:
    """Show ``text`` when the pointer rests on ``artist``."""
    artist.set_gid(f"tip:{text.encode().hex()}")


def frame(axes: Axes, grid: str = "y") -> None:
    """Only the lines that help reading: the grid along one axis and the spine across it."""
    axes.grid(axis=grid)  # type: ignore[arg-type]
    axes.spines["left" if grid == "y" else "bottom"].set_visible(False)


def svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an SVG element for the body of a page.

    Args:
        figure: drawn within :func:`drawing`.
        name: unique on the page; keeps the ids of two pictures apart.
        label: what the picture shows, for those who cannot see it.
    """
    file = io.StringIO()
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s)Glyph .* missing")  # the page's typeface has it, or says so itself
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _for_page(file.getvalue(), name, label)


def _for_page(text: str, name: str, label: str) -> str:
    root = ElementTree.fromstring(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text[text.index("<svg") :]))
    for element in list(root.iter()):
        element.tag = element.tag.rpartition("}")[2]
        _tidy(element, name)
        for child in [child for child in element if child.tag.rpartition("}")[2] in ("metadata", "style")]:
            element.remove(child)
    box = root.get("viewBox", "")
    most = 1.1 * float(box.split()[2])  # larger than drawn, text would outgrow that of the page
    root.attrib = {"role": "img", "aria-label": label, "viewBox": box, "style": f"max-width:{most:.0f}px"}
    return ElementTree.tostring(root, encoding="unicode")


def _tidy(element: ElementTree.Element, name: str) -> None:
    known = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    gid = known.pop("id", "")
    if gid.startswith("tip:"):
        title = ElementTree.Element("title")
        title.text = bytes.fromhex(gid[len("tip:") :]).decode()
        element.insert(0, title)
    elif element.tag != "g" and gid:
        known["id"] = f"{name}-{gid}"
    for key, value in known.items():
        if key == "href":
            known[key] = value.replace("#", f"#{name}-")
        elif key == "clip-path":
            known[key] = value.replace("url(#", f"url(#{name}-")
        elif key == "style":
            known[key] = _style(value)
        elif key != "id":
            known[key] = _LONG.sub(r"\1", value)
    if known.get("transform", "").startswith("rotate(-0 "):
        del known["transform"]
    element.attrib = known
    if element.tag not in ("text", "tspan", "title"):
        element.text = (element.text or "").strip()
    element.tail = (element.tail or "").strip()


def _style(text: str) -> str:
    for stand_in_name, stand_in in _STAND_IN.items():
        text = text.replace(stand_in, f"var(--{stand_in_name})")
    parts = [part.strip() for part in text.split(";")]
    return ";".join(part for part in parts if part and not part.startswith("font-family"))
