"""SQLAlchemy engines that keep what they are told: durable commits, real locks, no waits without an end."""

from __future__ import annotations

import math
import sqlite3
import time
import urllib.parse
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy.engine import URL

from lmflow.db import sqlite_file
from lmflow.db.persistence.tables import dump_json
from lmflow.exceptions import ConfigurationError

BUSY_SECONDS = 30.0
IDLE_SECONDS = 20.0
"""A transaction of ours takes milliseconds. One that does nothing for so long belongs to an owner that is paused, or
whose machine is gone, and holds its lease's row: the server ends it, so that heirs need not wait for TCP to notice."""

_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
_REMEDY = (
    "[database] connection in lmflow.conf wants a SQLAlchemy URL: sqlite:////absolute/path, "
    "postgresql+psycopg://user@host/name or mariadb+pymysql://user@host/name"
)
_CONNECT_SECONDS = 10
_SILENCE_SECONDS = 60
# libpq waits for an answer without an end. The kernel ends the connection when the partner is silent while nothing is
# under way (keepalive), or does not confirm what was sent (milliseconds).
_POSTGRESQL_SILENCE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": _SILENCE_SECONDS * 1000,
}
_CONNECT_ARGS: dict[str, dict[str, Any]] = {
    # A partner that vanished without a word would otherwise hold a commit for hours.
    "psycopg2": {"connect_timeout": _CONNECT_SECONDS, **_POSTGRESQL_SILENCE},
    "psycopg": {"connect_timeout": _CONNECT_SECONDS, **_POSTGRESQL_SILENCE, "client_encoding": "utf8"},
    "pymysql": {
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": _SILENCE_SECONDS,
        "write_timeout": _SILENCE_SECONDS,
    },
    "mysqldb": {"connect_timeout": _CONNECT_SECONDS},
}


def open_engine(url: str, *, mountinfo: Path = sqlite_file.MOUNTINFO) -> sa.Engine:
    """Return an engine without connecting; an SQLite file is created (directories 0700, file 0600).

    ConfigurationError for a URL that cannot be understood or a place that cannot hold a database.
    On SQLite every transaction begins with BEGIN IMMEDIATE, except those of a connection with the execution
    option ``lmflow_reading``.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, mountinfo)
    args = {k: v for k, v in _CONNECT_ARGS.get(parsed.get_driver_name(), {}).items() if k not in parsed.query}
    try:
        engine = sa.create_engine(
            parsed,
            pool_pre_ping=True,
            pool_recycle=3600,
            isolation_level="READ COMMITTED",
            connect_args=args,
            json_serializer=dump_json,
        )
    except (ImportError, sa_exc.ArgumentError) as error:
        raise _unusable(parsed, error) from error
    sa.event.listen(engine, "connect", {"postgresql": _prepare_postgresql, "mariadb": _prepare_mariadb}[engine.name])
    return engine


def describe(url: URL) -> str:
    """Return a URL in words for a person, without its password, wherever that stands."""
    query = {key: "hidden" if "pass" in key or key == "pwd" else value for key, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def _parse(url: str) -> URL:
    try:
        parsed = sa.make_url(url)
    except (sa_exc.ArgumentError, ValueError) as error:
        # The text may hold a password, so that it is not repeated.
        raise ConfigurationError("the database URL cannot be understood", advice=_REMEDY) from error
    if parsed.get_backend_name() not in _DRIVERS:
        raise ConfigurationError(
            f"lmflow does not keep its runs in databases of the kind {parsed.get_backend_name()}", advice=_REMEDY
        )
    try:
        dialect = parsed.get_dialect()
        dialect.import_dbapi()
    except (ImportError, sa_exc.ArgumentError) as error:
        raise _unusable(parsed, error) from error
    if dialect.is_async:
        raise _unusable(parsed, TypeError("its driver is for programs that await"))
    return parsed


def _unusable(parsed: URL, error: Exception) -> ConfigurationError:
    kind = parsed.get_backend_name()
    remedy = f"write {_DRIVERS[kind]}:// and install its driver, pip install 'lmflow[{kind}]'"
    return ConfigurationError(
        f"the database {describe(parsed)} cannot be used: {error}", advice=_REMEDY if kind == "sqlite" else remedy
    )


def _prepare_postgresql(connection: Any, _record: object) -> None:
    _set(
        connection,
        f"SET lock_timeout = {int(BUSY_SECONDS * 1000)}",
        f"SET idle_in_transaction_session_timeout = {int(IDLE_SECONDS * 1000)}",
    )


def _prepare_mariadb(connection: Any, _record: object) -> None:
    _set(
        connection,
        # without a strict mode a text that is too long would be cut in silence
        "SET sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
        f"SET innodb_lock_wait_timeout = {math.ceil(BUSY_SECONDS)}",
        f"SET idle_transaction_timeout = {math.ceil(IDLE_SECONDS)}",
    )


def _set(connection: Any, *statements: str) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
    connection.commit()  # PostgreSQL forgets what was set in a transaction that is rolled back


def _open_sqlite(parsed: URL, mountinfo: Path) -> sa.Engine:
    name = parsed.database or ":memory:"
    if name == ":memory:" or name.startswith("file:"):
        raise ConfigurationError(
            f"the SQLite database {name!r} is no plain file, so nothing would survive us", advice=_REMEDY
        )
    path = Path(name).absolute()
    sqlite_file.check_place(path, mountinfo)
    sqlite_file.ensure_file(path)
    # A file that is gone by then is an outage; SQLite would make a new one, in which there is nothing.
    existing = f"file:{urllib.parse.quote(str(path))}?mode=rw"
    engine = sa.create_engine(
        parsed.set(database=str(path)),
        creator=lambda: sqlite3.connect(existing, uri=True, timeout=BUSY_SECONDS, check_same_thread=False),
        poolclass=sa.QueuePool,
        pool_size=5,
        max_overflow=15,
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own BEGIN comes late and is deferred: two such writers cannot both upgrade their read lock,
    # and SQLite fails one at once, whatever the busy time-out is. So the driver begins nothing, and _begin does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Switch the file to WAL once; the busy time-out does not cover this, so that we wait ourselves."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            mode = cursor.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise ConfigurationError(f"the place of the SQLite database cannot hold a WAL ({mode})", advice=_REMEDY)
        return


def _begin(connection: sa.Connection) -> None:
    reading = connection.get_execution_options().get("lmflow_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
