"""The index of runs, its events and attempts."""

import contextlib
import sqlite3
import time
from collections.abc import Callable

import pytest
from taskflow.persistence import backends

from lmflow.db.database import Database, Fence, RequestExists
from lmflow.db.engine import open_engine
from lmflow.db.owner import current_owner
from lmflow.db.persistence import tables
from lmflow.exceptions import LeaseLost, LockedError, UsageError
from lmflow.models import Run, RunState
from tests.functional.db.requests import FLOWS, make_request

Create = Callable[..., tuple[Run, Fence]]
ON_SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


def test_a_new_run_is_read_back_as_it_was_asked_for(database: Database) -> None:
    request = make_request()
    run, fence = database.runs.create(request, kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS)
    assert run.request == request
    assert (run.kind, run.state, run.phase, run.summary) == ("move", RunState.RUNNING, "move", "")
    assert (fence.run_uuid, fence.token) == (run.uuid, 1)
    assert database.runs.get(run.uuid) == run
    assert database.runs.find_by_request_id(request.request_id) == run
    assert database.runs.find_active(request.pool_uuid, request.vm_uuid) == run
    assert abs(run.created_at - time.time()) < 3600
    (event,) = database.events.list(run.uuid)
    assert (event.sequence, event.kind, event.data["request"]) == (1, "created", request.to_json())


def test_a_runs_flows_are_there_for_taskflows_own_backend(database: Database, create: Create, url: str) -> None:
    run, _fence = create()
    if url.startswith("sqlite"):
        stock = backends.fetch({"connection": url})
        with contextlib.closing(stock.get_connection()) as connection:
            book = connection.get_logbook(run.logbook_uuid)
        assert {d.name: d.uuid for d in book} == {"move": run.move_uuid, "settle": run.settle_uuid}
        assert book.meta == {"run_uuid": run.uuid}
        stock.close()
    meta = database.load_flow(run, "settle").meta
    assert meta == {
        "factory": {"name": "tests.functional.db.sample_flow.make_flow", "args": [], "kwargs": {"version": 1}}
    }
    assert database.atoms(run, "move") == ()


def test_a_second_run_of_a_vm_is_told_of_the_first(database: Database, create: Create) -> None:
    first, fence = create("web-01")
    create("web-02")
    with pytest.raises(LockedError) as locked:
        create("web-01")
    assert locked.value.run_uuid == first.uuid
    assert first.uuid in locked.value.message
    assert "web-01" in locked.value.message
    assert "pid " in locked.value.message
    database.runs.set_state(fence, RunState.SUCCESS)
    assert create("web-01")[0].uuid != first.uuid


@pytest.mark.parametrize("state", [RunState.SUSPENDED, RunState.UNKNOWN, RunState.RUNNING])
def test_a_run_that_has_not_ended_holds_its_vm(database: Database, create: Create, state: RunState) -> None:
    _run, fence = create()
    database.runs.set_state(fence, state)
    with pytest.raises(LockedError):
        create()


@pytest.mark.parametrize("state", [RunState.SUCCESS, RunState.REFUSED, RunState.FAILED, RunState.DIRTY])
def test_a_run_that_has_ended_lets_its_vm_go(database: Database, create: Create, state: RunState) -> None:
    run, fence = create()
    database.runs.set_state(fence, state, summary="over")
    assert database.runs.find_active(run.request.pool_uuid, run.request.vm_uuid) is None
    assert database.runs.get(run.uuid).summary == "over"
    create()


def test_an_ended_run_takes_its_vm_back_only_if_it_is_free(database: Database, create: Create) -> None:
    _first, fence = create()
    database.runs.set_state(fence, RunState.DIRTY)
    database.runs.set_state(fence, RunState.RUNNING, phase="repair")
    with pytest.raises(LockedError):
        create()
    database.runs.set_state(fence, RunState.DIRTY)
    second, _other = create()
    with pytest.raises(LockedError) as locked:
        database.runs.set_state(fence, RunState.RUNNING)
    assert locked.value.run_uuid == second.uuid


def test_a_request_id_names_its_run_for_ever(database: Database, create: Create) -> None:
    run, fence = create(request_id="drain-7")
    database.runs.set_state(fence, RunState.FAILED)
    with pytest.raises(RequestExists) as exists:
        create("quite-another-vm", request_id="drain-7")
    assert exists.value.run.uuid == run.uuid
    assert exists.value.run.state == RunState.FAILED
    with pytest.raises(RequestExists):
        database.runs.record_settled(
            make_request(request_id="drain-7"), kind="move", state=RunState.SUCCESS, summary=""
        )
    create(request_id="Drain-7")


@pytest.mark.parametrize("request_id", ["x" * 191])
def test_a_request_id_that_no_key_can_hold_is_refused(create: Create, request_id: str) -> None:
    with pytest.raises(UsageError, match="190"):
        create(request_id=request_id)


def test_a_settled_run_has_neither_flows_nor_a_lease(database: Database) -> None:
    request = make_request()
    run = database.runs.record_settled(request, kind="move", state=RunState.SUCCESS, summary="already there")
    assert (run.state, run.summary, run.move_uuid) == (RunState.SUCCESS, "already there", "")
    assert database.leases.get(run.uuid) is None
    assert [e.kind for e in database.events.list(run.uuid)] == ["created", "state"]
    assert database.runs.find_active(request.pool_uuid, request.vm_uuid) is None
    with pytest.raises(ValueError, match="running"):
        database.runs.record_settled(make_request(), kind="move", state=RunState.RUNNING, summary="")


def test_a_creation_that_fails_leaves_nothing(database: Database, url: str) -> None:
    bad = [*FLOWS, FLOWS[0].__class__("third", "nowhere:make", {"x": float("nan")})]
    with pytest.raises(ValueError, match="JSON"):
        database.runs.create(make_request(), kind="move", owner=current_owner(), lease_seconds=30, flows=bad)
    assert database.runs.list() == ()


def test_a_state_comes_with_its_event_or_not_at_all(database: Database, create: Create) -> None:
    run, fence = create()
    database.runs.set_state(fence, RunState.UNKNOWN, phase="settle", summary="two hosts say yes")
    stored = database.runs.get(run.uuid)
    assert (stored.state, stored.phase, stored.summary) == (RunState.UNKNOWN, "settle", "two hosts say yes")
    assert stored.updated_at >= run.updated_at
    event = database.events.list(run.uuid, "state")[-1]
    assert event.data == {"state": "unknown", "phase": "settle", "summary": "two hosts say yes"}
    with pytest.raises(LeaseLost):
        database.runs.set_state(Fence(run.uuid, 99), RunState.FAILED)
    assert database.runs.get(run.uuid) == stored
    assert len(database.events.list(run.uuid, "state")) == 1


def test_a_run_that_goes_on_is_rid_of_its_last_summary(database: Database, create: Create) -> None:
    run, fence = create()
    database.runs.set_state(fence, RunState.SUSPENDED, summary="the pool does not answer")
    database.runs.set_state(fence, RunState.RUNNING)
    assert database.runs.get(run.uuid).summary == ""
    assert database.runs.get(run.uuid).phase == "move"


def test_runs_are_listed_newest_first(database: Database, create: Create) -> None:
    runs = [create(f"vm-{n}") for n in range(4)]
    database.runs.set_state(runs[1][1], RunState.SUCCESS)
    database.runs.set_state(runs[2][1], RunState.UNKNOWN)
    uuids = [run.uuid for run, _fence in reversed(runs)]
    assert [run.uuid for run in database.runs.list()] == uuids
    assert [run.uuid for run in database.runs.list(states=[s for s in RunState if not s.is_terminal])] == [
        uuids[0],
        uuids[1],
        uuids[3],
    ]
    assert [run.uuid for run in database.runs.list(limit=2)] == uuids[:2]


def test_a_run_is_found_by_the_beginning_of_its_uuid(database: Database, create: Create) -> None:
    run, _fence = create()
    assert database.runs.find_by_prefix(run.uuid[:4].upper()) == (run,)
    assert database.runs.find_by_prefix("") == ()
    assert database.runs.find_by_prefix("%") == ()
    with pytest.raises(UsageError):
        database.runs.get(run.uuid[:8])


def test_events_are_numbered_and_read_in_part(database: Database, create: Create) -> None:
    run, fence = create()
    database.events.append(fence, "note", {"text": "größer"}, version=3)
    database.events.append(fence, "other", {})
    assert [e.sequence for e in database.events.list(run.uuid)] == [1, 2, 3]
    (note,) = database.events.list(run.uuid, "note")
    assert (note.version, note.data) == (3, {"text": "größer"})
    assert [e.kind for e in database.events.list(run.uuid, after=2)] == ["other"]
    with pytest.raises(ValueError, match="JSON"):
        database.events.append(fence, "bad", {"x": float("inf")})
    with pytest.raises(TypeError):
        database.events.append(fence, "bad", {"x": {1, 2}})


def test_an_attempt_is_there_before_anything_is_sent(database: Database, create: Create) -> None:
    run, fence = create()
    assert database.attempts.latest(run.uuid) is None
    begun = database.attempts.begin(
        fence, attempt_uuid="a-1", session_uuid="s-1", starts={"h1": "5.0"}, disabled=["h2"]
    )
    assert (begun.number, begun.state, begun.starts, begun.disabled) == (1, "intended", {"h1": "5.0"}, ("h2",))
    database.attempts.accepted(fence, "a-1", "task-1", "0123456789ab")
    database.attempts.progress(fence, "a-1", 0.4)
    database.attempts.ended(fence, "a-1", "success")
    again = database.attempts.begin(fence, attempt_uuid="a-1", session_uuid="s-9", starts={}, disabled=[])
    assert (again.state, again.task_uuid, again.progress, again.outcome) == ("ended", "task-1", 0.4, "success")
    second = database.attempts.begin(fence, attempt_uuid="a-2", session_uuid="s-1", starts={}, disabled=[])
    assert second.number == 2
    assert database.attempts.latest(run.uuid) == second
    assert [a.uuid for a in database.attempts.list(run.uuid)] == ["a-1", "a-2"]


def test_an_attempt_keeps_no_whole_reference_and_belongs_to_its_run(database: Database, create: Create) -> None:
    _run, fence = create()
    database.attempts.begin(fence, attempt_uuid="a-1", session_uuid="s-1", starts={}, disabled=[])
    with pytest.raises(ValueError, match="12 hex digits"):
        database.attempts.accepted(fence, "a-1", "task-1", "OpaqueRef:01234567-89ab")
    _other, others = create("web-02")
    with pytest.raises(LookupError):
        database.attempts.progress(others, "a-1", 0.5)


def test_requests_to_an_owner_need_no_fence(database: Database, create: Create) -> None:
    run, _fence = create()
    database.control.append(run.uuid, "cancel", {"by": "me"})
    database.control.append(run.uuid, "cancel")
    first, second = database.control.list(run.uuid)
    assert (first.kind, first.data, second.data) == ("cancel", {"by": "me"}, {})
    assert database.control.list(run.uuid, after=first.number) == (second,)


@ON_SQLITE
def test_sqlite_keeps_what_it_is_told(database: Database, tmp_path: object) -> None:
    engine = open_engine(str(database._engine.url))
    with engine.connect() as conn:
        pragmas = {
            name: conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 30000, "foreign_keys": 1}
    engine.dispose()


@ON_SQLITE
def test_sqlites_writers_queue_and_readers_do_not(database: Database, create: Create) -> None:
    run, _fence = create()
    other = sqlite3.connect(str(database._engine.url.database), isolation_level=None, timeout=0)
    with database._engine.begin():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        assert database.runs.get(run.uuid) == run
    other.execute("BEGIN IMMEDIATE")
    assert database.runs.get(run.uuid) == run
    other.close()


def test_deleting_a_logbook_takes_all_of_it_along(database: Database, create: Create) -> None:
    run, fence = create()
    with contextlib.closing(database.taskflow_backend(run.uuid, fence).get_connection()) as connection:
        connection.destroy_logbook(run.logbook_uuid)
    with database._engine.connect() as conn:
        assert conn.execute(tables.flowdetails.select()).all() == []
