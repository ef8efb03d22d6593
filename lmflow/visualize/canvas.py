"""The ground that pictures are drawn upon: an SVG document by day and by night.

All colours are attributes, so that no policy on style sheets can take them away. A style sheet only turns them over for
those who asked their browser for darkness; every picture has a ground of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from lmflow.visualize import palette
from lmflow.visualize.layout import Box
from lmflow.visualize.lettering import MONO, SANS, Lettering

_RADIUS = 6
_PAINTS = {
    "paper": palette.PAPER,
    "band": palette.BAND,
    "rule": palette.RULE,
    "edge": palette.EDGE,
    "ink": palette.INK,
    "faint": palette.FAINT,
    "no-return": palette.NO_RETURN,
    "alarm": palette.ALARM,
}


class Canvas:
    """An SVG document that fetches nothing, runs nothing and holds no identifier: several may stand on one page.

    A paint is a name of ours, ``ink``, or a state's part, ``success.fill`` or ``success.line``.
    """

    def __init__(self, width: int, height: int, *, title: str, description: str) -> None:
        self._night: dict[str, str] = {}
        self._root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "width": str(width),
                "height": str(height),
                "viewBox": f"0 0 {width} {height}",
                "role": "img",
                "font-family": SANS,
            },
        )
        self.add("title", text=title)
        self.add("desc", text=description)
        self._style = self.add("style")
        self.add("rect", box=Box(0, 0, width, height), fill="paper", rx=10)

    def add(self, tag: str, *, into: ET.Element | None = None, text: str = "", box: Box | None = None, fill: str = "",
            stroke: str = "", **attributes: str | float) -> ET.Element:  # fmt: skip
        """Add an element, to the document or into another; attributes that are '' are left out."""
        element = ET.SubElement(self._root if into is None else into, tag)
        element.text = text or None
        if box:
            sides = (("x", box.x), ("y", box.y), ("width", box.width), ("height", box.height))
            element.attrib.update({side: str(value) for side, value in sides})
        element.attrib.update({name.replace("_", "-"): str(value) for name, value in attributes.items() if value != ""})
        if fill or stroke:
            element.attrib.update(self._paint(fill, stroke))
        return element

    def _paint(self, fill: str, stroke: str) -> dict[str, str]:
        """Return the colours by day as attributes, and the classes that change them by night."""
        attributes = {"fill": "none"}
        kinds = []
        for what, name in (("fill", fill), ("stroke", stroke)):
            if name:
                kinds.append(f"lf-{what}-{name.replace('.', '-')}")
                attributes[what], night = _find_paint(name)
                self._night[kinds[-1]] = f"{what}:{night}"
        return {**attributes, "class": " ".join(kinds)}

    def write(self, place: tuple[int, int], text: str, lettering: Lettering, *, ink: str = "ink",
              centred: bool = False, into: ET.Element | None = None) -> None:  # fmt: skip
        """Write a line of text; its place is where its base line begins, or has its middle."""
        self.add(
            "text",
            into=into,
            text=text,
            fill=ink,
            x=place[0],
            y=place[1],
            font_size=lettering.size,
            font_family=MONO if lettering.mono else "",
            font_weight="600" if lettering.bold else "",
            text_anchor="middle" if centred else "",
        )

    def render(self) -> str:
        """Return the document."""
        rules = "".join(f".{kind}{{{paint}}}" for kind, paint in sorted(self._night.items()))
        self._style.text = f"@media (prefers-color-scheme:dark){{{rules}}}"
        ET.indent(self._root)
        return ET.tostring(self._root, encoding="unicode") + "\n"


def _find_paint(name: str) -> tuple[str, str]:
    """Return the colours of a paint by day and by night."""
    state, _, part = name.partition(".")
    if not part:
        return _PAINTS[name]
    look = palette.LOOKS.get("" if state == "defined" else state.upper(), palette.STRANGE)
    return (look.fill, look.night) if part == "fill" else (look.line, look.deep)


def name_paint(state: str) -> str:
    """Return the first part of the name of a state's paints."""
    return (state.lower() or "defined") if state in palette.LOOKS else "strange"


def trace(points: Sequence[tuple[int, int]]) -> str:
    """Return the data of a path through the points, with round corners."""
    (x, y), drawn = points[0], [f"M{points[0][0]} {points[0][1]}"]
    for corner, after in itertools.pairwise(points[1:]):
        before_x, before_y = _approach(corner, (x, y))
        after_x, after_y = _approach(corner, after)
        drawn.append(f"L{before_x:g} {before_y:g}Q{corner[0]} {corner[1]} {after_x:g} {after_y:g}")
        x, y = corner
    drawn.append(f"L{points[-1][0]} {points[-1][1]}")
    return "".join(drawn)


def _approach(corner: tuple[int, int], other: tuple[int, int]) -> tuple[float, float]:
    """Return the point from which a line from ``other`` begins to bend towards the corner."""
    away_x, away_y = other[0] - corner[0], other[1] - corner[1]
    length = abs(away_x) + abs(away_y)
    share = min(_RADIUS, length / 2) / length if length else 0
    return corner[0] + away_x * share, corner[1] + away_y * share
