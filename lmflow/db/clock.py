"""The database's own clock: the only one that all owners of a run share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Now(FunctionElement[float]):
    """Seconds since 1970 with a fraction, as the database sees them while it executes the statement."""

    type = sa.Double()
    inherit_cache = True
    name = "lmflow_now"


@compiles(Now)
def _unknown(element: Now, compiler: Any, **_kw: Any) -> str:
    raise sa.exc.CompileError(f"lmflow does not know how to read the clock of {compiler.dialect.name}")


@compiles(Now, "sqlite")
def _sqlite(element: Now, compiler: Any, **_kw: Any) -> str:
    # unixepoch() has no fraction before SQLite 3.42; 2440587.5 is the Julian day of 1970-01-01.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "postgresql")
def _postgresql(element: Now, compiler: Any, **_kw: Any) -> str:
    # now() stands still within a transaction, which may have waited for a lock
    return "CAST(EXTRACT(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


@compiles(Now, "mariadb")
def _mariadb(element: Now, compiler: Any, **_kw: Any) -> str:
    # UTC, because an hour of each autumn has two meanings in local time. It stands still within a statement that
    # waits for a lock: at worst a lease is shorter by that wait, never longer.
    return "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6)"
