"""Conformance S08, S10, T13, T14: what a client sees of a toolstack that ends. In two worlds."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.replays import CASTS
from tests.support.stage import Stage

Make = Callable[[str], Stage]


@pytest.fixture(params=CASTS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Stage] = []

    def make_stage(role: str) -> Stage:
        made.append(Stage(CASTS[request.param], role, time_scale=60.0))
        return made[-1]

    yield make_stage
    for stage in made:
        stage.close()


def test_s08_a_toolstack_notes_when_it_began_as_xapi_writes_it(make: Make) -> None:
    stage = make("h1")
    stage.moves.restart(stage.cast.h2)
    stage.wait_for_state("h2", "starting", "emergency")
    stage.wait_for_state("h2", "ready")
    told = stage.moves.client.call("host.get_other_config", stage.host("h2"))["agent_start_time"]
    assert re.fullmatch(r"\d+\.", told), "OCaml writes a float without digits after its point"


@pytest.mark.parametrize("how", ["KILL", "TERM"])
def test_s08_sessions_end_with_the_coordinator(make: Make, how: str) -> None:
    stage = make("h1")
    client, old = stage.moves.client, stage.moves.client.session
    stage.moves.restart(stage.cast.h1, how)
    stage.wait_for_state("h1", "starting")
    stage.wait_for_wire("h1")
    for call in ("VM.get_all", "task.get_all", "session.get_this_host", "event.get_current_id"):
        arguments = (old,) if call == "session.get_this_host" else ()
        assert client.refuse(call, *arguments) == ["SESSION_INVALID", old]
    client.login()
    assert client.call("VM.get_by_name_label", stage.vm) == [stage.ref]


def test_s10_a_host_without_a_coordinator_answers_emergency_calls_only(make: Make) -> None:
    stage = make("h2")
    client, options = stage.moves.client, stage.pool.options
    stage.pool.toolstack.stop(stage.host("h1"))
    stage.moves.restart(stage.cast.h2)
    stage.wait_for_state("h2", "emergency")
    stage.wait_for_wire("h2")
    address = stage.address("h2")
    for call, *arguments in (
        ("session.login_with_password", options.username, options.password, "1.0", "test"),
        ("VM.get_all", client.session),
        ("Async.VM.pool_migrate", client.session, stage.ref, stage.host("h1"), {}),
        ("no.such",),
    ):
        assert client.raw(call, *arguments, address=address).failure == ["HOST_STILL_BOOTING"], call
    login = ("session.slave_local_login_with_password", options.username, options.password)
    session = client.raw(*login, address=address).value
    assert client.raw("session.local_logout", session, address=address).value == ""


def test_t13_tasks_are_lost_with_the_coordinator(make: Make) -> None:
    stage = make("h1")
    stage.moves.set_copy(stage.vm, 5)
    stage.moves.fault(phase="copy", kind="restart", host="coordinator", at=0.3)
    task = stage.moves.start(stage.vm, stage.cast.h2)
    stage.log_in_again()
    client = stage.moves.client
    assert client.refuse("task.get_record", task) == ["HANDLE_INVALID", "task", task]
    vm = stage.moves.vm(stage.vm)
    assert (vm["current_operations"], vm["scheduled_to_be_resident_on"]) == ({}, "OpaqueRef:NULL")
    stage.watcher.wait_for("real", lambda state: state == (False, True))


def test_t14_a_task_ends_with_its_source(make: Make) -> None:
    stage = make("h2")
    stage.moves.set_copy(stage.vm, 5)
    stage.moves.fault(phase="copy", kind="restart", host="source", at=0.3)
    task = stage.moves.finish(stage.vm, stage.cast.h1)
    assert (task["status"], task["error_info"]) == ("failure", ["CANNOT_CONTACT_HOST", stage.host("h2")])
    stage.watcher.wait_for("vm", lambda state: state[3] == [])
    assert stage.moves.client.call("task.get_status", stage.moves.task_ref) == "failure"
    assert stage.moves.vm(stage.vm)["current_operations"] == {}
    stage.watcher.wait_for("real", lambda state: state == (True, False))
