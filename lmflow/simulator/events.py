"""event.from: what changed since a token, coalesced to one event an object."""

from __future__ import annotations

import math
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import Int32
from lmflow.simulator.event_queue import EventQueue
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.sessions import Sessions
from lmflow.simulator.subscription import Subscription, class_names, read_texts

BATCH_SECONDS = 0.05
"""XAPI waits that long before it collects, unless only tasks are asked for. Source: xapi_globs.ml."""
_SHORTEST_WAIT_SECONDS = 0.02
_TOKEN = re.compile(r"\A([0-9]{1,40}),([0-9]{1,40})\Z")
_LARGEST_NUMBER = 2**63 - 1
_NOT_IN_DATABASE = frozenset({"message", "role"})
"""Classes that XAPI keeps elsewhere than in its database; their references are not counted."""
_MESSAGE = "message"


@dataclass
class _Batch:
    """What was found: events in the order of XAPI, and how far the database and the messages were read."""

    database: int
    messages: int
    events: list[dict[str, Any]] = field(default_factory=list)


class Events:
    """Answers event.from; blocks the caller's thread. ``queue`` answers event.next."""

    def __init__(self, store: Store, clock: Clock, sessions: Sessions) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._names = class_names(store.schema)
        self._order = {name: index for index, name in enumerate(self._names.values())}
        self.queue = EventQueue(store, clock, sessions)

    def from_token(self, session_ref: str, texts: list[str], token: str, timeout_seconds: float) -> dict[str, Any]:
        """Wait (pool seconds; for ever when negative) for changes since the token; SESSION_INVALID when it ends."""
        first, second = self._parse(token)
        wanted = read_texts(self._names, texts)
        # No time is later than a time that is no number, in OCaml as here: it is over at once.
        timeout_seconds = 0.0 if math.isnan(timeout_seconds) else timeout_seconds
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
                batch = self._collect(wanted, first, second)
                rest = None if deadline is None else deadline - time.monotonic()
                if batch.events or (rest is not None and rest <= 0):
                    return self._reply(batch)
                self._store.changed.wait(None if rest is None else min(rest, threading.TIMEOUT_MAX))

    def _check_session(self, session_ref: str) -> None:
        if not (self._sessions.is_valid(session_ref) or self._sessions.is_local(session_ref)):
            raise ApiFailure("SESSION_INVALID", session_ref)

    def _parse(self, token: str) -> tuple[int, int]:
        if not token:
            return 0, 0
        found = _TOKEN.match(token)
        numbers = [int(text) for text in found.groups()] if found else []
        if not numbers or max(numbers) > _LARGEST_NUMBER:
            raise ApiFailure("EVENT_FROM_TOKEN_PARSE_FAILURE", token)
        return numbers[0], numbers[1]

    def _collect(self, wanted: Subscription, first: int, second: int) -> _Batch:
        """Read messages and the database; a change that leaves nothing to tell moves the token all the same."""
        batch = _Batch(first, 0)
        if _MESSAGE in wanted.involved:
            self._collect_messages(batch, wanted, second)
        store, plain = self._store, wanted.involved - {_MESSAGE}
        found: dict[str, list[dict[str, Any]]] = {"add": [], "mod": [], "del": []}
        for modified, cls, ref, is_new in store.changes_since(first, plain):
            if wanted.wants(cls, ref):
                kind = "add" if is_new else "mod"
                number = store.created(cls, ref) if is_new else modified
                found[kind].append({**_event(number, cls, kind, ref), "snapshot": store.snapshot(cls, ref)})
                batch.database = max(batch.database, modified)
        for deleted, cls, ref in store.deleted_since(first, plain):
            if wanted.wants(cls, ref):
                found["del"].append(_event(deleted, cls, "del", ref))
                batch.database = max(batch.database, deleted)
        for events in found.values():
            batch.events += sorted(events, key=self._place)
        return batch

    def _collect_messages(self, batch: _Batch, wanted: Subscription, second: int) -> None:
        """Messages come first, oldest first, and all have the number 0."""
        store, batch.messages = self._store, second
        changes = [(*item[:3], "add") for item in store.changes_since(second, {_MESSAGE})]
        changes += [(*item, "del") for item in store.deleted_since(second, {_MESSAGE})]
        for generation, cls, ref, kind in sorted(changes):
            if wanted.wants(cls, ref):
                snapshot = {"snapshot": store.snapshot(cls, ref)} if kind == "add" else {}
                batch.events.append({**_event(0, cls, kind, ref), **snapshot})
                batch.messages = max(batch.messages, generation)

    def _place(self, event: dict[str, Any]) -> tuple[int, str]:
        return self._order[self._names[event["class"]]], event["ref"]

    def _reply(self, batch: _Batch) -> dict[str, Any]:
        counts = sorted(self._store.counts().items(), reverse=True)
        return {
            "events": batch.events,
            "valid_ref_counts": {cls.lower(): Int32(0 if cls in _NOT_IN_DATABASE else count) for cls, count in counts},
            "token": f"{batch.database:020d},{batch.messages:020d}",
        }


def _event(number: int, cls: str, operation: str, ref: str) -> dict[str, Any]:
    return {"id": str(number), "timestamp": "0.0", "class": cls.lower(), "operation": operation, "ref": ref}
