"""A request id names its request for ever, also after a prune; unless it is to be forgotten."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from lmflow.db import schema
from lmflow.db.database import Database, Fence, RequestExists
from lmflow.db.owner import current_owner
from lmflow.db.pruning import Retention
from lmflow.exceptions import DamagedError, UsageError
from lmflow.models import Finding, Pruned, Remnant, Run, RunState
from lmflow.runner.recall import make_remnant, recall_outcome
from tests.functional.db.requests import FLOWS, make_request
from tests.functional.db.test_tries import make_next
from tests.support.servers import KINDS, Servers

Create = Callable[..., tuple[Run, Fence]]
SOON = 1e12


def prune(database: Database, **retention: Any) -> Pruned:
    wanted = Retention(**{"until": SOON, **retention})
    return database.past.prune(wanted, delete=True, recall=make_remnant)


def end(database: Database, fence: Fence, state: RunState = RunState.SUCCESS, summary: str = "it runs on B") -> None:
    database.runs.set_state(fence, state, summary=summary)
    database.leases.release(fence)


def recreate(database: Database, run: Run) -> Run:
    """Make the run's request once more, and return the run that it is said to be."""
    with pytest.raises(RequestExists) as exists:
        database.runs.create(run.request, kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS)
    return exists.value.run


def settle(database: Database, run: Run) -> Run:
    with pytest.raises(RequestExists) as exists:
        database.runs.record_settled(run.request, kind="move", state=RunState.SUCCESS, summary="there")
    return exists.value.run


def test_a_pruned_request_is_found_by_all_its_names_and_begun_by_none(database: Database, create: Create) -> None:
    run, fence = create("a", request_id="r")
    end(database, fence)
    before = database.runs.get(run.uuid)
    assert prune(database).runs == 1
    after = database.runs.find_by_request_id("r")
    assert after is not None
    assert after.remnant is not None
    assert after.remnant.pruned_at >= after.updated_at
    gone = {"phase": "", "logbook_uuid": "", "move_uuid": "", "settle_uuid": ""}
    assert after == dataclasses.replace(before, **gone, remnant=after.remnant)
    assert database.runs.get(run.uuid) == database.runs.get_newest(run.uuid) == after
    assert database.runs.find_by_prefix(run.uuid[:8]) == (after,)
    assert recreate(database, run) == settle(database, run) == after
    assert database.runs.list(limit=None) == ()
    assert database.events.list(run.uuid) == ()


def test_every_try_has_a_row_and_the_request_ends_as_the_last_one(database: Database, create: Create) -> None:
    first, fence = create("a", request_id="r")
    second, taken = database.runs.hand_over(fence, RunState.FAILED, make_next(first, 2), summary="full")
    database.leases.release(fence)
    end(database, taken)
    prune(database)
    assert [(run.uuid, run.state) for run in database.runs.list_tries(second.uuid)] == [
        (first.uuid, RunState.FAILED), (second.uuid, RunState.SUCCESS),
    ]  # fmt: skip
    assert database.runs.get_newest(first.uuid).uuid == second.uuid
    assert recreate(database, second).uuid == second.uuid
    assert prune(database, forget=True, states=[RunState.FAILED]).forgotten == 0, "its last try has not failed"
    assert prune(database, forget=True).forgotten == 2


def test_what_decides_on_the_exit_code_is_kept(database: Database) -> None:
    finding = Finding(rule="vm.claimed", code="VM_CLAIMED", message="another run has it", remedy="")
    refusal = ("refusal", {"findings": [finding.to_json()]})
    ways: dict[str, Any] = {"kind": "migrate", "state": RunState.REFUSED, "summary": "another run has it"}
    claimed = database.runs.record_settled(make_request("a"), **ways, notes=[refusal])
    failure = (
        "failure",
        {"text": "asked", "cancelled": True, "error": {"code": "X", "params": ["OpaqueRef:12345678"]}},
    )
    ways |= {"state": RunState.FAILED}
    cancelled = database.runs.record_settled(make_request("b"), **ways, notes=[failure])
    ways |= {"state": RunState.SUCCESS}
    there = database.runs.record_settled(make_request("c"), **ways)
    before = {run.uuid: recall_outcome(run, database.events.list(run.uuid)) for run in (claimed, cancelled, there)}
    prune(database)
    for uuid, outcome in before.items():
        run = database.runs.get(uuid)
        kept = recall_outcome(run, ())
        assert kept == dataclasses.replace(outcome, run=run, findings=(), advice=kept.advice)
    assert before[claimed.uuid].reason == "locked"
    assert before[cancelled.uuid].cancelled
    assert before[there.uuid].already_there


def test_ids_are_forgotten_only_when_asked_for_and_old_enough(database: Database, create: Create) -> None:
    uuids = []
    for name in "abc":
        run, fence = create(name, request_id=name)
        end(database, fence)
        uuids.append(database.runs.get(run.uuid))
    assert prune(database, until=uuids[2].updated_at).forgotten == 0
    kept = database.past.prune(Retention(until=SOON, forget=True), delete=False, recall=make_remnant)
    assert (kept.runs, kept.forgotten) == (1, 3)
    assert database.runs.find_by_request_id("b") is not None
    done = prune(database, until=uuids[1].updated_at, forget=True)
    assert (done.runs, done.forgotten) == (0, 1)
    assert [database.runs.find_by_request_id(name) is None for name in "abc"] == [True, False, False]
    assert prune(database, forget=True).forgotten == 2
    again, _fence = create("a", request_id="a")
    assert again.uuid != uuids[0].uuid
    with pytest.raises(UsageError):
        database.runs.get(uuids[0].uuid)


def test_a_run_that_cannot_be_read_is_pruned_and_its_id_still_begins_nothing(
    database: Database, create: Create
) -> None:
    whole, fence = create("a")
    end(database, fence)
    broken, fence = create("b")
    end(database, fence)
    with database._engine.begin() as conn:
        conn.execute(sa.update(schema.events).where(schema.events.c.run_uuid == whole.uuid).values(data="no JSON"))
        conn.execute(sa.update(schema.runs).where(schema.runs.c.uuid == broken.uuid).values(request="no JSON"))
    assert prune(database).runs == 2
    remnant = recreate(database, whole).remnant
    assert remnant is not None
    assert dataclasses.replace(remnant, pruned_at=0.0) == Remnant()
    with pytest.raises(DamagedError):
        database.runs.create(broken.request, kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS)
    assert database.runs.list(limit=None) == ()


def on_statement(database: Database, beginning: str, call: Callable[[], object]) -> None:
    """Call once when that statement is about to be sent."""
    left = [call]

    def look(_conn: sa.Connection, _cursor: object, text: str, *_rest: object) -> None:
        if text.startswith(beginning) and left:
            left.pop()()

    sa.event.listen(database._engine, "before_cursor_execute", look)


# An SQLite file has one writer at a time: there is no between.
@pytest.mark.parametrize("kind", KINDS)
def test_who_was_stopped_between_look_and_insert_hears_of_the_one_that_was_pruned_meanwhile(
    kind: str, servers: Servers
) -> None:
    with servers.shared(kind).fresh_database() as url:
        slow, quick = Database.open(url), Database.open(url)
        request = make_request("a", "r")
        ways: dict[str, Any] = {"kind": "move", "state": RunState.SUCCESS, "summary": "there"}

        def overtake() -> None:
            quick.runs.record_settled(request, **ways)
            assert prune(quick).runs == 1

        on_statement(slow, "INSERT INTO lmflow_runs", overtake)
        with pytest.raises(RequestExists) as exists:
            slow.runs.create(request, kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS)
        assert exists.value.run.remnant is not None
        assert slow.runs.list(limit=None) == ()
        slow.close()
        quick.close()


@pytest.mark.parametrize("kind", KINDS)
def test_two_prunes_of_one_request_keep_it_once(kind: str, servers: Servers) -> None:
    with servers.shared(kind).fresh_database() as url:
        one, other = Database.open(url), Database.open(url)
        one.runs.record_settled(make_request("a", "r"), kind="move", state=RunState.SUCCESS, summary="there")
        told: list[Pruned] = []
        about_to_lock = threading.Event()
        second = threading.Thread(target=lambda: told.append(prune(other)))

        def join_in() -> None:
            second.start()
            assert about_to_lock.wait(60)

        on_statement(other, "SELECT lmflow_runs.uuid \nFROM lmflow_runs \nWHERE lmflow_runs.uuid IN", about_to_lock.set)
        on_statement(one, "INSERT INTO lmflow_requests_past", join_in)
        told.append(prune(one))
        second.join(60)
        assert sorted(each.runs for each in told) == [0, 1]
        assert one.runs.find_by_request_id("r") is not None
        one.close()
        other.close()
