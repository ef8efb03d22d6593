"""One way to read and one to write: fenced, repeated over an outage of the database, errors in our words."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from lmflow.db import fence as fences
from lmflow.db.engine import describe
from lmflow.db.fence import Fence
from lmflow.exceptions import ConfigurationError, UnreachableError

T = TypeVar("T")

# Primary result codes, https://www.sqlite.org/rescode.html: busy, locked, I/O error, full, cannot open, protocol.
_SQLITE_OUTAGE = frozenset({5, 6, 10, 13, 14, 15})
# read-only, corrupt, not a database
_SQLITE_UNFIT = frozenset({8, 11, 26})
# MariaDB uses one exception class for outages and for mistakes; these numbers are outages, deadlock, lock wait, a full
# disk and a server that only reads, https://mariadb.com/kb/en/mariadb-error-code-reference/
_MARIADB_OUTAGE = frozenset(
    {1021, 1040, 1042, 1047, 1053, 1114, 1158, 1159, 1160, 1161, 1180, 1203, 1205, 1213, 1226, 1290, 1836, 1927}
    | {2002, 2003, 2006, 2013, 2014, 2045, 2055, 4031}
)
# It does not let us in: wrong password, no such database, not from this host.
_MARIADB_CLOSED = frozenset({1044, 1045, 1049, 1130, 1698})
# We may not do that there: no right to create or change a table.
_MARIADB_FORBIDDEN = frozenset({1142, 1143, 1227})
# A server that only reads, as after a fail-over, https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL_OUTAGE = frozenset({"25006"})
_POSTGRESQL_FORBIDDEN = frozenset({"42501"})
_CAUSE_LENGTH = 300


class _Outage(threading.local):
    """Since when the calls of one thread have failed; None while they succeed."""

    since: float | None = None


class Transactor:
    """Runs work in transactions of one engine.

    The work may be called again after an outage, also after one that hit the commit, whose effect is then
    unknown: it has to give the same result when it finds its own rows already there.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        outage_seconds: float = 120.0,
        sleep: Callable[[float], object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self._reader = engine.execution_options(lmflow_reading=True)
        self._outage_seconds = outage_seconds
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._monotonic = monotonic
        self._outage = _Outage()

    def close(self) -> None:
        """End all waiting: who waits for the database, such as a heartbeat's thread, gives up at once."""
        self._closing.set()

    def read(self, work: Callable[[sa.Connection], T], *, patient: bool = True) -> T:
        """Run work that only reads; UnreachableError after an outage of ``outage_seconds``, at once if not patient."""

        def once() -> T:
            with self._reader.begin() as conn:
                return work(conn)

        return self._outlast(once, patient=patient)

    def write(self, work: Callable[[sa.Connection], T], fence: Fence | None = None, *, patient: bool = True) -> T:
        """Run work in one write transaction behind the fence.

        LeaseLost when the token is void, UnreachableError after an outage (at once when not ``patient``);
        integrity errors pass unchanged.
        """

        def once() -> T:
            with fence.lock if fence else contextlib.nullcontext(), self.engine.begin() as conn:
                if fence:
                    fences.check(conn, fence)
                return work(conn)

        return self._outlast(once, patient=patient)

    def _outlast(self, once: Callable[[], T], *, patient: bool = True) -> T:
        delay = 0.05
        while True:
            try:
                result = once()
            except (sa_exc.DBAPIError, sa_exc.TimeoutError) as error:
                if not patient or not is_outage(error):
                    raise reworded(error, self.engine) from error
                self._give_up_in_time(error)
                # Several owners wait for the same database: without jitter they would all return at one moment.
                self._sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
                delay = min(delay * 2, 2.0)
            else:
                self._outage.since = None
                return result

    def _give_up_in_time(self, error: Exception) -> None:
        """Raise UnreachableError once the outage lasts too long.

        The clock of an outage runs on over a thread's calls until one succeeds: TaskFlow repeats a failed save by
        itself twice, and three full waits would be three times what was asked for. What other threads can do says
        nothing: where a disk is full, a heartbeat still finds room in its row.
        """
        now = self._monotonic()
        if self._outage.since is None:
            self._outage.since = now
        down = now - self._outage.since
        if down >= self._outage_seconds or self._closing.is_set():
            raise unreachable(self.engine, error, down) from error


def is_outage(error: Exception) -> bool:
    """Say whether waiting may help: the database is away, busy or full; not that it refuses what we asked."""
    if not isinstance(error, sa_exc.DBAPIError):
        return isinstance(error, sa_exc.TimeoutError)
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_OUTAGE
    if not isinstance(error, sa_exc.OperationalError):
        return getattr(error.orig, "sqlstate", None) in _POSTGRESQL_OUTAGE
    number = _find_number(error)
    return number is None or number in _MARIADB_OUTAGE


def _find_number(error: Exception) -> int | None:
    """Return MariaDB's number of an error."""
    cause = getattr(error, "orig", None)
    number = cause.args[0] if cause is not None and cause.args else None
    return number if isinstance(number, int) else None


def _say_cause(error: Exception) -> str:
    """Return what the driver says, in one line."""
    cause = getattr(error, "orig", None) or error
    words = cause.args[1] if _find_number(error) is not None and len(cause.args) > 1 else cause
    return " ".join(str(words).split())[:_CAUSE_LENGTH]


def unreachable(engine: sa.Engine, error: Exception, seconds: float) -> UnreachableError:
    """Make the error for a database that does not answer; it never shows the URL's password."""
    where, cause = describe(engine.url), _say_cause(error)
    what = f"did not answer for {seconds:.0f} s" if seconds >= 1 else "cannot be reached"
    return UnreachableError(
        f"the database {where} {what}: {cause}",
        tried=[f"{where}: {cause}"],
        advice="check that the database runs and that [database] connection in lmflow.conf names it, its user and "
        "password; then try again",
    )


def reworded(error: Exception, engine: sa.Engine) -> Exception:
    """Return our error for a driver's: what only an operator can put right, or an outage; else the error itself."""
    cause, number = getattr(error, "orig", None), _find_number(error)
    if is_outage(error) or number in _MARIADB_CLOSED:
        return unreachable(engine, error, 0)
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _SQLITE_UNFIT:
        advice = "check the file's permissions, or name another file in [database] connection"
    elif number in _MARIADB_FORBIDDEN or getattr(cause, "sqlstate", None) in _POSTGRESQL_FORBIDDEN:
        advice = "let its user create, change and drop tables there, or make the user its owner"
    else:
        return error
    return ConfigurationError(f"the database {describe(engine.url)} cannot be used: {_say_cause(error)}", advice=advice)
