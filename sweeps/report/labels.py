"""Names that fit into a picture: how wide a text is, short names that stay apart, labels that do not overlap."""

import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.text import Annotation
from matplotlib.textpath import text_to_path

from sweeps.report.words import shorten

SEPARATORS = "/._-"
_NEAR = ((8, 0, "left", "center"), (-8, 0, "right", "center"), (0, 9, "center", "bottom"), (0, -9, "center", "top"),
            (8, 10, "left", "bottom"), (-8, 10, "right", "bottom"), (8, -10, "left", "top"), (-8, -10, "right", "top"),
            (0, 22, "center", "bottom"), (0, -22, "center", "top"))  # fmt: skip
_DIRECTIONS = ((0, -1), (-1, -0.5), (-1, 0), (1, -0.5), (-0.5, -1), (1, 0), (0, 1))
_FAR = tuple((reach * right, reach * above, "center" if not right else "left" if right > 0 else "right", "center")
             for reach in (36, 60, 90) for right, above in _DIRECTIONS)  # fmt: skip


@lru_cache(maxsize=4096)
def width(text: str, size: float = 11) -> float:
    """How many pixels wide a text is; letters that the measuring typeface lacks count as a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s)Glyph .* missing")
        return float(text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0])


def fit(text: str, pixels: float, size: float = 11) -> str:
    """``text``, cut in its middle until it is at most so wide."""
    length = len(text)
    while width(text, size) > pixels and length > 4:
        length -= 1
        text = shorten(text, length)
    return text


def two_lines(text: str, pixels: float, size: float = 11) -> str:
    """``text``, broken into two lines after one of its separators when it is wider than ``pixels``."""
    breaks = [place for place, letter in enumerate(text[:-1], start=1) if letter in SEPARATORS + " "]
    if width(text, size) <= pixels or not breaks:
        return text
    middle = min(breaks, key=lambda place: abs(2 * place - len(text)))
    return f"{text[:middle].rstrip()}\n{text[middle:]}"


def short_names(names: Iterable[str], longest: int = 20) -> dict[str, str]:
    """A short name for each name, no two alike where the names are not: ``expert_full`` for ``resnet50.expert_full``.

    What all names begin with is dropped; of what is still too long, the part after the last ``/`` or ``.``.
    """
    full = list(dict.fromkeys(names))
    common = _beginning(full) if len(full) > 1 else ""
    bare = {name: name[len(common) :] or name for name in full}
    tails = {name: text.rpartition("/")[2].rpartition(".")[2] or text for name, text in bare.items()}
    short = {}
    for name, text in bare.items():
        tail = tails[name]
        alone = list(tails.values()).count(tail) == 1 and (tail == text or tail not in bare.values())
        text = tail if len(text) > longest and alone else text
        short[name] = shorten(text, longest)
    return short if len(set(short.values())) == len(short) else {name: shorten(name, longest) for name in full}


def _beginning(names: Sequence[str]) -> str:
    """What all names begin with, up to and including a separator."""
    first, last = min(names), max(names)
    same = next((place for place, letter in enumerate(first) if last[place : place + 1] != letter), len(first))
    return first[: 1 + max((first.rfind(letter, 0, same) for letter in SEPARATORS), default=-1)]


def place(axes: Axes, labels: Sequence[tuple[float, float, str, str]], points: Sequence[tuple[float, float]],
          size: float = 10) -> list[Annotation]:  # fmt: skip
    """Write labels beside points so that they touch neither each other nor the points nor the frame.

    Args:
        axes: with everything drawn that can move its limits.
        labels: (x, y, text, colour); a label that finds no room is left out.
        points: all points drawn, in data units.
    """
    axes.autoscale_view()  # limits that follow from the data are else settled only when drawn
    to_pixels = axes.transData.transform
    frame = axes.get_window_extent()
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in (to_pixels(point) for point in points)]
    written = []
    for x, y, text, tint in labels:
        across, up = to_pixels((x, y))
        for right, above, horizontal, vertical in (*_NEAR, *_FAR):
            wide, high = width(text, size), size * 1.15
            left = across + right - {"left": 0.0, "center": wide / 2, "right": wide}[horizontal]
            low = up + above - {"bottom": 0.0, "center": high / 2, "top": high}[vertical]
            box = (left, low, left + wide, low + high)
            inside = box[0] >= frame.x0 and box[2] <= frame.x1 + 4 and box[1] >= frame.y0 and box[3] <= frame.y1 + 6
            if inside and not any(_touch(box, other) for other in taken):
                taken.append(box)
                far = (right, above, horizontal, vertical) in _FAR
                written.append(axes.annotate(
                    text, (x, y), xytext=(right, above), textcoords="offset points", ha=horizontal, va=vertical,
                    fontsize=size, color=tint, annotation_clip=False,
                    arrowprops={"arrowstyle": "-", "color": tint, "linewidth": 0.7, "shrinkB": 4} if far else None,
                ))  # fmt: skip
                break
    return written


def _touch(one: tuple[float, float, float, float], two: tuple[float, float, float, float]) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]
