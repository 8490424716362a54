"""SVG as Matplotlib writes it, made fit for the page: small, in the page's colours, every mark with what it stands for.

The page allows no inline style, so styles become attributes; the style sheet and the script may then change them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_LONG, _LONGER = re.compile(r"(\d\.\d)\d+"), re.compile(r"(\d\.\d\d)\d+")
_COMMAND, _COLOUR = re.compile(r"\s*([A-Za-z])\s*"), re.compile(r"#[0-9a-f]{6}")
_SHARED = {
    "fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-linejoin", "stroke-linecap",
    "stroke-dasharray", "stroke-dashoffset", "font-size", "font-weight", "font-style", "text-anchor", "clip-path",
}  # fmt: skip
_PREFIX = "mark:"


class Mark(NamedTuple):
    """What a mark of a picture says, and what the page links and filters it by."""

    tip: str
    model: str = ""
    task: str = ""
    strategy: str = ""
    budget: int | None = None


def mark_id(marks: Sequence[Mark]) -> str:
    """Marks as an id that survives Matplotlib."""
    return _PREFIX + json.dumps(marks).encode().hex()


def for_page(text: str, name: str, label: str, colours: Mapping[str, str]) -> str:
    """An SVG element for the body of a page.

    Args:
        text: of an SVG file.
        name: of the picture, unique on the page; keeps the ids of two pictures apart.
        label: what the picture shows, for those who cannot see it.
        colours: colour in the file -> its name in the style sheet.
    """
    root = ElementTree.fromstring(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text[text.index("<svg") :]))
    _Tidy(name, colours).clean(root, within_definitions=False)
    box = root.get("viewBox", "")
    most = 1.1 * float(box.split()[2])  # larger than drawn, text would outgrow that of the page
    root.attrib = {"role": "img", "aria-label": label, "viewBox": box, "width": f"{most:.0f}"}
    return ElementTree.tostring(root, encoding="unicode")


class _Tidy:
    def __init__(self, name: str, colours: Mapping[str, str]) -> None:
        self.name, self.colours, self.ids = name, colours, dict[str, str]()

    def clean(self, element: ElementTree.Element, *, within_definitions: bool) -> None:
        element.tag = element.tag.rpartition("}")[2]
        given = self._attributes(element, within_definitions)
        gid = given.pop("id", "")
        element.attrib = given
        if element.tag != "g" and gid:
            given["id"] = self._id(gid)
        for child in list(element):
            self.clean(child, within_definitions=within_definitions or element.tag == "defs")
            if child.tag in ("metadata", "style") or (child.tag in ("g", "defs") and not len(child)):
                element.remove(child)
        if element.tag not in ("text", "tspan", "title"):
            element.text = (element.text or "").strip()
        element.tail = (element.tail or "").strip()
        if gid.startswith(_PREFIX):
            _say(element, [Mark(*each) for each in json.loads(bytes.fromhex(gid[len(_PREFIX) :]))])
        if element.tag == "g":
            _unwrap(element)
            _share(element)

    def _id(self, known: str) -> str:
        return self.ids.setdefault(known, f"{self.name}-{len(self.ids)}")

    def _attributes(self, element: ElementTree.Element, within_definitions: bool) -> dict[str, str]:
        found = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        style = found.pop("style", "")
        if not within_definitions:  # every use of a definition has the whole style
            pairs = (part.partition(":") for part in style.split(";") if part.strip())
            found |= {key.strip(): value.strip() for key, _, value in pairs if key.strip() != "font-family"}
        long = _LONGER if within_definitions else _LONG
        for key, value in found.items():
            if key == "href":
                found[key] = f"#{self._id(value[1:])}"
            elif value.startswith("url(#"):
                found[key] = f"url(#{self._id(value[5:-1])})"
            elif key != "id":
                short = long.sub(r"\1", value) if key not in ("opacity", "fill-opacity", "stroke-opacity") else value
                found[key] = _COLOUR.sub(self._colour, _COMMAND.sub(r"\1", short) if key == "d" else short)
        if found.get("transform", "").startswith("rotate(-0 "):
            del found["transform"]
        return found

    def _colour(self, match: re.Match[str]) -> str:
        return f"var(--{self.colours[match[0]]})" if match[0] in self.colours else match[0]


def _say(group: ElementTree.Element, marks: Sequence[Mark]) -> None:
    """Give every drawn shape of a group its mark; where one lies outside the picture, and is not drawn, give none."""
    drawn = [element for element in _drawn(group) if element.tag in ("path", "use", "text")]
    if len(drawn) != len(marks):
        return
    for element, mark in zip(drawn, marks, strict=True):
        told = {"model": mark.model, "task": mark.task, "strategy": mark.strategy, "budget": mark.budget}
        element.attrib |= {f"data-{key}": str(value) for key, value in told.items() if value not in ("", None)}
        if mark.tip:
            title = ElementTree.SubElement(element, "title")
            title.text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", mark.tip)


def _drawn(element: ElementTree.Element) -> list[ElementTree.Element]:
    return [found for child in element if child.tag != "defs" for found in (child, *_drawn(child))]


def _unwrap(group: ElementTree.Element) -> None:
    """Put what a group without attributes holds in its place, within ``group``."""
    for place in reversed(range(len(group))):
        child = group[place]
        if child.tag == "g" and not child.attrib:
            group[place : place + 1] = list(child)


def _share(group: ElementTree.Element) -> None:
    """Say once what all shapes of a group have in common."""
    shapes = [child for child in group if child.tag != "defs"]
    if len(shapes) < 2:
        return
    for key, value in list(shapes[0].attrib.items()):
        if key in _SHARED and key not in group.attrib and all(shape.get(key) == value for shape in shapes):
            group.set(key, value)
            for shape in shapes:
                del shape.attrib[key]
