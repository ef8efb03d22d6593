"""What people do to a VM while nobody watches it: reported as it is, never undone, never claimed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.admin import as_admin
from tests.support.invariants import Invariants
from tests.support.kills import kill_at_hold, kill_at_step, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]

MOVE = ["migrate", "v", "--to", "B", "--request-id", "r"]


def unplug_b(world: dict[str, Any]) -> None:
    get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"


def test_a_vm_shut_down_after_its_arrival_is_not_said_to_run(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    assert kill_at_step(scene, "verify_on_destination", *MOVE)
    with as_admin(pool) as call:
        call("VM.hard_shutdown", pool.find_ref("VM", "v"))
    done = lmflow("resume", "r")
    assert done.returncode == 0, done.stderr
    assert "arrived on B; since then XAPI shows it Halted" in " ".join(done.stdout.split())
    assert "vm-start" not in done.stdout
    with as_admin(pool) as call:  # so that the judge finds it where the run says that it arrived
        call("VM.start_on", pool.find_ref("VM", "v"), pool.find_ref("host", "B"), False, False)


def test_a_success_stays_one_when_the_vm_is_paused_behind_it(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    child = scene.popen(*MOVE)
    wait_until(lambda: bool(query(scene, "select 1 from lmflow_attempts where progress > 0.05")), child, "progress")
    child.kill()
    child.wait()
    pool.control("POST", "/release_phases", {})
    scene.wait_until(lambda: pool.resident_on("v") == "B")
    with as_admin(pool) as call:
        call("VM.pause", pool.find_ref("VM", "v"))
    done = lmflow("resume", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Async.PBD.unplug" not in pool.changing_calls()


def test_a_vm_that_was_moved_back_meanwhile_is_not_moved_again(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    invariants.foreign_migrations["v"] = 1
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/hold", {"call": "VM.pool_migrate", "point": "reply_written", "nth": 1})
    child = scene.popen(*MOVE)
    kill_at_hold(pool, scene, child, point="reply_written", call="VM.pool_migrate")
    scene.wait_until(lambda: pool.resident_on("v") == "B" and not pool.get("VM", "v")["current_operations"])
    with as_admin(pool) as call:
        for ref, task in pool.records("task").items():
            if task["status"] == "success":
                call("task.destroy", ref)
        call("VM.pool_migrate", pool.find_ref("VM", "v"), pool.find_ref("host", "A"), {})
    done = lmflow("resume", "r")
    assert done.returncode == 4, done.stdout + done.stderr
    assert pool.runs_on("v") == ["A"]
    assert len(pool.effects("v")) == 2


def test_a_host_that_a_person_disables_does_not_keep_the_pool_from_settling(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    pool.control("POST", "/phase_faults", {"phase": "finish", "kind": "fail", "end": "destination"})
    child = scene.popen(*MOVE)
    wait_until(lambda: bool(query(scene, "select 1 from lmflow_attempts where progress > 0.05")), child, "progress")
    with as_admin(pool) as call:
        call("host.disable", pool.find_ref("host", "B"))
    pool.control("POST", "/release_phases", {})
    assert child.wait(60) == 0, scene.read_output(child)


@pytest.mark.parametrize("other", [["v", "--to", "C"], ["w", "--to", "B"]])
def test_a_request_id_names_one_request_for_ever(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, other: list[str]
) -> None:
    def add_w(world: dict[str, Any]) -> None:
        world["vms"].append({**get_item(world, "vms", "v"), "name": "w"})

    pool = simulator(write_world(tmp_path / "p.json", add_w))
    assert lmflow(*MOVE).returncode == 0
    wrong = lmflow("migrate", *other, "--request-id", "r")
    assert wrong.returncode == 2
    assert "names another request" in wrong.stderr
    assert len(pool.audit("VM.pool_migrate")) == 1


def test_status_speaks_of_every_run_even_if_a_profile_is_gone(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    child = scene.popen(*MOVE)
    wait_until(lambda: bool(query(scene, "select 1 from lmflow_attempts where progress > 0.05")), child, "progress")
    child.kill()
    child.wait()
    text = scene.config_file.read_text(encoding="utf-8")
    scene.config_file.write_text(text.replace("[pool:lab]", "[pool:other]").replace("default_pool = lab", ""))
    told = lmflow("status")
    assert told.returncode == 9, "what cannot be said is no success"
    assert "Cannot say whether v is down" in told.stdout
    scene.config_file.write_text(text)
    pool.control("POST", "/release_phases", {})
    assert lmflow("resume").returncode == 0
