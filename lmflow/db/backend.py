"""TaskFlow's persistence on our engine: every write behind the fence, no table built twice, no blind rewrite."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy.dialects import mysql
from taskflow import exceptions as tf_exceptions
from taskflow.persistence import models as tf_models
from taskflow.persistence.backends import impl_sqlalchemy
from taskflow.persistence.backends.sqlalchemy import tables as tf_tables

from lmflow.db import records, schema
from lmflow.db.fence import Fence
from lmflow.db.transactions import Transactor
from lmflow.exceptions import UnreachableError

T = TypeVar("T")

METADATA = sa.MetaData()
TABLES = tf_tables.fetch(METADATA)
"""TaskFlow's tables, once a process: statements are cached by the identity of their tables."""

_CONVERTER = impl_sqlalchemy._Alchemist(TABLES)  # rows to details; it holds nothing but the tables
_UPDATE_BOOK = sa.update(TABLES.logbooks).where(TABLES.logbooks.c.uuid == sa.bindparam("key"))
_UPDATE_FLOW = sa.update(TABLES.flowdetails).where(TABLES.flowdetails.c.uuid == sa.bindparam("key"))
_UPDATE_ATOM = sa.update(TABLES.atomdetails).where(TABLES.atomdetails.c.uuid == sa.bindparam("key"))


class FencedBackend(impl_sqlalchemy.SQLAlchemyBackend):
    """A backend for one run. It hands out one connection object, which holds no database connection."""

    def __init__(self, transactor: Transactor, fence: Fence) -> None:
        url = transactor.engine.url.render_as_string(hide_password=True)
        super().__init__({"connection": url}, engine=transactor.engine)
        self._connection = FencedConnection(self, transactor, fence)

    def get_connection(self) -> FencedConnection:
        """Return the one connection object; it may be used from several threads."""
        return self._connection


class FencedConnection(impl_sqlalchemy.Connection):
    """Writes of one run.

    LeaseLost leaves every writing method as it is: it is no Exception, so that TaskFlow neither wraps nor
    repeats it. StorageFailure means an outage that outlasted our patience, or data that cannot be stored.
    """

    def __init__(self, backend: FencedBackend, transactor: Transactor, fence: Fence) -> None:
        super().__init__(backend, upgrade_lock=None)
        self._tables, self._metadata, self._converter = TABLES, METADATA, _CONVERTER
        self._engine = transactor.engine.execution_options(lmflow_reading=True)  # what we inherit only reads
        self._transactor = transactor
        self._fence = fence

    def validate(self, max_retries: int = 0) -> None:
        """Do nothing: the database was looked at when it was opened."""

    def upgrade(self) -> None:
        """Do nothing: lmflow.db.migrations has done it."""

    def clear_all(self) -> None:
        """Refuse: a run may not empty the other runs' records."""
        raise NotImplementedError("the backend of one run does not clear all runs")

    def update_atom_details(self, atom_detail: tf_models.AtomDetail) -> tf_models.AtomDetail:
        """Write one atom; behind the fence nobody else can have changed it, so that it is not read before."""

        def work(conn: sa.Connection) -> tf_models.AtomDetail:
            if not _update(conn, _UPDATE_ATOM, atom_detail):
                raise tf_exceptions.NotFound(f"No atom details found with uuid '{atom_detail.uuid}'")
            return atom_detail

        return self._write(f"updating atom details '{atom_detail.uuid}'", work)

    def update_flow_details(self, flow_detail: tf_models.FlowDetail) -> tf_models.FlowDetail:
        """Write a flow and those of its atoms that differ from what is stored."""

        def work(conn: sa.Connection) -> tf_models.FlowDetail:
            if not _update(conn, _UPDATE_FLOW, flow_detail):
                raise tf_exceptions.NotFound(f"No flow details found with uuid '{flow_detail.uuid}'")
            return _write_atoms(conn, flow_detail)

        return self._write(f"updating flow details '{flow_detail.uuid}'", work)

    def save_logbook(self, book: tf_models.LogBook) -> tf_models.LogBook:
        """Insert or update a logbook with all it holds."""

        def work(conn: sa.Connection) -> tf_models.LogBook:
            if not _update(conn, _UPDATE_BOOK, book):
                insert_logbook(conn, book)
                return book
            for flow_detail in book:
                if _update(conn, _UPDATE_FLOW, flow_detail):
                    _write_atoms(conn, flow_detail)
                else:
                    _insert_flow(conn, flow_detail, book.uuid)
            return book

        return self._write(f"saving logbook '{book.uuid}'", work)

    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a logbook with its flows and atoms (the database cascades)."""

        def work(conn: sa.Connection) -> None:
            statement = sa.delete(TABLES.logbooks).where(TABLES.logbooks.c.uuid == book_uuid)
            if conn.execute(statement).rowcount == 0:
                raise tf_exceptions.NotFound(f"No logbook found with uuid '{book_uuid}'")

        self._write(f"destroying logbook '{book_uuid}'", work)

    def _write(self, what: str, work: Callable[[sa.Connection], T]) -> T:
        try:
            return self._transactor.write(work, self._fence)
        except (sa_exc.SQLAlchemyError, UnreachableError, TypeError, ValueError) as error:  # the last two: no JSON
            raise tf_exceptions.StorageFailure(f"Failed {what}: {error}", cause=error) from error


def create_tables(conn: sa.Connection) -> None:
    """Create TaskFlow's tables where its own migrations are of no use.

    On SQLite they would do just this, on a connection that would wait for ours. On MariaDB they leave texts that end at
    64 KiB and, when they are killed half-way, a database that they cannot go on with.
    """
    metadata = sa.MetaData()
    for table in METADATA.sorted_tables:
        copy = table.to_metadata(metadata)
        copy.dialect_kwargs.update(schema.MARIADB)
        for column in copy.columns:
            if isinstance(column.type, sa.types.TypeDecorator):  # JSON as a text
                column.type = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb")
    metadata.create_all(conn)


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
    conn.execute(sa.insert(TABLES.logbooks), _values(book))
    for flow_detail in book:
        _insert_flow(conn, flow_detail, book.uuid)


def find_flow_detail(conn: sa.Connection, flow_uuid: str) -> tf_models.FlowDetail | None:
    """Read a flow with its atoms."""
    table = TABLES.flowdetails
    row = conn.execute(sa.select(table).where(table.c.uuid == flow_uuid)).first()
    if row is None:
        return None
    detail = _CONVERTER.convert_flow_detail(row._asdict())
    _CONVERTER.populate_flow_detail(conn, detail)
    return detail


def _update(conn: sa.Connection, statement: sa.Update, detail: Any) -> bool:
    """Write all values of a detail; False when its row is not there."""
    values = _values(detail)
    return conn.execute(statement, {**values, "key": values.pop("uuid")}).rowcount == 1


def _values(detail: Any) -> dict[str, Any]:
    """Return a detail's columns; failures carry the words of errors that may hold a reference of XAPI."""
    return {name: records.mask_all(value) for name, value in detail.to_dict().items()}


def _insert_flow(conn: sa.Connection, flow_detail: tf_models.FlowDetail, book_uuid: str) -> None:
    conn.execute(sa.insert(TABLES.flowdetails), {**_values(flow_detail), "parent_uuid": book_uuid})
    for atom_detail in flow_detail:
        _insert_atom(conn, atom_detail, flow_detail.uuid)


def _insert_atom(conn: sa.Connection, atom_detail: tf_models.AtomDetail, flow_uuid: str) -> None:
    kind = tf_models.atom_detail_type(atom_detail)
    conn.execute(sa.insert(TABLES.atomdetails), {**_values(atom_detail), "parent_uuid": flow_uuid, "atom_type": kind})


def _write_atoms(conn: sa.Connection, flow_detail: tf_models.FlowDetail) -> tf_models.FlowDetail:
    """Insert new atoms, update changed ones, and return the flow with what only the database holds."""
    stored = {atom.uuid: atom for atom in _CONVERTER.atom_query_iter(conn, flow_detail.uuid)}
    for atom in flow_detail:
        before = stored.pop(atom.uuid, None)
        if before is None:
            _insert_atom(conn, atom, flow_detail.uuid)
        elif before.to_dict() != _values(atom):
            _update(conn, _UPDATE_ATOM, atom)
    if not stored:
        return flow_detail
    merged = flow_detail.copy()
    for atom in stored.values():
        merged.add(atom)
    return merged
