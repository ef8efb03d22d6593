"""What happened to a run, in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from lmflow.db import records, schema
from lmflow.db.fence import Fence
from lmflow.db.transactions import Transactor
from lmflow.models import Event


class EventStore:
    """Versioned rows, numbered from 1 within a run. They are only ever appended."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    def append(self, fence: Fence, kind: str, data: Mapping[str, Any], version: int = 1) -> None:
        """Append an event; ``data`` has to be strict JSON (TypeError or ValueError otherwise) without any secret."""
        self._transactor.write(records.EventAppender(fence.run_uuid, kind, data, version).append, fence)

    def defer(self, fence: Fence, kind: str, data: Mapping[str, Any], version: int = 1) -> None:
        """Append an event with the run's next write, or with a barrier; it keeps the moment at which it happened.

        It is lost when this process is killed before. ``data`` as in append.
        """
        fence.deferred.append(fence.run_uuid, kind, records.to_text(dict(data)), version)
        self._transactor.note_deferring(fence)

    def list(
        self, run_uuid: str, kind: str | None = None, after: int = 0, *, patient: bool = True
    ) -> tuple[Event, ...]:
        """Return the events whose sequence is greater than ``after``, oldest first; deferred ones are written before.

        UnreachableError after an outage, at once when not ``patient``.
        """
        self._transactor.catch_up(run_uuid, kind, patient=patient)
        table = schema.events
        query = sa.select(table).where(table.c.run_uuid == run_uuid, table.c.sequence > after)
        if kind is not None:
            query = query.where(table.c.kind == kind)
        query = query.order_by(table.c.sequence)
        return self._transactor.read(
            lambda conn: tuple(records.make_event(row) for row in conn.execute(query)), patient=patient
        )
