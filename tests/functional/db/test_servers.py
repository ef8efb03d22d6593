"""What servers do differently from a file: several writers at once, clocks, alphabets, owners that hold their locks."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
import taskflow.engines

from lmflow.db import engine as engines
from lmflow.db.clock import Now
from lmflow.db.database import Database, Fence, RequestExists
from lmflow.db.engine import open_engine
from lmflow.db.owner import current_owner
from lmflow.exceptions import LeaseLost, LockedError
from lmflow.models import Owner, Run, RunState
from tests.functional.db.requests import FLOWS, make_request
from tests.functional.db.sample_flow import PROBES
from tests.support.servers import KINDS

Create = Callable[..., tuple[Run, Fence]]
ELSEWHERE = Owner(machine="far/0000", boot_id="other", pid=811, started="1")
SMILE = "web-🙂-größer-вм"
ON_SERVERS = pytest.mark.parametrize("url", KINDS, indirect=True)


def test_a_name_keeps_every_character(database: Database, create: Create) -> None:
    request = dataclasses.replace(make_request(SMILE, SMILE * 10), reason="x" * 100_000)
    run, fence = database.runs.create(request, kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS)
    database.runs.set_state(fence, RunState.UNKNOWN, summary=SMILE)
    database.events.append(fence, "note", {"name": SMILE, "nothing": "a\x00b"})
    database.attempts.begin(fence, attempt_uuid="a", session_uuid="s", starts={SMILE: SMILE}, disabled=[SMILE])
    database.attempts.ended(fence, "a", "🙂" * 1000)
    assert database.runs.find_by_request_id(SMILE * 10) == database.runs.get(run.uuid)
    assert database.runs.get(run.uuid).request == request
    assert database.runs.get(run.uuid).summary == SMILE
    assert database.events.list(run.uuid, "note")[0].data == {"name": SMILE, "nothing": "a\x00b"}
    (attempt,) = database.attempts.list(run.uuid)
    assert (attempt.starts, attempt.disabled, attempt.outcome) == ({SMILE: SMILE}, (SMILE,), "🙂" * 255)


@pytest.mark.parametrize("other", ["Ticket-ä", "ticket-ä ", " ticket-ä", "ticket-a", "ticket-Ä", "ticket-a\u0308"])
def test_request_ids_that_only_look_alike_are_two(database: Database, create: Create, other: str) -> None:
    first, _fence = create("web-01", request_id="ticket-ä")
    assert database.runs.find_by_request_id(other) is None
    second, _other = create("web-02", request_id=other)
    assert database.runs.find_by_request_id("ticket-ä") == first
    assert database.runs.find_by_request_id(other) == second
    with pytest.raises(RequestExists):
        create("web-03", request_id=other)


@ON_SERVERS
def test_a_request_that_comes_twice_meets_itself_also_between_two_statements(
    url: str, database: Database, create: Create
) -> None:
    twins: list[Run] = []

    def send_it_before_the_vm_is_looked_at(*details: Any) -> None:
        if "active_key = " in details[2] and not twins:
            with contextlib.closing(Database.open(url)) as other:
                request = make_request("web-01", "the-same")
                run, _fence = other.runs.create(
                    request, kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS
                )
                twins.append(run)

    sa.event.listen(database._transactor.engine, "before_cursor_execute", send_it_before_the_vm_is_looked_at)
    with pytest.raises(RequestExists) as exists:
        create("web-01", request_id="the-same")
    assert [exists.value.run.uuid] == [twin.uuid for twin in twins]


def test_the_clock_is_utc_with_a_fraction(database: Database) -> None:
    def read(conn: sa.Connection) -> float:
        return conn.execute(sa.select(Now())).scalar_one()

    before = time.time()
    seen = [database._transactor.read(read)]
    # a clock of whole seconds would stand still for far more of these reads than one with a fraction
    while len(set(seen)) < 5 and len(seen) < 100_000:
        seen.append(database._transactor.read(read))
    after = time.time()
    assert all(isinstance(each, float) for each in seen)
    # the servers run on this machine's clock; a millisecond is SQLite's
    assert before - 0.002 <= seen[0] <= seen[-1] <= after + 0.002
    assert len({int(each) for each in seen}) < len(set(seen)) == 5


def test_what_a_failed_task_says_may_be_long_and_no_json(database: Database, create: Create) -> None:
    class OddError(RuntimeError):
        pass

    def fail() -> None:
        raise OddError("x" * 70_000, ValueError("inner"), {1, 2})

    run, fence = create()
    PROBES["two"] = fail
    fenced = database.taskflow_backend(run.uuid, fence)
    engine = taskflow.engines.load_from_detail(database.load_flow(run, "move"), backend=fenced)
    try:
        with pytest.raises(OddError):
            engine.run()
    finally:
        PROBES.clear()
    assert database.load_flow(run, "move").state == "REVERTED"
    assert [(a.name, a.state) for a in database.atoms(run, "move")] == [("one", "REVERTED"), ("two", "REVERTED")]


def test_results_may_be_longer_than_a_text_of_mariadb(database: Database, create: Create) -> None:
    run, fence = create()
    detail = database.load_flow(run, "move")
    detail.meta["long"] = "y" * 200_000
    connection = database.taskflow_backend(run.uuid, fence).get_connection()
    connection.update_flow_details(detail)
    assert database.load_flow(run, "move").meta["long"] == "y" * 200_000


@ON_SERVERS  # SQLite keeps texts of any length
def test_what_is_too_long_is_an_error_and_never_cut(url: str, database: Database, create: Create) -> None:
    run, fence = create()
    with pytest.raises(sa.exc.DataError):
        database.events.append(fence, "k" * 65, {})
    detail = database.load_flow(run, "move")
    detail.state = "s" * 256
    database.taskflow_backend(run.uuid, fence).get_connection().update_flow_details(detail)
    with pytest.raises(sa.exc.DataError):
        database.barrier(fence)
    other = Database.open(url)
    assert [e.kind for e in other.events.list(run.uuid)] == ["created"]
    assert other.load_flow(run, "move").state != detail.state
    other.close()


@ON_SERVERS  # on SQLite nobody writes in between
def test_a_vm_taken_between_the_look_and_the_write_is_locked(url: str, database: Database, create: Create) -> None:
    run, fence = create("web-01")
    database.runs.set_state(fence, RunState.DIRTY)
    second: list[Run] = []

    def come_between(_conn: sa.Connection, _cursor: object, text: str, *_rest: object) -> None:
        if text.startswith("UPDATE lmflow_runs") and not second:
            other = Database.open(url)
            second.append(None)  # type: ignore[arg-type] - we write here too
            made, _other = other.runs.create(
                make_request("web-01"), kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS
            )
            second[:] = [made]
            other.close()

    sa.event.listen(database._engine, "before_cursor_execute", come_between)
    with pytest.raises(LockedError) as locked:
        database.runs.set_state(fence, RunState.RUNNING)
    assert locked.value.run_uuid == second[0].uuid
    assert database.runs.get(run.uuid).state is RunState.DIRTY


@ON_SERVERS  # a process stopped in a transaction holds the whole SQLite file; nobody but a person can end it
def test_an_owner_that_stops_in_a_transaction_does_not_hold_its_heirs_for_ever(
    url: str, database: Database, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, fence = create(lease_seconds=0)
    monkeypatch.setattr(engines, "IDLE_SECONDS", 1.0)
    stopped = open_engine(url)
    with stopped.connect() as conn, conn.begin():
        fence.check(conn)  # and then the machine is gone
        heir, _previous = database.leases.acquire(run.uuid, ELSEWHERE, 30)
        with pytest.raises(sa.exc.DBAPIError):
            conn.execute(sa.text("SELECT 1"))
        conn.rollback()
    stopped.dispose()
    database.events.append(heir, "note", {})
    with pytest.raises(LeaseLost):
        database.events.append(fence, "note", {})


@ON_SERVERS  # about the servers' locks
def test_a_lock_that_is_held_on_and_on_is_an_outage_and_no_hang(
    url: str, database: Database, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, fence = create()
    monkeypatch.setattr(engines, "BUSY_SECONDS", 1.0)
    waiting = Database(open_engine(url))
    pauses: list[float] = []
    with database._engine.connect() as conn:
        transaction = conn.begin()
        fence.check(conn)

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            transaction.rollback()

        waiting._transactor._sleep = pause
        waiting.events.append(Fence(run.uuid, fence.token), "note", {})
    assert len(pauses) == 1
    waiting.close()
