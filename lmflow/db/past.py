"""What stays of a run when its records are pruned: a row by which its request id goes on to name it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa

from lmflow.db import records, schema, selecting
from lmflow.db.clock import Now
from lmflow.exceptions import DamagedError
from lmflow.models import Event, MoveRequest, Remnant, Run, RunState

Recall = Callable[[Run, tuple[Event, ...]], Remnant]
"""What is to be kept of a run's end, made of its records."""

_PAST = schema.requests_past
_NAME = "its row of lmflow_requests_past"


def make_rows(conn: sa.Connection, run_uuids: Collection[str], recall: Recall) -> dict[str, dict[str, Any]]:
    """Read these runs with all their events, and return what is to be kept of each, by its UUID."""
    events: dict[str, list[sa.Row[Any]]] = {uuid: [] for uuid in run_uuids}
    query = sa.select(schema.events).where(schema.events.c.run_uuid.in_(run_uuids)).order_by(schema.events.c.sequence)
    for event in conn.execute(query):
        events[event.run_uuid].append(event)
    rows = conn.execute(sa.select(schema.runs).where(schema.runs.c.uuid.in_(run_uuids)))
    return {row.uuid: _make_row(row, events[row.uuid], recall) for row in rows}


def _make_row(row: sa.Row[Any], events: Sequence[sa.Row[Any]], recall: Recall) -> dict[str, Any]:
    return {
        "request_id": row.request_id,
        "run_uuid": row.uuid,
        "first_uuid": row.parent_uuid or row.uuid,
        "kind": row.kind,
        "state": row.state,
        "request": row.request,
        "summary": row.summary,
        "ending": _make_ending(row, events, recall),
        "created_at": row.created_at,
        "ended_at": row.updated_at,
    }


def _make_ending(row: sa.Row[Any], events: Sequence[sa.Row[Any]], recall: Recall) -> str:
    try:
        with records.reading(row.uuid, "its events"):
            remnant = recall(records.make_run(row), tuple(map(records.make_event, events)))
            return records.to_text(remnant.to_json())
    except DamagedError:  # nobody can read it, and the state stands in the row: that is no reason to keep it for ever
        return "{}"


def keep(conn: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows. An id that has one stays with it: an lmflow without this table may have used it again."""
    known = sa.select(_PAST.c.request_id).where(_PAST.c.request_id.in_([row["request_id"] for row in rows]))
    taken = set(conn.execute(known).scalars())
    new = [row for row in rows if row["request_id"] not in taken]
    if new:
        conn.execute(sa.insert(_PAST).values(pruned_at=Now()), new)


def find_request(conn: sa.Connection, request_id: str) -> Run | None:
    """Return the run of exactly this request id, if it was pruned."""
    return _find(conn, _PAST.c.request_id == request_id)


def find_run(conn: sa.Connection, run_uuid: str) -> Run | None:
    """Return the run of exactly this UUID, if it was pruned."""
    return _find(conn, _PAST.c.run_uuid == run_uuid)


def list_by_prefix(conn: sa.Connection, text: str, limit: int) -> tuple[Run, ...]:
    """Return the runs that were pruned and whose UUID begins with the text, newest first; none for an empty text."""
    condition = selecting.make_prefix_condition(text, _PAST.c.run_uuid)
    return () if condition is None else _list(conn, condition, limit)


def list_tries(conn: sa.Connection, first_uuid: str) -> tuple[Run, ...]:
    """Return every try of a request that was pruned, in no order."""
    return _list(conn, _PAST.c.first_uuid == first_uuid, None)


def list_old(
    conn: sa.Connection, until: float, states: Collection[RunState], after: str, limit: int
) -> tuple[str, list[tuple[str, int]]]:
    """Look through the requests behind that first try, in the order of UUIDs, for those that may be forgotten.

    Those are they whose tries all ended before the moment, the last of them in one of the states. Returns the UUID of
    the last first try that was looked at, '' at the end, and of each that was found its UUID and the number of tries.
    """
    grouped = sa.select(_PAST.c.first_uuid).where(_PAST.c.first_uuid > after).group_by(_PAST.c.first_uuid)
    old = grouped.having(sa.func.max(_PAST.c.ended_at) < until).order_by(_PAST.c.first_uuid).limit(limit)
    firsts = list(conn.execute(old).scalars())
    query = sa.select(_PAST.c.first_uuid, _PAST.c.state).where(_PAST.c.first_uuid.in_(firsts))
    tries: dict[str, list[str]] = {first: [] for first in firsts}
    for row in conn.execute(query.order_by(_PAST.c.created_at)):
        tries[row.first_uuid].append(row.state)
    found = [(first, len(ends)) for first, ends in tries.items() if ends and ends[-1] in states]
    return firsts[-1] if firsts else "", found


def forget(conn: sa.Connection, firsts: Collection[str]) -> None:
    """Delete the rows of these requests: their ids are free."""
    conn.execute(sa.delete(_PAST).where(_PAST.c.first_uuid.in_(firsts)))


def _find(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> Run | None:
    return next(iter(_list(conn, condition, 1)), None)


def _list(conn: sa.Connection, condition: sa.ColumnElement[bool], limit: int | None) -> tuple[Run, ...]:
    query = sa.select(_PAST).where(condition).order_by(_PAST.c.created_at.desc(), _PAST.c.run_uuid.desc()).limit(limit)
    return tuple(_make_run(row) for row in conn.execute(query))


def _make_run(row: sa.Row[Any]) -> Run:
    with records.reading(row.run_uuid, _NAME):
        return Run(
            uuid=row.run_uuid,
            kind=row.kind,
            state=RunState(row.state),
            phase="",
            request=MoveRequest.from_json(json.loads(row.request)),
            logbook_uuid="",
            move_uuid="",
            settle_uuid="",
            created_at=row.created_at,
            updated_at=row.ended_at,
            summary=row.summary,
            parent_uuid=None if row.first_uuid == row.run_uuid else row.first_uuid,
            remnant=Remnant.from_json({**json.loads(row.ending), "pruned_at": row.pruned_at}),
        )
