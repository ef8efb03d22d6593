"""Faults of single calls, and points where a call is held until somebody lets it go."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from lmflow.simulator.clock import Clock

KINDS = frozenset({"close_before", "close_after", "delay", "hang", "session_invalid", "http_500"})
POINTS = frozenset({"request_read", "reply_written"})


def matches(wanted: str, delivered: str) -> bool:
    """Tell whether a call name fits: ``VM.pool_migrate`` also means its Async form, the reverse does not hold."""
    return wanted in {"*", delivered, delivered.removeprefix("Async.")}


@dataclass(slots=True)
class Fault:
    """What befalls the n-th delivery of a call, counted from when the fault was set; ``seconds`` of the pool."""

    call: str
    kind: str
    nth: int = 1
    seconds: float = 0.0
    seen: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give the fault as JSON-able data."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Hold:
    """A point of the n-th delivery of a call where the server stops until it is released."""

    call: str
    point: str
    nth: int = 1
    seen: int = 0
    there: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def to_json(self) -> dict[str, Any]:
        """Give the hold as JSON-able data; ``reached`` says whether a call stands there."""
        return {
            "call": self.call,
            "point": self.point,
            "nth": self.nth,
            "reached": self.there.is_set(),
            "released": self.released.is_set(),
        }


class Faults:
    """Counts deliveries and says what befalls them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []

    def add(self, call: str, kind: str, nth: int = 1, seconds: float = 0.0) -> Fault:
        """Set a fault; ValueError for an unknown kind."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}; known: {', '.join(sorted(KINDS))}")
        fault = Fault(call, kind, nth, seconds)
        with self._lock:
            self._faults.append(fault)
        return fault

    def hold(self, call: str, point: str, nth: int = 1) -> Hold:
        """Set a hold; ValueError for an unknown point."""
        if point not in POINTS:
            raise ValueError(f"unknown point {point!r}; known: {', '.join(sorted(POINTS))}")
        hold = Hold(call, point, nth)
        with self._lock:
            self._holds.append(hold)
        return hold

    def take(self, call: str) -> list[Fault]:
        """Count a delivery and give the faults that befall it; each befalls once."""
        due = []
        with self._lock:
            for fault in list(self._faults):
                if matches(fault.call, call):
                    fault.seen += 1
                    if fault.seen == fault.nth:
                        self._faults.remove(fault)
                        due.append(fault)
        return due

    def pass_point(self, call: str, point: str) -> None:
        """Block if a hold is set for this delivery at this point, until it is released."""
        due = []
        with self._lock:
            for hold in self._holds:
                if hold.point == point and not hold.released.is_set() and matches(hold.call, call):
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
