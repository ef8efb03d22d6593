"""event.from: what changed since a token, coalesced to one event an object."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from lmflow.simulator.clock import Clock
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.sessions import Sessions
from lmflow.simulator.store import Store
from lmflow.simulator.values import Int32

BATCH_SECONDS = 0.05
"""XAPI waits that long before it collects, unless only tasks are asked for. Source: xapi_globs.ml."""
_SHORTEST_WAIT_SECONDS = 0.02
_TOKEN = re.compile(r"\A(\d+),(\d+)\Z")


@dataclass(frozen=True, slots=True)
class Subscription:
    """Classes subscribed to as a whole, and single objects by (class, reference)."""

    classes: frozenset[str]
    objects: frozenset[tuple[str, str]]

    @property
    def involved(self) -> frozenset[str]:
        """Every class that may give an event."""
        return self.classes | {cls for cls, _ in self.objects}

    def wants(self, cls: str, ref: str) -> bool:
        """Tell whether an object is subscribed to."""
        return cls in self.classes or (cls, ref) in self.objects


class Events:
    """Answers event.from; blocks the caller's thread."""

    def __init__(self, store: Store, clock: Clock, sessions: Sessions) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._by_lower = {c.name.lower(): c.name for c in store.schema.classes.values() if c.has_events}

    def subscribe(self, texts: list[str]) -> Subscription:
        """Read a list of ``*``, ``class`` and ``class/reference``; unknown classes give nothing."""
        classes: set[str] = set()
        objects: set[tuple[str, str]] = set()
        for text in texts:
            name, slash, ref = text.partition("/")
            if text == "*":
                classes.update(self._by_lower.values())
            elif name.lower() in self._by_lower:
                known = self._by_lower[name.lower()]
                if slash:
                    objects.add((known, ref))
                else:
                    classes.add(known)
        return Subscription(frozenset(classes), frozenset(objects))

    def from_token(self, session_ref: str, texts: list[str], token: str, timeout_seconds: float) -> dict[str, Any]:
        """Wait (pool seconds; for ever when negative) for changes since the token; SESSION_INVALID when it ends."""
        first, second = self._parse(token)
        wanted = self.subscribe(texts)
        real_timeout = self._clock.real(timeout_seconds)
        if timeout_seconds > 0:
            real_timeout = max(real_timeout, min(_SHORTEST_WAIT_SECONDS, timeout_seconds))
        deadline = None if timeout_seconds < 0 else time.monotonic() + real_timeout
        batching = self._clock.real(BATCH_SECONDS) if wanted.involved - {"task"} else 0.0
        while True:
            if batching:
                time.sleep(batching)
            with self._store.changed:
                self._check_session(session_ref)
                events = self._collect(wanted, first, second)
                rest = None if deadline is None else deadline - time.monotonic()
                if events or (rest is not None and rest <= 0):
                    return self._reply(events, first, second)
                self._store.changed.wait(rest)

    def _check_session(self, session_ref: str) -> None:
        if not (self._sessions.is_valid(session_ref) or self._sessions.is_local(session_ref)):
            raise ApiFailure("SESSION_INVALID", session_ref)

    def _parse(self, token: str) -> tuple[int, int]:
        if not token:
            return -1, -1
        found = _TOKEN.match(token)
        if found is None:
            raise ApiFailure("EVENT_FROM_TOKEN_PARSE_FAILURE", token)
        return int(found.group(1)), int(found.group(2))

    def _collect(self, wanted: Subscription, first: int, second: int) -> list[dict[str, Any]]:
        found: dict[str, list[dict[str, Any]]] = {"message": [], "add": [], "mod": [], "del": []}
        plain = wanted.involved - {"message"}
        changes = self._store.changes_since(first, plain)
        gone = self._store.deleted_since(first, plain) if first >= 0 else []
        if "message" in wanted.involved:
            changes += self._store.changes_since(second, {"message"})
        for generation, cls, ref, is_new in changes:
            if wanted.wants(cls, ref):
                kind = "add" if is_new else "mod"
                event = self._event(generation, cls, kind, ref)
                event["snapshot"] = self._store.record(cls, ref)
                found["message" if cls == "message" else kind].append(event)
        for generation, cls, ref in gone:
            if wanted.wants(cls, ref):
                found["del"].append(self._event(generation, cls, "del", ref))
        return [event for kind in found.values() for event in kind]

    @staticmethod
    def _event(generation: int, cls: str, operation: str, ref: str) -> dict[str, Any]:
        return {
            "id": str(generation),
            "timestamp": "0.0",
            "class": cls.lower(),
            "operation": operation,
            "ref": ref,
        }

    def _reply(self, events: list[dict[str, Any]], first: int, second: int) -> dict[str, Any]:
        generation = self._store.generation
        new_first, new_second = max(first, 0), max(second, 0)
        if events or first < 0:
            new_first = generation
        if any(event["class"] == "message" for event in events):
            new_second = generation
        counts = sorted(self._store.counts().items(), reverse=True)
        return {
            "events": events,
            "valid_ref_counts": {cls.lower(): Int32(count) for cls, count in counts},
            "token": f"{new_first:020d},{new_second:020d}",
        }
