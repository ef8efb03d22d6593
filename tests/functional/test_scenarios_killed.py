"""Acceptance scenario 51: the process is killed from outside, and a resume ends right with one migration."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.invariants import Invariants
from tests.support.kills import kill_at_hold, kill_at_step, kill_when_progress, pause, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

MOVE = ["migrate", "v", "--to", "B", "--request-id", "change-4711"]
EXPIRED = "select 1 from lmflow_leases where expires_at < (julianday('now') - 2440587.5) * 86400.0"
BOUNDARIES = [
    "record_intent",
    "observe",
    "validate",
    "connect_storage",
    "submit_pool_migrate",
    "await_pool_migrate",
    "verify_on_destination",
    "await_settled",
    "conclude",
]


def unplug_b(world: dict[str, Any]) -> None:
    get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"


def assert_moved_once(pool: SimulatedPool, done: CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert pool.runs_on("v") == ["B"]
    assert pool.resident_on("v") == "B"
    assert len(pool.effects("v")) == 1


def test_51_killed_at_every_boundary_one_after_the_other(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    command, killed = MOVE, []
    for atom in BOUNDARIES:
        if kill_at_step(scene, atom, *command):
            killed.append(atom)
        command = ["resume"]
    assert len(killed) >= len(BOUNDARIES) - 2, killed
    lmflow("resume")
    assert_moved_once(pool, lmflow(*MOVE))


def hold_in_the_copy(pool: SimulatedPool) -> None:
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})


def let_go(pool: SimulatedPool) -> None:
    pool.control("POST", "/release_phases", {})


@pytest.mark.parametrize("options", [[], ["--refuse-witness"]], ids=["with a witness", "without"])
def test_51_killed_in_mid_migration(
    simulator: Start, scene: Scene, lmflow: Lmflow, tmp_path: Path, options: list[str]
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), *options)
    hold_in_the_copy(pool)
    child = scene.popen(*MOVE, fresh=True)
    kill_when_progress(scene, child, 0.2)
    before = set(pool.records("session"))
    assert before
    heir = scene.popen("resume", fresh=True)
    wait_until(lambda: "still migrating" in scene.read_output(heir)[1], heir, "re-attached")
    let_go(pool)
    assert heir.wait(60) == 0, scene.read_output(heir)
    assert_moved_once(pool, lmflow(*MOVE))
    assert len(pool.audit("VM.pool_migrate")) == 1
    assert not before & set(pool.records("session")), "the session of the dead owner"
    methods = [e["method"] for e in pool.audit()]
    second_login = [n for n, m in enumerate(methods) if m == "session.login_with_password"][1]
    after = methods[second_login + 1 :]
    assert after.index("session.get_by_uuid") < next(n for n, m in enumerate(after) if m.startswith("VM."))


@pytest.mark.parametrize("header", ["honoured", "ignored"])
@pytest.mark.parametrize("point", ["request_read", "reply_written"])
def test_51_killed_while_the_submit_is_on_its_way(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants, header: str, point: str
) -> None:
    invariants.unmarked_tasks = header == "ignored"
    options = ["--ignore-attempt-header"] if header == "ignored" else []
    pool = simulator(write_world(tmp_path / "p.json"), *options)
    pool.control("POST", "/hold", {"call": "VM.pool_migrate", "point": point, "nth": 1})
    child = scene.popen(*MOVE)
    kill_at_hold(pool, scene, child, point=point, call="VM.pool_migrate")
    assert_moved_once(pool, lmflow("resume"))


@pytest.mark.parametrize("call", ["PBD.plug", "VM.assert_can_boot_here"])
@pytest.mark.parametrize("point", ["request_read", "reply_written"])
def test_51_killed_before_the_submit(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, call: str, point: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    pool.control("POST", "/hold", {"call": call, "point": point, "nth": 1})
    child = scene.popen(*MOVE)
    kill_at_hold(pool, scene, child, point=point, call=call)
    lmflow("resume")
    assert_moved_once(pool, lmflow(*MOVE))


def test_51_a_living_owner_is_not_robbed(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in_the_copy(pool)
    child = scene.popen(*MOVE)
    wait_until(lambda: bool(query(scene, "select 1 from lmflow_attempts where progress > 0.05")), child, "progress")
    (run,) = scene.runs()
    assert lmflow("resume", run["run"]).returncode == 10
    second = lmflow("migrate", "v", "--to", "C")
    assert second.returncode == 10
    assert run["run"] in second.stderr
    let_go(pool)
    assert child.wait(60) == 0
    assert len(pool.effects("v")) == 1


@pytest.mark.parametrize("phase", ["setup", "copy"])
def test_51_killed_in_the_revert(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, phase: str) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    error = {"error": ["HOST_DISABLED", "OpaqueRef:b"]} if phase == "setup" else {}
    pool.control("POST", "/phase_faults", {"phase": phase, "kind": "fail", **error})
    pool.control("POST", "/hold", {"call": "PBD.unplug", "point": "reply_written", "nth": 1})
    child = scene.popen(*MOVE)
    kill_at_hold(pool, scene, child, point="reply_written", call="PBD.unplug")
    done = lmflow("resume")
    assert done.returncode == 4, done.stdout + done.stderr
    again = lmflow(*MOVE)
    assert again.returncode == 4
    assert pool.runs_on("v") == ["A"]
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_51_an_owner_that_was_paused_wakes_up_and_can_do_nothing(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    scene.waits = {"lease_seconds": 3.0, "heartbeat_seconds": 0.5}
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in_the_copy(pool)
    paused = scene.popen(*MOVE)
    wait_until(lambda: bool(query(scene, "select 1 from lmflow_attempts where progress > 0.05")), paused, "progress")
    pause(scene, paused)
    scene.wait_until(lambda: bool(query(scene, EXPIRED)))
    heir = scene.popen("resume", "change-4711")
    wait_until(lambda: "still migrating" in scene.read_output(heir)[1], heir, "re-attached")
    paused.send_signal(signal.SIGCONT)
    assert paused.wait(60) == 10, scene.read_output(paused)
    let_go(pool)
    assert heir.wait(60) == 0, scene.read_output(heir)
    assert_moved_once(pool, lmflow(*MOVE))
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_51_an_owner_paused_between_its_commit_and_the_send_never_sends(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    scene.waits = {"lease_seconds": 3.0, "heartbeat_seconds": 0.5}
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/hold", {"call": "host.get_by_uuid", "point": "request_read", "nth": 1})
    paused = scene.popen(*MOVE)
    wait_until(lambda: bool(query(scene, "select 1 from lmflow_attempts")), paused, "the intent is committed")
    wait_until(lambda: any(hold["reached"] for hold in pool.control("GET", "/hold")), paused, "just before the send")
    pause(scene, paused)
    scene.wait_until(lambda: bool(query(scene, EXPIRED)))
    heir = lmflow("resume", "change-4711")
    assert heir.returncode == 0, heir.stderr
    pool.control("POST", "/release", {})
    paused.send_signal(signal.SIGCONT)
    assert paused.wait(60) == 10, scene.read_output(paused)
    assert_moved_once(pool, lmflow(*MOVE))
    assert len(pool.audit("VM.pool_migrate")) == 1
