"""One run ends and its next try begins in one transaction: the VM is held by exactly one of them at every moment."""

import dataclasses
from collections.abc import Callable

import pytest

from lmflow.db.database import Database, Fence, NewRun, RequestExists
from lmflow.db.owner import current_owner
from lmflow.db.runs import RequestsWaiting
from lmflow.exceptions import LeaseLost, LockedError
from lmflow.models import MoveRequest, Run, RunState
from tests.functional.db.requests import FLOWS, make_request

Create = Callable[..., tuple[Run, Fence]]


def make_next(first: Run, number: int, **changes: object) -> NewRun:
    request: MoveRequest = dataclasses.replace(
        first.request,
        request_id=f"{first.request.request_id}#{number}",
        destination_name=f"xcp-{number}",
        ignored_uuids=tuple(f"tried-{each}" for each in range(1, number)),
    )
    new = NewRun(
        request=request,
        kind=first.kind,
        owner=current_owner(),
        lease_seconds=30,
        flows=FLOWS,
        notes=(("choice", {"host_name": "xcp-2"}),),
        first_uuid=first.uuid,
        session_uuid="session",
    )
    return dataclasses.replace(new, **changes)  # type: ignore[arg-type]


def test_the_end_and_the_next_beginning_are_one(database: Database, create: Create) -> None:
    first, fence = create("web-01")
    second, taken = database.runs.hand_over(
        fence, RunState.FAILED, make_next(first, 2), summary="C was full", notes=[("note", {})]
    )
    ended = database.runs.get(first.uuid)
    assert (ended.state, ended.summary, ended.parent_uuid) == (RunState.FAILED, "C was full", None)
    assert (second.state, second.phase, second.parent_uuid) == (RunState.RUNNING, "move", first.uuid)
    assert database.runs.find_active(first.request.pool_uuid, first.request.vm_uuid) == second
    assert [e.kind for e in database.events.list(first.uuid)][-3:] == ["note", "state", "handed_over"]
    assert database.events.list(first.uuid)[-1].data == {"run_uuid": second.uuid, "host": "xcp-2"}
    assert [e.kind for e in database.events.list(second.uuid)] == ["created", "choice"]
    lease = database.leases.get(second.uuid)
    assert lease is not None
    assert (lease.owner, lease.session_uuid, lease.token) == (current_owner(), "session", taken.token)
    assert database.load_flow(second, "settle").meta["factory"]["kwargs"] == {"version": 1}
    with pytest.raises(LockedError) as locked:
        create("web-01")
    assert locked.value.run_uuid == second.uuid


def test_every_try_leads_to_the_newest(database: Database, create: Create) -> None:
    first, fence = create("web-01")
    assert database.runs.list_tries(first.uuid) == (first,)
    second, fence = database.runs.hand_over(fence, RunState.FAILED, make_next(first, 2), summary="")
    third, _ = database.runs.hand_over(fence, RunState.REFUSED, make_next(first, 3), summary="")
    create("web-02")
    for run in (first, second, third):
        assert [each.uuid for each in database.runs.list_tries(run.uuid)] == [first.uuid, second.uuid, third.uuid]
        assert database.runs.get_newest(run.uuid) == third
    assert database.runs.get_age_seconds(third.uuid) >= database.runs.get_age_seconds(first.uuid) - 1


def test_nothing_happens_without_the_lease(database: Database, create: Create) -> None:
    first, fence = create("web-01")
    database.leases.release(fence)
    with pytest.raises(LeaseLost):
        database.runs.hand_over(fence, RunState.FAILED, make_next(first, 2), summary="")
    assert database.runs.list_tries(first.uuid) == (first,)


def test_nothing_happens_under_a_request_id_that_is_known(database: Database, create: Create) -> None:
    first, fence = create("web-01")
    known = make_request("web-02", f"{first.request.request_id}#2")
    database.runs.create(known, kind="move", owner=current_owner(), lease_seconds=30, flows=FLOWS)
    with pytest.raises(RequestExists):
        database.runs.hand_over(fence, RunState.FAILED, make_next(first, 2), summary="")
    assert database.runs.list_tries(first.uuid) == (first,)


def test_nothing_happens_while_somebody_waits_for_an_answer(database: Database, create: Create) -> None:
    first, fence = create("web-01")
    number = database.control.append(first.uuid, "cancel", {"by": "ann", "reason": ""})
    with pytest.raises(RequestsWaiting):
        database.runs.hand_over(fence, RunState.FAILED, make_next(first, 2), summary="", answered=number - 1)
    assert database.runs.list_tries(first.uuid) == (database.runs.get(first.uuid),)
    second, _ = database.runs.hand_over(fence, RunState.FAILED, make_next(first, 2), summary="", answered=number)
    assert database.runs.get_newest(first.uuid) == second


def test_a_run_that_goes_on_is_not_handed_over(database: Database, create: Create) -> None:
    first, fence = create("web-01")
    with pytest.raises(ValueError, match="suspended"):
        database.runs.hand_over(fence, RunState.SUSPENDED, make_next(first, 2), summary="")
    with pytest.raises(ValueError, match="secret"):
        database.runs.hand_over(fence, RunState.FAILED, make_next(first, 2, session_uuid="OpaqueRef:7fd2"), summary="")
    assert database.runs.get(first.uuid) == first
