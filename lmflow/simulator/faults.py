"""Faults of single calls, and points where a call is held until somebody lets it go."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Any

from lmflow.simulator.clock import Clock
from lmflow.simulator.tasks import TaskHandle

TASK_KINDS = frozenset({"task_stuck", "task_vanishes"})
KINDS = TASK_KINDS | {
    "close_before",
    "reset_before",
    "delay",
    "hang",
    "session_invalid",
    "http_500",
    "http_503",
    "close_after",
    "reset_after",
    "truncated",
    "slow_reply",
}
"""``_before``: the call has no effect; ``_after``: it had, and only the reply is lost. ``close`` ends the connection
in order, ``reset`` with RST. ``truncated``: half of the body comes. ``slow_reply``: the reply comes in pieces that
take ``seconds`` together. ``hang`` without ``seconds`` lasts until the listener goes. ``session_invalid`` ends the
session first. ``task_stuck``: the task's record stays pending at ``progress`` for ever; ``task_vanishes``: it is
removed there; the work itself goes on. A task that never shows so much progress meets its fault when it ends."""
POINTS = frozenset({"request_read", "reply_written"})
_PIECES = 20
_LINGER_NOT = struct.pack("ii", 1, 0)


def matches(wanted: str, delivered: str) -> bool:
    """Tell whether a call name fits: ``VM.pool_migrate`` also means its Async form, the reverse does not hold."""
    return wanted in {"*", delivered, delivered.removeprefix("Async.")}


@dataclass(slots=True)
class Fault:
    """What befalls the n-th delivery of a call, counted from when the fault was set; ``seconds`` of the pool.

    ``host`` is the reference of the only host whose deliveries count; "" for all. ``progress`` is a task's, 0 to 1.
    """

    call: str
    kind: str
    nth: int = 1
    seconds: float = 0.0
    host: str = ""
    progress: float = 0.0
    seen: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give the fault as JSON-able data."""
        return {name: getattr(self, name) for name in self.__slots__}

    def befall_task(self, handle: TaskHandle) -> None:
        """Let a task just created meet this fault when it comes so far."""
        if self.kind == "task_stuck":
            handle.stuck_at = self.progress
        elif self.kind == "task_vanishes":
            handle.vanishes_at = self.progress


@dataclass(slots=True)
class Hold:
    """A point of the n-th delivery of a call where the server stops until it is released."""

    call: str
    point: str
    nth: int = 1
    host: str = ""
    seen: int = 0
    there: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def to_json(self) -> dict[str, Any]:
        """Give the hold as JSON-able data; ``reached`` says whether a call stands there."""
        return {
            "call": self.call,
            "point": self.point,
            "nth": self.nth,
            "host": self.host,
            "reached": self.there.is_set(),
            "released": self.released.is_set(),
        }


def _check_counts(nth: int, seconds: float = 0.0, progress: float = 0.0) -> None:
    if nth < 1 or seconds < 0 or not 0 <= progress <= 1:
        raise ValueError(f"nth is at least 1, seconds at least 0, progress 0 to 1, not {nth}, {seconds}, {progress}")


class Faults:
    """Counts deliveries and says what befalls them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []

    def add(
        self, call: str, kind: str, nth: int = 1, seconds: float = 0.0, *, host: str = "", progress: float = 0.0
    ) -> Fault:
        """Set a fault; ValueError for an unknown kind and numbers that make no sense."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; known: {', '.join(sorted(KINDS))}")
        _check_counts(nth, seconds, progress)
        fault = Fault(call, kind, nth, seconds, host, progress)
        with self._lock:
            self._faults.append(fault)
        return fault

    def hold(self, call: str, point: str, nth: int = 1, *, host: str = "") -> Hold:
        """Set a hold; ValueError for an unknown point."""
        if point not in POINTS:
            raise ValueError(f"unknown point {point!r}; known: {', '.join(sorted(POINTS))}")
        _check_counts(nth)
        hold = Hold(call, point, nth, host)
        with self._lock:
            self._holds.append(hold)
        return hold

    def take(self, call: str, host: str = "") -> list[Fault]:
        """Count a delivery to a host and give the faults that befall it; each befalls once."""
        due: list[Fault] = []
        if not self._faults:
            return due
        with self._lock:
            for fault in list(self._faults):
                if fault.host in {"", host} and matches(fault.call, call):
                    fault.seen += 1
                    if fault.seen == fault.nth:
                        self._faults.remove(fault)
                        due.append(fault)
        return due

    def pass_point(self, call: str, point: str, host: str = "") -> None:
        """Block if a hold is set for this delivery at this point, until it is released."""
        if not self._holds:
            return
        due = []
        with self._lock:
            for hold in self._holds:
                here = hold.point == point and hold.host in {"", host} and not hold.released.is_set()
                if here and matches(hold.call, call):
                    hold.seen += 1
                    if hold.seen == hold.nth:
                        due.append(hold)
        for hold in due:
            hold.there.set()
            hold.released.wait()

    def release(self) -> int:
        """Let every held call go and drop the holds; returns how many there were."""
        with self._lock:
            holds, self._holds = self._holds, []
        for hold in holds:
            hold.released.set()
        return len(holds)

    def clear(self) -> None:
        """Drop every fault that has not befallen yet, and every hold."""
        with self._lock:
            self._faults.clear()
        self.release()

    def faults(self) -> list[Fault]:
        """List the faults that are still to come."""
        with self._lock:
            return list(self._faults)

    def holds(self) -> list[Hold]:
        """List the holds that are set."""
        with self._lock:
            return list(self._holds)


# -- how a reply is put on its connection when it does not go there whole and at once


def reset(connection: socket.socket, _data: bytes, _dropped: threading.Event) -> None:
    """Send nothing and end the connection with RST."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    # Closed by its number: an orderly shutdown, or a file made of the socket, would keep the RST back.
    os.close(connection.detach())


def cut(connection: socket.socket, data: bytes, _dropped: threading.Event) -> None:
    """Send the head, which promises the whole body, and half of that body."""
    head, separator, body = data.partition(b"\r\n\r\n")
    connection.sendall(head + separator + body[: len(body) // 2])


@dataclass(frozen=True, slots=True)
class Dribble:
    """Sends a reply in pieces that take so many pool seconds together."""

    clock: Clock
    seconds: float

    def __call__(self, connection: socket.socket, data: bytes, dropped: threading.Event) -> None:
        """Send piece after piece, until the server closes the connection."""
        size = -(-len(data) // _PIECES)
        for start in range(0, len(data), size):
            connection.sendall(data[start : start + size])
            if self.clock.wait(self.seconds / _PIECES, dropped):
                return
