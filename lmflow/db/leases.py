"""Who may write and send for a run, judged by the database's clock."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import sqlalchemy as sa

from lmflow.db import owner as owners
from lmflow.db import records, schema
from lmflow.db.clock import Now
from lmflow.db.fence import Fence
from lmflow.db.transactions import Transactor
from lmflow.exceptions import LeaseLost, LockedError
from lmflow.models import Lease, Owner

# An expiry that no lease ever has: it was let go of. One that has passed by may be the work of a clock that was set.
_RELEASED_AT = 0.0
_YEARS_SECONDS = 10 * 365 * 86400.0

_PAGE = 5000  # two values each, and SQLite takes 32,766 of them in a statement
_TOKENS = sa.select(schema.leases.c.run_uuid, schema.leases.c.token).where(
    schema.leases.c.run_uuid.in_(sa.bindparam("runs", expanding=True))
)
_RENEW = (
    sa.update(schema.leases)
    .where(sa.tuple_(schema.leases.c.run_uuid, schema.leases.c.token).in_(sa.bindparam("known", expanding=True)))
    .values(expires_at=Now() + schema.leases.c.lease_seconds)
)


class LeaseStore:
    """One row a run, never deleted while the run exists: the token only ever grows."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    def get(self, run_uuid: str) -> Lease | None:
        """Return the lease, also an expired or released one; None for a run that never had one."""

        def work(conn: sa.Connection) -> Lease | None:
            row = conn.execute(records.select_lease(run_uuid)).first()
            return records.make_lease(row) if row is not None else None

        return self._transactor.read(work)

    def acquire(self, run_uuid: str, owner: Owner, lease_seconds: float) -> tuple[Fence, Lease | None]:
        """Take the lease under a new token and return the previous one, so that its session can be ended.

        The row keeps the previous session's UUID until ``store_session`` replaces it: an owner that dies in
        between leaves its successor the session that still has to be ended. LockedError, with the seconds left,
        while a living owner (or one whose death cannot be proved from here) holds it.
        """
        taken: list[int] = []  # what a transaction whose commit got no answer may have written

        def work(conn: sa.Connection) -> tuple[Fence, Lease | None]:
            row = conn.execute(records.select_lease(run_uuid)).first()
            if row is None:
                taken[:] = [1]
                _insert(conn, run_uuid, owner, lease_seconds)
                return Fence(run_uuid, 1), None
            previous = records.make_lease(row)
            if taken == [previous.token] and previous.owner == owner:
                return Fence(run_uuid, previous.token), previous
            taken[:] = [previous.token + 1]
            if not _take_over(conn, previous, owner, lease_seconds):
                raise _locked(conn, previous)
            return Fence(run_uuid, previous.token + 1), previous

        try:
            return self._transactor.write(work, alone=True)  # a paused owner may have its row locked
        except sa.exc.IntegrityError:  # two first owners at once: the row is there now, and the other's
            return self._transactor.write(work, alone=True)

    def renew(self, fence: Fence) -> None:
        """Put off the expiry by the lease's length; LeaseLost when the token is no longer ours.

        UnreachableError at once when the database is away: whoever beats will beat again, and has to know how
        long the lease has not been renewed.
        """

        def work(conn: sa.Connection) -> None:  # reads the token under the fence's lock
            conn.execute(_ours(fence).values(expires_at=Now() + schema.leases.c.lease_seconds))

        self._transactor.write(work, fence, patient=False)

    def renew_many(self, fences: Sequence[Fence]) -> tuple[Fence, ...]:
        """Renew many leases in one transaction and return the fences that are ours no more.

        UnreachableError at once, as in renew.
        """
        doubtful: list[Fence] = []

        def work(conn: sa.Connection) -> None:
            doubtful.clear()
            for start in range(0, len(fences), _PAGE):
                doubtful.extend(_renew_page(conn, fences[start : start + _PAGE]))

        if fences:
            self._transactor.write(work, patient=False, alone=True)
        return tuple(fence for fence in doubtful if self._is_lost(fence))

    def _is_lost(self, fence: Fence) -> bool:
        """Look again under the fence's lock: its owner may have just renewed it under a new token."""
        try:
            self.renew(fence)
        except LeaseLost:
            return True
        return False

    def store_session(self, fence: Fence, session_uuid: str) -> None:
        """Renew the lease under a new token and store the session's UUID, in one transaction.

        The fence carries the new token afterwards. LeaseLost when the old one was no longer ours.
        """
        records.check_session_uuid(session_uuid)
        with fence.lock:
            old, new = fence.token, fence.token + 1
            table = schema.leases
            statement = (
                sa.update(table)
                .where(table.c.run_uuid == fence.run_uuid, table.c.token == old)
                .values(token=new, session_uuid=session_uuid, expires_at=Now() + table.c.lease_seconds)
            )

            def work(conn: sa.Connection) -> None:
                if conn.execute(statement).rowcount == 1:
                    return
                row = conn.execute(records.select_lease(fence.run_uuid)).first()
                # our own commit of a moment ago, whose answer got lost; nobody else knows this session
                if row is None or (row.token, row.session_uuid) != (new, session_uuid):
                    raise LeaseLost(f"the lease of run {fence.run_uuid} was taken by another owner")

            self._transactor.write(work)
            fence.token = new

    def release(self, fence: Fence) -> None:
        """Let go of the lease at once, with what was deferred; nothing happens when it is no longer ours."""
        with fence.lock, contextlib.suppress(LeaseLost):
            self._transactor.barrier(fence)
            statement = _ours(fence).values(expires_at=_RELEASED_AT, token=schema.leases.c.token + 1)
            self._transactor.write(lambda conn: conn.execute(statement))


def is_released(lease: Lease) -> bool:
    """Say whether its owner let go of it, rather than fell silent."""
    return lease.expires_in_seconds < -_YEARS_SECONDS


def _renew_page(conn: sa.Connection, fences: Sequence[Fence]) -> list[Fence]:
    """Renew those that are there under the token that we know, and return the others."""
    known = {fence.run_uuid: fence.token for fence in fences}
    conn.execute(_RENEW, {"known": list(known.items())})
    found = {row.run_uuid: row.token for row in conn.execute(_TOKENS, {"runs": list(known)})}
    return [fence for fence in fences if found.get(fence.run_uuid) != known[fence.run_uuid]]


def _ours(fence: Fence) -> sa.Update:
    table = schema.leases
    return sa.update(table).where(table.c.run_uuid == fence.run_uuid, table.c.token == fence.token)


def _insert(conn: sa.Connection, run_uuid: str, owner: Owner, lease_seconds: float) -> None:
    values = records.lease_values(owner, lease_seconds)
    conn.execute(sa.insert(schema.leases).values(run_uuid=run_uuid, token=1, session_uuid="", beat=0, **values))


def _take_over(conn: sa.Connection, previous: Lease, owner: Owner, lease_seconds: float) -> bool:
    """Compare and set: only from the token we looked at, and only if its owner is dead or its time is over."""
    table = schema.leases
    statement = sa.update(table).where(table.c.run_uuid == previous.run_uuid, table.c.token == previous.token)
    if not owners.is_dead(previous.owner, owner):
        statement = statement.where(table.c.expires_at <= Now())
    values = records.lease_values(owner, lease_seconds)
    return conn.execute(statement.values(token=previous.token + 1, beat=table.c.beat + 1, **values)).rowcount == 1


def _locked(conn: sa.Connection, previous: Lease) -> LockedError:
    row = conn.execute(records.select_lease(previous.run_uuid)).first()
    lease = records.make_lease(row) if row is not None else previous
    return locked_by(lease)


def locked_by(lease: Lease) -> LockedError:
    """Make the error that names the owner and counts down to the moment when its lease expires."""
    seconds = max(0.0, lease.expires_in_seconds)
    if owners.is_dead(lease.owner, owners.current_owner()) or seconds == 0.0:
        return LockedError(
            f"run {lease.run_uuid} has no owner any more ({owners.describe(lease.owner)} is gone or let go of it)",
            run_uuid=lease.run_uuid,
            advice=f"lmflow resume {lease.run_uuid[:8]}",
        )
    return LockedError(
        f"run {lease.run_uuid} is owned by {owners.describe(lease.owner)}; its lease expires in {seconds:.0f} s "
        "unless it is renewed",
        run_uuid=lease.run_uuid,
        advice=f"lmflow run wait {lease.run_uuid[:8]}",
    )
