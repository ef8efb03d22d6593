"""TaskFlow's three tables, described once a process and without TaskFlow, which is slow to import."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lmflow.db.deferring import RowKind
from lmflow.db.schema import MARIADB

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

ATOM_TYPES = ("TASK_DETAIL", "RETRY_DETAIL")
INTENTIONS = ("EXECUTE", "IGNORE", "REVERT", "RETRY")
NAME_LENGTH = 255
_UUID_LENGTH = 64


class JsonText(str):
    """A text that is strict JSON already, as it goes to the disk."""

    __slots__ = ()


class StoredJson(sa.types.TypeDecorator[Any]):
    """A value that is written as JsonText and read as what that says; PostgreSQL has a type for it."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        """Return the type of that database."""
        if dialect.name == "postgresql":
            from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - of no use with other databases

            return dialect.type_descriptor(postgresql.JSON(none_as_null=True))
        return dialect.type_descriptor(sa.Text())

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Return what the JSON says."""
        return value if value is None or dialect.name == "postgresql" else json.loads(value)


def dump_json(value: Any) -> str:
    """Return the JSON of a value for a driver that wants a text."""
    return value if isinstance(value, JsonText) else json.dumps(value, allow_nan=False)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def _common(*columns: sa.Column[Any]) -> list[sa.Column[Any]]:
    return [
        sa.Column("created_at", sa.DateTime, default=_now),
        sa.Column("updated_at", sa.DateTime, onupdate=_now),
        *columns,
        sa.Column("uuid", sa.String(_UUID_LENGTH), primary_key=True, nullable=False, unique=True),
    ]


def _parent(of: str) -> sa.Column[str]:
    return sa.Column("parent_uuid", sa.String(_UUID_LENGTH), sa.ForeignKey(f"{of}.uuid", ondelete="CASCADE"))


METADATA = sa.MetaData()

logbooks = sa.Table(
    "logbooks",
    METADATA,
    *_common(sa.Column("meta", StoredJson), sa.Column("name", sa.String(NAME_LENGTH))),
)
flowdetails = sa.Table(
    "flowdetails",
    METADATA,
    *_common(
        _parent("logbooks"),
        sa.Column("meta", StoredJson),
        sa.Column("name", sa.String(NAME_LENGTH)),
        sa.Column("state", sa.String(255)),
    ),
)
atomdetails = sa.Table(
    "atomdetails",
    METADATA,
    *_common(
        sa.Column("meta", StoredJson),
        _parent("flowdetails"),
        sa.Column("name", sa.String(NAME_LENGTH)),
        sa.Column("version", sa.String(64)),
        sa.Column("state", sa.String(255)),
        *(sa.Column(name, StoredJson) for name in ("failure", "results", "revert_results", "revert_failure")),
        sa.Column("atom_type", sa.Enum(*ATOM_TYPES, name="atom_types")),
        sa.Column("intention", sa.Enum(*INTENTIONS, name="intentions")),
    ),
)

BOOKS, FLOWS, ATOMS = RowKind(logbooks), RowKind(flowdetails), RowKind(atomdetails)


def create_tables(conn: sa.Connection) -> None:
    """Create the tables where TaskFlow's own migrations are of no use.

    On SQLite they would do just this, on a connection that would wait for ours. On MariaDB they leave texts that end at
    64 KiB and, when they are killed half-way, a database that they cannot go on with.
    """
    from sqlalchemy.dialects import mysql  # noqa: PLC0415 - once in a database's life

    metadata = sa.MetaData()
    for table in METADATA.sorted_tables:
        copy = table.to_metadata(metadata)
        copy.dialect_kwargs.update(MARIADB)
        for column in copy.columns:
            if isinstance(column.type, StoredJson):
                column.type = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb")
    metadata.create_all(conn)


def delete_books(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> int:
    """Delete logbooks with their flows and atoms, whether or not the database cascades; return how many."""
    chosen = [row.uuid for row in conn.execute(sa.select(logbooks.c.uuid).where(condition))]
    # Not in one statement: MariaDB would look through all atoms for it.
    flows = [
        row.uuid for row in conn.execute(sa.select(flowdetails.c.uuid).where(flowdetails.c.parent_uuid.in_(chosen)))
    ]
    conn.execute(sa.delete(atomdetails).where(atomdetails.c.parent_uuid.in_(flows)))
    conn.execute(sa.delete(flowdetails).where(flowdetails.c.uuid.in_(flows)))
    return int(conn.execute(sa.delete(logbooks).where(logbooks.c.uuid.in_(chosen))).rowcount)
