"""An SVG picture read back as geometry, from nothing but its text."""

from __future__ import annotations

import dataclasses
import itertools
import re
from xml.etree import ElementTree as ET

NS = "{http://www.w3.org/2000/svg}"
Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Area:
    """A rectangle by its sides."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Area) -> bool:
        """Whether the two share more than a border."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: Area) -> bool:
        """Whether the other lies within."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


@dataclasses.dataclass
class Line:
    """A line for some edges, by its corners from the source to the target."""

    edges: list[int]
    points: list[Point]
    tip: Point

    def strokes(self) -> list[Area]:
        """Return the straight pieces, as rectangles without width."""
        return [
            Area(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
            for a, b in itertools.pairwise(self.points)
        ]


class Drawing:
    """The parts of a picture; raises when the text is no well-formed XML."""

    def __init__(self, text: str) -> None:
        self.root = ET.fromstring(text)  # noqa: S314 - our own drawing
        left, top, width, height = map(float, self.root.attrib["viewBox"].split())
        self.view = Area(left, top, left + width, top + height)
        groups = self.root.findall(f"{NS}g")
        self.boxes = {int(g.attrib["data-node"]): _read_area(g[1]) for g in groups if "data-node" in g.attrib}
        self.node_order = [int(g.attrib["data-node"]) for g in groups if "data-node" in g.attrib]
        self.lines = [_read_line(g) for g in groups if "data-edges" in g.attrib]
        self.areas = [_read_area(each) for each in self.root.iter(f"{NS}rect")]
        self.texts = [_read_text(each) for each in self.root.iter(f"{NS}text")]

    def node(self, number: int) -> ET.Element:
        """Return the group of a node."""
        (found,) = self.root.findall(f"{NS}g[@data-node='{number}']")
        return found

    def words(self) -> str:
        """Return all that is written in the picture."""
        return "\n".join(each.text or "" for each in self.root.iter(f"{NS}text"))


def _read_area(rect: ET.Element) -> Area:
    assert rect.tag == f"{NS}rect", rect.tag
    x, y, width, height = (float(rect.attrib[side]) for side in ("x", "y", "width", "height"))
    return Area(x, y, x + width, y + height)


def _read_points(path: str) -> list[Point]:
    """Return the corners of a path of M, L and Q; those of a bend are its control point and its end."""
    assert not set(re.findall("[A-Za-z]", path)) - set("MLQ"), path
    numbers = [float(each) for each in re.findall(r"-?[\d.]+", path)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _read_line(group: ET.Element) -> Line:
    _, path, arrow = group.findall("*")[:3]
    tip = re.match(r"M(-?\d+) (-?\d+)", arrow.attrib["d"])
    assert tip
    edges = [int(each) for each in group.attrib["data-edges"].split()]
    return Line(edges, _read_points(path.attrib["d"]), (float(tip[1]), float(tip[2])))


def _read_text(text: ET.Element) -> Area:
    """Return what a text covers at least: half as wide as high for each character that fonts have a width for."""
    x, y, size = (float(text.attrib[name]) for name in ("x", "y", "font-size"))
    width = 0.25 * size * len(text.text or "")
    left = x - width / 2 if text.attrib.get("text-anchor") == "middle" else x
    return Area(left, y - size, left + width, y + size / 4)
