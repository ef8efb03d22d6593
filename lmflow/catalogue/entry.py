"""What the catalogue says of one code."""

from __future__ import annotations

import dataclasses
import enum
from typing import Final

NOTHING_BEGAN: Final = (
    "Nothing began: this is said before the VM is touched, and it is as it was. Only if a toolstack has restarted "
    "since the submit does lmflow ask further."
)
NOT_TAKEN: Final = "Of a submit: it was not taken, and nothing began."
NOTHING_SENT: Final = "Nothing was sent: the VM runs where it ran."
GOES_ON: Final = "A migration that was sent goes on without us."
MEANWHILE: Final = "What an earlier migration did meanwhile is not said."
PROVES_NOTHING: Final = "The code alone proves nothing."
AROUND: Final = (
    f"{PROVES_NOTHING} Before the submit: nothing of the migration was sent, and the VM runs where it ran. After the "
    "arrival, or in a revert: it says only that something of lmflow's may be left in the pool."
)


class Family(enum.Enum):
    """Where a code comes from; the value is a heading."""

    REFUSED = "XAPI: refused before anything begins"
    DOOR = "XAPI: refused at the door"
    MOVING = "XAPI: failed on the way"
    PREPARING = "XAPI: preparing, cleaning up, undoing"
    ASIDE = "XAPI: other calls around a migration"
    OURS = "lmflow: findings and errors"
    STATES = "lmflow: states and verdicts"
    EXITS = "lmflow: exit codes"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One code. ``code`` is unique, as it is printed, with a dash for a space.

    ``meaning`` is one sentence; ``cause`` what it comes from in the field; ``vm_state`` what is true of the VM when it
    is seen; ``command`` the one thing to type, capitals stand for what is to be filled in; ``params`` are XAPI's names
    for what comes along; ``source`` says what the entry rests on.
    """

    code: str
    family: Family
    title: str
    meaning: str
    cause: str
    vm_state: str
    remedy: str
    command: str
    source: str
    params: tuple[str, ...] = ()
