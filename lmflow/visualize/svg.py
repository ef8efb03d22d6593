"""Pictures as SVG that stand for themselves: no other program draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from lmflow.visualize import palette
from lmflow.visualize.canvas import Canvas, name_paint, trace
from lmflow.visualize.layout import MARGIN, Box, Layout, Route, make_layout
from lmflow.visualize.lettering import Lettering
from lmflow.visualize.picture import Node, Picture, clean
from lmflow.visualize.words import NO_RETURN, describe, describe_node, judge, tell_facts

_TITLE = Lettering(17, bold=True)
_SUBTITLE = Lettering(13)
_FLOW = Lettering(13, bold=True)
_GROUP = Lettering(12)
_SYMBOL = Lettering(11, mono=True)
_NAME = Lettering(13, bold=True, mono=True)
_FACTS = {
    "state": Lettering(12),
    "alarm": Lettering(12, bold=True),
    "begun": Lettering(12),
    "code": Lettering(11, bold=True, mono=True),
    "note": Lettering(12),
}
_LINE = 17
_BAR = 14
_MAX_TEXT = 236
_MAX_LABEL = 150
_HEADER_WIDTH = 800
_TEXT_LEFT = 34
_TEXT_RIGHT = 14
_MIN_BOX = 176
# The same words always, so they are measured rather than estimated (290 and 120 pixels in Liberation Sans).
_NO_RETURN_WIDTHS = {NO_RETURN: 350, NO_RETURN.partition(":")[0]: 165}
_INKS = {"alarm": "alarm", "begun": "faint"}


def render_svg(picture: Picture) -> str:
    """Draw the picture top down; what is shortened stands whole in a ``title``, which browsers show."""
    title = clean(picture.title).replace(" -> ", " → ")
    is_wide = picture.point_of_no_return or picture.subtitle
    width = 2 * MARGIN + (_HEADER_WIDTH if is_wide else min(_HEADER_WIDTH, math.ceil(_TITLE.estimate(title))))
    subtitle = _SUBTITLE.fold(clean(picture.subtitle), width - 2 * MARGIN, 3)
    facts = {node.id: _fold_facts(picture, node) for node in picture.nodes}
    layout = make_layout(
        picture,
        {node.id: _measure(node, facts[node.id]) for node in picture.nodes},
        lambda edges: round(_SYMBOL.estimate(_label(picture, edges))),
        top=MARGIN + 28 + len(subtitle) * 18,
        min_width=width,
    )
    canvas = Canvas(layout.width, layout.height, title=clean(picture.title), description=describe(picture))
    shown = _TITLE.cut_middle(title, layout.width - 2 * MARGIN)
    canvas.write((MARGIN, MARGIN + 15), shown, _TITLE)
    for number, line in enumerate(subtitle):
        canvas.write((MARGIN, MARGIN + 36 + 18 * number), line, _SUBTITLE, ink="faint")
    _draw_bands(canvas, layout)
    _draw_frames(canvas, layout, picture)
    for route in layout.routes:
        _draw_route(canvas, route, picture)
    _draw_no_return(canvas, layout)
    for number, node in enumerate(picture.nodes):
        group = canvas.add("g", data_node=number)
        canvas.add("title", into=group, text=describe_node(picture, node))
        _draw_node(canvas, group, node, layout.boxes[node.id], halted=node.id in picture.frontier)
        _write_node(canvas, group, node, layout.boxes[node.id], facts[node.id])
    return canvas.render()


def _fold_facts(picture: Picture, node: Node) -> list[tuple[str, str]]:
    """Break the facts into lines for a box; a note may have three, all others one."""
    return [
        (kind, line)
        for kind, text in tell_facts(picture, node)
        for line in _FACTS[kind].fold(text, _MAX_TEXT, 3 if kind == "note" else 1)
    ]


def _measure(node: Node, facts: Iterable[tuple[str, str]]) -> tuple[int, int]:
    """Return width and height of a node's box."""
    widths = [_NAME.estimate(_cut_name(node)), *(_FACTS[kind].estimate(line) for kind, line in facts)]
    height = 36 + _LINE * (len(widths) - 1) + (_BAR if node.progress is not None else 0)
    return max(_MIN_BOX, round(max(widths)) + _TEXT_LEFT + _TEXT_RIGHT), height


def _cut_name(node: Node) -> str:
    return _NAME.cut(clean(node.label), _MAX_TEXT)


def _label(picture: Picture, edges: Sequence[int]) -> str:
    return _SYMBOL.cut(_tell_symbols(picture, edges), _MAX_LABEL)


def _tell_symbols(picture: Picture, edges: Iterable[int]) -> str:
    symbols = dict.fromkeys(clean(each) for number in edges for each in picture.edges[number].symbols)
    return ", ".join(each for each in symbols if each.strip())


def _draw_bands(canvas: Canvas, layout: Layout) -> None:
    for flow, box in layout.bands.items():
        canvas.add("rect", box=box, fill="band", stroke="rule", rx=8)
        name = _FLOW.cut(clean(flow), 200)
        x = layout.find_free(box.y, box.y + 30, round(_FLOW.estimate(name)))
        canvas.write((box.x + _TEXT_RIGHT if x is None else x, box.y + 20), name, _FLOW, ink="faint")


def _draw_frames(canvas: Canvas, layout: Layout, picture: Picture) -> None:
    labels = {tuple(dict.fromkeys(group.nodes)): group.label for group in picture.groups}
    for members, box in layout.frames.items():
        canvas.add("rect", box=box, fill="paper", stroke="rule", rx=8, stroke_dasharray="5 4")
        label = _GROUP.cut(clean(labels[members]), box.width - 28)
        canvas.write((box.x + 14, box.y + 20), label, _GROUP, ink="faint")


def _draw_no_return(canvas: Canvas, layout: Layout) -> None:
    """Draw the line across the picture, and its label upon it where no other line passes, if there is such a place."""
    y = layout.no_return
    if y is None:
        return
    group = canvas.add("g", data_mark="point-of-no-return")
    line = f"M{MARGIN} {y}H{layout.width - MARGIN}"
    canvas.add("path", into=group, stroke="no-return", stroke_width=4, stroke_dasharray="14 5", d=line)
    places = ((label, layout.find_free(y - 13, y + 13, room)) for label, room in _NO_RETURN_WIDTHS.items())
    label, x = next(((each, free) for each, free in places if free is not None), (NO_RETURN, MARGIN + _TEXT_RIGHT))
    width = _NO_RETURN_WIDTHS[label]
    canvas.add("rect", into=group, box=Box(x, y - 13, width, 26), fill="paper", stroke="no-return", rx=13)
    canvas.write((x + width // 2, y + 5), label, _FLOW, ink="no-return", centred=True, into=group)


def _draw_route(canvas: Canvas, route: Route, picture: Picture) -> None:
    group = canvas.add("g", data_edges=" ".join(map(str, route.edges)))
    canvas.add("title", into=group, text=_name_edges(picture, route.edges))
    canvas.add("path", into=group, stroke="edge", stroke_width=1.5, d=trace(route.points))
    x, y = route.points[0] if route.rises else route.points[-1]
    back = y + 8 if route.rises else y - 8
    canvas.add("path", into=group, fill="edge", d=f"M{x} {y}L{x - 4} {back}H{x + 4}Z")
    label = _label(picture, route.edges)
    if label:
        canvas.write(route.label, label, _SYMBOL, ink="faint", into=group)


def _name_edges(picture: Picture, numbers: Sequence[int]) -> str:
    edges = [picture.edges[number] for number in numbers]
    labels = {node.id: clean(node.label) for node in picture.nodes}
    sources = ", ".join(labels[each] for each in dict.fromkeys(edge.source for edge in edges))
    targets = ", ".join(labels[each] for each in dict.fromkeys(edge.target for edge in edges))
    symbols = _tell_symbols(picture, numbers)
    return f"{sources} → {targets}" + (f": {symbols}" if symbols else "")


def _draw_node(canvas: Canvas, group: ET.Element, node: Node, box: Box, *, halted: bool) -> None:
    look, paint = palette.get_look(judge(node)), name_paint(judge(node))
    dashes = "7 4" if halted else "4 3" if look.dashed else ""
    canvas.add(
        "rect",
        into=group,
        box=box,
        fill=f"{paint}.fill",
        stroke="alarm" if halted else f"{paint}.line",
        rx=6,
        stroke_width=3 if halted or look.thick else 1.5,
        stroke_dasharray=dashes,
    )
    if look.mark:
        x, y = box.x + 18, box.y + 18
        canvas.add("circle", into=group, fill=f"{paint}.line", cx=x, cy=y, r=8)
        canvas.add(
            "path",
            into=group,
            stroke="paper",
            transform=f"translate({x} {y})",
            d=look.mark,
            stroke_width=1.8,
            stroke_linecap="round",
            stroke_linejoin="round",
        )


def _write_node(canvas: Canvas, group: ET.Element, node: Node, box: Box, facts: Sequence[tuple[str, str]]) -> None:
    """Write the name and what is known of the step; a step of a definition has its name in the middle."""
    centred = not node.state and not facts
    x, y = box.x + (box.width // 2 if centred else _TEXT_LEFT), box.y + 22
    canvas.write((x, y), _cut_name(node), _NAME, centred=centred, into=group)
    if node.progress is not None and not facts:
        _draw_bar(canvas, group, Box(x, y + 6, box.width - _TEXT_LEFT - _TEXT_RIGHT, 6), node)
    for place, (kind, line) in enumerate(facts):
        y += _LINE
        canvas.write((x, y), line, _FACTS[kind], ink=_INKS.get(kind, "ink"), into=group)
        if place == 0 and node.progress is not None:
            _draw_bar(canvas, group, Box(x, y + 7, box.width - _TEXT_LEFT - _TEXT_RIGHT, 6), node)
            y += _BAR


def _draw_bar(canvas: Canvas, group: ET.Element, box: Box, node: Node) -> None:
    paint = f"{name_paint(judge(node))}.line"
    filled = round(min(max(node.progress or 0.0, 0.0), 1.0) * box.width)
    canvas.add("rect", into=group, box=box, fill="paper", stroke=paint, rx=3)
    canvas.add("rect", into=group, box=Box(box.x, box.y, filled, box.height), fill=paint, rx=3)
