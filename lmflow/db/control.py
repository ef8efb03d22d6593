"""Requests to the owner of a run, such as to cancel it. Anybody may ask; only the owner acts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from lmflow.db import records, schema
from lmflow.db.clock import Now
from lmflow.db.transactions import Transactor


@dataclasses.dataclass(frozen=True, slots=True)
class ControlRequest:
    """One request; ``number`` grows over all runs."""

    number: int
    run_uuid: str
    kind: str
    at: float
    data: Mapping[str, Any]


class ControlStore:
    """Requests are appended without a fence, since those who ask do not own the run."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    def append(self, run_uuid: str, kind: str, data: Mapping[str, Any] | None = None) -> int:
        """Ask the owner of a run for something and return the request's number.

        Asked twice over an outage, it may stand there twice.
        """
        values = {"run_uuid": run_uuid, "kind": kind, "at": Now(), "data": records.to_text(dict(data or {}))}

        def work(conn: sa.Connection) -> int:
            _queue_up(conn)
            made = conn.execute(sa.insert(schema.control).values(**values).returning(schema.control.c.id))
            return int(made.scalar_one())

        return self._transactor.write(work, alone=True)

    def list(self, run_uuid: str, after: int = 0, *, patient: bool = True) -> tuple[ControlRequest, ...]:
        """Return the requests for a run with a greater number than ``after``, oldest first.

        UnreachableError after an outage, at once when not ``patient``.
        """
        table = schema.control
        query = sa.select(table).where(table.c.run_uuid == run_uuid, table.c.id > after).order_by(table.c.id)
        return self._transactor.read(lambda conn: _make_requests(conn, query, {}), patient=patient)

    def list_since(self, after: int) -> tuple[ControlRequest, ...]:
        """Return the requests for all runs with a greater number than ``after``, oldest first.

        Numbers become visible in their order, so that none is missed. UnreachableError at once.
        """
        return self._transactor.read(lambda conn: _make_requests(conn, _SINCE, {"after": after}), patient=False)


_SINCE = sa.select(schema.control).where(schema.control.c.id > sa.bindparam("after")).order_by(schema.control.c.id)
_LAST = sa.select(schema.control.c.id).order_by(schema.control.c.id.desc()).limit(1).with_for_update()
_LOCK = sa.select(sa.func.pg_advisory_xact_lock(0x6C6D666C6F77 + 1))


def _queue_up(conn: sa.Connection) -> None:
    """Let those who ask commit one after the other: who has read a number must not find a smaller one later."""
    conn.execute(_LOCK if conn.dialect.name == "postgresql" else _LAST)


def _make_requests(conn: sa.Connection, query: sa.Select[Any], values: Mapping[str, Any]) -> tuple[ControlRequest, ...]:
    return tuple(
        ControlRequest(number=row.id, run_uuid=row.run_uuid, kind=row.kind, at=row.at, data=json.loads(row.data))
        for row in conn.execute(query, values)
    )
