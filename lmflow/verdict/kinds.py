"""What can follow from the evidence."""

from __future__ import annotations

import dataclasses
import enum

from lmflow.models import Model


class VerdictKind(enum.StrEnum):
    """What follows from the evidence.

    ``conclude``: it runs on the destination. ``roll_back``: it is verified not to be there and nothing of ours is
    under way. ``redo``: it never began, and may. ``re_attach``: it is under way. ``wait``: look again.
    ``ask``: look again, with the witness. ``unknown``: a person must decide.
    """

    CONCLUDE = "conclude"
    ROLL_BACK = "roll_back"
    REDO = "redo"
    RE_ATTACH = "re_attach"
    WAIT = "wait"
    ASK = "ask"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict(Model):
    """A verdict with its reason in words; ``by`` names what settled it, ``row`` the row of the table.

    ``by``: ``xapi``, ``task``, ``witness``, ``record``, ``later`` (the task, and something came after it), or ''.
    """

    kind: VerdictKind
    because: str
    by: str = ""
    row: str = ""
