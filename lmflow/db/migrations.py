"""The shape of the database: which version it has, and how it gets ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from lmflow.db.engine import describe
from lmflow.db.persistence import tables
from lmflow.exceptions import ConfigurationError

VERSION_TABLE = "lmflow_alembic_version"
REVISIONS = ("0001", "0002", "0003")
"""All revisions, oldest first. They stand here too so that a look at the version does not import alembic."""

_INDEXED = ("flowdetails", "atomdetails")
_SCRIPTS = Path(__file__).parent / "alembic"
_LOCK_NUMBER = 0x6C6D666C6F77  # "lmflow", PostgreSQL's advisory locks are numbers
# MariaDB's are names, of at most 64 characters and common to all databases of a server; we read an answer for 60 s.
_LOCK_NAME = sa.func.concat("lmflow_", sa.func.sha1(sa.func.database()))
_MARIADB_LOCK = sa.select(sa.func.get_lock(_LOCK_NAME, 50))
_MARIADB_UNLOCK = sa.select(sa.func.release_lock(_LOCK_NAME))


def find_version(engine: sa.Engine) -> str | None:
    """Return the revision that the database has, None when lmflow has never been there."""
    table = sa.table(VERSION_TABLE, sa.column("version_num"))
    with engine.execution_options(lmflow_reading=True).begin() as conn:
        if not sa.inspect(conn).has_table(VERSION_TABLE):
            return None
        return conn.execute(sa.select(table.c.version_num)).scalar()


def is_unused(engine: sa.Engine, found: str) -> bool:
    """Tell whether an older database never held a run: whoever was to fill it was killed, and MariaDB kept a part."""
    if found not in REVISIONS[:-1]:
        return False
    with engine.execution_options(lmflow_reading=True).begin() as conn:
        return conn.execute(sa.select(sa.table("lmflow_runs", sa.column("uuid"))).limit(1)).first() is None


def check_version(engine: sa.Engine, found: str | None) -> None:
    """Raise ConfigurationError with the remedy unless the version that the database has is exactly ours."""
    ours = REVISIONS[-1]
    if found == ours:
        return
    if found is not None and found not in REVISIONS:
        raise _newer(engine, found)
    raise ConfigurationError(
        f"the database {_name(engine)} has {f'version {found}' if found else 'no tables of lmflow'}, "
        f"and this lmflow needs version {ours}",
        advice="lmflow db upgrade",
    )


def upgrade(engine: sa.Engine, revision: str = "head") -> None:
    """Bring TaskFlow's tables and ours to this version, under a lock: any number of processes may try at once.

    ConfigurationError when the database is newer than we are. Tests ask for an older ``revision``.
    """
    import alembic.command  # noqa: PLC0415 - slow to import, and needed once in a database's life
    import alembic.config  # noqa: PLC0415
    import alembic.util  # noqa: PLC0415

    config = alembic.config.Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["version_table"] = VERSION_TABLE
    with _locked(engine) as conn:
        config.attributes["connection"] = conn
        found = _find_version_under_lock(conn)
        if found is not None and found not in REVISIONS:
            raise _newer(engine, found)
        try:
            _upgrade_taskflow(conn)
            alembic.command.upgrade(config, revision)
        except alembic.util.CommandError as error:
            raise ConfigurationError(
                f"the tables of the database {_name(engine)} are not lmflow's: {error}",
                advice="give lmflow a database of its own in [database] connection",
            ) from error
        _ensure_indexes(conn)


def ensure_taskflow(engine: sa.Engine) -> None:
    """Create TaskFlow's tables with their indexes, and none of ours, unless they are there."""
    with engine.execution_options(lmflow_reading=True).begin() as conn:
        if all(sa.inspect(conn).has_table(name) and _is_indexed(conn, name) for name in _INDEXED):
            return
    with _locked(engine) as conn:
        _upgrade_taskflow(conn)
        _ensure_indexes(conn)


@contextlib.contextmanager
def _locked(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction that no other upgrade shares."""
    kind = engine.dialect.name
    with engine.connect() as conn:
        if kind == "mariadb" and not conn.execute(_MARIADB_LOCK).scalar():
            raise ConfigurationError("another lmflow is still upgrading the database", advice="lmflow db upgrade")
        conn.commit()
        try:
            with conn.begin():  # on SQLite this is BEGIN IMMEDIATE, and so the lock itself
                if kind == "postgresql":
                    _check_encoding(engine, conn)
                    conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))
                yield conn
        finally:
            if kind == "mariadb":
                with contextlib.suppress(sa_exc.DBAPIError):  # a connection that broke has let go of it
                    conn.execute(_MARIADB_UNLOCK)


def _check_encoding(engine: sa.Engine, conn: sa.Connection) -> None:
    encoding = conn.execute(sa.text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":  # a cluster made without a locale has SQL_ASCII, which counts bytes and hands out bytes
        raise ConfigurationError(
            f"the database {_name(engine)} has the encoding {encoding}, and names of VMs need UTF8",
            advice="create it anew: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
        )


def _find_version_under_lock(conn: sa.Connection) -> str | None:
    if not sa.inspect(conn).has_table(VERSION_TABLE):
        return None
    return conn.execute(sa.select(sa.table(VERSION_TABLE, sa.column("version_num")).c.version_num)).scalar()


def _upgrade_taskflow(conn: sa.Connection) -> None:
    if conn.dialect.name == "postgresql":
        from taskflow.persistence.backends.sqlalchemy import migration  # type: ignore[attr-defined]  # noqa: PLC0415

        migration.db_sync(conn)
    else:
        tables.create_tables(conn)


def _ensure_indexes(conn: sa.Connection) -> None:
    """Index what TaskFlow selects by: without it a new flow costs more with every old one."""
    for name in _INDEXED:
        if not _is_indexed(conn, name):
            table = sa.Table(name, sa.MetaData(), sa.Column("parent_uuid", sa.String(64)))
            sa.Index(f"ix_lmflow_{name}_parent_uuid", table.c.parent_uuid).create(conn)


def _is_indexed(conn: sa.Connection, name: str) -> bool:
    """Say whether rows are found by their parent; MariaDB makes an index for each foreign key."""
    indexes = sa.inspect(conn).get_indexes(name)
    return any(index["column_names"][:1] == ["parent_uuid"] for index in indexes)


def _newer(engine: sa.Engine, found: str) -> ConfigurationError:
    return ConfigurationError(
        f"the database {_name(engine)} has version {found}, and this lmflow knows versions up to {REVISIONS[-1]}",
        advice="install a newer lmflow",
    )


def _name(engine: sa.Engine) -> str:
    return describe(engine.url)
