"""Acceptance scenarios about storage: what is joined, plugged, ejected, released, and what of that is taken back."""

from __future__ import annotations

import json
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
Call = Callable[..., Any]

V_UUID = "5a1e7e2b-5b0c-4f7e-9a54-2f3f4c4f9d01"
PASSWORD = "chap-secret-4711"
SECRET_UUID = "0b5c3c8e-7f3a-4f0e-8f0a-77b2f1a9d0aa"
CONFIG = {"target": "192.0.2.9", "targetIQN": "iqn.2026-01.lab:t", "chappassword": PASSWORD, "x_secret": SECRET_UUID}
OWNED = {"lmflow-introduced-for": V_UUID}
MOVE = ["migrate", "v", "--to", "B", "--request-id", "r"]
EXTRA = {"phase": "setup", "kind": "fail", "error": ["HOST_DISABLED", "OpaqueRef:b"]}
COPY = {"phase": "copy", "kind": "fail"}


def add_volume(world: dict[str, Any], name: str = "T", other_config: dict[str, str] | None = None) -> None:
    """Put a disk of ``v`` on a shared iSCSI volume that only A is joined to."""
    sr = {"name": name, "type": "lvmoiscsi", "shared": True, "other_config": other_config or {}}
    world["storage"].append({**sr, "hosts": {"A": {"state": "plugged", "device_config": CONFIG}}})
    vm = get_item(world, "vms", "v")
    vm["uuid"] = V_UUID
    vm["disks"].append({"name": f"on {name}", "sr": name, "size": "1 GiB"})


def add_disc(world: dict[str, Any]) -> None:
    isos = {"name": "isos-A", "type": "iso", "content_type": "iso", "shared": False, "hosts": {"A": "plugged"}}
    world["storage"].append(isos)
    get_item(world, "vms", "v")["cds"] = [{"sr": "isos-A", "iso": "rescue.iso"}]


def find_pbd(pool: SimulatedPool, sr: str, host: str) -> dict[str, Any] | None:
    state = pool.state()
    refs = (pool.find_ref("SR", sr), pool.find_ref("host", host))
    found = [p for p in pool.records("PBD", state).values() if (p["SR"], p["host"]) == refs]
    return found[0] if found else None


def find_drive(pool: SimulatedPool) -> dict[str, Any]:
    (drive,) = (vbd for vbd in pool.records("VBD").values() if vbd["type"] == "CD")
    return drive


def list_storage_calls(pool: SimulatedPool) -> list[str]:
    calls = (m.removeprefix("Async.") for m in pool.changing_calls())
    return [m for m in calls if m.split(".")[0] in ("PBD", "VBD", "VDI", "SR")]


def list_objects(scene: Scene, run: str = "r") -> dict[str, str]:
    """Return the fate of each object of a run by what was done to it."""
    return {each["kind"]: each["fate"] for each in scene.rows("run", "show", run, "--objects")["objects"]}


def assert_no_secret(scene: Scene, pool: SimulatedPool) -> None:
    """Look for what stands in a device_config in everything that lmflow wrote."""
    written = [*scene.outputs.glob("*"), *scene.database_file.parent.glob("*"), *(scene.directory / "home").rglob("*")]
    assert any(b"PBD" in path.read_bytes() for path in written if path.is_file())
    for path in (p for p in written if p.is_file()):
        for secret in (PASSWORD, SECRET_UUID):
            assert secret.encode() not in path.read_bytes(), path
    assert sum(PASSWORD in json.dumps(p["device_config"]) for p in pool.records("PBD").values())


def test_31_a_volume_of_this_vm_alone_follows_it_and_is_released_behind_it(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", lambda world: add_volume(world, other_config=OWNED)))
    first = find_pbd(pool, "T", "A")
    assert first
    invariants.released = {first["uuid"]}
    done = lmflow(*MOVE)
    assert done.returncode == 0, done.stdout + done.stderr
    there = find_pbd(pool, "T", "B")
    assert there
    assert there["currently_attached"]
    assert there["device_config"] == CONFIG
    assert there["other_config"] == OWNED
    left = find_pbd(pool, "T", "A")
    assert left
    assert not left["currently_attached"]
    found = {o["kind"]: o for o in scene.rows("run", "show", "r", "--objects")["objects"]}
    assert {kind: o["fate"] for kind, o in found.items()} == {
        "PBD created": "done",
        "PBD plugged": "done",
        "PBD marked": "done",
        "PBD unplugged": "released",
        "VM marked as held": "released",
        "VM migrated": "moved",
    }
    told = [
        (found[kind]["name"], found[kind]["uuid"], found[kind]["host"]) for kind in ("PBD created", "PBD unplugged")
    ]
    assert told == [("T", there["uuid"], "B"), ("T", first["uuid"], "A")]
    assert f"PBD unplugged: T ({first['uuid']}) on A" in " ".join(
        lmflow("run", "show", "r", "--objects").stdout.split()
    )
    assert lmflow("migrate", "v", "--to", "C", "--request-id", "on").returncode == 0
    assert find_pbd(pool, "T", "B") is None, "the PBD that lmflow made for this VM is destroyed behind it"
    assert list_objects(scene, "on")["PBD destroyed"] == "released"
    plugged = [p["currently_attached"] for p in pool.records("PBD").values() if p["SR"] == pool.find_ref("SR", "S")]
    assert plugged == [True] * 3
    assert_no_secret(scene, pool)


def test_31_what_others_use_or_is_nobodys_own_stays_with_the_source(
    simulator: Start, lmflow: Lmflow, tmp_path: Path
) -> None:
    def change(world: dict[str, Any]) -> None:
        add_volume(world, "T")
        add_volume(world, "U", OWNED)
        disks = [{"name": "w", "sr": "U", "size": "1 GiB"}]
        world["vms"].append({**get_item(world, "vms", "v"), "name": "w", "uuid": "", "disks": disks})

    pool = simulator(write_world(tmp_path / "p.json", change))
    done = lmflow(*MOVE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [m for m in list_storage_calls(pool) if m == "PBD.unplug"] == []
    assert "used by w" in done.stderr


@pytest.mark.parametrize("fault", [EXTRA, COPY], ids=["an ordered check", "otherwise"])
def test_45_a_failure_takes_back_exactly_ours_in_reverse_order(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, fault: dict[str, Any]
) -> None:
    def change(world: dict[str, Any]) -> None:
        add_volume(world)
        add_disc(world)

    pool = simulator(write_world(tmp_path / "p.json", change))
    before = pool.records("PBD")
    disc = find_drive(pool)["VDI"]
    refused = lmflow("migrate", "v", "--to", "B")
    assert refused.returncode == 3, refused.stderr
    assert "rescue.iso" in refused.stdout + refused.stderr
    assert list_storage_calls(pool) == []
    pool.control("POST", "/phase_faults", fault)
    done = lmflow(*MOVE, "--eject-local-iso")
    assert done.returncode == 4, done.stdout + done.stderr
    calls = ["VBD.eject", "PBD.create", "PBD.plug", "PBD.unplug", "PBD.destroy", "VBD.insert"]
    assert list_storage_calls(pool) == calls
    assert pool.records("PBD") == before
    assert find_drive(pool)["VDI"] == disc
    assert set(list_objects(scene).values()) == {"undone", "stayed"}
    assert_no_secret(scene, pool)


def test_an_ejected_disc_stays_out_after_a_success_and_that_is_said(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", add_disc))
    done = lmflow(*MOVE, "--eject-local-iso")
    assert done.returncode == 0, done.stdout + done.stderr
    assert find_drive(pool)["empty"]
    assert list_objects(scene) == {
        "VM marked as held": "released",
        "disc ejected": "done",
        "VM migrated": "moved",
    }
    assert "rescue.iso" in lmflow("run", "show", "r").stdout


def test_49_a_revert_that_fails_stops_no_other_and_repair_finishes_it(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    def change(world: dict[str, Any]) -> None:
        add_volume(world)
        add_disc(world)
        get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"

    pool = simulator(write_world(tmp_path / "p.json", change))
    before = pool.records("PBD")
    pool.control("POST", "/phase_faults", EXTRA)
    pool.control("POST", "/phase_faults", {"phase": "PBD.unplug", "kind": "fail"})
    failed = lmflow(*MOVE, "--eject-local-iso")
    assert failed.returncode == 11, failed.stdout + failed.stderr
    told = " ".join(failed.stdout.split())
    assert not find_drive(pool)["empty"], "the revert behind the one that failed"
    assert list_storage_calls(pool).count("PBD.unplug") == 2, "the revert before the one that failed"
    left = [o for o in scene.rows("run", "show", "r")["objects"] if o["fate"] == "left"]
    assert left
    assert all(o["uuid"] in told for o in left)
    assert "SR_BACKEND_FAILURE_202" in told
    repaired = lmflow("repair", "r")
    assert repaired.returncode == 4, repaired.stdout + repaired.stderr
    assert pool.records("PBD") == before
    assert set(list_objects(scene).values()) == {"undone", "stayed"}


def test_48_a_step_behind_the_arrival_that_does_not_end_is_gone_on_with(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    scene.waits = {"operation_seconds": 1.0}
    pool = simulator(write_world(tmp_path / "p.json", lambda world: add_volume(world, other_config=OWNED)))
    source = find_pbd(pool, "T", "A")
    assert source
    invariants.released = {source["uuid"]}
    pool.control("POST", "/faults", {"call": "PBD.unplug", "kind": "task_stuck", "progress": 0.0})
    done = lmflow(*MOVE)
    assert done.returncode == 5, done.stdout + done.stderr
    assert pool.runs_on("v") == ["B"]
    there = find_pbd(pool, "T", "B")
    assert there
    assert there["currently_attached"]
    with as_admin(pool) as call:
        (stuck,) = (ref for ref, task in pool.records("task").items() if task["status"] == "pending")
        call("task.set_status", stuck, "success")
    resumed = lmflow("resume", "r")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert list_storage_calls(pool).count("PBD.unplug") == 1
    assert there == find_pbd(pool, "T", "B")
    assert list_objects(scene)["PBD unplugged"] == "released"


@pytest.mark.parametrize("fault", ["", "http_500"])
def test_33_leftover_mirror_keys_are_removed_and_a_failure_of_that_is_not_fatal(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, fault: str
) -> None:
    def change(world: dict[str, Any]) -> None:
        fields = {"sm_config": {"base_mirror": "x/y", "vhd-parent": "z"}}
        get_item(world, "vms", "v")["disks"][0]["fields"] = fields

    pool = simulator(write_world(tmp_path / "p.json", change))
    if fault:
        pool.control("POST", "/faults", {"call": "VDI.remove_from_sm_config", "kind": fault})
    done = lmflow(*MOVE)
    assert done.returncode == 0, done.stdout + done.stderr
    (disk,) = (vdi for vdi in pool.records("VDI").values() if vdi["sm_config"].get("vhd-parent") == "z")
    assert ("base_mirror" in disk["sm_config"]) is bool(fault)
    assert ("keeps its base_mirror" in lmflow("run", "show", "r").stdout) is bool(fault)
    if not fault:
        assert list_objects(scene)["base_mirror removed"] == "done"


def test_storage_that_another_vm_uses_by_now_is_not_taken_from_it(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    def change(world: dict[str, Any]) -> None:
        get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"
        world["vms"].append({**get_item(world, "vms", "v"), "name": "w", "host": "", "power_state": "Halted"})

    pool = simulator(write_world(tmp_path / "p.json", change))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.2})
    pool.control("POST", "/phase_faults", {**COPY, "at": 0.6})
    child = scene.popen(*MOVE)
    wait_until(lambda: bool(query(scene, "select 1 from lmflow_attempts where progress > 0.01")), child, "progress")
    with as_admin(pool) as call:
        call("VM.start_on", pool.find_ref("VM", "w"), pool.find_ref("host", "B"), False, False)
    pool.control("POST", "/release_phases", {})
    assert child.wait(60) == 11, scene.read_output(child)
    assert "used by w" in " ".join(scene.read_output(child)[0].split())
    assert "PBD.unplug" not in list_storage_calls(pool)
    with as_admin(pool) as call:
        call("VM.hard_shutdown", pool.find_ref("VM", "w"))
    repaired = lmflow("repair", "r")
    assert repaired.returncode == 4, repaired.stdout + repaired.stderr
    assert list_storage_calls(pool).count("PBD.unplug") == 1


@pytest.mark.parametrize("point", ["request_read", "reply_written"])
@pytest.mark.parametrize("call", ["PBD.create", "VBD.eject", "PBD.destroy", "VBD.insert"])
def test_51_killed_at_each_change_of_storage_leaves_nothing(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, call: str, point: str
) -> None:
    def change(world: dict[str, Any]) -> None:
        add_volume(world)
        add_disc(world)

    pool = simulator(write_world(tmp_path / "p.json", change))
    before = pool.records("PBD")
    pool.control("POST", "/phase_faults", EXTRA)
    pool.control("POST", "/hold", {"call": call, "point": point, "nth": 1})
    child = scene.popen(*MOVE, "--eject-local-iso")
    kill_at_hold(pool, scene, child, point=point, call=call)
    done = lmflow("resume", "r")
    assert done.returncode == 4, done.stdout + done.stderr
    assert pool.records("PBD") == before
    assert not find_drive(pool)["empty"]
    calls = ["VBD.eject", "PBD.create", "PBD.plug", "PBD.unplug", "PBD.destroy", "VBD.insert"]
    assert list_storage_calls(pool) == calls, "each once"


def test_51_killed_at_each_step_behind_the_arrival(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    def change(world: dict[str, Any]) -> None:
        add_volume(world, other_config=OWNED)
        get_item(world, "vms", "v")["disks"][0]["fields"] = {"sm_config": {"base_mirror": "x/y"}}

    pool = simulator(write_world(tmp_path / "p.json", change))
    source = find_pbd(pool, "T", "A")
    assert source
    invariants.released = {source["uuid"]}
    pool.control("POST", "/hold", {"call": "PBD.unplug", "point": "reply_written", "nth": 1})
    child = scene.popen(*MOVE)
    kill_at_hold(pool, scene, child, point="reply_written", call="PBD.unplug")
    killed = [kill_at_step(scene, "strip_base_mirror", "resume", "r")]
    killed.append(kill_at_step(scene, "conclude", "resume", "r"))
    assert any(killed)
    lmflow("resume", "r")
    assert lmflow(*MOVE).returncode == 0
    assert list_storage_calls(pool).count("PBD.unplug") == 1
    assert list_objects(scene)["PBD unplugged"] == "released"
    assert not [v for v in pool.records("VDI").values() if v["sm_config"]]


@pytest.mark.parametrize("proof", ["the mark of a release that keeps it", "none"])
def test_51_what_no_task_shows_any_more_is_ours_by_its_mark_or_left(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants, proof: str
) -> None:
    invariants.left = proof == "none"
    pool = simulator(write_world(tmp_path / "p.json", add_volume))
    pool.control("POST", "/hold", {"call": "PBD.create", "point": "reply_written", "nth": 1})
    child = scene.popen(*MOVE)
    kill_at_hold(pool, scene, child, point="reply_written", call="PBD.create")
    scene.wait_until(lambda: find_pbd(pool, "T", "B") is not None)
    (run,) = scene.runs()
    with as_admin(pool) as call:
        made = find_pbd(pool, "T", "B")
        assert made
        for ref, task in pool.records("task").items():
            if task["name_label"] == "Async.PBD.create":
                call("task.destroy", ref)
        if proof != "none":
            call("PBD.add_to_other_config", call("PBD.get_by_uuid", made["uuid"]), "lmflow-run", run["run"])
    pool.control("POST", "/phase_faults", EXTRA)
    done = lmflow("resume", "r")
    if proof == "none":
        assert done.returncode == 11, done.stdout + done.stderr
        assert f"PBD {made['uuid']}" in " ".join(done.stdout.split())
        assert "PBD.destroy" not in list_storage_calls(pool)
    else:
        assert done.returncode == 4, done.stdout + done.stderr
        assert find_pbd(pool, "T", "B") is None


def test_a_pbd_that_somebody_else_was_faster_to_make_is_plugged_and_kept(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    invariants.left = True
    pool = simulator(write_world(tmp_path / "p.json", add_volume))
    pool.control("POST", "/hold", {"call": "PBD.create", "point": "request_read", "nth": 1})
    pool.control("POST", "/phase_faults", EXTRA)
    child = scene.popen(*MOVE)
    wait_until(lambda: any(hold["reached"] for hold in pool.control("GET", "/hold")), child, "the create")
    with as_admin(pool) as call:
        refs = {"SR": pool.find_ref("SR", "T"), "host": pool.find_ref("host", "B")}
        task = call("Async.PBD.create", {**refs, "device_config": CONFIG, "other_config": {}})
        scene.wait_until(lambda: find_pbd(pool, "T", "B") is not None)
        call("task.destroy", task)
    pool.control("POST", "/release", {})
    assert child.wait(60) == 4, scene.read_output(child)
    theirs = find_pbd(pool, "T", "B")
    assert theirs
    assert not theirs["currently_attached"]
    assert list_objects(scene)["PBD created"] == "void"
    assert list_objects(scene)["PBD plugged"] == "undone"


def test_a_plug_that_fails_keeps_its_reason_without_the_password(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", add_volume))
    error = ["SR_BACKEND_FAILURE_96", "", f"login at 192.0.2.9 with {PASSWORD} refused [opterr={SECRET_UUID}]", ""]
    pool.control("POST", "/phase_faults", {"phase": "PBD.plug", "kind": "fail", "error": error})
    done = lmflow(*MOVE)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "SR_BACKEND_FAILURE_96" in done.stdout
    assert "login at 192.0.2.9 with" not in done.stdout, "where there is a password, its text is not told"
    assert find_pbd(pool, "T", "B") is None
    assert_no_secret(scene, pool)
