"""What resume and repair do with a run, by the run's own state."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.support.kills import kill_at_step, kill_when_progress, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


def unplug_b(world: dict[str, Any]) -> None:
    get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"


def rename(world: dict[str, Any]) -> None:
    world["name"] = "Q"
    get_item(world, "vms", "v")["name"] = "w"


def test_a_success_is_reported_and_a_rollback_offers_a_new_run(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    assert lmflow("migrate", "v", "--to", "B", "--request-id", "first").returncode == 4
    sent = len(pool.audit())
    resumed = lmflow("resume", "first")
    assert resumed.returncode == 4
    assert "lmflow migrate v --to B" in resumed.stdout
    assert len(pool.audit()) == sent, "a rolled back run asks nothing of the pool"
    assert lmflow("migrate", "v", "--to", "B", "--request-id", "second").returncode == 0
    done = lmflow("resume", "second")
    assert done.returncode == 0
    assert len(pool.effects("v")) == 2
    assert len(pool.audit("VM.pool_migrate")) == 2


def test_a_dirty_revert_offers_repair_and_repair_finishes_it(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    pool.control("POST", "/phase_faults", {"phase": "PBD.unplug", "kind": "fail"})
    failed = lmflow("migrate", "v", "--to", "B", "--request-id", "r")
    assert failed.returncode == 11, failed.stderr
    assert "v Running on A" in failed.stdout
    (run,) = scene.runs()
    assert f"lmflow repair {run['run'][:8]}" in failed.stdout
    resumed = lmflow("resume", "r")
    assert resumed.returncode == 11
    assert "lmflow repair" in resumed.stdout
    repaired = lmflow("repair", "r")
    assert repaired.returncode == 4, repaired.stdout + repaired.stderr
    (run,) = scene.runs()
    assert run["state"] == "failed"
    assert lmflow("repair", "r").returncode == 4


def test_an_owner_elsewhere_is_waited_for_with_a_countdown(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    child = scene.popen("migrate", "v", "--to", "B", "--request-id", "r")
    kill_when_progress(scene, child, 0.2)
    pool.control("POST", "/release_phases", {})
    with contextlib.closing(sqlite3.connect(scene.database_file, timeout=30)) as database:
        moved = "update lmflow_leases set machine = 'other/0123', boot_id = 'another', expires_at = expires_at + 3600"
        database.execute(moved)
        database.commit()
        heir = scene.popen("resume", "r")
        wait_until(lambda: "on other: its lease expires in" in scene.read_output(heir)[1], heir, "the countdown")
        database.execute("update lmflow_leases set expires_at = 0")
        database.commit()
    assert heir.wait(60) == 0, scene.read_output(heir)
    assert len(pool.effects("v")) == 1


def test_after_a_reboot_the_lease_of_the_last_boot_is_waited_for(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    child = scene.popen("migrate", "v", "--to", "B", "--request-id", "r")
    kill_when_progress(scene, child, 0.2)
    pool.control("POST", "/release_phases", {})
    with contextlib.closing(sqlite3.connect(scene.database_file, timeout=30)) as database:
        database.execute("update lmflow_leases set boot_id = 'before/pid', expires_at = expires_at + 3600")
        database.commit()
        heir = scene.popen("resume")
        wait_until(lambda: "its lease expires in" in scene.read_output(heir)[1], heir, "the countdown")
        database.execute("update lmflow_leases set expires_at = 0")
        database.commit()
    assert heir.wait(60) == 0, scene.read_output(heir)
    assert pool.runs_on("v") == ["B"]
    assert len(pool.effects("v")) == 1


def test_a_resume_of_all_tells_of_those_that_it_could_not_take_up(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pools = [simulator(write_world(tmp_path / "p.json")), simulator(write_world(tmp_path / "q.json", rename), name="q")]
    for pool, vm in zip(pools, ("v", "w"), strict=True):
        pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
        assert kill_at_step(
            scene, "await_pool_migrate", "--pool", pool.name, "migrate", vm, "--to", "B", "--request-id", vm
        )
        pool.control("POST", "/release_phases", {})
    scene.write_config(lab={"port": 9})
    resumed = lmflow("resume")
    assert resumed.returncode == 6, resumed.stdout + resumed.stderr
    assert "cannot say where v is" in resumed.stdout
    assert pools[1].runs_on("w") == ["B"]
    assert lmflow("resume").returncode == 9
    scene.write_config()
    assert lmflow("resume").returncode == 0


def test_another_pool_behind_the_same_profile_is_refused(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "hold", "at": 0.5})
    child = scene.popen("migrate", "v", "--to", "B", "--request-id", "r")
    kill_when_progress(scene, child, 0.2)
    other = simulator(write_world(tmp_path / "q.json", rename), name="q")
    refused_by_another_pool(
        scene, other, ("resume", "r"), ("cancel", "r"), ("resolve", "r", "--on", "A", "--reason", "seen there")
    )
    pool.control("POST", "/release_phases", {})
    assert lmflow("resume", "r").returncode == 0


def test_a_repair_in_another_pool_is_refused(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    pool.control("POST", "/phase_faults", {"phase": "PBD.unplug", "kind": "fail"})
    assert lmflow("migrate", "v", "--to", "B", "--request-id", "r").returncode == 11
    refused_by_another_pool(scene, simulator(write_world(tmp_path / "q.json", rename), name="q"), ("repair", "r"))
    assert lmflow("repair", "r").returncode == 4


def refused_by_another_pool(scene: Scene, other: SimulatedPool, *commands: tuple[str, ...]) -> None:
    """Assert that commands are refused where the profile leads to another pool, and that nothing is written then."""
    before = read_stored(scene)
    scene.write_config(lab={"port": other.ready["port"], "password_file": other.password_file})
    for command in commands:
        wrong = scene.run(*command)
        assert wrong.returncode == 2, wrong.stdout + wrong.stderr
        assert "leads to pool" in wrong.stderr
        assert read_stored(scene) == before, command
    assert other.changing_calls() == []
    scene.write_config()


def read_stored(scene: Scene) -> list[list[tuple[Any, ...]]]:
    """Return what is stored of runs, their leases and events, and of what is asked of them."""
    tables = ("lmflow_runs", "lmflow_leases", "lmflow_events", "lmflow_control")
    return [[tuple(row) for row in query(scene, f"select * from {table}")] for table in tables]  # noqa: S608 - ours
