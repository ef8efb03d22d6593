"""The record of every call that was read from a socket, whatever became of it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lmflow.simulator.database.schema import Message

SESSION = "SESSION"
PASSWORD = "PASSWORD"  # noqa: S105 - what stands in the place of one
INTERNAL = "internal"
"""Stands in the place of the host for a call that the coordinator made on its own behalf."""
TEXT_LIMIT = 1000
"""Longer texts are cut: the log only grows."""
_SECRET_NAME = re.compile(r"passw|pwd|private_key|token|secret|session", re.IGNORECASE)
_IDENTIFIER = re.compile(r"(?:OpaqueRef:)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_IDENTIFIER_CHARS = 36
_IN_QUERY = re.compile(r"(session_id=)[^&\s]+")
_NEVER_SECRET = frozenset({"self", "uuid"})


@dataclass(slots=True)
class Entry:
    """One call. ``effect`` is None until it is known; ``outcome`` is "" until the call has ended."""

    seq: int
    at: float
    host: str
    method: str
    params: list[Any]
    session: str = ""
    task: str = ""
    effect: bool | None = None
    outcome: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give the columns as JSON-able data."""
        return {name: getattr(self, name) for name in self.__slots__}


class Audit:
    """A list that only grows; what gets in must have been masked."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def begin(self, host: str, method: str, params: list[Any], session: str = "") -> Entry:
        """Write down a call the moment it was read."""
        with self._lock:
            entry = Entry(len(self._entries) + 1, self._now(), host, method, params, session)
            self._entries.append(entry)
            return entry

    def entries(self) -> list[Entry]:
        """List what was written down so far, oldest first."""
        with self._lock:
            return list(self._entries)

    def to_json(self) -> list[dict[str, Any]]:
        """Give all entries as JSON-able data."""
        return [entry.to_json() for entry in self.entries()]


def hide_references(value: Any, was_issued: Callable[[str], bool]) -> Any:
    """Copy JSON-able data with every reference of a session replaced, wherever in a text it stands."""

    def replace(found: re.Match[str]) -> str:
        return SESSION if was_issued(f"OpaqueRef:{found[1]}") else found[0]

    def hide(item: Any) -> Any:
        if isinstance(item, dict):
            return {hide(key): hide(inner) for key, inner in item.items()}
        if isinstance(item, list):
            return [hide(inner) for inner in item]
        is_long = isinstance(item, str) and len(item) >= _IDENTIFIER_CHARS
        return _IDENTIFIER.sub(replace, item) if is_long else item

    return hide(value)


def clean(value: Any, was_issued: Callable[[str], bool]) -> Any:
    """Copy data without references of sessions and without what a key calls a secret; long texts are cut."""
    return _trim(hide_references(value, was_issued))


def _trim(value: Any) -> Any:
    if isinstance(value, dict):
        hidden = {key for key in value if isinstance(key, str) and _SECRET_NAME.search(key)}
        return {_trim(key): PASSWORD if key in hidden else _trim(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_trim(item) for item in value]
    if not isinstance(value, str):
        return value
    text = _IN_QUERY.sub(rf"\1{SESSION}", value)
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}... ({len(text)} characters)"


def mask(message: Message | None, params: list[Any], was_issued: Callable[[str], bool]) -> list[Any]:
    """Copy parameters without secrets.

    Of an unknown message the first parameter is taken for a session, all others for passwords: it may be a misspelt
    log-in. So is what comes behind the last parameter of a known one, and all of it where some are missing: a password
    then stands in the place of something else.
    """
    if message is None:
        return [SESSION, *[PASSWORD] * (len(params) - 1)] if params else []
    offset = 1 if message.needs_session else 0
    masked: list[Any] = [SESSION] * min(offset, len(params))
    is_short = len(params) - offset < sum(param.required for param in message.params)
    if is_short and any(_is_secret(message, param.name, []) for param in message.params):
        return masked + [PASSWORD] * (len(params) - len(masked))
    for index, value in enumerate(params[offset:]):
        known = message.params[index] if index < len(message.params) else None
        if known is not None and known.type == "session ref":
            masked.append(SESSION)
        elif known is None or _is_secret(message, known.name, params[offset : offset + index]):
            masked.append(PASSWORD)
        else:
            masked.append(clean(value, was_issued))
    return masked


def _is_secret(message: Message, name: str, before: list[Any]) -> bool:
    """Tell whether a parameter holds a secret, by its name or by the key that comes before a value."""
    if message.cls == "event":
        return False  # the token of event.from is a number of changes
    if message.cls == "secret":
        return name not in _NEVER_SECRET
    key = before[-1] if name == "value" and before else ""
    return bool(_SECRET_NAME.search(name) or (isinstance(key, str) and _SECRET_NAME.search(key)))
