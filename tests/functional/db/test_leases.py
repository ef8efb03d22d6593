"""Who may write: tokens only grow, and a void one writes nothing."""

import dataclasses
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from lmflow.db.database import Database, Fence
from lmflow.db.owner import current_owner
from lmflow.exceptions import LeaseLost, LockedError
from lmflow.models import Owner, Run, RunState

Create = Callable[..., tuple[Run, Fence]]
ELSEWHERE = Owner(machine="far/0000", boot_id="other", pid=811, started="1")


def test_a_new_runs_lease_is_its_creators(database: Database, create: Create) -> None:
    run, fence = create(lease_seconds=30)
    lease = database.leases.get(run.uuid)
    assert lease is not None
    assert (lease.token, lease.owner, lease.session_uuid) == (fence.token, current_owner(), "")
    assert 0 < lease.expires_in_seconds <= 30


def test_an_unexpired_lease_of_another_machine_is_waited_for(database: Database, create: Create) -> None:
    run, _fence = create(lease_seconds=0)
    database.leases.acquire(run.uuid, ELSEWHERE, 77)
    with pytest.raises(LockedError) as locked:
        database.leases.acquire(run.uuid, current_owner(), 30)
    assert locked.value.run_uuid == run.uuid
    assert "pid 811 on far" in locked.value.message
    assert any(f"{seconds} s" in locked.value.message for seconds in (75, 76, 77))
    assert locked.value.retryable


def test_an_expired_lease_is_taken_with_the_session_that_has_to_be_ended(database: Database, create: Create) -> None:
    run, fence = create(lease_seconds=0)
    database.leases.store_session(fence, "session-1")
    heir, previous = database.leases.acquire(run.uuid, ELSEWHERE, 30)
    assert previous is not None
    assert (previous.session_uuid, previous.owner) == ("session-1", current_owner())
    assert heir.token > previous.token


def test_an_heir_that_dies_early_leaves_the_session_to_its_own_heir(database: Database, create: Create) -> None:
    run, fence = create(lease_seconds=0)
    database.leases.store_session(fence, "session-1")
    database.leases.acquire(run.uuid, ELSEWHERE, 0)
    _fence, previous = database.leases.acquire(run.uuid, current_owner(), 30)
    assert previous is not None
    assert previous.session_uuid == "session-1"


def test_a_dead_owner_on_this_boot_is_followed_before_its_lease_expires(database: Database, create: Create) -> None:
    run, _fence = create(lease_seconds=0)
    gone = dataclasses.replace(current_owner(), started="1")
    database.leases.acquire(run.uuid, gone, 3600)
    fence, previous = database.leases.acquire(run.uuid, current_owner(), 30)
    assert previous is not None
    assert previous.expires_in_seconds > 3000
    assert fence.token == previous.token + 1


def test_a_living_owner_in_this_very_process_keeps_its_lease(database: Database, create: Create) -> None:
    run, _fence = create()
    with pytest.raises(LockedError):
        database.leases.acquire(run.uuid, current_owner(), 30)


def test_a_renewal_puts_off_the_expiry_under_the_same_token(database: Database, create: Create) -> None:
    run, fence = create(lease_seconds=0)
    mine, _previous = database.leases.acquire(run.uuid, current_owner(), 50)
    before = database.leases.get(run.uuid)
    database.leases.renew(mine)
    after = database.leases.get(run.uuid)
    assert before is not None
    assert after is not None
    assert after.token == before.token == mine.token
    assert 0 < after.expires_in_seconds <= 50
    with pytest.raises(LeaseLost):
        database.leases.renew(fence)


def test_an_expired_lease_that_nobody_took_is_still_ours(database: Database, create: Create) -> None:
    _run, fence = create(lease_seconds=0)
    database.leases.renew(fence)
    database.events.append(fence, "note", {})


def test_storing_a_session_makes_the_old_token_void(database: Database, create: Create) -> None:
    run, fence = create()
    stale = Fence(run.uuid, fence.token)
    database.leases.store_session(fence, "session-2")
    lease = database.leases.get(run.uuid)
    assert lease is not None
    assert (lease.token, lease.session_uuid) == (fence.token, "session-2")
    assert fence.token == stale.token + 1
    database.events.append(fence, "note", {})
    with pytest.raises(LeaseLost):
        database.leases.store_session(stale, "session-3")
    with pytest.raises(LeaseLost):
        database.events.append(stale, "note", {})


def test_who_lost_the_lease_writes_nothing_any_more(database: Database, create: Create) -> None:
    run, fence = create(lease_seconds=0)
    database.attempts.begin(fence, attempt_uuid="a", session_uuid="s", starts={}, disabled=[])
    heir, _previous = database.leases.acquire(run.uuid, ELSEWHERE, 30)
    before = (database.events.list(run.uuid), database.attempts.list(run.uuid), database.runs.get(run.uuid))
    for write in (
        lambda: database.events.append(fence, "note", {}),
        lambda: database.attempts.begin(fence, attempt_uuid="b", session_uuid="s", starts={}, disabled=[]),
        lambda: database.attempts.accepted(fence, "a", "t", "0"),
        lambda: database.attempts.progress(fence, "a", 0.5),
        lambda: database.attempts.ended(fence, "a", "success"),
        lambda: database.runs.set_state(fence, RunState.FAILED),
        lambda: database.leases.renew(fence),
        lambda: database.leases.store_session(fence, "s-2"),
    ):
        with pytest.raises(LeaseLost):
            write()
    database.leases.release(fence)
    assert before == (database.events.list(run.uuid), database.attempts.list(run.uuid), database.runs.get(run.uuid))
    lease = database.leases.get(run.uuid)
    assert lease is not None
    assert lease.token == heir.token
    assert lease.expires_in_seconds > 0


def test_a_released_lease_is_taken_at_once_and_its_token_never_comes_back(database: Database, create: Create) -> None:
    run, fence = create()
    database.leases.release(fence)
    with pytest.raises(LeaseLost):
        database.events.append(fence, "note", {})
    heir, previous = database.leases.acquire(run.uuid, ELSEWHERE, 30)
    assert heir.token > fence.token
    assert previous is not None
    assert previous.expires_in_seconds <= 0


def test_a_run_without_a_lease_gets_its_first(database: Database, create: Create) -> None:
    run, _fence = create()
    with database._engine.begin() as conn:
        conn.exec_driver_sql("DELETE FROM lmflow_leases")
    fence, previous = database.leases.acquire(run.uuid, current_owner(), 30)
    assert (fence.token, previous) == (1, None)


class WatchedLock:
    """A lock that tells when somebody else wants it."""

    def __init__(self, lock: threading.RLock) -> None:
        self.lock = lock
        self.owner = threading.get_ident()
        self.wanted = threading.Event()

    def __enter__(self) -> None:
        if threading.get_ident() != self.owner:
            self.wanted.set()
        self.lock.acquire()

    def __exit__(self, *_rest: object) -> None:
        self.lock.release()


def test_a_heartbeat_in_the_middle_of_a_renewal_waits_for_the_new_token(database: Database, create: Create) -> None:
    _run, fence = create()
    lock = fence.lock = WatchedLock(fence.lock)
    ended: list[str] = []

    def beat() -> None:
        try:
            database.leases.renew(fence)
            ended.append("renewed")
        except LeaseLost:
            ended.append("lost")

    thread = threading.Thread(target=beat)

    def before_commit(_conn: sa.Connection) -> None:
        if thread.ident is None:
            thread.start()
            assert lock.wanted.wait(60), "the heartbeat did not wait for the fence"

    sa.event.listen(database._engine, "commit", before_commit)
    database.leases.store_session(fence, "session-1")
    thread.join()
    assert ended == ["renewed"]


def test_a_heartbeat_beside_renewals_of_the_token_never_takes_the_lease_for_lost(
    database: Database, create: Create
) -> None:
    _run, fence = create()
    lost: list[BaseException] = []
    done = threading.Event()

    def beat() -> None:
        while not done.is_set():
            try:
                database.leases.renew(fence)
            except LeaseLost as error:
                lost.append(error)
                return

    threads = [threading.Thread(target=beat) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(25):
        database.leases.store_session(fence, f"session-{number}")
    done.set()
    for thread in threads:
        thread.join()
    assert lost == []
    assert fence.token == 26
