"""TaskFlow's persistence for one run: behind its fence, and deferred until the run's next write."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from taskflow.persistence import base
from taskflow.persistence import models as tf_models

from lmflow.db import records
from lmflow.db.fence import Fence
from lmflow.db.persistence.connection import Connection, Inserts, KnownFlow
from lmflow.db.persistence.encoding import Rules, encode_book
from lmflow.db.persistence.reading import find_flow
from lmflow.db.persistence.tables import BOOKS
from lmflow.db.transactions import Transactor

# What a step may return, the base task says; here is the last door before the disk.
_RULES = Rules(clean=records.mask)


class FencedBackend(base.Backend):
    """A backend for one run. It hands out one connection object, which holds no database connection."""

    def __init__(self, transactor: Transactor, fence: Fence) -> None:
        super().__init__({})
        self._connection = FencedConnection(self, transactor, fence)

    def get_connection(self) -> FencedConnection:
        """Return the one connection object; it may be used from several threads."""
        return self._connection

    def close(self) -> None:
        """Do nothing: the database is not ours, and what waits goes with the run's next write."""


class FencedConnection(Connection):
    """Writes of one run; nothing is a barrier by itself: ``Database.barrier`` and each write of the run are.

    LeaseLost leaves every method that writes as it is: it is no Exception, so that TaskFlow neither wraps nor
    repeats it.
    """

    def __init__(self, backend: FencedBackend, transactor: Transactor, fence: Fence) -> None:
        super().__init__(backend, transactor, _RULES)
        self._fence = fence

    def upgrade(self) -> None:
        """Do nothing: lmflow.db.migrations has done it."""

    def clear_all(self) -> None:
        """Refuse: a run may not empty the other runs' records."""
        raise NotImplementedError("the backend of one run does not clear all runs")

    def hold_of(self, flow_uuid: str) -> Fence:
        """Return the run's fence."""
        return self._fence

    def after_atom(self, known: KnownFlow, atom: tf_models.AtomDetail) -> None:
        """Let readers of this process know that something waits."""
        self._transactor.note_deferring(self._fence)

    def after_flow(self, known: KnownFlow, flow: tf_models.FlowDetail) -> None:
        """Let readers of this process know that something waits."""
        self._transactor.note_deferring(self._fence)

    def before_reading(self) -> None:
        """Write what waits of this run."""
        self._transactor.catch_up(self._fence.run_uuid)


def make_logbook(run_uuid: str, flows: Iterable[tuple[str, str, Mapping[str, Any]]]) -> tf_models.LogBook:
    """Make a run's logbook from (name, factory, kwargs) of each flow, so that TaskFlow can build the flow again.

    TypeError or ValueError for kwargs that are not strict JSON: they would come back as something else.
    """
    book = tf_models.LogBook(f"lmflow {run_uuid}", uuid=str(uuid.uuid4()))
    book.meta = {"run_uuid": run_uuid}
    for name, factory, kwargs in flows:
        records.to_text(dict(kwargs))
        detail = tf_models.FlowDetail(name, uuid=str(uuid.uuid4()))
        # TaskFlow splits the factory's name at its last dot and knows no colon.
        detail.meta = {"factory": {"name": factory.replace(":", "."), "args": [], "kwargs": dict(kwargs)}}
        book.add(detail)
    return book


def insert_logbook(conn: sa.Connection, book: tf_models.LogBook) -> None:
    """Insert a new logbook with all it holds, in the caller's transaction."""
    conn.execute(BOOKS.insert, encode_book(book, _RULES))
    for flow_detail in book:
        Inserts(flow_detail, _RULES).write(conn, book.uuid)


def find_flow_detail(conn: sa.Connection, flow_uuid: str) -> tf_models.FlowDetail | None:
    """Read a flow with its atoms."""
    return find_flow(conn, flow_uuid)
