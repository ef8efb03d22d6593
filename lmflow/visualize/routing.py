"""Lines between the rows: where they leave and enter boxes, and the tracks on which they run sideways.

Between two rows there is a channel without boxes. A line leaves its box downwards, runs on a track of the channel and
goes on downwards, into the next box or into a lane of the next row. So no line can cross a box.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

from lmflow.visualize.units import GAP, Link, Unit

# Lines that are nearer to each other than this look like one.
_NEAR = 5
_INSET = 14
# Between a line and the label beside it, and between a label and what follows.
LABEL_GAP = 6


@dataclasses.dataclass(eq=False, slots=True)
class Hop:
    """The part of a link between two rows; ``track`` is -1 where it goes straight down."""

    link: Link
    upper: Unit
    lower: Unit
    leave: int = 0
    enter: int = 0
    track: int = -1

    @property
    def label_width(self) -> int:
        """The room for a label where the line enters; lanes have none."""
        return 0 if self.lower.is_lane else self.link.label_width


def widen(units: Iterable[Unit], links: Sequence[Link]) -> None:
    """Make each unit as wide as the lines and labels at it need."""
    for unit in units:
        labels = [link.label_width for link in links if link.path[-1] is unit]
        leaving = sum(link.path[0] is unit for link in links)
        entering = sum(width + 2 * LABEL_GAP + _INSET for width in labels)
        if len(labels) == 1:
            entering = 2 * (labels[0] + LABEL_GAP + _INSET)
        unit.width = max(unit.width, entering, (leaving + 1) * _INSET)


def make_channels(rows: Sequence[Sequence[Unit]], links: Sequence[Link]) -> list[list[Hop]]:
    """Return the hops below each row, each with its two places and its track."""
    channels: list[list[Hop]] = [[] for _ in rows]
    for link in links:
        for upper, lower in itertools.pairwise(link.path):
            channels[upper.row].append(Hop(link, upper, lower))
    for hops in channels:
        _find_ports(hops)
        _find_tracks(hops)
    return channels


def _find_ports(hops: Sequence[Hop]) -> None:
    """Share the sides of the boxes among the lines, so that lines cross little; straighten those that are free to."""
    leaving: dict[Unit, list[Hop]] = {}
    entering: dict[Unit, list[Hop]] = {}
    for hop in hops:
        leaving.setdefault(hop.upper, []).append(hop)
        entering.setdefault(hop.lower, []).append(hop)
    for unit, mine in leaving.items():
        mine.sort(key=lambda hop: hop.lower.x)
        for hop, port in zip(mine, _share(unit, [0] * len(mine)), strict=True):
            hop.leave = port
    for unit, mine in entering.items():
        mine.sort(key=lambda hop: hop.upper.x)
        for hop, port in zip(mine, _share(unit, [hop.label_width for hop in mine]), strict=True):
            hop.enter = port
    for hop in hops:
        low, high = _find_freedom(hop.upper, hop.leave, len(leaving[hop.upper]), 0)
        lowest, highest = _find_freedom(hop.lower, hop.enter, len(entering[hop.lower]), hop.label_width)
        low, high = max(low, lowest), min(high, highest)
        if low <= high:
            narrow = min(hop.upper, hop.lower, key=lambda unit: unit.width)
            hop.leave = hop.enter = min(max(narrow.x, low), high)


def _share(unit: Unit, labels: Sequence[int]) -> list[int]:
    """Return a place for each line on a side of the unit, with room for its label to the right."""
    if len(labels) == 1:
        return [unit.x]
    spare = (unit.width - sum(labels)) / len(labels)
    ends = list(itertools.accumulate(label + spare for label in labels))
    left = unit.x - unit.width / 2
    return [round(left + end - label - spare / 2) for end, label in zip(ends, labels, strict=True)]


def _find_freedom(unit: Unit, port: int, lines: int, label_width: int) -> tuple[int, int]:
    if unit.is_lane or lines > 1:
        return port, port
    half = unit.width // 2 - _INSET
    return unit.x - half, unit.x + half - (label_width + LABEL_GAP if label_width else 0)


def _find_tracks(hops: Sequence[Hop]) -> None:
    """Give each hop that runs sideways a track of its own, as high up as it can be."""
    turning = [hop for hop in hops if hop.leave != hop.enter]
    turning.sort(key=lambda hop: (0, -hop.leave) if hop.enter > hop.leave else (1, hop.leave))
    # What leaves where another line enters has to turn away above it, or the two would lie upon each other.
    first = {
        hop: [each for each in turning if each is not hop and abs(each.leave - hop.enter) < _NEAR] for hop in turning
    }
    tracks: list[list[tuple[int, int]]] = []
    while turning:
        ready = (hop for hop in turning if not any(each in turning for each in first[hop]))
        hop = next(ready, turning[0])
        turning.remove(hop)
        left, right = min(hop.leave, hop.enter) - _NEAR, max(hop.leave, hop.enter) + _NEAR
        hop.track = 1 + max((each.track for each in first[hop]), default=-1)
        while hop.track < len(tracks) and any(a < right and left < b for a, b in tracks[hop.track]):
            hop.track += 1
        tracks.extend([] for _ in range(len(tracks), hop.track + 1))
        tracks[hop.track].append((left, right))


def find_free(taken: Iterable[int], left: int, right: int, width: int) -> int | None:
    """Return where a text of a width stands free of the lines at ``taken``, as far left as it can; None if nowhere."""
    edges = [left - GAP, *sorted(x for x in taken if left - GAP < x < right + GAP), right + GAP]
    for before, after in itertools.pairwise(edges):
        start = max(before + GAP // 2, left)
        if start + width + GAP // 2 <= after and start + width <= right:
            return start
    return None
