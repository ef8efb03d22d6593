"""Taking a run over from an owner who is gone: from beside it at once, from elsewhere when its lease has expired."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any

from lmflow.db.database import Database, Fence
from lmflow.db.leases import is_released, locked_by
from lmflow.db.owner import current_owner, describe, is_beside, is_dead
from lmflow.exceptions import FlowSuspended, LockedError
from lmflow.models import Lease, Notice, Run, Waits
from lmflow.runner.turns import Pause


def check_owner(database: Database, run: Run) -> None:
    """Raise LockedError for an owner that lives beside us: what needs no wait is told before a pool is asked."""
    lease, me = database.leases.get(run.uuid), current_owner()
    if lease is None or lease.expires_in_seconds <= 0:
        return
    if is_beside(lease.owner, me) and not is_dead(lease.owner, me):
        raise locked_by(lease)


def take_lease(
    database: Database, run: Run, *, waits: Waits, notify: Callable[[Notice], None], stop: threading.Event
) -> Generator[Pause, Any, tuple[Fence, Lease | None]]:
    """Return the run's lease as ours, and the previous one, so that its session can be ended.

    Of an owner that cannot be seen from here the expiry is waited for, by the database's clock, with a countdown.
    LockedError for one that lives beside us, and as soon as a lease is renewed: its owner lives. An expired lease is
    watched first, for as long as a living owner may be silent: the clock of the database may just have been set.
    ``stop`` ends either wait at once: FlowSuspended, and nothing was taken.
    """
    before = yield from _outwait(database, run, waits, notify, stop)
    while True:
        _check_stop(stop)
        try:
            return database.leases.acquire(run.uuid, current_owner(), waits.lease_seconds)
        except LockedError:
            lease = database.leases.get(run.uuid)
            if lease is None or is_beside(lease.owner, current_owner()) or _is_renewed(before, lease):
                raise
            seconds = max(0.0, lease.expires_in_seconds)
            who = describe(lease.owner)
            text = f"run {run.uuid[:8]} was owned by {who}: its lease expires in {seconds:.0f} s unless it is renewed"
            notify(Notice(kind="message", text=text, run_uuid=run.uuid))
            before = lease
            yield Pause(min(max(seconds, 0.05), 1.0))


def _outwait(
    database: Database, run: Run, waits: Waits, notify: Callable[[Notice], None], stop: threading.Event
) -> Generator[Pause, Any, Lease | None]:
    """Watch an expired lease until it is renewed or nobody can be behind it any more; return how it was before."""
    me, before = current_owner(), database.leases.get(run.uuid)
    if before is None or before.expires_in_seconds > 0 or is_released(before):
        return None
    if before.owner == me or is_dead(before.owner, me):
        return None
    # A living owner renews at least each third of its lease, which is as long as its own configuration says.
    seconds = max(waits.lease_seconds, before.lease_seconds) / 2
    who = describe(before.owner)
    text = f"run {run.uuid[:8]} was owned by {who}: its lease has expired; watched for {seconds:.0f} s"
    notify(Notice(kind="message", text=text, run_uuid=run.uuid))
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not _is_renewed(before, database.leases.get(run.uuid)):
        yield Pause(min(left, waits.poll_seconds))
        if stop.is_set():
            break
    return before


def _check_stop(stop: threading.Event) -> None:
    if stop.is_set():
        raise FlowSuspended("detached", "lmflow was told to stop before it had taken the run over")


def _is_renewed(before: Lease | None, now: Lease | None) -> bool:
    """Tell whether the owner has been at it since our last look: what is left of a lease only shrinks by itself."""
    if before is None or now is None:
        return False
    return now.token != before.token or now.expires_in_seconds > before.expires_in_seconds
