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
            made = conn.execute(sa.insert(schema.control).values(**values).returning(schema.control.c.id))
            return int(made.scalar_one())

        return self._transactor.write(work)

    def list(self, run_uuid: str, after: int = 0, *, patient: bool = True) -> tuple[ControlRequest, ...]:
        """Return the requests for a run with a greater number than ``after``, oldest first.

        UnreachableError after an outage, at once when not ``patient``.
        """
        table = schema.control
        query = sa.select(table).where(table.c.run_uuid == run_uuid, table.c.id > after).order_by(table.c.id)

        def work(conn: sa.Connection) -> tuple[ControlRequest, ...]:
            return tuple(
                ControlRequest(
                    number=row.id, run_uuid=row.run_uuid, kind=row.kind, at=row.at, data=json.loads(row.data)
                )
                for row in conn.execute(query)
            )

        return self._transactor.read(work, patient=patient)
