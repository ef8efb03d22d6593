"""XAPI's failures in our words: which of them a new login can cure, and no reference in any of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from lmflow.models import XapiError

SESSION_INVALID = "SESSION_INVALID"

#: Another session, or another host, may answer. The emergency codes are what a host without its coordinator says.
CURED_BY_LOGIN = frozenset(
    {
        SESSION_INVALID,
        "HOST_IS_SLAVE",
        "HOST_STILL_BOOTING",
        "HOST_HAS_NO_MANAGEMENT_IP",
        "HOST_UNKNOWN_TO_MASTER",
        "HOST_MASTER_CANNOT_TALK_BACK",
    }
)

#: The object is not there, or not any more.
GONE = frozenset({"HANDLE_INVALID", "UUID_INVALID"})

_REFERENCE = re.compile(r"\b(?:OpaqueRef|DummyRef):[^\s'\",;()\[\]]+")
_CLASSES = ("VM", "host", "SR", "network", "VDI", "VBD", "VIF", "PBD", "PIF")
_MASK = "(reference)"
_MAX_RESOLVED = 4


def mask_references(text: str) -> str:
    """Return the text without any XAPI reference."""
    return _REFERENCE.sub(_MASK, text)


def mask_failure(details: Sequence[str]) -> XapiError:
    """Return a failure whose references are masked."""
    return XapiError(str(details[0]), tuple(mask_references(str(param)) for param in details[1:]))


def name_failure(details: Sequence[str], get_uuid: Callable[[str, str], str | None]) -> XapiError:
    """Return a failure whose references are replaced by the UUIDs of what they mean, else masked.

    ``get_uuid(class_name, reference)`` asks the pool and returns None when the reference is not of that class.
    At most four references are asked for.
    """
    code = str(details[0])
    if code in ("HANDLE_INVALID", SESSION_INVALID):
        return mask_failure(details)
    references = dict.fromkeys(ref for param in details[1:] for ref in _REFERENCE.findall(str(param)))
    words = code.upper().split("_")
    likely_first = sorted(_CLASSES, key=lambda name: name.upper() not in words)
    names: dict[str, str] = {}
    for reference in list(references)[:_MAX_RESOLVED]:
        found = (get_uuid(name, reference) for name in likely_first)
        names[reference] = next((uuid for uuid in found if uuid), _MASK)
    named = [_REFERENCE.sub(lambda match: names.get(match[0], _MASK), str(param)) for param in details[1:]]
    return XapiError(code, tuple(named))
