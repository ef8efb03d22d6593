"""The simulated pool against recordings of a real one: the same states in the same order, at similar times."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.moves import Moves, Observer, Recording, from_reservation

GRACE_SECONDS = 2.0
"""Added to a copy during which the coordinator ends by SIGTERM: it goes on for 2 to 3 s, which the copy outlasts."""


@pytest.fixture
def moves(make_moves: Callable[..., Moves]) -> Moves:
    """A pool slow enough for one second of it to be more than a stall of the machine."""
    return make_moves(time_scale=25.0)


def replay(moves: Moves, name: str, *faults: dict[str, Any]) -> tuple[Recording, Observer]:
    """Do to the simulated pool what was done to the real one."""
    recording = Recording(name)
    vm = "v" if recording.source == "h1" else "w"
    copy_seconds = recording.copy_seconds
    for at, what in recording.actions:
        if what.startswith(("KILL", "TERM")):
            how, host = what.split()
            copy_seconds += GRACE_SECONDS if what == "TERM h1" else 0.0
            fraction = at / copy_seconds
            moves.fault(phase="copy", kind="restart", host=host, how=how, at=fraction)
    for fault in faults:
        moves.fault(**fault)
    moves.set_copy(vm, copy_seconds)
    observer = moves.observe(vm)
    moves.start(vm, recording.destination)
    return recording, observer


def check_times(recording: Recording, observer: Observer) -> None:
    """No state comes in less than half of the time that it took on the real one; how late it comes is the machine's."""
    offset = len(observer.seen.vm) - len(recording.vm())
    for recorded, seen in zip(recording.vm_at(), observer.seen.at["vm"][offset:], strict=True):
        assert recorded * 0.5 - 0.5 <= seen, (recording.vm_at(), observer.seen.at["vm"])


@pytest.mark.parametrize("name", ["C01", "C02", "C03", "C04", "C05", "C06", "C12", "C14"])
def test_a_toolstack_that_ends_in_mid_copy(moves: Moves, name: str) -> None:
    recording, observer = replay(moves, name)
    observer.wait_until_back()
    observer.wait_for("real", recording.real()[-1])
    observer.wait_for("vm", recording.vm()[-1])
    seen = observer.seen
    assert from_reservation(seen.vm) == recording.vm()
    assert seen.real == recording.real()
    assert is_subsequence(recording.hosts(), seen.hosts)
    check_times(recording, observer)


def is_subsequence(wanted: list[Any], states: list[Any]) -> bool:
    """Samples, 0.2 s apart, can miss a state but invent none."""
    rest = iter(states)
    return all(state in rest for state in wanted)


@pytest.mark.parametrize("name", ["C04", "C05", "C06"])
def test_a_member_that_ends_fails_the_task(moves: Moves, name: str) -> None:
    recording, observer = replay(moves, name)
    observer.wait_for("task", ("failure", ["CANNOT_CONTACT_HOST"]))
    assert observer.seen.task == recording.task()
    assert moves.client.call("task.get_error_info", moves.task_ref)[1] == moves.ref("host", "h2")


@pytest.mark.parametrize("name", ["C01", "C12"])
def test_a_coordinator_that_ends_takes_sessions_and_tasks_with_it(moves: Moves, name: str) -> None:
    old = moves.client.session
    _, observer = replay(moves, name)
    observer.wait_until_back()
    assert moves.client.refuse("VM.get_all") == ["SESSION_INVALID", old]
    moves.client.login()
    assert moves.client.refuse("task.get_status", moves.task_ref) == ["HANDLE_INVALID", "task", moves.task_ref]
    assert not moves.client.call("message.get_all")


def test_the_toolstack_that_ended_has_another_start_time(moves: Moves) -> None:
    before = {h: moves.client.call("host.get_other_config", moves.ref("host", h)) for h in ("h1", "h2")}
    _, observer = replay(moves, "C04")
    observer.wait_until_back()
    after = {h: moves.client.call("host.get_other_config", moves.ref("host", h)) for h in ("h1", "h2")}
    assert after["h1"] == before["h1"]
    assert after["h2"]["agent_start_time"] != before["h2"]["agent_start_time"]
    assert after["h2"]["boot_time"] == before["h2"]["boot_time"]


def test_a_migration_in_peace(moves: Moves) -> None:
    recording, observer = replay(moves, "D01")
    observer.wait_for("task", ("success", []))
    assert from_reservation(observer.seen.vm) == recording.vm()
    assert observer.seen.real == recording.real()
    assert observer.seen.task == recording.task()
    assert observer.seen.progress != sorted(observer.seen.progress), "a real pool's progress goes down at the end"
    elevenths = [round(step / 11, 2) for step in range(11)]
    assert is_subsequence(observer.seen.progress[:5], elevenths)
    check_times(recording, observer)
    (message,) = moves.client.call("message.get_all_records").values()
    assert (message["name"], message["priority"], message["obj_uuid"]) == ("VM_MIGRATED", "5", moves.uuid("v"))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("D06", {"phase": "copy", "kind": "fail", "at": 1.0}),
        ("D07", {"phase": "finish", "kind": "fail", "at": 0.0}),
        ("C10", {"phase": "finish", "kind": "fail", "at": 0.0}),
    ],
)
def test_a_copy_that_fails(moves: Moves, name: str, fault: dict[str, Any]) -> None:
    recording, observer = replay(moves, name, fault)
    observer.wait_for("task", ("failure", ["INTERNAL_ERROR"]))
    observer.wait_for("vm", recording.vm()[-1])
    assert from_reservation(observer.seen.vm) == recording.vm()
    assert observer.seen.real == recording.real()
    assert observer.seen.task == recording.task()
    error = moves.client.call("task.get_error_info", moves.task_ref)
    (recorded,) = {tuple(row["task"][5]) for _, row in recording.rows if row["task"][0] == "failure"}
    assert error[1].partition(" msg:")[0] == recorded[1].partition(" msg:")[0]


def test_a_cancel_in_time(moves: Moves) -> None:
    recording = Recording("D03")
    moves.set_copy("v", 400)
    observer = moves.observe("v")
    moves.start("v", "h2")
    observer.wait_for_copy()
    assert moves.client.call("task.cancel", moves.task_ref) == ""
    observer.wait_for("task", ("cancelled", []))
    assert from_reservation(observer.seen.vm) == recording.vm()
    assert observer.seen.real == recording.real()
    assert observer.seen.task == recording.task()
    record = moves.client.call("task.get_record", moves.task_ref)
    assert (record["progress"], list(record["current_operations"].values())) == (1.0, ["cancel"])


def test_a_cancel_too_late_is_answered_and_lost(make_moves: Callable[..., Moves]) -> None:
    recording = Recording("D05")
    moves = make_moves(time_scale=20.0)
    moves.set_copy("v", recording.copy_seconds)
    observer = moves.observe("v")
    moves.start("v", "h2")
    observer.wait_for("real", (False, True))
    assert moves.client.call("task.get_allowed_operations", moves.task_ref) == []
    assert moves.client.call("task.cancel", moves.task_ref) == ""
    observer.wait_for("task", ("success", []))
    assert from_reservation(observer.seen.vm) == recording.vm()
    assert observer.seen.task == recording.task()
    assert moves.runs_on("v") == ["h2"]


def test_the_race_of_an_arrival_can_be_lost(moves: Moves) -> None:
    """The other end of C05, seen once on a real pool: the restarted destination destroys what has arrived."""
    moves.pool.toolstack.arrivals_survive = False
    _, observer = replay(moves, "C05")
    observer.wait_for("real", (False, False))
    assert observer.seen.vm[-1] == ("Running", "h1", "NULL", [], 14)
    assert moves.client.call("task.get_error_info", moves.task_ref)[0] == "CANNOT_CONTACT_HOST"
