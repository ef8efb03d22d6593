"""Storage is prepared and taken back while others change it too, and while the pool does not take what is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.functional.test_storage import (
    COPY,
    EXTRA,
    MOVE,
    OWNED,
    PASSWORD,
    V_UUID,
    add_volume,
    assert_no_secret,
    find_pbd,
    list_objects,
    list_storage_calls,
)
from tests.support.admin import as_admin
from tests.support.invariants import Invariants
from tests.support.kills import query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


def unplug_there(world: dict[str, Any]) -> None:
    get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"


def is_reached(pool: SimulatedPool) -> bool:
    return any(hold["reached"] for hold in pool.control("GET", "/hold"))


def test_a_release_that_fails_tells_no_password(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", lambda world: add_volume(world, other_config=OWNED)))
    error = ["SR_BACKEND_FAILURE_96", "", f"logout at 192.0.2.9 with {PASSWORD} refused", ""]
    pool.control("POST", "/phase_faults", {"phase": "PBD.unplug", "kind": "fail", "error": error})
    done = lmflow(*MOVE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SR_BACKEND_FAILURE_96" in done.stdout + done.stderr
    assert "PBD unplugged" in lmflow("run", "show", "r", "--objects").stdout
    assert_no_secret(scene, pool)


def test_storage_that_is_taken_away_before_the_last_look_refuses(
    simulator: Start, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_there))
    pool.control("POST", "/faults", {"call": "PBD.plug", "kind": "task_stuck", "progress": 0.0})
    ours = find_pbd(pool, "S", "B")
    assert ours
    child = scene.popen(*MOVE)
    wait_until(lambda: bool((find_pbd(pool, "S", "B") or {}).get("currently_attached")), child, "the plug")
    pool.control("POST", "/hold", {"call": "VM.assert_can_boot_here", "point": "request_read", "nth": 1})
    with as_admin(pool) as call:
        (stuck,) = (ref for ref, task in pool.records("task").items() if task["status"] == "pending")
        call("task.set_status", stuck, "success")
        assert wait_until(lambda: is_reached(pool), child, "the last look"), scene.read_output(child)
        call("PBD.unplug", call("PBD.get_by_uuid", ours["uuid"]))
    pool.control("POST", "/release", {})
    assert child.wait(60) in (3, 4), scene.read_output(child)
    assert "Async.VM.pool_migrate" not in pool.changing_calls()
    assert "VM_REQUIRES_SR" in scene.read_output(child)[0]


def test_a_call_that_took_no_effect_leaves_ours_to_be_taken_back(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_there))
    pool.control("POST", "/phase_faults", EXTRA)
    pool.control("POST", "/faults", {"call": "PBD.unplug", "kind": "reset_before"})
    failed = lmflow(*MOVE)
    assert failed.returncode == 11, failed.stdout + failed.stderr
    assert list_objects(scene)["PBD plugged"] in ("left", "open")
    repaired = lmflow("repair", "r")
    assert repaired.returncode == 4, repaired.stdout + repaired.stderr
    assert list_objects(scene)["PBD plugged"] == "undone"


def test_what_the_door_refuses_is_sent_again(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    def change(world: dict[str, Any]) -> None:
        unplug_there(world)
        get_item(world, "storage", "S")["hosts"]["C"] = "unplugged"
        get_item(world, "vms", "v")["disks"][0]["fields"] = {"sm_config": {"base_mirror": "x/y"}}

    pool = simulator(write_world(tmp_path / "p.json", change))
    for call in ("PBD.plug", "VDI.remove_from_sm_config"):
        pool.control("POST", "/faults", {"call": call, "kind": "session_invalid"})
    done = lmflow(*MOVE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [v for v in pool.records("VDI").values() if v["sm_config"]]
    pool.control("POST", "/phase_faults", EXTRA)
    pool.control("POST", "/faults", {"call": "PBD.unplug", "kind": "session_invalid"})
    failed = lmflow("migrate", "v", "--to", "C", "--request-id", "c")
    assert failed.returncode == 4, failed.stdout + failed.stderr
    assert list_objects(scene, "c")["PBD plugged"] == "undone"


def test_what_a_lost_session_sent_cannot_begin_once_it_is_sent_again(
    simulator: Start, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_there))
    scene.write_config(**{pool.name: {"read_timeout": 3}})
    pool.control("POST", "/phase_faults", EXTRA)
    pool.control("POST", "/hold", {"call": "PBD.plug", "point": "request_read", "nth": 1})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: is_reached(pool), child, "the plug"), scene.read_output(child)
    for nth in (1, 2, 3):
        pool.control("POST", "/faults", {"call": "session.login_with_password", "kind": "http_503", "nth": nth})
    assert child.wait(60) == 4, scene.read_output(child)
    pool.control("POST", "/release", {})
    scene.wait_until(lambda: not pool.control("GET", "/hold"))
    ours = find_pbd(pool, "S", "B")
    assert ours
    assert not ours["currently_attached"]


def test_storage_that_another_open_run_relies_on_is_not_taken_from_it(
    simulator: Start, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    def change(world: dict[str, Any]) -> None:
        unplug_there(world)
        world["vms"].append({**get_item(world, "vms", "v"), "name": "w", "uuid": ""})

    invariants.left = True
    pool = simulator(write_world(tmp_path / "p.json", change))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.2})
    pool.control("POST", "/phase_faults", {**COPY, "at": 0.6})
    one = scene.popen(*MOVE)
    wait_until(lambda: bool(query(scene, "select 1 from lmflow_attempts where progress > 0.01")), one, "progress")
    pool.control("POST", "/hold", {"call": "VM.pool_migrate", "point": "request_read", "nth": 1})
    two = scene.popen("migrate", "w", "--to", "B", "--request-id", "w")
    assert wait_until(lambda: is_reached(pool), two, "the submit"), scene.read_output(two)
    pool.control("POST", "/release_phases", {})
    assert one.wait(60) == 11, scene.read_output(one)
    assert "the migration of w, which is under way, needs it" in " ".join(scene.read_output(one)[0].split())
    pool.control("POST", "/release", {})
    assert two.wait(60) == 0, scene.read_output(two)
    assert "PBD.unplug" not in list_storage_calls(pool)


def test_storage_on_which_a_halted_vm_has_a_disk_stays_with_the_source(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, invariants: Invariants
) -> None:
    def change(world: dict[str, Any]) -> None:
        add_volume(world)
        disks = [{"name": "w", "sr": "T", "size": "1 GiB"}]
        halted = {"name": "w", "uuid": "", "host": "", "power_state": "Halted", "disks": disks}
        world["vms"].append({**get_item(world, "vms", "v"), **halted})

    invariants.left = True
    pool = simulator(write_world(tmp_path / "p.json", change))
    assert lmflow(*MOVE).returncode == 0
    made = find_pbd(pool, "T", "B")
    assert made
    invariants.released.add(made["uuid"])
    assert made["other_config"] == {}, "it is not this VM's alone"
    with as_admin(pool) as call:
        call("PBD.add_to_other_config", call("PBD.get_by_uuid", made["uuid"]), "lmflow-introduced-for", V_UUID)
    done = lmflow("migrate", "v", "--to", "C", "--request-id", "c")
    assert done.returncode == 0, done.stdout + done.stderr
    assert find_pbd(pool, "T", "B") == made, "connected, and without the key"
    assert "used by w" in done.stderr


def test_a_pbd_of_ours_that_somebody_has_taken_for_a_vm_of_theirs_stays(
    simulator: Start, scene: Scene, invariants: Invariants, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", add_volume))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    pool.control("POST", "/hold", {"call": "VM.pool_migrate", "point": "request_read"})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: is_reached(pool), child, "the submit")
    made = find_pbd(pool, "T", "B")
    assert made
    with as_admin(pool) as call:
        call("PBD.add_to_other_config", call("PBD.get_by_uuid", made["uuid"]), "lmflow-introduced-for", "another")
    pool.control("POST", "/release", {})
    assert child.wait(60) == 11, scene.read_output(child)
    invariants.left = True
    assert find_pbd(pool, "T", "B")
    assert made["uuid"] in "".join(scene.read_output(child))
