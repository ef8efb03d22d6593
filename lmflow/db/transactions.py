"""One way to read and one to write: fenced, repeated over an outage of the database, errors in our words."""

from __future__ import annotations

import contextlib
import random
import threading
import time
import weakref
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from lmflow.db.engine import describe
from lmflow.db.fence import Fence, Hold
from lmflow.db.grouping import Committer
from lmflow.exceptions import ConfigurationError, LeaseLost, UnreachableError

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
    """Runs work in transactions of one engine; what several threads write at one moment is committed together.

    The work may be called again after an outage, also after one that hit the commit, whose effect is then
    unknown: it has to give the same result when it finds its own rows already there. It may be called by another
    thread than the one that brings it, and again because somebody else's work has failed.
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
        self._committer = Committer(engine, is_outage)
        self._outage_seconds = outage_seconds
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._monotonic = monotonic
        self._outage = _Outage()
        self._deferring: weakref.WeakValueDictionary[str, Fence] = weakref.WeakValueDictionary()

    def close(self) -> None:
        """End all waiting: who waits for the database, such as a heartbeat's thread, gives up at once."""
        self._closing.set()

    def read(self, work: Callable[[sa.Connection], T], *, patient: bool = True) -> T:
        """Run work that only reads; UnreachableError after an outage of ``outage_seconds``, at once if not patient."""

        def once() -> T:
            with self._reader.begin() as conn:
                return work(conn)

        return self._outlast(once, patient=patient)

    def write(
        self, work: Callable[[sa.Connection], T], hold: Hold | None = None, *, patient: bool = True, alone: bool = False
    ) -> T:
        """Run work in a write transaction behind the hold's check, and write what was deferred before it.

        ``alone``: not together with others, for work that takes long or may wait for somebody else's lock.
        LeaseLost when the token is void, UnreachableError after an outage (at once when not ``patient``);
        integrity errors pass unchanged.
        """
        commit = self._committer.commit_alone if alone else self._committer.commit

        def once() -> T:
            with hold.lock if hold else contextlib.nullcontext():
                return commit(work, hold)

        return self._outlast(once, patient=patient)

    def barrier(self, hold: Hold, *, patient: bool = True) -> None:
        """Commit what is deferred; nothing to do is no transaction. Errors as in ``write``."""
        if hold.deferred.since is not None:
            self.write(_do_nothing, hold, patient=patient)

    def note_deferring(self, fence: Fence) -> None:
        """Remember whose writes are deferred, for ``catch_up``."""
        self._deferring[fence.run_uuid] = fence

    def catch_up(self, run_uuid: str, event_kind: str | None = None, *, patient: bool = True) -> None:
        """Commit what this process has deferred for a run, before somebody reads it; with a kind, if such events wait.

        What an owner that lost its lease has deferred is never written: then there is nothing to wait for.
        """
        fence = self._deferring.get(run_uuid)
        if fence is None or fence.deferred.since is None:
            return
        if event_kind is None or fence.deferred.has_events(event_kind):
            with contextlib.suppress(LeaseLost):
                self.barrier(fence, patient=patient)

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


def _do_nothing(_conn: sa.Connection) -> None:
    """What a barrier writes besides what was deferred."""


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
