"""Pictures in Graphviz's DOT language; Graphviz itself is not needed to write it."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence

from lmflow.visualize import palette
from lmflow.visualize.picture import Node, Picture, clean
from lmflow.visualize.units import ABREAST, find_true_groups
from lmflow.visualize.words import judge, make_ids, tell_facts

_FONT = "Helvetica,Arial,sans-serif"
_LINE = 60
_LAST = "point of no return"


def render_dot(picture: Picture) -> str:
    """Draw the picture top down; states are colours, and stand in the labels too."""
    return "\n".join(_draw(picture)) + "\n"


def _draw(picture: Picture) -> Iterator[str]:
    ids = make_ids(picture)
    groups = find_true_groups(picture)
    yield "digraph picture {"
    title = _break(picture.title, picture.subtitle)
    yield f"  graph {_tell(label=title, labelloc='t', rankdir='TB', compound='true', bgcolor='white', fontname=_FONT)};"
    yield f"  node {_tell(shape='box', style='rounded,filled', fontcolor=palette.INK[0], fontname=_FONT)};"
    grey = palette.EDGE[0]
    yield f"  edge {_tell(color=grey, fontcolor=grey, fontsize='11', fontname=_FONT)};"
    for number, flow in enumerate(picture.flows()):
        yield f"  subgraph cluster_{number} {{"
        yield f"    graph {_tell(label=_escape(flow), labeljust='l', style='filled', color=palette.BAND[0])};"
        yield from _draw_nodes(picture, flow, groups, ids)
        yield "  }"
    yield from _draw_edges(picture, groups, ids)
    yield "}"


def _draw_nodes(
    picture: Picture, flow: str, groups: Sequence[tuple[str, ...]], ids: Mapping[str, str]
) -> Iterator[str]:
    nodes = {node.id: node for node in picture.nodes if node.flow == flow}
    labels = {tuple(dict.fromkeys(group.nodes)): group.label for group in picture.groups}
    for members in groups:
        if members[0] in nodes:
            yield f"    subgraph cluster_{ids[members[0]]} {{"
            look = _tell(label=_escape(labels[members]), style="dashed", color=palette.RULE[0])
            yield f"      graph {look};"
            yield from ("      " + _draw_node(picture, nodes.pop(each), ids) for each in members)
            yield from _put_in_lines([ids[each] for each in members])
            yield "    }"
    yield from ("    " + _draw_node(picture, node, ids) for node in nodes.values())


def _put_in_lines(members: Sequence[str]) -> Iterator[str]:
    """Yield what keeps a group in lines and in its order; left alone, all of it would be one wide row."""
    lines = [members[start : start + ABREAST] for start in range(0, len(members), ABREAST)]
    for line in lines:
        if len(line) > 1:
            yield f"      {{ rank=same; {' -> '.join(line)} {_tell(style='invis')}; }}"
    for above, below in itertools.pairwise(lines):
        yield f"      {above[0]} -> {below[0]} {_tell(style='invis')};"


def _draw_node(picture: Picture, node: Node, ids: Mapping[str, str]) -> str:
    look = palette.get_look(judge(node))
    label = _break(node.label, *(text for _, text in tell_facts(picture, node)))
    looks = {"label": label, "fillcolor": look.fill, "color": look.line}
    halted = node.id in picture.frontier
    if halted:
        looks["color"] = palette.ALARM[0]
    if halted or look.dashed:
        looks["style"] = "rounded,filled,dashed"
    if halted or look.thick:
        looks["penwidth"] = "3"
    return f"{ids[node.id]} {_tell(**looks)};"


def _draw_edges(picture: Picture, groups: Sequence[tuple[str, ...]], ids: Mapping[str, str]) -> Iterator[str]:
    """Yield the edges; those of a parallel group begin and end at its frame, as one."""
    group_of = {each: members for members in groups for each in members}
    carried: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[str, None]] = {}
    for edge in picture.edges:
        ends = (group_of.get(edge.source, (edge.source,)), group_of.get(edge.target, (edge.target,)))
        carried.setdefault(ends, {}).update(dict.fromkeys(edge.symbols))
    for (sources, targets), symbols in carried.items():
        last = picture.point_of_no_return in sources
        looks = _look_last() if last else {}
        label = _break(_LAST if last else "", ", ".join(symbol for symbol in symbols if symbol))
        if label:
            # Graphviz puts the label's first letter upon the line.
            looks["label"] = f"  {label}"
        if len(sources) > 1:
            looks["ltail"] = f"cluster_{ids[sources[0]]}"
        if len(targets) > 1:
            looks["lhead"] = f"cluster_{ids[targets[0]]}"
        source, target = ids[_get_bottom(sources)], ids[_get_top(targets)]
        yield f"  {source} -> {target}" + (f" {_tell(**looks)}" if looks else "") + ";"
    if picture.point_of_no_return and all(edge.source != picture.point_of_no_return for edge in picture.edges):
        yield f"  beyond {_tell(label=_LAST, shape='plaintext', style='', fontcolor=palette.NO_RETURN[0])};"
        yield f"  {ids[picture.point_of_no_return]} -> beyond {_tell(**_look_last())};"


def _look_last() -> dict[str, str]:
    colour = palette.NO_RETURN[0]
    return {"color": colour, "fontcolor": colour, "style": "bold", "penwidth": "3"}


def _get_top(members: Sequence[str]) -> str:
    """Return the member in the middle of the first line of a group."""
    return members[(min(len(members), ABREAST) - 1) // 2]


def _get_bottom(members: Sequence[str]) -> str:
    """Return the member in the middle of the last line of a group."""
    line = members[(len(members) - 1) // ABREAST * ABREAST :]
    return line[(len(line) - 1) // 2]


def _tell(**looks: str) -> str:
    """Return attributes as DOT; every value is quoted, and what came from elsewhere is escaped by now."""
    return "[" + ", ".join(f'{name}="{value}"' for name, value in looks.items()) + "]"


def _break(*texts: str) -> str:
    lines = (line for text in texts for line in textwrap.wrap(clean(text), _LINE))
    return "\\n".join(_escape(line) for line in lines)


def _escape(text: str) -> str:
    r"""Return the text for a quoted label: Graphviz reads ``\N`` and ``&amp;`` in labels."""
    marks = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\\": "\\\\"}
    return "".join(marks.get(c, c) for c in clean(text))
