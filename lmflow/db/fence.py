"""The fencing token that every write transaction proves before it changes anything."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from lmflow.db import schema
from lmflow.exceptions import LeaseLost


class Fence:
    """The right to write for one run. ``token`` changes in place when the lease is renewed under a new one.

    ``lock`` is held during each fenced transaction of this process: otherwise a heartbeat that had read the old
    token just before a renewal would wait for the row, find the new one, and take its own lease for lost.
    """

    __slots__ = ("lock", "run_uuid", "token")

    def __init__(self, run_uuid: str, token: int) -> None:
        self.run_uuid = run_uuid
        self.token = token
        self.lock = threading.RLock()

    def __repr__(self) -> str:
        return f"Fence(run_uuid={self.run_uuid!r}, token={self.token})"


_BEAT = (
    sa.update(schema.leases)
    .where(schema.leases.c.run_uuid == sa.bindparam("r"), schema.leases.c.token == sa.bindparam("t"))
    .values(beat=schema.leases.c.beat + 1)
)


def check(conn: sa.Connection, fence: Fence) -> None:
    """Lock the lease's row until the transaction ends, or raise LeaseLost when its token is no longer ours."""
    if conn.execute(_BEAT, {"r": fence.run_uuid, "t": fence.token}).rowcount != 1:
        raise LeaseLost(f"the lease of run {fence.run_uuid} was taken by another owner; token {fence.token} is void")
