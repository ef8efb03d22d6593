"""The fencing token that every write transaction proves before it changes anything."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import sqlalchemy as sa

from lmflow.db import schema
from lmflow.db.deferring import Deferred
from lmflow.exceptions import LeaseLost


class Hold:
    """What one writer holds of something that only one may write: its writes happen one after the other.

    ``lock`` is held during each of its transactions, ``deferred`` goes with the next one.
    """

    __slots__ = ("__weakref__", "deferred", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.deferred = Deferred()

    @property
    def deferred_since(self) -> float | None:
        """Since when (monotonic) something waits to be written; None when nothing does."""
        return self.deferred.since

    def check(self, conn: sa.Connection) -> None:
        """Raise when the hold was lost; one that cannot be lost does nothing."""


class Fence(Hold):
    """The right to write for one run. ``token`` changes in place when the lease is renewed under a new one.

    Without the lock, a heartbeat that had read the old token just before a renewal would wait for the row, find the
    new one, and take its own lease for lost.
    """

    __slots__ = ("run_uuid", "token")

    def __init__(self, run_uuid: str, token: int) -> None:
        super().__init__()
        self.run_uuid = run_uuid
        self.token = token

    def __repr__(self) -> str:
        return f"Fence(run_uuid={self.run_uuid!r}, token={self.token})"

    def check(self, conn: sa.Connection) -> None:
        """Lock the lease's row until the transaction ends, or raise LeaseLost when its token is no longer ours."""
        if conn.execute(_BEAT, {"r": self.run_uuid, "t": self.token}).rowcount != 1:
            raise make_lost(self)


_BEAT = (
    sa.update(schema.leases)
    .where(schema.leases.c.run_uuid == sa.bindparam("r"), schema.leases.c.token == sa.bindparam("t"))
    .values(beat=schema.leases.c.beat + 1)
)
_LOCKED = (
    sa.select(schema.leases.c.run_uuid, schema.leases.c.token)
    .where(schema.leases.c.run_uuid.in_(sa.bindparam("runs", expanding=True)))
    .order_by(schema.leases.c.run_uuid)
    .with_for_update(skip_locked=True)
)


def lock_all(conn: sa.Connection, run_uuids: Sequence[str]) -> dict[str, int]:
    """Lock the rows of these leases, in one order for everybody, and return their tokens.

    A row that somebody else has locked is left out, not waited for.
    """
    return {row.run_uuid: row.token for row in conn.execute(_LOCKED, {"runs": list(run_uuids)})}


def make_lost(fence: Fence) -> LeaseLost:
    """Make the error of an owner that is none any more."""
    return LeaseLost(f"the lease of run {fence.run_uuid} was taken by another owner; token {fence.token} is void")
