"""Where everything of a picture stands, in pixels: rows from top to bottom, bands for the flows, lines between."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from lmflow.visualize.picture import Picture
from lmflow.visualize.routing import LABEL_GAP, Hop, find_free, make_channels, widen
from lmflow.visualize.units import (
    ABREAST,
    FRAME,
    FRAME_HEAD,
    Link,
    Unit,
    make_links,
    make_rows,
    make_units,
    place,
)

MARGIN = 20
_PAD = 20
_BAND_HEAD = 30
_BAND_FOOT = 18
_BETWEEN = 18
_NO_RETURN = 60
_LEAVE = 12
_TRACK = 10
_LABEL = 12
_ENTER = 18


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """A rectangle by its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A line for ``edges`` (their numbers) from top to bottom; ``label`` is where text beside its lower end begins."""

    edges: tuple[int, ...]
    rises: bool
    points: tuple[tuple[int, int], ...]
    label: tuple[int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Boxes by node, frames of parallel nodes, a band by flow, lines, and the height of the point of no return."""

    width: int
    height: int
    boxes: Mapping[str, Box]
    frames: Mapping[tuple[str, ...], Box]
    bands: Mapping[str, Box]
    routes: Sequence[Route]
    no_return: int | None

    def find_free(self, top: int, bottom: int, width: int) -> int | None:
        """Return from where a text of a width crosses no line between two heights; None if there is no such place."""
        taken = [
            x
            for route in self.routes
            for (x, upper), (_, lower) in zip(route.points, route.points[1:], strict=False)
            if upper < bottom and lower > top
        ]
        return find_free(taken, MARGIN + 14, self.width - MARGIN - 14, width)


@dataclasses.dataclass(slots=True)
class _Heights:
    """What stands how low: the first track below each row, the bands, the point of no return."""

    tracks: list[int]
    bands: dict[str, tuple[int, int]]
    no_return: int | None
    bottom: int


def make_layout(
    picture: Picture,
    sizes: Mapping[str, tuple[int, int]],
    measure_label: Callable[[Sequence[int]], int],
    *,
    top: int,
    min_width: int,
) -> Layout:
    """Lay out nodes of the given sizes below ``top``; ``measure_label`` tells the width of the label of some edges."""
    units = make_units(picture, sizes)
    links = make_links(picture, units)
    for link in links:
        link.label_width = measure_label(link.edges)
    widen(units, links)
    rows = make_rows(picture, units, links)
    place(rows, links)
    width = _move_into_view(rows, min_width)
    channels = make_channels(rows, links)
    heights = _stack(picture, rows, channels, top)
    frames = {unit.nodes: _get_box(unit) for unit in units if len(unit.nodes) > 1}
    return Layout(
        width=width,
        height=heights.bottom + MARGIN,
        boxes={each: box for unit in units for each, box in _place_nodes(unit, sizes)},
        frames=frames,
        bands={
            flow: Box(MARGIN, upper, width - 2 * MARGIN, lower - upper)
            for flow, (upper, lower) in heights.bands.items()
        },
        routes=[_make_route(link, channels, heights.tracks) for link in links],
        no_return=heights.no_return,
    )


def _move_into_view(rows: Sequence[Sequence[Unit]], min_width: int) -> int:
    """Move everything so that it stands in the middle of the width that is returned."""
    units = [unit for row in rows for unit in row]
    left = min((unit.x - unit.width // 2 for unit in units), default=0)
    right = max((unit.x + unit.width // 2 for unit in units), default=0)
    width = max(min_width, right - left + 2 * (MARGIN + _PAD))
    for unit in units:
        unit.x += (width - right - left) // 2
    return width


def _stack(picture: Picture, rows: Sequence[Sequence[Unit]], channels: Sequence[Sequence[Hop]], top: int) -> _Heights:
    """Give each row its height, with what the channel above it has to hold."""
    flow_of = {node.id: node.flow for node in picture.nodes}
    flows = [next(flow_of[unit.nodes[0]] for unit in row if not unit.is_lane) for row in rows]
    heights = _Heights([], {}, None, top)
    y = top
    for number, row in enumerate(rows):
        hops = channels[number - 1] if number else []
        if not number or flows[number] != flows[number - 1]:
            band_top, y = y, y + _BAND_HEAD
        y += _LABEL if any(hop.label_width for hop in hops) else 0
        y += _ENTER if hops else 0
        for unit in row:
            unit.y = y
        y += max(unit.height for unit in row)
        heights.tracks.append(y + _LEAVE)
        tracks = 1 + max((hop.track for hop in channels[number]), default=-1)
        y += (_LEAVE if channels[number] else 0) + tracks * _TRACK
        closes = number + 1 == len(rows) or flows[number + 1] != flows[number]
        if closes:
            y += _BAND_FOOT
            heights.bands[flows[number]] = (band_top, y)
            heights.bottom = y
        if picture.point_of_no_return and any(picture.point_of_no_return in unit.nodes for unit in row):
            heights.no_return = y + _NO_RETURN * 3 // 5
            y = heights.bottom = y + _NO_RETURN
        elif closes:
            y += _BETWEEN
    return heights


def _get_box(unit: Unit) -> Box:
    return Box(unit.x - unit.width // 2, unit.y, unit.width, unit.height)


def _place_nodes(unit: Unit, sizes: Mapping[str, tuple[int, int]]) -> list[tuple[str, Box]]:
    if len(unit.nodes) == 1:
        return [(each, _get_box(unit)) for each in unit.nodes]
    width, height = (max(sizes[each][side] for each in unit.nodes) for side in (0, 1))
    placed = []
    for start in range(0, len(unit.nodes), ABREAST):
        line = unit.nodes[start : start + ABREAST]
        left = unit.x - (len(line) * (width + FRAME) - FRAME) // 2
        y = unit.y + FRAME_HEAD + start // ABREAST * (height + FRAME)
        placed += [(each, Box(left + n * (width + FRAME), y, width, height)) for n, each in enumerate(line)]
    return placed


def _make_route(link: Link, channels: Sequence[Sequence[Hop]], tracks: Sequence[int]) -> Route:
    hops = [hop for upper in link.path[:-1] for hop in channels[upper.row] if hop.link is link]
    first, last = link.path[0], link.path[-1]
    points = [(hops[0].leave, first.y + first.height)]
    for hop in hops:
        if hop.track >= 0:
            y = tracks[hop.upper.row] + hop.track * _TRACK
            points += [(hop.leave, y), (hop.enter, y)]
    points.append((hops[-1].enter, last.y))
    label = (hops[-1].enter + LABEL_GAP, last.y - 14)
    return Route(tuple(link.edges), link.rises, tuple(points), label)
