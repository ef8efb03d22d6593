"""SQLAlchemy engines that keep what they are told: durable commits, real locks, no silent time-outs."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy.engine import URL

from lmflow.db import sqlite_file
from lmflow.exceptions import ConfigurationError

BUSY_SECONDS = 30.0
_REMEDY = "[database] connection in lmflow.conf wants a SQLAlchemy URL, for example sqlite:////var/lib/lmflow/lmflow.db"
_CONNECT_SECONDS = 10
_CONNECT_ARGS: dict[str, dict[str, Any]] = {
    # A partner that vanished without a word would otherwise hold a commit for hours.
    "psycopg2": {"connect_timeout": _CONNECT_SECONDS, "keepalives_idle": 30, "keepalives_interval": 10},
    "psycopg": {"connect_timeout": _CONNECT_SECONDS, "keepalives_idle": 30, "keepalives_interval": 10},
    "pymysql": {"connect_timeout": _CONNECT_SECONDS, "read_timeout": 60, "write_timeout": 60},
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
        return sa.create_engine(
            parsed, pool_pre_ping=True, pool_recycle=3600, isolation_level="READ COMMITTED", connect_args=args
        )
    except (ImportError, sa_exc.ArgumentError) as error:
        raise _unusable(parsed, error) from error


def _parse(url: str) -> URL:
    try:
        parsed = sa.make_url(url)
    except (sa_exc.ArgumentError, ValueError) as error:
        # The text may hold a password, so that it is not repeated.
        raise ConfigurationError("the database URL cannot be understood", advice=_REMEDY) from error
    try:
        name = parsed.get_backend_name()
        parsed.get_dialect().import_dbapi()
    except (ImportError, sa_exc.ArgumentError) as error:
        raise _unusable(parsed, error) from error
    if name not in ("sqlite", "postgresql", "mysql", "mariadb"):
        raise ConfigurationError(f"lmflow does not know databases of the kind {name}", advice=_REMEDY)
    return parsed


def _unusable(parsed: URL, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the database {parsed.render_as_string(hide_password=True)} cannot be used: {error}",
        advice=f"install the driver {parsed.drivername} names, or correct the URL; {_REMEDY}",
    )


def _open_sqlite(parsed: URL, mountinfo: Path) -> sa.Engine:
    name = parsed.database or ":memory:"
    if name == ":memory:" or name.startswith("file:"):
        raise ConfigurationError(
            f"the SQLite database {name!r} is no plain file, so nothing would survive us", advice=_REMEDY
        )
    path = Path(name).absolute()
    sqlite_file.check_place(path, mountinfo)
    sqlite_file.ensure_file(path)
    engine = sa.create_engine(
        parsed.set(database=str(path)),
        poolclass=sa.QueuePool,
        pool_size=5,
        max_overflow=15,
        connect_args={"timeout": BUSY_SECONDS},
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
