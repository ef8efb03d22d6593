"""Toolstacks that stop in each phase of a migration, and the witness through all of it; in two worlds."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.probes import ask, power_state
from tests.support.replays import CASTS
from tests.support.stage import Stage

PHASES = ("setup", "copy", "suspend", "finish")
MOVED, HALTED, GHOST = ("Running", "there"), ("Halted", "NULL"), ("Running", "here")

WAYS = {
    # who stops: the VM's first host, who that is, the database at the end, where the VM runs then
    "member as source": ("h2", "source", HALTED, "there"),
    "member as destination": ("h1", "destination", MOVED, "there"),
    "coordinator as source": ("h1", "source", HALTED, "there"),
    "coordinator as destination": ("h2", "destination", GHOST, "nowhere"),
}


@pytest.fixture
def make_stage() -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(cast: str, role: str) -> Stage:
        made.append(Stage(CASTS[cast], role, time_scale=40.0))
        return made[-1]

    yield make
    for stage in made:
        stage.close()


def check_witness(stage: Stage) -> None:
    """Every host whose door is open says what really is; a member's closes with the coordinator's."""
    up = [role for role in ("h1", "h2") if stage.pool.server.is_up(stage.host(role))]
    if "h1" not in up:
        assert ask(stage.moves, stage.cast.h2, "VM.exists", id=stage.moves.uuid(stage.vm)).status in {401, 500}
        return
    running, said = stage.runs_on(), {}
    while not said or running != stage.runs_on():  # it moved while it was asked about
        running = stage.runs_on()
        said = {role: power_state(stage.moves, stage.cast.host(role), stage.vm) == "Running" for role in up}
    assert said == {role: role in running for role in up}


def expect(way: str, phase: str, how: str) -> tuple[tuple[str, str], str]:
    """The end; a coordinator that is told to end does what takes less than 2 s before."""
    _, _, database, real = WAYS[way]
    if way.startswith("coordinator") and how == "TERM" and phase in {"suspend", "finish"}:
        return MOVED, "there"
    return database, real


@pytest.mark.parametrize("how", ["KILL", "TERM"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("way", WAYS)
def test_a_toolstack_stops_and_is_started_later(
    make_stage: Callable[..., Stage], way: str, phase: str, how: str
) -> None:
    cast = "one" if PHASES.index(phase) % 2 else "other"
    role, who, _, _ = WAYS[way]
    database, real = expect(way, phase, how)
    there = "h2" if role == "h1" else "h1"
    stopped = role if who == "source" else there
    stage = make_stage(cast, role)
    stage.moves.set_copy(stage.vm, 5)
    if stopped == "h1" and how == "TERM" and phase in {"setup", "copy"}:
        stage.outlast_the_coordinator()
    stage.moves.fault(phase=phase, kind="stop", host=who, how=how, at=0.3)
    stage.moves.start(stage.vm, stage.cast.host(there))
    stage.wait_for_state(stopped, "down")
    check_witness(stage)
    stage.watcher.wait_for("real", lambda state: state == (there == "h1", there == "h2"))
    check_witness(stage)
    stage.moves.restart(stage.cast.host(stopped))
    stage.wait_for_state(stopped, "ready")
    if stopped == "h1":
        stage.moves.client.login()
    places = {"there": there, "here": role, "NULL": "NULL"}
    stage.watcher.wait_for("vm", lambda state: (state[0], state[1], state[3]) == (database[0], places[database[1]], []))
    assert stage.runs_on() == ([there] if real == "there" else [])
    assert not [state for _, state in stage.watcher.seen["real"] if state == (True, True)], "never twice"
    check_witness(stage)


@pytest.mark.parametrize("cast", CASTS)
def test_a_cancel_after_the_suspend_is_answered_and_ignored(make_stage: Callable[..., Stage], cast: str) -> None:
    stage = make_stage(cast, "h1")
    stage.moves.set_copy(stage.vm, 1)
    stage.moves.fault(phase="suspend", kind="hold")
    task = stage.moves.start(stage.vm, stage.cast.h2)
    client = stage.moves.client
    stage.watcher.wait_for("task", lambda state: state[0] == "pending" and state[1] == ["cancel"])
    stage.watcher.wait_for("task", lambda state: state[1] == [])
    assert client.call("task.cancel", task) == ""
    assert client.call("task.get_status", task) == "pending"
    stage.pool.xenops.released.set()
    ended = client.wait_for_task(task)
    assert (ended["status"], list(ended["current_operations"].values())) == ("success", ["cancel"])
    assert (stage.place(), stage.runs_on()) == (("Running", "h2"), ["h2"])


@pytest.mark.parametrize("cast", CASTS)
def test_what_a_task_list_tells_of_a_copy(make_stage: Callable[..., Stage], cast: str) -> None:
    """C15: the copy's tasks are listed on both hosts, outlive the coordinator, and stay when they have ended."""
    stage = make_stage(cast, "h1")
    stage.moves.set_copy(stage.vm, 9)
    stage.moves.fault(phase="copy", kind="hold", at=0.8)
    task = stage.moves.start(stage.vm, stage.cast.h2)
    dbg = f"Async.VM.pool_migrate R:{task.removeprefix('OpaqueRef:').replace('-', '')[:12]}"

    def listed(role: str) -> list[Any]:
        tasks = ask(stage.moves, stage.cast.host(role), "Task.list").value
        return [entry["state"] for entry in tasks if entry["dbg"] == dbg]

    def temporary(role: str) -> bool:
        uuid = stage.moves.uuid(stage.vm)[:-12] + "000000000001"
        return bool(ask(stage.moves, stage.cast.host(role), "VM.exists", id=uuid).value)

    while not stage.moves.client.call("task.get_progress", task):
        stage.pool.clock.wait(0.1)
    ((state, progress),) = listed("h1")
    assert (state, listed("h2")) == ("Pending", [["Pending", 1.0]])
    assert 0 < progress < 1
    assert (temporary("h1"), temporary("h2")) == (False, True)
    stage.moves.restart(stage.cast.h1)
    stage.log_in_again()
    ((state, progress),) = listed("h1")
    assert (state, progress < 1.0) == ("Pending", True)
    stage.pool.xenops.released.set()
    stage.watcher.wait_for("real", lambda state: state == (False, True))
    for role in ("h1", "h2"):
        while listed(role)[0][0] == "Pending":
            stage.pool.clock.wait(0.2)
        assert listed(role)[0][1]["duration"] >= 9
    assert (temporary("h1"), temporary("h2")) == (False, False)
