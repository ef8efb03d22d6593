"""A commit whose answer got lost is repeated without doing its work twice."""

import contextlib
import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from taskflow import exceptions as tf_exceptions

from lmflow.db.database import Database, Fence, NewRun
from lmflow.db.engine import open_engine
from lmflow.db.owner import current_owner
from lmflow.exceptions import UnreachableError
from lmflow.models import Run, RunState
from tests.functional.db.requests import FLOWS, make_request
from tests.support.servers import KINDS, Servers

Create = Callable[..., tuple[Run, Fence]]


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    Database.open(url).close()
    engine = open_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def database(engine: sa.Engine) -> Iterator[Database]:
    database = Database(engine, outage_seconds=20)
    yield database
    database.close()


IDENTITY = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT connection_id()"}
KILL = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}


def _break(url: str, connection: Any) -> None:
    """Lose a connection as its driver would see it: the server ends it, or SQLite reports an I/O error."""
    kind = sa.make_url(url).get_backend_name()
    if kind == "sqlite":
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error
    cursor = connection.cursor()
    cursor.execute(IDENTITY[kind])
    (number,) = cursor.fetchone()
    killer = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with killer.connect() as conn:
        conn.exec_driver_sql(KILL[kind].format(number))
    while True:  # until the end has reached us
        cursor.execute("SELECT 1")


@pytest.fixture
def lose_answer(url: str, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the next commit take effect and its connection break, so that nobody hears of it."""
    real, armed = engine.dialect.do_commit, []

    def commit(connection: Any) -> None:
        real(connection)
        if armed:
            armed.clear()
            _break(url, connection)

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


def test_a_run_is_handed_over_once(database: Database, create: Create, lose_answer: Callable[[], None]) -> None:
    first, fence = create()
    request = dataclasses.replace(first.request, request_id="next", ignored_uuids=("tried",))
    new = NewRun(
        request=request, kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS, first_uuid=first.uuid
    )
    lose_answer()
    second, taken = database.runs.hand_over(fence, RunState.FAILED, new, summary="")
    assert [each.uuid for each in database.runs.list_tries(first.uuid)] == [first.uuid, second.uuid]
    assert [e.kind for e in database.events.list(first.uuid)] == ["created", "state", "handed_over"]
    database.events.append(taken, "note", {})
    assert [e.kind for e in database.events.list(second.uuid)] == ["created", "note"]


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
    with pytest.raises(UnreachableError, match="cannot be reached"):
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


class Place:
    """A database of this test's own that can go away and come back, with whatever is connected to it."""

    def __init__(self, kind: str, tmp_path: Path, servers: Servers) -> None:
        self._away = tmp_path / "away"
        self._home = tmp_path / "state"
        self._server = servers.start_own(kind, durable=True) if kind in KINDS else None
        self.url = f"sqlite:///{self._home}/lmflow.db"
        if self._server is not None:
            self.url = self._server.url(self._server.create_database())
        self.engine = open_engine(self.url)

    def take_away(self, *, crash: bool = False) -> None:
        if self._server is None:
            self.engine.dispose()
            self._home.rename(self._away)
        elif crash:
            self._server.crash()
        else:
            self._server.stop()

    def bring_back(self) -> None:
        if self._server is None:
            self._away.rename(self._home)
        else:
            self._server.start()


@pytest.fixture(params=["sqlite", *KINDS])
def place(request: pytest.FixtureRequest, tmp_path: Path, servers: Servers) -> Iterator[Place]:
    made = Place(request.param, tmp_path, servers)
    Database.open(made.url).close()
    yield made
    made.engine.dispose()
    servers.end_own()


def _begin(database: Database) -> tuple[Run, Fence]:
    return database.runs.create(make_request(), kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS)


@pytest.mark.parametrize("crash", [False, True], ids=["stopped", "crashed"])
def test_an_owner_goes_on_when_its_database_is_back(place: Place, crash: bool) -> None:
    database = Database(place.engine)
    run, fence = _begin(database)
    database.events.append(fence, "note", {"number": 1})
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            place.bring_back()

    database._transactor._sleep = pause
    place.take_away(crash=crash)
    with pytest.raises(UnreachableError):
        database.leases.renew(fence)
    database.events.append(fence, "note", {"number": 2})
    assert len(pauses) >= 2
    database.leases.renew(fence)
    database.taskflow_backend(run.uuid, fence).get_connection().update_flow_details(database.load_flow(run, "move"))
    assert [e.data["number"] for e in database.events.list(run.uuid, "note")] == [1, 2]


def test_connections_that_died_unseen_are_replaced_without_a_word(place: Place) -> None:
    database = Database(place.engine)
    _run, fence = _begin(database)
    database._transactor._sleep = pytest.fail
    with contextlib.ExitStack() as several:  # all of them lie in the pool, and all of them are dead afterwards
        for _number in range(3):
            several.enter_context(place.engine.connect())
    place.take_away()
    place.bring_back()
    database.leases.renew(fence)
    database.events.append(fence, "note", {})


def test_an_outage_that_lasts_is_a_storage_failure_to_taskflow_and_unreachable_to_us(place: Place) -> None:
    database = Database(place.engine, outage_seconds=0)
    run, fence = _begin(database)
    detail = database.load_flow(run, "move")
    place.take_away()
    with pytest.raises(tf_exceptions.StorageFailure, match="cannot be reached"):
        database.taskflow_backend(run.uuid, fence).get_connection().update_flow_details(detail)
    with pytest.raises(UnreachableError):
        database.events.append(fence, "note", {})
    with pytest.raises(UnreachableError):
        database.runs.list()
