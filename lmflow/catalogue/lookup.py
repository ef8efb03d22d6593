"""Finding an entry by what a person types."""

from __future__ import annotations

import difflib
import re
from typing import Final

from lmflow.catalogue import aside, door, door_calls, exits, moving, ours, preparing, refused_host, refused_vm, states
from lmflow.catalogue.entry import Entry

ENTRIES: Final[tuple[Entry, ...]] = (
    *refused_vm.ENTRIES,
    *refused_host.ENTRIES,
    *door.ENTRIES,
    *door_calls.ENTRIES,
    *moving.ENTRIES,
    *preparing.ENTRIES,
    *aside.ENTRIES,
    *ours.ENTRIES,
    *states.ENTRIES,
    *exits.ENTRIES,
)

_MAX_NEAR = 5


def find_entries(text: str) -> tuple[Entry, ...]:
    """Return the entry with that code, else those whose code begins so; case, dashes and spaces do not matter.

    A storage driver's own number at the end, as in SR_BACKEND_FAILURE_47, does not matter either.
    """
    wanted = re.sub(r"(?<=FAILURE)_[0-9]+$", "", _fold(text))
    exact = tuple(entry for entry in ENTRIES if _fold(entry.code) == wanted)
    return exact or tuple(entry for entry in ENTRIES if wanted and _fold(entry.code).startswith(wanted))


def find_near(text: str) -> tuple[str, ...]:
    """Return the codes that look most like it, the closest first; codes that contain it count too."""
    codes = {_fold(entry.code): entry.code for entry in ENTRIES}
    wanted = _fold(text)
    near = difflib.get_close_matches(wanted, codes, n=_MAX_NEAR, cutoff=0.6)
    within = [code for code in codes if len(wanted) > 1 and wanted in code]
    return tuple(codes[code] for code in dict.fromkeys((*near, *within)))[:_MAX_NEAR]


def _fold(text: str) -> str:
    return "_".join(text.upper().replace("-", " ").replace("_", " ").split())
