"""The colours and marks of states. No state is told by its colour alone: each has a mark of its own, and a word."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """How a state looks. ``deep`` is ``line`` for a dark background, ``night`` is ``fill`` for one.

    ``mark`` is the data of an SVG path in a square of 16 units around (0, 0), drawn as a stroke.
    """

    fill: str
    line: str
    night: str
    deep: str
    mark: str
    dashed: bool = False
    thick: bool = False


_CROSS = "M-3 -3L3 3M3 -3L-3 3"
_QUESTION = "M-2.5 -2Q-2.5 -4.5 0 -4.5Q2.5 -4.5 2.5 -2Q2.5 0 0 1M0 3.9V4"
_BACK = "M4 3.5V1.5Q4 -1.5 1 -1.5H-4M-1.5 -4L-4 -1.5L-1.5 1"

DEFINED = Look("#ffffff", "#57606a", "#1c2129", "#8b949e", "")
STRANGE = Look(
    "#ffffff", "#57606a", "#1c2129", "#8b949e", "M-2.5 -2Q-2.5 -4.5 0 -4.5Q2.5 -4.5 2.5 -2Q2.5 0 0 1M0 3.9V4"
)
LOOKS = {
    "": DEFINED,
    "SUCCESS": Look("#d3f2d3", "#2b7a2b", "#12301a", "#57ab5a", "M-3.8 0L-1 3L4 -3"),
    "RUNNING": Look("#d6e6ff", "#1f5fbf", "#10294d", "#6cb6ff", "M-2 -3.5L3.5 0L-2 3.5Z"),
    "FAILURE": Look("#ffd6d6", "#b00020", "#45121a", "#ff7b86", _CROSS),
    "REVERTING": Look("#ffe9cc", "#955800", "#3d2a0c", "#e0a84e", _BACK),
    "REVERTED": Look("#eeeeee", "#955800", "#2b2f36", "#e0a84e", _BACK, dashed=True),
    "REVERT_FAILURE": Look("#ffb3b3", "#7a0016", "#5c1420", "#ff9aa2", "M0 -4.5V1M0 4V4.1", thick=True),
    "RETRYING": Look("#d6e6ff", "#1f5fbf", "#10294d", "#6cb6ff", "M3.5 -2A4 4 0 1 0 4 1M4.2 -4.6L3.6 -1.9L0.9 -2.5"),
    "IGNORE": Look("#eeeeee", "#57606a", "#2b2f36", "#8b949e", "M-3.5 0H3.5", dashed=True),
    "PENDING": Look("#ffffff", "#6e7781", "#1c2129", "#8b949e", "M-2.6 0A2.6 2.6 0 1 0 2.6 0A2.6 2.6 0 1 0 -2.6 0"),
}

# The drawing around the boxes, each by day and by night.
PAPER = ("#ffffff", "#0d1117")
BAND = ("#f6f8fa", "#161b22")
RULE = ("#afb8c1", "#444c56")
EDGE = ("#57606a", "#8b949e")
INK = ("#1f2328", "#e6edf3")
FAINT = ("#57606a", "#9ea7b3")
NO_RETURN = ("#6f2da8", "#c297ff")
ALARM = ("#9a3b00", "#ffa657")


def get_look(state: str) -> Look:
    """Return how a state looks; one that we do not know gets a question mark."""
    return LOOKS.get(state, STRANGE)
