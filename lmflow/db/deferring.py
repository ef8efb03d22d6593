"""What may wait for the next transaction: of each row the last values, and events in their order."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from lmflow.db import schema
from lmflow.db.clock import Now

_EVENTS = schema.events
_LAST = sa.select(sa.func.coalesce(sa.func.max(_EVENTS.c.sequence), 0)).where(
    _EVENTS.c.run_uuid == sa.bindparam("event_run")
)
_AT = sa.select(_EVENTS.c.kind, _EVENTS.c.data).where(
    _EVENTS.c.run_uuid == sa.bindparam("event_run"), _EVENTS.c.sequence == sa.bindparam("event_sequence")
)
_INSERT_EVENTS = sa.insert(_EVENTS).values(at=Now() - sa.bindparam("age", type_=sa.Double()))


class RowGone(LookupError):  # noqa: N818 - says what is the case
    """A row that was to be changed is not there: somebody has deleted its logbook."""


class RowKind:
    """The statements of one table whose key is ``uuid``, made once so that they are compiled once."""

    def __init__(self, table: sa.Table) -> None:
        self.name = table.name
        self.insert = sa.insert(table)
        self.update = sa.update(table).where(table.c.uuid == sa.bindparam("key"))
        self.present = sa.select(table.c.uuid).where(table.c.uuid.in_(sa.bindparam("keys", expanding=True)))


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    """The last values of a row; ``rest`` are the columns that only a new one is given, None for one that is there."""

    values: Mapping[str, Any]
    rest: Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True, slots=True)
class DeferredEvent:
    """An event of a run, with the moment when it happened (monotonic); ``text`` is strict JSON."""

    run_uuid: str
    kind: str
    text: str
    version: int
    happened: float

    def make_values(self, sequence: int, now: float) -> dict[str, Any]:
        """Return what is inserted."""
        return {
            "run_uuid": self.run_uuid,
            "sequence": sequence,
            "age": max(0.0, now - self.happened),
            "kind": self.kind,
            "version": self.version,
            "data": self.text,
        }


class Deferred:
    """Writes that wait. Any thread may add some; a transaction writes all there are, and says when it is committed.

    Between ``write`` and ``committed`` nothing is forgotten: a transaction that came to nothing, or whose commit got no
    answer, is followed by another one that writes the same. The holder's lock keeps transactions apart.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.since: float | None = None
        self._monotonic = monotonic
        self._mutex = threading.Lock()
        self._rows: dict[RowKind, dict[str, _Row]] = {}
        self._events: list[DeferredEvent] = []
        self._written: tuple[dict[RowKind, dict[str, _Row]], int] = ({}, 0)
        self._tried = False
        self._tried_events: tuple[int, int] = (0, 0)  # the first's sequence, how many

    def put(self, kind: RowKind, values: Mapping[str, Any], *, rest: Mapping[str, Any] | None = None) -> None:
        """Let a row have these values (all of them, with its ``uuid``); with ``rest`` it is a new one."""
        with self._mutex:
            rows = self._rows.setdefault(kind, {})
            before = rows.get(values["uuid"])
            if before is not None and before.rest is not None:
                rest = before.rest
            rows[values["uuid"]] = _Row(values, rest)
            self._begin()

    def append(self, run_uuid: str, kind: str, text: str, version: int) -> None:
        """Let an event be appended that happens now."""
        with self._mutex:
            self._events.append(DeferredEvent(run_uuid, kind, text, version, self._monotonic()))
            self._begin()

    def has_events(self, kind: str | None) -> bool:
        """Say whether an event of that kind waits; of any kind for None."""
        with self._mutex:
            return any(kind in (None, event.kind) for event in self._events)

    def write(self, conn: sa.Connection) -> None:
        """Write everything in the caller's transaction. RowGone when a row is not there."""
        if self.since is None:
            return
        with self._mutex:
            rows = {kind: dict(waiting) for kind, waiting in self._rows.items() if waiting}
            events = list(self._events)
            tried, self._tried = self._tried, True
            self._written = (rows, len(events))
        for kind, waiting in rows.items():
            _write_rows(conn, kind, waiting, tried=tried)
        self._append_events(conn, events)

    def committed(self) -> None:
        """Forget what the last ``write`` wrote, but not what has been added since."""
        if self.since is None:
            return
        with self._mutex:
            rows, count = self._written
            for kind, written in rows.items():
                self._settle(self._rows[kind], written)
            del self._events[:count]
            self._written, self._tried, self._tried_events = ({}, 0), False, (0, 0)
            waiting = self._events or any(self._rows.values())
            self.since = self._monotonic() if waiting else None

    def clear(self) -> None:
        """Forget everything: the right to write it is gone, or what it belongs to."""
        with self._mutex:
            self._rows, self._events = {}, []
            self._written, self._tried, self._tried_events = ({}, 0), False, (0, 0)
            self.since = None

    def _begin(self) -> None:
        if self.since is None:
            self.since = self._monotonic()

    def _settle(self, waiting: dict[str, _Row], written: Mapping[str, _Row]) -> None:
        for key, row in written.items():
            if waiting[key] is row:
                del waiting[key]
            else:  # newer values of a row that is there by now
                waiting[key] = _Row(waiting[key].values, None)

    def _append_events(self, conn: sa.Connection, events: list[DeferredEvent]) -> None:
        first, count = self._tried_events
        if count and _is_there(conn, events[0], first):
            with self._mutex:
                del self._events[:count]
                self._written = (self._written[0], len(events) - count)
            events = events[count:]
        self._tried_events = (0, 0)
        if not events:
            return
        last = int(conn.execute(_LAST, {"event_run": events[0].run_uuid}).scalar_one())
        self._tried_events = (last + 1, len(events))
        now = self._monotonic()
        conn.execute(_INSERT_EVENTS, [event.make_values(last + 1 + number, now) for number, event in enumerate(events)])


def _is_there(conn: sa.Connection, event: DeferredEvent, sequence: int) -> bool:
    """Say whether an earlier transaction, whose commit got no answer, has appended the event."""
    row = conn.execute(_AT, {"event_run": event.run_uuid, "event_sequence": sequence}).first()
    return row is not None and (row.kind, row.data) == (event.kind, event.text)


def _write_rows(conn: sa.Connection, kind: RowKind, rows: Mapping[str, _Row], *, tried: bool) -> None:
    """Insert the new rows and update the others, in a statement each; when ``tried`` before, look what is there."""
    new = {key for key, row in rows.items() if row.rest is not None}
    if new and tried:
        new -= set(conn.execute(kind.present, {"keys": list(new)}).scalars())
    inserts = [{**row.values, **(row.rest or {})} for key, row in rows.items() if key in new]
    updates = [_make_update(row.values) for key, row in rows.items() if key not in new]
    if inserts:
        conn.execute(kind.insert, inserts)
    if updates:
        found = conn.execute(kind.update, updates).rowcount
        if found != len(updates):
            raise RowGone(f"{len(updates) - found} of {len(updates)} rows of {kind.name} are not there")


def _make_update(values: Mapping[str, Any]) -> dict[str, Any]:
    return {("key" if name == "uuid" else name): value for name, value in values.items()}
