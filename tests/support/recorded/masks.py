"""What a comparison with the recordings leaves out, place by place, each with its reason."""

from __future__ import annotations

import dataclasses
import fnmatch
import re

from tests.support.recorded.binding import Difference
from tests.support.recorded.trace import Item


@dataclasses.dataclass(frozen=True)
class Mask:
    """Where (topic, call or label, path; shell patterns) a difference is none, and why."""

    topic: str
    call: str
    path: str
    reason: str

    def covers(self, item: Item, difference: Difference) -> bool:
        where = fnmatch.fnmatch(item.method, self.call) or fnmatch.fnmatch(item.label, self.call)
        # A star in a path stands for a reference there.
        pattern = re.escape(self.path).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        return item.topic.startswith(self.topic) and where and re.fullmatch(pattern, difference.path) is not None


MASKS: tuple[Mask, ...] = (
    Mask("", "*", "**/progress", "how far an operation was at the instant of the question"),
    Mask("", "*", "**/backtrace", "where in xapi's own source an error arose"),
    Mask("", "*", "**/debug_info:cancel_points_seen", "how often xapi's own code looked for a cancel"),
    Mask("", "*", "**/token", "counts the changes of that pool's whole life"),
    Mask("", "*", "**/agent_start_time", "a moment of the recording"),
    Mask("", "*", "**/boot_time", "a moment of the recording"),
)
"""The whole table; the documentation prints it."""


def left_over(item: Item, differences: list[Difference]) -> list[Difference]:
    """Give the differences that no mask covers."""
    return [d for d in differences if not any(mask.covers(item, d) for mask in MASKS)]


def is_a_pattern_used(mask: Mask, seen: list[tuple[Item, Difference]]) -> bool:
    """Tell whether a mask covers anything at all; one that does not is to go."""
    return any(mask.covers(item, difference) for item, difference in seen)
