"""Acceptance scenario 54: a cancel before the submit, in the live phase and too late; by request and by signal."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.invariants import Invariants
from tests.support.kills import kill, kill_at_hold, kill_at_step, kill_when_progress, pause, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import COMMAND_SECONDS, Command, Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


def unplug_b(world: dict[str, Any]) -> None:
    get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"


def hold_in(pool: SimulatedPool, phase: str) -> None:
    pool.control("POST", "/phase_faults", {"phase": phase, "kind": "hold"})


def begin(scene: Scene, *options: str) -> Command:
    return scene.popen("migrate", "v", "--to", "B", "--request-id", "r", *options)


def wait_for_text(scene: Scene, child: Command, text: str) -> None:
    assert wait_until(lambda: text in scene.read_output(child)[1], child, text), scene.read_output(child)


def wait_for_progress(scene: Scene, child: Command) -> None:
    asked = "select max(progress) from lmflow_attempts"
    assert wait_until(lambda: ((query(scene, asked) or [(0,)])[0][0] or 0) > 0.2, child, "progress")


def state_of(scene: Scene) -> str:
    (run,) = scene.runs()
    return str(run["state"])


def test_54_before_the_submit_it_is_rolled_back(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    pool.control("POST", "/hold", {"call": "PBD.plug", "point": "request_read"})
    owner = begin(scene)
    reached = wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), owner, "the plug")
    assert reached, scene.read_output(owner)
    asking = scene.popen("cancel", "r", "--reason", "wrong host", "-f", "json")
    wait_for_text(scene, owner, "asks for a cancel: wrong host")
    pool.control("POST", "/release", {})
    assert asking.wait(COMMAND_SECONDS) == 0, scene.read_output(asking)
    assert owner.wait(COMMAND_SECONDS) == 4, scene.read_output(owner)
    told = json.loads(scene.read_output(asking)[0])
    assert (told["answer"], told["cancelled"], told["state"]) == ("cancelled", True, "failed")
    assert "wrong host" in told["summary"]
    assert pool.audit("VM.pool_migrate") == []
    assert [m for m in pool.changing_calls() if "PBD" in m] == ["Async.PBD.plug", "Async.PBD.unplug"]


def test_54_in_the_live_phase_the_task_is_cancelled_and_then_the_truth_is_told(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    hold_in(pool, "copy")
    owner = begin(scene)
    wait_for_progress(scene, owner)
    asked = lmflow("cancel", "r")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert asked.stdout.startswith("cancelled: ")
    assert owner.wait(COMMAND_SECONDS) == 4, scene.read_output(owner)
    assert "v Running on A" in scene.read_output(owner)[0]
    assert "cancelled by" in scene.read_output(owner)[0]
    assert len(pool.audit("task.cancel")) == 1
    assert pool.runs_on("v") == ["A"]
    assert state_of(scene) == "failed"
    assert pool.changing_calls().count("Async.PBD.unplug") == 1
    again = lmflow("cancel", "r")
    assert (again.returncode, again.stdout.startswith("cancelled: ")) == (0, True), again.stdout
    assert len(pool.audit("task.cancel")) == 1


def test_54_too_late_says_so_and_the_run_goes_on_to_its_true_end(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), time_scale=20)
    pool.control("POST", "/copy_seconds", {"vm": pool.uuid("VM", "v"), "seconds": 20})
    hold_in(pool, "suspend")
    owner = begin(scene)
    wait_for_text(scene, owner, "accepted")
    wait_until(lambda: _is_uncancellable(pool), owner, "the last phase")
    asked = lmflow("cancel", "r", "-f", "json")
    assert asked.returncode == 3, asked.stdout + asked.stderr
    told = json.loads(asked.stdout)
    assert (told["answer"], told["state"]) == ("too_late", "running")
    assert pool.audit("task.cancel") == []
    pool.control("POST", "/release_phases", {})
    assert owner.wait(COMMAND_SECONDS) == 0, scene.read_output(owner)
    assert pool.runs_on("v") == ["B"]
    ended = lmflow("cancel", "r")
    assert ended.returncode == 3
    assert "too late: it had ended: success" in ended.stdout


def _is_uncancellable(pool: SimulatedPool) -> bool:
    tasks = [t for t in pool.records("task").values() if t["name_label"] == "Async.VM.pool_migrate"]
    # At its beginning a task cannot be cancelled for a moment either; it has made no progress then.
    return any(t["status"] == "pending" and not t["allowed_operations"] and t["progress"] > 0.5 for t in tasks)


@pytest.mark.parametrize("atom", ["validate", "connect_storage"])
def test_54_an_interrupted_run_is_taken_up_and_cancelled_before_anything_is_sent(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, atom: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    if atom == "connect_storage":
        pool.control("POST", "/hold", {"call": "PBD.plug", "nth": 1, "point": "request_read"})
        kill_at_hold(pool, scene, begin(scene), point="request_read", call="PBD.plug")
    else:
        assert kill_at_step(scene, atom, "migrate", "v", "--to", "B", "--request-id", "r")
    asked = lmflow("cancel", "r")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert pool.audit("VM.pool_migrate") == []
    assert state_of(scene) == "failed"
    plugs = [m for m in pool.changing_calls() if "PBD" in m]
    assert plugs == (["Async.PBD.plug", "Async.PBD.unplug"] if atom == "connect_storage" else [])


def test_54_an_interrupted_migration_is_taken_up_and_its_task_cancelled(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    owner = begin(scene)
    kill_when_progress(scene, owner, 0.2)
    asked = lmflow("cancel", "r")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert pool.runs_on("v") == ["A"]
    assert len(pool.audit("VM.pool_migrate")) == 1
    assert state_of(scene) == "failed"


def test_a_request_outlives_the_owner_that_heard_it(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    owner = begin(scene)
    wait_for_progress(scene, owner)
    pool.control("POST", "/hold", {"call": "task.cancel", "point": "request_read"})
    asking = scene.popen("cancel", "r")
    reached = wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), owner, "the cancel")
    assert reached, scene.read_output(owner)
    kill(asking)
    kill(owner)
    pool.control("POST", "/release", {})
    resumed = lmflow("resume", "r")
    assert resumed.returncode == 4, resumed.stdout + resumed.stderr
    assert "cancelled by" in resumed.stdout
    assert pool.runs_on("v") == ["A"]


def test_without_an_answer_in_time_the_request_stands(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    scene.waits = {"lease_seconds": 60.0}
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    owner = begin(scene)
    wait_for_progress(scene, owner)
    pause(scene, owner)
    asked = lmflow("cancel", "r", "--timeout", "0.2")
    owner.send_signal(signal.SIGCONT)
    assert asked.returncode == 8, asked.stdout + asked.stderr
    assert "no answer yet" in asked.stdout
    assert owner.wait(COMMAND_SECONDS) == 4, scene.read_output(owner)
    assert pool.runs_on("v") == ["A"]


@pytest.mark.parametrize("kind", ["close_before", "close_after", "http_500"])
def test_a_cancel_whose_reply_is_lost_is_asked_for_again(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, kind: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    pool.control("POST", "/faults", {"call": "task.cancel", "nth": 1, "kind": kind})
    owner = begin(scene)
    wait_for_progress(scene, owner)
    asked = lmflow("cancel", "r")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert owner.wait(COMMAND_SECONDS) == 4, scene.read_output(owner)
    assert pool.runs_on("v") == ["A"]


def test_an_unknown_run_cannot_be_cancelled(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"), "--refuse-witness")
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    assert lmflow("migrate", "v", "--to", "B", "--request-id", "r").returncode == 7
    asked = lmflow("cancel", "r", "-f", "json")
    assert asked.returncode == 7, asked.stdout + asked.stderr
    assert json.loads(asked.stdout)["answer"] == "not_now"
    assert state_of(scene) == "unknown"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_first_signal_cancels_when_that_is_chosen(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, number: signal.Signals
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    owner = begin(scene, "--on-interrupt", "cancel")
    wait_for_progress(scene, owner)
    owner.send_signal(number)
    assert owner.wait(COMMAND_SECONDS) == 4, scene.read_output(owner)
    assert f"({number.name})" in scene.read_output(owner)[0]
    assert pool.runs_on("v") == ["A"]
    assert state_of(scene) == "failed"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 5), (signal.SIGHUP, 5)], ids=["INT", "TERM", "HUP"]
)
def test_a_first_signal_lets_go_otherwise_and_says_what_goes_on(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    owner = begin(scene)
    wait_for_progress(scene, owner)
    owner.send_signal(number)
    assert owner.wait(COMMAND_SECONDS) == code, scene.read_output(owner)
    said = scene.read_output(owner)[1]
    assert "What the pool has begun goes on" in said
    assert "lmflow resume" in said
    assert state_of(scene) == "suspended"
    pool.control("POST", "/release_phases", {})
    assert lmflow("resume", "r").returncode == 0
    assert pool.runs_on("v") == ["B"]
    assert len(pool.audit("VM.pool_migrate")) == 1


def add_w(world: dict[str, Any]) -> None:
    world["vms"].append({**get_item(world, "vms", "v"), "name": "w"})


def test_a_request_for_one_run_cancels_no_other_that_is_resumed_with_it(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    invariants.open_runs = True
    scene.waits = {"deadline_seconds": 3.0}  # w is let go of again before its request can be served
    pool = simulator(write_world(tmp_path / "p.json", add_w))
    for vm, phase in (("v", "copy"), ("w", "suspend")):
        pool.control("POST", "/phase_faults", {"phase": phase, "kind": "hold", "vm": pool.uuid("VM", vm)})
        assert kill_at_step(scene, "await_pool_migrate", "migrate", vm, "--to", "B", "--request-id", vm)
    assert wait_until_late(pool), "w is in its last phase"
    asking = scene.popen("cancel", "w", "--reason", "w only")
    wait_until(lambda: bool(query(scene, "select 1 from lmflow_control")), asking, "the request")
    kill(asking)
    resumed = lmflow("resume")
    assert resumed.returncode == 5, resumed.stdout + resumed.stderr
    assert pool.audit("task.cancel") == []
    assert {run["state"] for run in scene.runs()} == {"suspended"}


def wait_until_late(pool: SimulatedPool) -> bool:
    limit = time.monotonic() + COMMAND_SECONDS
    while not _is_uncancellable(pool):
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True


def test_a_run_that_is_taken_up_for_a_cancel_is_let_go_of_when_the_time_is_over(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    invariants.open_runs = True
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "suspend")
    owner = begin(scene)
    wait_until(lambda: _is_uncancellable(pool), owner, "the last phase")
    kill(owner)
    asked = lmflow("cancel", "r", "--timeout", "6")
    assert asked.returncode == 8, asked.stdout + asked.stderr
    assert state_of(scene) == "suspended"
    pool.control("POST", "/release_phases", {})
    assert lmflow("resume", "r").returncode == 0, "it was too late"


def test_killed_before_it_said_why_it_failed_the_cancel_is_still_one(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    owner = begin(scene)
    wait_for_progress(scene, owner)
    asking = scene.popen("cancel", "r", "--reason", "wrong host")
    ended = "select 1 from lmflow_attempts where outcome = 'stayed'"
    assert wait_until(lambda: bool(query(scene, ended)), owner, "the verdict"), scene.read_output(owner)
    kill(owner)
    assert asking.wait(COMMAND_SECONDS) == 0, scene.read_output(asking)
    assert "wrong host" in scene.read_output(asking)[0]
    assert pool.runs_on("v") == ["A"]


@pytest.mark.parametrize("way", ["timeout", "ctrl-C"])
def test_a_cancel_that_would_wait_for_a_lease_ends_when_it_is_told_to(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, way: str
) -> None:
    scene.waits = {"lease_seconds": 7200.0}  # an expired one is watched for half of that
    pool = simulator(write_world(tmp_path / "p.json"))
    hold_in(pool, "copy")
    kill_when_progress(scene, begin(scene), 0.2)
    moved = "update lmflow_leases set machine = 'other/0123', boot_id = 'another', expires_at = expires_at - 10000"
    with contextlib.closing(sqlite3.connect(scene.database_file, timeout=30)) as database:
        database.execute(moved)
        database.commit()
    before = query(scene, "select * from lmflow_leases")
    asking = scene.popen("cancel", "r", *(("--timeout", "1") if way == "timeout" else ()))
    if way == "ctrl-C":
        wait_for_text(scene, asking, "watched for 3600 s")
        asking.send_signal(signal.SIGINT)
    assert asking.wait(COMMAND_SECONDS) == (8 if way == "timeout" else 130), scene.read_output(asking)
    assert "watched for 3600 s" in scene.read_output(asking)[1]
    assert query(scene, "select * from lmflow_leases") == before
    with contextlib.closing(sqlite3.connect(scene.database_file, timeout=30)) as database:
        database.execute("update lmflow_leases set expires_at = 0")
        database.commit()
    assert lmflow("resume", "r").returncode == 4, "the request stood"
    assert pool.runs_on("v") == ["A"]
