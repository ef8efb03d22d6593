"""A commit whose answer got lost is repeated without doing its work twice."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from taskflow import exceptions as tf_exceptions

from lmflow.db.database import Database, Fence
from lmflow.db.engine import open_engine
from lmflow.db.owner import current_owner
from lmflow.exceptions import UnreachableError
from lmflow.models import Run, RunState
from tests.functional.db.requests import FLOWS, make_request

Create = Callable[..., tuple[Run, Fence]]


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    if not url.startswith("sqlite"):
        pytest.skip("the lost answer is staged on SQLite")
    Database.open(url).close()
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def database(engine: sa.Engine) -> Database:
    return Database(engine, outage_seconds=20)


@pytest.fixture
def lose_answer(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the next commit take effect and be reported as an I/O error."""
    real, armed = engine.dialect.do_commit, []

    def commit(connection: Any) -> None:
        real(connection)
        if armed:
            armed.clear()
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

    monkeypatch.setattr(engine.dialect, "do_commit", commit)
    return lambda: armed.append(True)


def test_a_run_is_created_once(database: Database, lose_answer: Callable[[], None]) -> None:
    lose_answer()
    run, fence = database.runs.create(make_request(), kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS)
    assert database.runs.list() == (run,)
    database.events.append(fence, "note", {})
    assert [e.kind for e in database.events.list(run.uuid)] == ["created", "note"]


def test_a_settled_run_is_recorded_once(database: Database, lose_answer: Callable[[], None]) -> None:
    lose_answer()
    run = database.runs.record_settled(make_request(), kind="move", state=RunState.SUCCESS, summary="")
    assert database.runs.list() == (run,)
    assert len(database.events.list(run.uuid)) == 2


def test_events_and_states_are_written_once(
    database: Database, create: Create, lose_answer: Callable[[], None]
) -> None:
    run, fence = create()
    lose_answer()
    database.events.append(fence, "note", {"same": 1})
    database.events.append(fence, "note", {"same": 1})
    lose_answer()
    database.runs.set_state(fence, RunState.FAILED)
    assert [e.kind for e in database.events.list(run.uuid)] == ["created", "note", "note", "state"]


def test_an_attempt_is_begun_once(database: Database, create: Create, lose_answer: Callable[[], None]) -> None:
    run, fence = create()
    lose_answer()
    database.attempts.begin(fence, attempt_uuid="a", session_uuid="s", starts={}, disabled=[])
    lose_answer()
    database.attempts.accepted(fence, "a", "t", "0")
    assert [(a.number, a.state) for a in database.attempts.list(run.uuid)] == [(1, "accepted")]


def test_a_lease_is_taken_and_renewed_once(database: Database, create: Create, lose_answer: Callable[[], None]) -> None:
    run, old = create(lease_seconds=0)
    database.leases.store_session(old, "first")
    lose_answer()
    fence, previous = database.leases.acquire(run.uuid, current_owner(), 30)
    assert fence.token == 3
    assert previous is not None
    assert previous.session_uuid == "first"
    lose_answer()
    database.leases.store_session(fence, "second")
    assert fence.token == 4
    lose_answer()
    database.leases.release(fence)
    lease = database.leases.get(run.uuid)
    assert lease is not None
    assert lease.token == 5


def test_a_heartbeat_does_not_wait_for_the_database(
    database: Database, create: Create, lose_answer: Callable[[], None]
) -> None:
    _run, fence = create()
    lose_answer()
    with pytest.raises(UnreachableError, match="disk I/O error"):
        database.leases.renew(fence)
    database.leases.renew(fence)


def test_taskflows_writes_are_repeated(database: Database, create: Create, lose_answer: Callable[[], None]) -> None:
    run, fence = create()
    connection = database.taskflow_backend(run.uuid, fence).get_connection()
    detail = database.load_flow(run, "move")
    detail.state = "RUNNING"
    lose_answer()
    connection.update_flow_details(detail)
    assert database.load_flow(run, "move").state == "RUNNING"


def test_an_outage_that_lasts_is_a_storage_failure_to_taskflow_and_unreachable_to_us(
    engine: sa.Engine, tmp_path: Path
) -> None:
    database = Database(engine, outage_seconds=0)
    run, fence = database.runs.create(make_request(), kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS)
    detail = database.load_flow(run, "move")
    engine.dispose()
    (tmp_path / "state").rename(tmp_path / "away")
    with pytest.raises(tf_exceptions.StorageFailure, match="did not answer"):
        database.taskflow_backend(run.uuid, fence).get_connection().update_flow_details(detail)
    with pytest.raises(UnreachableError):
        database.events.append(fence, "note", {})
    with pytest.raises(UnreachableError):
        database.runs.list()
