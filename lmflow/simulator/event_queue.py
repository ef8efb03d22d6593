"""event.register and event.next: every single change since a session's last question, while the queue holds it."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from lmflow.simulator.clock import Clock
from lmflow.simulator.database.store import Store
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.sessions import Sessions
from lmflow.simulator.subscription import Subscription, class_names, read_texts
from lmflow.simulator.wire.codec import encode_value

LIMIT_BYTES = 10_000_000
"""How much the queue holds of what somebody registered for. Source: xapi_event.ml."""


@dataclass
class _Listener:
    texts: list[str]
    wanted: Subscription
    next_id: int


@dataclass
class _Queue:
    events: deque[tuple[int, dict[str, Any]]] = field(default_factory=deque)
    """(bytes, event), oldest first."""
    size_bytes: int = 0
    first_id: int = 0
    next_id: int = 0


class EventQueue:
    """Keeps what happens to the classes that any session registered for; nothing is kept while none did.

    Identifiers count the events that went into the queue, from 0.
    """

    def __init__(self, store: Store, clock: Clock, sessions: Sessions) -> None:
        self._store = store
        self._clock = clock
        self._sessions = sessions
        self._names = class_names(store.schema)
        self._listeners: dict[str, _Listener] = {}
        self._queue = _Queue()

    @property
    def current_id(self) -> int:
        """The identifier that the next event will have."""
        return self._queue.next_id

    def register(self, session_ref: str, texts: list[str]) -> None:
        """Let a session be told of these classes too, from now on."""
        with self._store.lock:
            known = self._ensure_listener(session_ref)
            known.texts += texts
            known.wanted = read_texts(self._names, known.texts)

    def unregister(self, session_ref: str, texts: list[str]) -> None:
        """Let a session be told of these classes no more; afterwards it is registered, whatever it was."""
        with self._store.lock:
            known = self._ensure_listener(session_ref)
            known.texts = [text for text in known.texts if text not in texts]
            known.wanted = read_texts(self._names, known.texts)

    def wait_for_next(self, session_ref: str) -> list[dict[str, Any]]:
        """Give what happened since the session asked last; blocks until something did.

        SESSION_NOT_REGISTERED; SESSION_INVALID when the session ends meanwhile; EVENTS_LOST when the queue was full.
        """
        with self._store.changed:
            known = self._listener_of(session_ref)
            while True:
                first, known.next_id = known.next_id, self._queue.next_id
                if first < self._queue.first_id:
                    raise ApiFailure("EVENTS_LOST")
                events = [event for _, event in self._queue.events if int(event["id"]) >= first]
                wanted = [event for event in events if known.wanted.wants(self._names[event["class"]], event["ref"])]
                if wanted:
                    return wanted
                self._store.changed.wait()
                if not self._sessions.is_valid(session_ref):
                    self._listeners.pop(session_ref, None)
                    raise ApiFailure("SESSION_INVALID", session_ref)

    def heartbeat(self) -> None:
        """Tell whoever registered for the pool that it changed, and wake whoever waits; the database has no change."""
        with self._store.changed:
            for ref in self._store.refs("pool"):
                self._hear("mod", "pool", ref)
            self._store.changed.notify_all()

    def lose_all(self) -> None:
        """Forget everything, as the end of the coordinator's toolstack does."""
        with self._store.lock:
            self._listeners.clear()
            self._queue = _Queue()
            if self._hear in self._store.listeners:
                self._store.listeners.remove(self._hear)

    def _ensure_listener(self, session_ref: str) -> _Listener:
        if self._hear not in self._store.listeners:
            self._store.listeners.append(self._hear)
        fresh = _Listener([], read_texts(self._names, []), self._queue.next_id)
        return self._listeners.setdefault(session_ref, fresh)

    def _listener_of(self, session_ref: str) -> _Listener:
        try:
            return self._listeners[session_ref]
        except KeyError:
            raise ApiFailure("SESSION_NOT_REGISTERED", track_id(session_ref)) from None

    def _hear(self, operation: str, cls: str, ref: str) -> None:
        """Put a change into the queue if any session wants it; the lock is held."""
        self._forget_ended()
        if not any(known.wanted.wants(cls, ref) for known in self._listeners.values()):
            return
        queue = self._queue
        event = {
            "id": str(queue.next_id),
            "timestamp": f"{int(self._clock.now())}.",
            "class": cls.lower(),
            "operation": operation,
            "ref": ref,
            "snapshot": self._store.snapshot(cls, ref),
        }
        size = len(encode_value(event))
        queue.events.append((size, event))
        queue.next_id += 1
        queue.size_bytes += size
        while queue.size_bytes > LIMIT_BYTES:
            queue.size_bytes -= queue.events.popleft()[0]
            queue.first_id += 1

    def _forget_ended(self) -> None:
        ended = [ref for ref in self._listeners if not self._sessions.is_valid(ref)]
        for ref in ended:
            del self._listeners[ref]


def track_id(session_ref: str) -> str:
    """Give the name by which XAPI's logs and refusals speak of a session without telling its reference."""
    return f"trackid={hashlib.md5(session_ref.encode(), usedforsecurity=False).hexdigest()}"
