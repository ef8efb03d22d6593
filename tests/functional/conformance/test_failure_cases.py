"""Conformance R: what a migration shows while it runs, and how it fails. In two worlds."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.moves import NULL
from tests.support.probes import ask, power_state
from tests.support.replays import CASTS
from tests.support.stage import Stage
from tests.support.wire import in_background

FAST = 60.0


@pytest.fixture(params=CASTS)
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Stage]]:
    """Make a served pool where the VM on the host of this role is watched."""
    made: list[Stage] = []

    def make_stage(role: str = "h1", **options: Any) -> Stage:
        made.append(Stage(CASTS[request.param], role, **{"time_scale": FAST, **options}))
        return made[-1]

    yield make_stage
    for stage in made:
        stage.close()


@pytest.fixture
def stage(make: Callable[..., Stage]) -> Stage:
    return make()


def start_and_hold(stage: Stage, destination: str = "h2", at: float = 0.3) -> str:
    """Start a migration and hold it in mid-copy."""
    stage.moves.set_copy(stage.vm, 5)
    stage.moves.fault(phase="copy", kind="hold", at=at)
    task = stage.moves.start(stage.vm, stage.cast.host(destination))
    while stage.moves.client.call("task.get_progress", task) < 0.1:
        pass
    return task


def release(stage: Stage) -> None:
    stage.pool.xenops.released.set()


def fail(stage: Stage, destination: str = "h2", **fault: Any) -> dict[str, Any]:
    """Let a migration meet a fault and give its task."""
    stage.moves.set_copy(stage.vm, 2)
    stage.moves.fault(**fault)
    task = stage.moves.finish(stage.vm, stage.cast.host(destination))
    stage.watcher.wait_for("vm", lambda state: state[3] == [])
    return task


def outcome(task: dict[str, Any]) -> tuple[str, list[str]]:
    return task["status"], task["error_info"]


def test_r02_the_destination_shows_the_operation(stage: Stage) -> None:
    task = start_and_hold(stage)
    host = stage.moves.client.call("host.get_record", stage.host("h2"))
    assert host["current_operations"] == {task: "vm_migrate"}
    assert stage.moves.client.refuse("host.reboot", stage.host("h2"))[0] == "HOST_NOT_DISABLED"
    release(stage)
    assert stage.moves.client.wait_for_task(task)["status"] == "success"
    assert stage.moves.client.call("host.get_current_operations", stage.host("h2")) == {}


def test_r03_the_task_lives_where_the_vm_is(make: Callable[..., Stage]) -> None:
    stage = make("h2")
    task = start_and_hold(stage, "h1")
    record = stage.moves.client.call("task.get_record", task)
    wanted = {
        "name_label": "Async.VM.pool_migrate",
        "status": "pending",
        "type": "<none/>",
        "result": "",
        "error_info": [],
        "resident_on": stage.host("h2"),
        "subtask_of": "OpaqueRef:NULL",
        "backtrace": "()",
        "allowed_operations": ["cancel"],
        "current_operations": {},
        "other_config": {},
    }
    assert {key: record[key] for key in wanted} == wanted
    assert 0 < record["progress"] < 0.5
    assert str(record["finished"]) == "19700101T00:00:00Z"
    release(stage)


def test_r05_a_message_tells_of_the_move(stage: Stage) -> None:
    stage.moves.set_copy(stage.vm, 1)
    hosts = {role: stage.pool.store.value("host", stage.host(role), "uuid") for role in ("h1", "h2")}
    titles = {role: f"host '{stage.cast.host(role)}' (uuid: {hosts[role]})" for role in hosts}
    bodies = []
    for source, destination in (("h1", "h2"), ("h2", "h2"), ("h2", "h1")):
        assert stage.moves.finish(stage.vm, stage.cast.host(destination))["status"] == "success"
        way = f"from {titles[source]} to {titles[destination]}"
        bodies.append(f"VM '{stage.vm}' (uuid: {stage.moves.uuid(stage.vm)}) migrated {way}")
    found = stage.moves.client.call("message.get_all_records").values()
    assert {(m["name"], m["priority"], m["cls"]) for m in found} == {("VM_MIGRATED", "5", "VM")}
    assert sorted(m["body"] for m in found) == sorted(bodies)


def test_r06_the_place_comes_first_and_success_last(stage: Stage) -> None:
    store, written = stage.pool.store, []
    stage.moves.set_copy(stage.vm, 1)
    states = {"VM": ("resident_on", "scheduled_to_be_resident_on", "current_operations"), "task": ("status",)}

    def listen(operation: str, cls: str, ref: str) -> None:
        if ref == stage.ref or (cls == "task" and ref == stage.moves.task_ref and operation != "del"):
            written.append((cls, *(store.value(cls, ref, field) for field in states[cls])))
        elif cls == "message" and operation == "add":
            written.append((cls, store.value(cls, ref, "name")))

    store.listeners.append(listen)
    stage.moves.finish(stage.vm, stage.cast.h2)
    h1, h2 = stage.host("h1"), stage.host("h2")
    steps = [step for step, _ in itertools.groupby(written)]
    places = [place for place, _ in itertools.groupby(step[1:3] for step in steps if step[0] == "VM")]
    assert places in ([(h1, NULL), (h1, h2), (h2, NULL)], [(h1, h2), (h2, NULL)])
    arrived = next(i for i, step in enumerate(steps) if step[:3] == ("VM", h2, NULL))
    assert "pool_migrate" in steps[arrived][3].values()
    emptied, told = steps.index(("VM", h2, NULL, {})), steps.index(("message", "VM_MIGRATED"))
    assert arrived < min(emptied, told)  # the observed stream shows these two in one batch, with the success
    assert max(emptied, told) < steps.index(("task", "success"))


def test_r06_one_event_tells_of_the_place_and_the_reservation(stage: Stage) -> None:
    client = stage.moves.client
    stage.moves.set_copy(stage.vm, 1)
    token = client.events(["vm", "task"], "", 0.0)["token"]
    task = stage.moves.start(stage.vm, stage.cast.h2)
    seen: list[tuple[str, Any]] = []
    while ("task", "success") not in seen:
        batch = client.events([f"vm/{stage.ref}", f"task/{task}"], token)
        token = batch["token"]
        for event in batch["events"]:
            record = event["snapshot"]
            place = (record.get("resident_on"), record.get("scheduled_to_be_resident_on"))
            seen.append((event["class"], place if event["class"] == "vm" else record["status"]))
    h1, h2 = stage.host("h1"), stage.host("h2")
    places = [place for place, _ in itertools.groupby(place for cls, place in seen if cls == "vm")]
    assert places[-2:] == [(h1, h2), (h2, NULL)]
    assert set(places) <= {(h1, NULL), (h1, h2), (h2, NULL)}
    assert seen.index(("vm", (h2, NULL))) < seen.index(("task", "success"))


def test_r07_no_memory_left(stage: Stage) -> None:
    status, error = outcome(fail(stage, cause="memory"))
    assert (status, error[0]) == ("failure", "HOST_NOT_ENOUGH_FREE_MEMORY")
    assert [int(number) > 0 for number in error[1:]] == [True, True]
    assert (stage.place(), stage.runs_on()) == (("Running", "h1"), ["h1"])


@pytest.mark.parametrize("is_down", [True, False], ids=["toolstack down", "cause"])
def test_r08_an_unreachable_destination(stage: Stage, is_down: bool) -> None:
    if is_down:
        stage.pool.toolstack.stop(stage.host("h2"))
    fault = {"phase": "copy", "kind": "fail"} if is_down else {"cause": "unreachable"}
    assert outcome(fail(stage, **fault)) == ("failure", ["VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED"])
    assert (stage.place(), stage.runs_on()) == (("Running", "h1"), ["h1"])


@pytest.mark.parametrize(
    ("cause", "error", "seconds"),
    [
        ("suspend_refused", ["VM_FAILED_SUSPEND_ACKNOWLEDGMENT", "VM"], 30.0),
        ("suspend_timeout", ["VM_SUSPEND_TIMEOUT", "VM", "1200."], 1200.0),
    ],
)
def test_r09_a_guest_that_does_not_suspend(
    make: Callable[..., Stage], cause: str, error: list[str], seconds: float
) -> None:
    stage = make(time_scale=600.0)
    told = [stage.ref if part == "VM" else part for part in error]
    assert outcome(fail(stage, cause=cause)) == ("failure", told)
    assert stage.watcher.seconds >= seconds
    assert (stage.place(), stage.runs_on()) == (("Running", "h1"), ["h1"])


def test_r11_a_stream_that_breaks_after_the_suspend_loses_the_guest(stage: Stage) -> None:
    status, error = outcome(fail(stage, cause="stream"))
    assert (status, error[0]) == ("failure", "INTERNAL_ERROR")
    assert error[1].startswith("xenopsd internal error: ")
    assert (stage.place(), stage.runs_on()) == (("Halted", "NULL"), [])


@pytest.mark.parametrize("times", [1, 2])
def test_r12_an_interruption_is_tried_again(stage: Stage, times: int) -> None:
    assert outcome(fail(stage, phase="copy", kind="interrupt", times=times)) == ("success", [])
    assert (stage.place(), stage.runs_on()) == (("Running", "h2"), ["h2"])


def test_r12_but_only_twice(stage: Stage) -> None:
    wanted = ["INTERNAL_ERROR", "xenopsd internal error: End_of_file"]
    assert outcome(fail(stage, phase="copy", kind="interrupt", times=3)) == ("failure", wanted)
    assert (stage.place(), stage.runs_on()) == (("Running", "h1"), ["h1"])


@pytest.mark.parametrize("act", ["reboot", "crash"])
def test_r12_a_guest_that_reboots_is_followed(stage: Stage, act: str) -> None:
    assert outcome(fail(stage, phase="copy", kind="guest", how=act)) == ("success", [])
    assert (stage.place(), stage.runs_on()) == (("Running", "h2"), ["h2"])


def test_r12_a_guest_that_shuts_down_is_halted(stage: Stage) -> None:
    status, error = outcome(fail(stage, phase="copy", kind="guest", how="shutdown"))
    text = f"Object with type VM and id {stage.moves.uuid(stage.vm)}/config does not exist in xenopsd"
    assert (status, error) == ("failure", ["INTERNAL_ERROR", text])
    assert (stage.place(), stage.runs_on()) == (("Halted", "NULL"), [])
    assert not stage.moves.client.call("message.get_all")


def test_r13_a_cancel_in_time(make: Callable[..., Stage]) -> None:
    stage = make("h2")
    task = start_and_hold(stage, "h1")
    temporary = stage.moves.uuid(stage.vm)[:-12] + "000000000001"
    assert ask(stage.moves, stage.cast.h1, "VM.exists", id=temporary).value is True
    assert stage.moves.client.call("task.cancel", task) == ""
    assert outcome(stage.moves.client.wait_for_task(task)) == ("cancelled", [])
    assert (stage.place(), stage.runs_on()) == (("Running", "h2"), ["h2"])
    assert ask(stage.moves, stage.cast.h1, "VM.exists", id=temporary).value is False


def test_r14_the_source_is_lost_from_sight(make: Callable[..., Stage]) -> None:
    stage = make("h2")
    task = fail(stage, "h1", phase="copy", kind="restart", host="source")
    assert outcome(task) == ("failure", ["CANNOT_CONTACT_HOST", stage.host("h2")])
    stage.watcher.wait_for("real", lambda state: state == (True, False))
    stage.watcher.wait_for("vm", lambda state: state[:2] == ("Halted", "NULL"))
    assert power_state(stage.moves, stage.cast.h1, stage.vm) == "Running"


def test_r15_a_failure_after_the_arrival(stage: Stage) -> None:
    status, error = outcome(fail(stage, cause="metadata"))
    assert (status, error[:2]) == ("failure", ["INVALID_VALUE", "kernel"])
    assert (stage.place(), stage.runs_on()) == (("Running", "h2"), ["h2"])


def test_r18_a_domain_that_the_database_places_elsewhere_is_ended(make: Callable[..., Stage]) -> None:
    stage = make("h2")
    stage.moves.set_copy(stage.vm, 5)
    stage.moves.fault(phase="copy", kind="restart", host="destination")
    stage.moves.start(stage.vm, stage.cast.h1)
    stage.watcher.wait_for("real", lambda state: state == (True, False))
    stage.watcher.wait_for("real", lambda state: state == (False, False))
    stage.wait_for_state("h1", "ready")
    stage.moves.client.login()
    assert stage.place() == ("Running", "h2")


@pytest.mark.parametrize(("call", "end"), [("VM.hard_shutdown", "Halted"), ("VM.hard_reboot", "Running")])
def test_r20_a_hard_end_cancels_first(stage: Stage, call: str, end: str) -> None:
    task = start_and_hold(stage)
    with in_background(lambda: stage.moves.client.call(call, stage.ref)) as ended:
        record = stage.moves.client.wait_for_task(task)
    assert outcome(record) == ("cancelled", [])
    assert ended.result == ""
    assert stage.place()[0] == end
    marks = stage.moves.client.call("task.get_current_operations", task)
    assert list(marks.values()) == ["cancel"]
    assert next(iter(marks)).startswith("DummyRef:|")
