"""What is placed, in rows that follow the edges: boxes, frames of parallel boxes, lanes for edges that pass a row."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from lmflow.visualize.picture import Picture

# How many parallel boxes stand beside each other before the next line begins.
ABREAST = 4
GAP = 24
FRAME = 14
FRAME_HEAD = 30
_LANE = 20


@dataclasses.dataclass(eq=False, slots=True)
class Unit:
    """What takes a place in a row; ``x`` is its middle, ``y`` its top. One without nodes is a lane."""

    nodes: tuple[str, ...]
    width: int
    height: int
    row: int = 0
    x: int = 0
    y: int = 0

    @property
    def is_lane(self) -> bool:
        """Whether only an edge passes here."""
        return not self.nodes


@dataclasses.dataclass(eq=False, slots=True)
class Link:
    """Edges (by their numbers) between the same two units, drawn as one line through ``path``, from top to bottom.

    ``rises`` says that its arrow points upwards: only in a picture whose nodes are in no order that could run.
    """

    path: list[Unit]
    edges: list[int]
    rises: bool
    label_width: int = 0


def make_units(picture: Picture, sizes: Mapping[str, tuple[int, int]]) -> list[Unit]:
    """Make a unit of each node, and one of each group whose edges are all alike, in the order of the nodes."""
    group_of = {each: members for members in find_true_groups(picture) for each in members}
    groups = dict.fromkeys(group_of.get(node.id, (node.id,)) for node in picture.nodes)
    return [_make_unit(members, sizes) for members in groups]


def _make_unit(members: tuple[str, ...], sizes: Mapping[str, tuple[int, int]]) -> Unit:
    if len(members) == 1:
        return Unit(members, *sizes[members[0]])
    width, height = (max(sizes[each][side] for each in members) for side in (0, 1))
    columns, lines = min(ABREAST, len(members)), -(-len(members) // ABREAST)
    return Unit(
        members,
        columns * (width + FRAME) + FRAME,
        lines * (height + FRAME) + FRAME_HEAD,
    )


def find_true_groups(picture: Picture) -> list[tuple[str, ...]]:
    """Return the groups that one line in and one line out describe fully; others are drawn as single nodes."""
    flow_of = {node.id: node.flow for node in picture.nodes}
    seen: set[str] = set()
    found = []
    for group in picture.groups:
        members = tuple(dict.fromkeys(group.nodes))
        alike = {
            (
                flow_of[each],
                frozenset(edge.source for edge in picture.edges if edge.target == each),
                frozenset(edge.target for edge in picture.edges if edge.source == each),
            )
            for each in members
        }
        knotted = any(edge.source in members and edge.target in members for edge in picture.edges)
        if len(members) > 1 and len(alike) == 1 and not knotted and not seen & set(members):
            seen.update(members)
            found.append(members)
    return found


def make_links(picture: Picture, units: Sequence[Unit]) -> list[Link]:
    """Gather the edges by the units that they connect; an edge from a node to itself is none."""
    flows = picture.flows()
    flow_of = {node.id: flows.index(node.flow) for node in picture.nodes}
    unit_of = {each: unit for unit in units for each in unit.nodes}
    places = {unit: (flow_of[unit.nodes[0]], number) for number, unit in enumerate(units)}
    links: dict[tuple[Unit, Unit, bool], Link] = {}
    for number, edge in enumerate(picture.edges):
        ends = [unit_of[edge.source], unit_of[edge.target]]
        if ends[0] is ends[1]:
            continue
        rises = places[ends[0]] > places[ends[1]]
        upper, lower = reversed(ends) if rises else ends
        links.setdefault((upper, lower, rises), Link([upper, lower], [], rises)).edges.append(number)
    return list(links.values())


def make_rows(picture: Picture, units: Sequence[Unit], links: Sequence[Link]) -> list[list[Unit]]:
    """Put each unit below all it waits for, the flows below each other, and a lane where a link passes a row."""
    flow_of = {node.id: node.flow for node in picture.nodes}
    rows: list[list[Unit]] = []
    for flow in picture.flows():
        first = len(rows)
        for unit in (unit for unit in units if flow_of[unit.nodes[0]] == flow):
            above = (link.path[0] for link in links if link.path[-1] is unit)
            unit.row = max((each.row + 1 for each in above), default=first)
            unit.row = max(unit.row, first)
            rows.extend([] for _ in range(len(rows), unit.row + 1))
            rows[unit.row].append(unit)
    for link in links:
        upper, lower = link.path
        lanes = [Unit((), _LANE, 0, row) for row in range(upper.row + 1, lower.row)]
        for lane in lanes:
            rows[lane.row].append(lane)
        link.path[1:1] = lanes
    return rows


def place(rows: Sequence[list[Unit]], links: Sequence[Link]) -> None:
    """Give the units of each row an order with few crossings, and each a place near what it is connected with."""
    above: dict[Unit, list[Unit]] = {}
    below: dict[Unit, list[Unit]] = {}
    for upper, lower in (pair for link in links for pair in itertools.pairwise(link.path)):
        below.setdefault(upper, []).append(lower)
        above.setdefault(lower, []).append(upper)
    for row in rows:
        _spread(row, dict.fromkeys(row, 0.0))
    upwards = tuple(reversed(rows))
    best = (_count_crossings(rows, below), [list(row) for row in rows])
    for ordered, near in ((rows, above), (upwards, below)) * 4:
        for row in ordered:
            row.sort(key=lambda unit: _find_middle(unit, near))
            _spread(row, {unit: _find_middle(unit, near) for unit in row})
        best = min(best, (_count_crossings(rows, below), [list(row) for row in rows]), key=lambda found: found[0])
    for row, order in zip(rows, best[1], strict=True):
        row[:] = order
    around = {unit: above.get(unit, []) + below.get(unit, []) for row in rows for unit in row}
    for row in (*rows, *upwards, *rows):
        _spread(row, {unit: _find_middle(unit, around) for unit in row})
    for link in links:
        _straighten(rows, link)


def _count_crossings(rows: Sequence[Sequence[Unit]], below: Mapping[Unit, Sequence[Unit]]) -> int:
    """Return how often lines between neighbouring rows cross, as the rows are ordered."""
    places = {unit: number for row in rows for number, unit in enumerate(row)}
    crossings = 0
    for row in rows:
        ends = [places[lower] for unit in row for lower in sorted(below.get(unit, ()), key=places.__getitem__)]
        crossings += sum(right < left for left, right in itertools.combinations(ends, 2))
    return crossings


def _straighten(rows: Sequence[Sequence[Unit]], link: Link) -> None:
    """Put lanes of a link that follow each other below each other, as far as their neighbours leave room."""
    run: list[Unit] = []
    free = (-math.inf, math.inf)
    for lane in (*link.path[1:-1], None):
        room = _find_room(rows[lane.row], lane) if lane else free
        common = (max(free[0], room[0]), min(free[1], room[1]))
        if lane and common[0] <= common[1]:
            run.append(lane)
            free = common
            continue
        if run:
            middle = sum(each.x for each in run) / len(run)
            for each in run:
                each.x = round(min(max(middle, free[0]), free[1]))
        run, free = [lane] if lane else [], room


def _find_room(row: Sequence[Unit], unit: Unit) -> tuple[float, float]:
    """Return how far to the left and to the right a unit may stand."""
    number = row.index(unit)
    left, right = row[number - 1] if number else None, row[number + 1] if number + 1 < len(row) else None
    half = unit.width / 2 + GAP / 2
    low = min(left.x + left.width / 2 + half, unit.x) if left else -math.inf
    high = max(right.x - right.width / 2 - half, unit.x) if right else math.inf
    return low, high


def _find_middle(unit: Unit, near: Mapping[Unit, Sequence[Unit]]) -> float:
    others = near.get(unit)
    return sum(each.x for each in others) / len(others) if others else float(unit.x)


def _spread(row: Sequence[Unit], wanted: Mapping[Unit, float]) -> None:
    """Move each unit to where it wants to be, as near as its neighbours' widths allow (least squares).

    Neighbours that would overlap are joined into a block, which goes where its members want to be on average.
    """
    blocks: list[tuple[float, list[tuple[Unit, float]]]] = []
    for unit in row:
        block = (wanted[unit], [(unit, 0.0)])
        while blocks:
            end_unit, end_offset = blocks[-1][1][-1]
            apart = (end_unit.width + block[1][0][0].width) / 2 + GAP
            if blocks[-1][0] + end_offset + apart <= block[0]:
                break
            before = blocks.pop()
            joined = before[1] + [(each, offset + end_offset + apart) for each, offset in block[1]]
            block = (sum(wanted[each] - offset for each, offset in joined) / len(joined), joined)
        blocks.append(block)
    for start, members in blocks:
        for unit, offset in members:
            unit.x = round(start + offset)
