"""TaskFlow's real engine on our backend: it resumes, and whoever lost the lease leaves no trace."""

import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import taskflow.engines
from taskflow import exceptions as tf_exceptions
from taskflow.persistence import models as tf_models

from lmflow.db import schema
from lmflow.db.database import Database, Fence
from lmflow.db.persistence import tables
from lmflow.db.persistence.encoding import UnstorableError
from lmflow.exceptions import DamagedError, LeaseLost
from lmflow.models import Owner, Run, RunState
from tests.functional.db.sample_flow import PROBES

Create = Callable[..., tuple[Run, Fence]]
ELSEWHERE = Owner(machine="far/0000", boot_id="other", pid=811, started="1")


@pytest.fixture(autouse=True)
def _no_probes() -> Iterator[None]:
    PROBES.clear()
    yield
    PROBES.clear()


class Barriers(concurrent.futures.ThreadPoolExecutor):
    """An executor as a run has it: before each body there is a barrier."""

    def __init__(self, database: Database, fence: Fence) -> None:
        super().__init__(2)
        self._barrier = lambda: database.barrier(fence)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._barrier()
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
def load(database: Database) -> Iterator[Callable[[Run, Fence], Any]]:
    with contextlib.ExitStack() as executors:

        def call(run: Run, fence: Fence) -> Any:
            fenced = database.taskflow_backend(run.uuid, fence)
            detail = database.load_flow(run, "move")
            executor = executors.enter_context(Barriers(database, fence))
            return taskflow.engines.load_from_detail(detail, backend=fenced, engine="parallel", executor=executor)

        yield call


def test_a_flow_runs_and_its_atoms_are_stored(database: Database, create: Create, load: Any) -> None:
    run, fence = create()
    load(run, fence).run()
    assert database.load_flow(run, "move").state == "SUCCESS"
    one, two = database.atoms(run, "move")
    assert (one.name, one.state, one.intention, one.failure) == ("one", "SUCCESS", "EXECUTE", "")
    assert one.results == {"ran": "one"}
    assert one.version == "1.0"
    assert two.name == "two"


def test_statements_are_compiled_once_and_unchanged_atoms_stay_unwritten(
    database: Database, create: Create, load: Any
) -> None:
    load(*create("warm-up")).run()
    statements: list[str] = []
    sa.event.listen(database._engine, "before_cursor_execute", lambda c, k, text, *rest: statements.append(text))
    run, fence = create("counted")
    load(run, fence).run()
    database.runs.set_state(fence, RunState.SUCCESS)
    writes = [text.split("_", 1)[0] for text in statements if text.startswith(("UPDATE ", "INSERT INTO "))]
    assert writes.count("UPDATE lmflow") - 1 == 3, "a barrier for each step, and the run's end"
    assert sum("atomdetails" in text for text in writes) <= 4, "the atoms are made, and change at each barrier"


def test_every_write_transaction_proves_the_fence_first(database: Database, create: Create, load: Any) -> None:
    run, fence = create()
    transactions: list[list[str]] = [[]]
    sa.event.listen(database._engine, "begin", lambda conn: transactions.append([]))
    sa.event.listen(database._engine, "before_cursor_execute", lambda c, k, text, *rest: transactions[-1].append(text))
    load(run, fence).run()
    kept = [[s for s in statements if not s.startswith("BEGIN")] for statements in transactions]
    writing = [t for t in kept if any(s.startswith(("UPDATE", "INSERT", "DELETE")) for s in t)]
    assert writing
    assert all(t[0].startswith("UPDATE lmflow_leases") for t in writing)


def test_a_failed_flow_reverts_and_keeps_its_failure_in_one_short_line(
    database: Database, create: Create, load: Any
) -> None:
    def fail() -> None:
        raise RuntimeError("the host said no\nand more")

    PROBES["two"] = fail
    run, fence = create()
    with pytest.raises(RuntimeError):
        load(run, fence).run()
    assert database.load_flow(run, "move").state == "REVERTED"
    assert [(a.name, a.state) for a in database.atoms(run, "move")] == [("one", "REVERTED"), ("two", "REVERTED")]


def test_no_reference_of_the_pool_reaches_the_disk(database: Database, create: Create, load: Any, url: str) -> None:
    session = "OpaqueRef:8d1fb23c-5b0a-4f0c-9f3e-1d2c3b4a5f60"

    def fail() -> None:
        raise RuntimeError(f"SESSION_INVALID ['{session}']", session)

    PROBES["two"] = PROBES["revert one"] = fail
    run, fence = create()
    with pytest.raises(RuntimeError):
        load(run, fence).run()
    database.events.append(fence, "note", {"error": {"params": [session, "OpaqueRef:NULL"]}})
    database.attempts.begin(fence, attempt_uuid="a", session_uuid="s", starts={}, disabled=[])
    database.attempts.ended(fence, "a", f"lost {session}")
    database.runs.set_state(fence, RunState.FAILED, summary=f"lost {session}")
    for write in (
        lambda: database.leases.store_session(fence, session),
        lambda: database.attempts.begin(fence, attempt_uuid="b", session_uuid=session, starts={}, disabled=[]),
    ):
        with pytest.raises(ValueError, match="secret") as refused:
            write()
        assert session not in str(refused.value)
    every = [*tables.METADATA.sorted_tables, *schema.metadata.sorted_tables]
    with database._engine.connect() as conn:
        stored = "".join(str(conn.execute(table.select()).all()) for table in every)
    assert "OpaqueRef:(masked)" in stored
    assert "OpaqueRef:NULL" in stored
    assert "8d1fb23c" not in stored


def test_a_failed_revert_is_shown(database: Database, create: Create, load: Any) -> None:
    def fail() -> None:
        raise RuntimeError("cannot undo\nbecause")

    PROBES["two"] = PROBES["revert one"] = fail
    run, fence = create()
    with pytest.raises(RuntimeError, match="cannot undo"):
        load(run, fence).run()
    assert [a.failure for a in database.atoms(run, "move") if a.name == "one"] == ["cannot undo"]


def test_an_interrupted_flow_is_taken_up_by_its_heir(database: Database, create: Create, load: Any) -> None:
    ran: list[str] = []
    PROBES["one"] = lambda: ran.append("one")
    PROBES["two"] = lambda: ran.append("two")
    run, fence = create(lease_seconds=0)
    steps = load(run, fence).run_iter()
    for _state in steps:
        if database.atoms(run, "move")[0].state == "SUCCESS":
            break
    steps.close()  # as a process that stops there
    heir, _previous = database.leases.acquire(run.uuid, ELSEWHERE, 30)
    load(run, heir).run()
    assert ran.count("one") == 1
    assert database.load_flow(run, "move").state == "SUCCESS"


def test_an_owner_that_lost_its_lease_in_mid_task_leaves_no_trace(
    database: Database, create: Create, load: Any
) -> None:
    run, fence = create(lease_seconds=0)
    heirs: list[Fence] = []

    def lose() -> None:
        if not heirs:
            heirs.append(database.leases.acquire(run.uuid, ELSEWHERE, 30)[0])
            raise RuntimeError("a failure that would revert everything")

    PROBES["two"] = lose
    with pytest.raises(LeaseLost):
        load(run, fence).run()
    assert [(a.name, a.state) for a in database.atoms(run, "move")] == [("one", "SUCCESS"), ("two", "RUNNING")]
    assert database._engine.pool.checkedout() == 0
    load(run, heirs[0]).run()
    assert database.load_flow(run, "move").state == "SUCCESS"
    load(run, fence).run()  # which has nothing to do, and says so
    with pytest.raises(LeaseLost):
        database.barrier(fence)
    assert database.load_flow(run, "move").state == "SUCCESS"


def _write_behind_barrier(database: Database, fence: Fence, write: Callable[[Any], Any], connection: Any) -> None:
    write(connection)
    database.barrier(fence)


def test_a_void_fence_stops_every_writing_method(database: Database, create: Create) -> None:
    run, fence = create()
    detail, atom = database.load_flow(run, "move"), tf_models.TaskDetail("one", uuid="a-1")
    detail.add(atom)
    database.taskflow_backend(run.uuid, fence).get_connection().update_flow_details(detail)
    database.barrier(fence)
    detail.state = atom.state = "RUNNING"
    for write in (
        lambda connection: connection.update_flow_details(detail),
        lambda connection: connection.update_atom_details(atom),
        lambda connection: connection.save_logbook(tf_models.LogBook("another")),
        lambda connection: connection.destroy_logbook(run.logbook_uuid),
    ):
        void = Fence(run.uuid, fence.token + 1)
        connection = database.taskflow_backend(run.uuid, void).get_connection()
        with pytest.raises(LeaseLost):
            _write_behind_barrier(database, void, write, connection)
        assert void.deferred_since is None
    assert database.load_flow(run, "move").state is None
    assert [(a.name, a.state) for a in database.atoms(run, "move")] == [("one", "PENDING")]


def test_reading_needs_no_fence(database: Database, create: Create, load: Any) -> None:
    run, fence = create()
    load(run, fence).run()
    fenced = database.taskflow_backend(run.uuid, Fence(run.uuid, 999))
    with contextlib.closing(fenced.get_connection()) as connection:
        assert connection.get_logbook(run.logbook_uuid).uuid == run.logbook_uuid
        assert len(list(connection.get_flows_for_book(run.logbook_uuid))) == 2
        atoms = list(connection.get_atoms_for_flow(run.move_uuid))
        assert connection.get_atom_details(atoms[0].uuid).name == atoms[0].name


def test_what_is_not_there_is_not_found(database: Database, create: Create) -> None:
    run, fence = create()
    with contextlib.closing(database.taskflow_backend(run.uuid, fence).get_connection()) as connection:
        for write in (
            lambda: connection.update_flow_details(tf_models.FlowDetail("x", uuid="none")),
            lambda: connection.update_atom_details(tf_models.TaskDetail("x", uuid="none")),
            lambda: connection.destroy_logbook("none"),
        ):
            with pytest.raises(tf_exceptions.NotFound):
                write()
    with pytest.raises(DamagedError):
        database.load_flow(database.runs.get(run.uuid).__class__(**{**_fields(run), "move_uuid": "none"}), "move")


def _fields(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in Run.__dataclass_fields__}


def test_a_logbook_is_saved_again_with_what_changed(database: Database, create: Create) -> None:
    run, fence = create()
    with contextlib.closing(database.taskflow_backend(run.uuid, fence).get_connection()) as connection:
        book = connection.get_logbook(run.logbook_uuid)
        book.meta["note"] = "kept"
        move = book.find(run.move_uuid)
        move.state = "RUNNING"
        move.add(tf_models.TaskDetail("late", uuid="a-1"))
        book.add(tf_models.FlowDetail("third", uuid="f-3"))
        connection.save_logbook(book)
        again = connection.get_logbook(run.logbook_uuid)
    assert again.meta["note"] == "kept"
    assert again.find(run.move_uuid).state == "RUNNING"
    assert [a.name for a in again.find(run.move_uuid)] == ["late"]
    assert again.find("f-3").name == "third"


def test_an_atom_that_only_the_database_knows_is_returned(database: Database, create: Create) -> None:
    run, fence = create()
    with contextlib.closing(database.taskflow_backend(run.uuid, fence).get_connection()) as connection:
        detail = database.load_flow(run, "move")
        detail.add(tf_models.TaskDetail("known", uuid="a-1"))
        connection.update_flow_details(detail)
        bare = tf_models.FlowDetail("move", uuid=run.move_uuid)
        assert [a.name for a in connection.update_flow_details(bare)] == ["known"]


def test_what_cannot_be_stored_is_named_at_once(database: Database, create: Create) -> None:
    run, fence = create()
    detail = database.load_flow(run, "move")
    detail.meta["bad"] = [object()]
    with contextlib.closing(database.taskflow_backend(run.uuid, fence).get_connection()) as connection:
        with pytest.raises(UnstorableError, match=r"flow 'move': meta\['bad'\]\[0\] is of the type object"):
            connection.update_flow_details(detail)
        assert fence.deferred_since is None
        with pytest.raises(NotImplementedError):
            connection.clear_all()


def test_a_backend_is_for_its_run_only(database: Database, create: Create) -> None:
    run, _fence = create()
    with pytest.raises(ValueError, match="fence"):
        database.taskflow_backend(run.uuid, Fence("another", 1))
