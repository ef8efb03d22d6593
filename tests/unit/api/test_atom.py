"""What a graph sees of an outcome: a result, a failure that lets it revert, or neither."""

from __future__ import annotations

import json

import pytest

from lmflow.api import CancelledError, FlowSuspended, MigrateTask, MigrationFailedError, RefusedError, RunState
from lmflow.api.atom import make_result
from lmflow.models import Finding, XapiError
from tests.support.answers import make_outcome

FINDING = Finding(rule="host.enabled", code="HOST_DISABLED", message="xcp-c is disabled", remedy="enable it")


def test_a_success_is_a_result() -> None:
    outcome = make_outcome(RunState.SUCCESS, vm_state="web-02 runs on xcp-c", already_there=True, seconds=1.5)
    result = make_result(outcome)
    assert json.loads(json.dumps(result)) == result
    assert result == {
        "run": outcome.run.uuid,
        "state": "success",
        "vm_state": "web-02 runs on xcp-c",
        "vm_uuid": outcome.run.request.vm_uuid,
        "source_uuid": outcome.run.request.source_uuid,
        "destination_uuid": outcome.run.request.destination_uuid,
        "destination": "xcp-c",
        "already_there": True,
        "seconds": 1.5,
    }


@pytest.mark.parametrize(
    ("state", "fields", "kind"),
    [
        (RunState.REFUSED, {"findings": (FINDING,)}, RefusedError),
        (RunState.FAILED, {"error": XapiError("INTERNAL_ERROR", ("broken",))}, MigrationFailedError),
        (RunState.FAILED, {"cancelled": True}, CancelledError),
        (RunState.DIRTY, {"left": ("PBD p is unproved",)}, MigrationFailedError),
        (RunState.DIRTY, {"left": ("PBD p is unproved",), "cancelled": True}, CancelledError),
    ],
)
def test_what_has_ended_without_a_move_lets_the_graph_revert(
    state: RunState, fields: dict[str, object], kind: type[RefusedError | MigrationFailedError]
) -> None:
    outcome = make_outcome(state, summary="web-02 runs on xcp-a", vm_state="web-02 runs on xcp-a", **fields)
    with pytest.raises(kind) as caught:
        make_result(outcome)
    assert type(caught.value) is kind
    assert caught.value.state_now == "web-02 runs on xcp-a"
    assert all(left in caught.value.message for left in outcome.left)
    if isinstance(caught.value, RefusedError):
        assert caught.value.findings == outcome.findings
    elif outcome.error:
        assert (caught.value.xapi_code, caught.value.xapi_params) == ("INTERNAL_ERROR", ("broken",))


@pytest.mark.parametrize(
    ("state", "given", "seen"),
    [
        (RunState.UNKNOWN, "unknown", "unknown"),
        (RunState.UNKNOWN, "", "unknown"),
        (RunState.SUSPENDED, "unreachable", "unreachable"),
        (RunState.SUSPENDED, "", "detached"),
        (RunState.RUNNING, "timeout", "timeout"),
    ],
)
def test_what_is_open_suspends_the_graph(state: RunState, given: str, seen: str) -> None:
    with pytest.raises(FlowSuspended) as caught:
        make_result(make_outcome(state, reason=given, vm_state="cannot say"))
    assert caught.value.reason == seen


def test_every_state_is_one_of_the_three() -> None:
    for state in RunState:
        if state is not RunState.SUCCESS:
            with pytest.raises((RefusedError, MigrationFailedError, FlowSuspended)):
                make_result(make_outcome(state))


@pytest.mark.parametrize(
    ("request_id", "options"),
    [
        ("", {"vm": "web-02"}),
        ("T-1", {}),
        ("T-1", {"rebind": {"destination": "chosen"}}),
        ("T-1", {"vm": "web-02", "rebind": {"pool": "chosen"}}),
    ],
)
def test_what_names_no_migration_is_no_atom(request_id: str, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="request id"):
        MigrateTask(request_id, **options)  # type: ignore[arg-type]


def test_it_asks_the_graph_for_what_is_alive_and_what_was_rebound() -> None:
    plain = MigrateTask("T-1", vm="web-02")
    assert (set(plain.requires), set(plain.optional)) == ({"lmflow_client"}, {"lmflow_steering"})
    assert plain.name == "lmflow migrate T-1"
    bound = MigrateTask("T-1", rebind={"vm": "server", "destination": "chosen_host"}, name="mine", provides="moved")
    assert set(bound.requires) == {"lmflow_client", "server", "chosen_host"}
    assert (bound.name, set(bound.provides)) == ("mine", {"moved"})
