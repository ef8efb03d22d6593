"""What is pruned goes with all its rows; what is open, dirty, unknown or kept stays with all of its."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from taskflow.persistence.models import TaskDetail

from lmflow.db import schema
from lmflow.db.database import Database, Fence
from lmflow.db.owner import current_owner
from lmflow.db.persistence import tables
from lmflow.db.pruning import PRUNABLE, Retention
from lmflow.models import Pruned, Run, RunState
from lmflow.runner.recall import make_remnant
from tests.functional.db.requests import FLOWS, make_request
from tests.functional.db.test_tries import make_next

Create = Callable[..., tuple[Run, Fence]]
SOON = 1e12
OPEN = (RunState.RUNNING, RunState.SUSPENDED, RunState.UNKNOWN)


def end(database: Database, run: Run, fence: Fence, state: RunState) -> str:
    """Give a run rows of every kind, end it, and let go of it."""
    database.attempts.begin(fence, attempt_uuid=str(uuid.uuid4()), session_uuid="s", starts={}, disabled=())
    database.control.append(run.uuid, "cancel", {"by": "me"})
    flow = database.load_flow(run, "move")
    flow.add(TaskDetail("step", uuid=str(uuid.uuid4())))
    database.taskflow_backend(run.uuid, fence).get_connection().update_flow_details(flow)
    if state is not RunState.RUNNING:
        database.runs.set_state(fence, state)
    database.leases.release(fence)
    return run.uuid


def list_orphans(database: Database) -> dict[str, int]:
    """Count the rows of each table whose owner is not there, and of runs those whose logbook is not."""
    runs = schema.runs
    belonging = [t for t in schema.metadata.sorted_tables if "run_uuid" in t.c and t is not schema.requests_past]
    owners = [(table.c.run_uuid, runs.c.uuid) for table in belonging]
    owners += [
        (tables.atomdetails.c.parent_uuid, tables.flowdetails.c.uuid),
        (tables.flowdetails.c.parent_uuid, tables.logbooks.c.uuid),
        (tables.logbooks.c.uuid, runs.c.logbook_uuid),
        (runs.c.parent_uuid, runs.c.uuid),
    ]

    def count(conn: sa.Connection, mine: sa.Column[str], theirs: sa.Column[str]) -> int:
        owner = sa.alias(theirs.table)
        orphans = sa.select(sa.func.count()).where(mine.is_not(None), ~sa.exists().where(owner.c[theirs.name] == mine))
        return int(conn.execute(orphans.select_from(mine.table)).scalar_one())

    with database._engine.connect() as conn:
        return {f"{mine.table.name}.{mine.name}": count(conn, mine, theirs) for mine, theirs in owners}


def count_rows(database: Database) -> int:
    metadata = sa.MetaData()
    with database._engine.connect() as conn:
        metadata.reflect(conn)
        kept = [t for t in metadata.sorted_tables if "version" not in t.name and t.name != schema.requests_past.name]
        return sum(int(conn.execute(sa.select(sa.func.count()).select_from(t)).scalar_one()) for t in kept)


def prune(database: Database, *, delete: bool = True, **retention: Any) -> Pruned:
    """Prune; without another moment whatever has ended."""
    wanted = Retention(**{"until": SOON, **retention})
    return database.past.prune(wanted, delete=delete, recall=make_remnant)


def list_left(database: Database) -> set[str]:
    return {run.uuid for run in database.runs.list(limit=None)}


def test_only_ended_requests_go_and_no_row_of_theirs_stays(database: Database, create: Create) -> None:
    ended = {end(database, *create(f"a-{state}"), state) for state in PRUNABLE}
    rows = count_rows(database)
    others = {end(database, *create(f"b-{state}"), state) for state in (*OPEN, RunState.DIRTY)}
    more = count_rows(database) - rows
    settled = database.runs.record_settled(make_request("c"), kind="migrate", state=RunState.SUCCESS, summary="there")
    told = prune(database, delete=False)
    assert (told.deleted, told.requests, told.runs) == (False, 4, 4)
    assert told.states == {"failed": 1, "refused": 1, "success": 2}
    assert list_left(database) == ended | others | {settled.uuid}
    done = prune(database)
    assert done == dataclasses.replace(told, deleted=True)
    assert list_left(database) == others
    assert set(list_orphans(database).values()) == {0}
    assert count_rows(database) == more
    assert prune(database).requests == 0


def test_the_count_of_orphans_sees_one_in_each_table(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/lmflow.db")
    run, fence = database.runs.create(make_request(), kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS)
    end(database, run, fence, RunState.SUCCESS)
    with database._engine.connect() as conn:
        conn.exec_driver_sql("COMMIT")
        conn.exec_driver_sql("PRAGMA foreign_keys = OFF")
        conn.exec_driver_sql("BEGIN")
        conn.execute(sa.delete(schema.runs))
        conn.commit()
    seen = {name for name, count in list_orphans(database).items() if count}
    database.close()
    tables = ("events", "attempts", "leases", "control")
    assert seen == {"logbooks.uuid", *(f"lmflow_{name}.run_uuid" for name in tables)}


def test_no_try_of_a_request_goes_before_all_have_ended(database: Database, create: Create) -> None:
    first, fence = create("a", request_id="r")
    _second, taken = database.runs.hand_over(fence, RunState.FAILED, make_next(first, 2), summary="full")
    database.leases.release(fence)
    assert prune(database).requests == 0
    database.runs.set_state(taken, RunState.SUCCESS)
    assert prune(database).requests == 0, "its owner still reads it"
    database.leases.release(taken)
    assert prune(database, states=[RunState.FAILED]).requests == 0, "its last try has not failed"
    done = prune(database, states=[RunState.SUCCESS])
    assert (done.requests, done.runs, done.states) == (1, 2, {"success": 1})
    assert list_left(database) == set()
    assert set(list_orphans(database).values()) == {0}


def test_what_ended_later_and_the_newest_are_kept(database: Database, create: Create) -> None:
    uuids = [end(database, *create(f"a-{number}"), RunState.SUCCESS) for number in range(4)]
    moments = [database.runs.get(each).updated_at for each in uuids]
    assert prune(database, until=moments[0]).runs == 0
    assert prune(database, keep=3).runs == 1
    assert list_left(database) == set(uuids[1:])
    assert prune(database, until=moments[2]).runs == 1
    assert list_left(database) == set(uuids[2:])


@pytest.mark.parametrize("state", [*OPEN, RunState.DIRTY])
def test_other_states_cannot_be_asked_for(database: Database, state: RunState) -> None:
    with pytest.raises(ValueError, match=state.value):
        prune(database, states=[state])
