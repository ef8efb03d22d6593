"""Pictures as Mermaid flowcharts, which forges and wikis draw by themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from lmflow.visualize.palette import LOOKS, Look
from lmflow.visualize.picture import Node, Picture, clean
from lmflow.visualize.words import make_ids

_CLASSES = {state.lower(): look for state, look in LOOKS.items() if state}


def render_mermaid(picture: Picture) -> str:
    """Draw the picture top down; states are classes, and stand in the labels too."""
    return "\n".join(_draw(picture)) + "\n"


def _draw(picture: Picture) -> Iterator[str]:
    ids = make_ids(picture)
    yield from ("---", f"title: {json.dumps(clean(picture.title), ensure_ascii=False)}", "---", "flowchart TD")
    for flow_number, flow in enumerate(picture.flows()):
        yield f'  subgraph flow{flow_number}["{_escape(flow)}"]'
        for row in picture.rows(flow):
            yield from _draw_row(picture, row, ids)
        yield "  end"
    for source, target, carried, last in dict.fromkeys(_gather_edges(picture, ids)):
        if last:
            yield f'  {source} ==>|"point of no return"| {target}'
        elif carried:
            yield f'  {source} -->|"{carried}"| {target}'
        else:
            yield f"  {source} --> {target}"
    if picture.point_of_no_return and not any(e.source == picture.point_of_no_return for e in picture.edges):
        yield f'  {ids[picture.point_of_no_return]} ==> beyond(["point of no return"])'
    for state in sorted({_name_class(node) for node in picture.nodes} & set(_CLASSES)):
        yield f"  classDef {state} {_tell_look(_CLASSES[state])}"


def _gather_edges(picture: Picture, ids: dict[str, str]) -> Iterator[tuple[str, str, str, bool]]:
    """Yield source, target, symbols and whether it is the point of no return; a group is one end of its edges."""
    ends = {each: f"{ids[group.nodes[0]]}_group" for group in picture.groups for each in group.nodes}
    for edge in picture.edges:
        carried = ", ".join(_escape(symbol) for symbol in edge.symbols)
        source, target = (ends.get(each, ids[each]) for each in (edge.source, edge.target))
        yield source, target, carried, edge.source == picture.point_of_no_return


def _draw_row(picture: Picture, row: tuple[Node, ...], ids: dict[str, str]) -> Iterator[str]:
    if len(row) == 1:
        yield "    " + _draw_node(picture, row[0], ids)
        return
    yield f'    subgraph {ids[row[0].id]}_group["in parallel"]'
    for node in row:
        yield "      " + _draw_node(picture, node, ids)
    yield "    end"


def _draw_node(picture: Picture, node: Node, ids: dict[str, str]) -> str:
    parts = [node.label]
    if node.state:
        parts.append(node.state.lower() + (" (interrupted here)" if node.id in picture.frontier else ""))
    if node.progress is not None:
        parts.append(f"{node.progress * 100:.0f} %")
    if node.seconds is not None:
        parts.append(f"{node.seconds:.1f} s")
    parts += [text for text in (node.error_code, node.note) if text]
    label = "<br/>".join(_escape(part) for part in parts)
    return f'{ids[node.id]}["{label}"]' + (f":::{_name_class(node)}" if node.state else "")


def _tell_look(look: Look) -> str:
    extra = (",stroke-dasharray:4" if look.dashed else "") + (",stroke-width:3px" if look.thick else "")
    return f"fill:{look.fill},stroke:{look.line},color:#000{extra}"


def _name_class(node: Node) -> str:
    return re.sub(r"\W", "_", node.state.lower())


def _escape(text: str) -> str:
    """Return the text with everything but plain characters as Mermaid's entity codes."""
    kept = " _-.,:;/()=+'!?%@*"
    return "".join(c if c.isalnum() or c in kept else f"#{ord(c)};" for c in clean(text))
