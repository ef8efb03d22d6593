"""The record of every call that was read from a socket, whatever became of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lmflow.simulator.database.schema import Message


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
    """A list that only grows; sessions and passwords are masked before they get in."""

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


def mask(message: Message | None, params: list[Any], is_session: Callable[[str], bool]) -> list[Any]:
    """Copy parameters without secrets; of an unknown message the first parameter is taken for a session."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, list):
            return [clean(item) for item in value]
        return "SESSION" if isinstance(value, str) and is_session(value) else value

    masked = [clean(value) for value in params]
    if message is None or message.needs_session:
        return ["SESSION", *masked[1:]] if masked else masked
    hidden = {index for index, param in enumerate(message.params) if "pwd" in param.name}
    return ["PASSWORD" if index in hidden else value for index, value in enumerate(masked)]
