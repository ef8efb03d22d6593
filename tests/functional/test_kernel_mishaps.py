"""Files in dom0 when something goes wrong, or somebody dies, while they are copied: acceptance scenario 38."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.admin import as_admin
from tests.support.invariants import Invariants
from tests.support.kernels import (
    FILES,
    KERNEL,
    PLUGIN,
    RAMDISK,
    asked,
    boot_from_a_kernel,
    boot_from_dom0,
    files,
    keep,
    kept_changes,
)
from tests.support.kills import kill_at_hold, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]
World = dict[str, Any]

MOVE = ["migrate", "v", "--to", "B"]
COPY_CALLS = ["stat", "stat", "read", "write", "finish", "stat", "discard"]
"""What is asked of the plugins for one file of one piece."""
LAST_LOOK = ["stat", "stat"]
"""What is asked of them for one file just before the submit."""


def test_a_copy_that_fails_leaves_no_partial_and_no_file_of_ours(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_dom0))
    pool.control("POST", "/hold", {"call": "host.call_plugin", "point": "request_read", "nth": 13})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "the second file")
    assert asked(pool)[-5:] == ["finish", "stat", "discard", "read", "write"]
    pool.control("POST", "/files", {"host": "B", "path": RAMDISK, "text": "somebody's"})
    pool.control("POST", "/release", {})
    assert child.wait(60) == 4, scene.read_output(child)
    assert f"{RAMDISK} exists; it is never replaced" in " ".join(" ".join(scene.read_output(child)).split())
    assert (files(pool, "A"), files(pool, "B")) == (FILES, {RAMDISK: "somebody's"})
    assert kept_changes(scene) == [f"copy_file {KERNEL} undone", f"copy_file {RAMDISK} void"]
    assert pool.effects() == []


def test_the_same_file_that_another_puts_there_meanwhile_is_as_good(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_a_kernel))
    pool.control("POST", "/hold", {"call": "host.call_plugin", "point": "request_read", "nth": 4})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "the write")
    pool.control("POST", "/files", {"host": "B", "path": KERNEL, "text": "bits"})
    pool.control("POST", "/release", {})
    assert child.wait(60) == 0, scene.read_output(child)
    assert (files(pool, "A"), files(pool, "B")) == ({}, {KERNEL: "bits"})
    assert kept_changes(scene) == [f"copy_file {KERNEL} void", f"remove_file {KERNEL} done"]


def test_a_revert_that_is_repeated_says_what_is_left_then(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    """A VM there needs the ramdisk at first, and not any more when a killed revert is gone on with."""

    def change(world: World) -> None:
        boot_from_dom0(world)
        keep(world, name="w", host="B", pv_ramdisk=RAMDISK)

    pool = simulator(write_world(tmp_path / "p.json", change))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    pool.control("POST", "/hold", {"call": "host.call_plugin", "point": "request_read", "nth": 25})
    child = scene.popen(*MOVE, "--request-id", "r")
    kill_at_hold(pool, scene, child, point="request_read", call="host.call_plugin")
    assert asked(pool)[20:] == ["stat", "discard", "stat", "discard", "remove"]
    pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "w"), "fields": {"PV_ramdisk": ""}})
    done = lmflow("resume", "r")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "stays" not in done.stdout + done.stderr
    assert files(pool, "B") == {}


def test_what_another_open_run_relies_on_is_left_until_it_has_ended(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    def change(world: World) -> None:
        boot_from_a_kernel(world)
        keep(world, name="w", host="A", pv_kernel=KERNEL)

    pool = simulator(write_world(tmp_path / "p.json", change))
    pool.control("POST", "/hold", {"call": "host.call_plugin", "point": "request_read", "nth": 1})
    child = scene.popen("migrate", "w", "--to", "B", "--request-id", "other")
    kill_at_hold(pool, scene, child, point="request_read", call="host.call_plugin")
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    done = lmflow(*MOVE, "--request-id", "r")
    assert done.returncode == 11, done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert f"is to bring VM {pool.uuid('VM', 'w')} there" in said
    assert files(pool, "B") == {KERNEL: "bits"}
    assert lmflow("cancel", "other").returncode == 0
    assert lmflow("repair", "r").returncode == 4, "nothing of ours is left"
    assert files(pool, "B") == {}


def test_a_migration_that_fails_takes_its_copies_back(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    def have_one(world: World) -> None:
        boot_from_dom0(world)
        get_item(world, "hosts", "B")["files"] = {RAMDISK: FILES[RAMDISK]}

    pool = simulator(write_world(tmp_path / "p.json", have_one))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    done = lmflow(*MOVE)
    assert done.returncode == 4, done.stdout + done.stderr
    assert (files(pool, "A"), files(pool, "B")) == (FILES, {RAMDISK: FILES[RAMDISK]}), "what was there is not ours"
    assert kept_changes(scene) == [f"copy_file {KERNEL} undone"]


def test_what_cannot_be_taken_back_is_told_and_repaired_later(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_a_kernel))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    pool.control("POST", "/hold", {"call": "VM.pool_migrate", "point": "request_read"})
    child = scene.popen(*MOVE, "--request-id", "r")
    assert wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "the submit")
    pool.control("POST", "/plugins", {"host": "B", "plugin": PLUGIN, "installed": False})
    pool.control("POST", "/release", {})
    assert child.wait(60) == 11, scene.read_output(child)
    assert files(pool, "B") == {KERNEL: "bits"}
    pool.control("POST", "/plugins", {"host": "B", "plugin": PLUGIN})
    assert lmflow("repair", "r").returncode == 4, "failed, and nothing of ours is left"
    assert files(pool, "B") == {}


def test_a_copy_under_a_vm_that_has_come_there_by_now_is_not_taken_back(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    """What a revert could not remove is no longer ours to remove once somebody else has moved the VM there."""
    invariants.foreign_migrations["v"] = 1
    pool = simulator(write_world(tmp_path / "p.json", boot_from_a_kernel))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    pool.control("POST", "/hold", {"call": "VM.pool_migrate", "point": "request_read"})
    child = scene.popen(*MOVE, "--request-id", "r")
    assert wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "the submit")
    pool.control("POST", "/plugins", {"host": "B", "plugin": PLUGIN, "installed": False})
    pool.control("POST", "/release", {})
    assert child.wait(60) == 11, scene.read_output(child)
    pool.control("POST", "/plugins", {"host": "B", "plugin": PLUGIN})
    with as_admin(pool) as call:
        there = call("host.get_by_uuid", pool.uuid("host", "B"))
        call("VM.pool_migrate", call("VM.get_by_uuid", pool.uuid("VM", "v")), there, {"live": "true"})
    assert pool.runs_on("v") == ["B"]
    before = len(asked(pool))
    done = lmflow("repair", "r")
    assert done.returncode == 11, done.stdout + done.stderr
    assert "not proved to be elsewhere" in " ".join((done.stdout + done.stderr).split())
    assert files(pool, "B") == {KERNEL: "bits"}
    assert asked(pool)[before:] == []


def test_every_reply_of_a_copy_may_be_lost(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_a_kernel))
    before = [*COPY_CALLS, *LAST_LOOK]
    for nth in (*range(1, 2 * len(before), 2), 2 * len(before) + 3):  # first replies, also the removal's
        pool.control("POST", "/faults", {"call": "host.call_plugin", "kind": "close_after", "nth": nth})
    done = lmflow(*MOVE)
    assert done.returncode == 0, done.stdout + done.stderr
    copied = [each for each in before for _ in range(2)]
    assert asked(pool) == [*copied, "stat", "stat", "remove", "remove", "stat"]
    assert (files(pool, "A"), files(pool, "B")) == ({}, {KERNEL: "bits"})
    assert kept_changes(scene) == [f"copy_file {KERNEL} done", f"remove_file {KERNEL} done"]


@pytest.mark.parametrize(("nth", "point"), [(4, "reply_written"), (5, "reply_written"), (7, "request_read")])
def test_killed_in_mid_copy_and_resumed(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, nth: int, point: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_a_kernel))
    pool.control("POST", "/hold", {"call": "host.call_plugin", "point": point, "nth": nth})
    child = scene.popen(*MOVE, "--request-id", "r")
    kill_at_hold(pool, scene, child, point=point, call="host.call_plugin")
    done = lmflow("resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (files(pool, "A"), files(pool, "B")) == ({}, {KERNEL: "bits"})
    assert kept_changes(scene) == [f"copy_file {KERNEL} done", f"remove_file {KERNEL} done"]
    assert len(pool.effects("v")) == 1


def test_killed_before_the_copy_was_recorded_and_taken_back(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, invariants: Invariants
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_a_kernel))
    pool.control("POST", "/hold", {"call": "host.call_plugin", "point": "reply_written", "nth": 5})
    child = scene.popen(*MOVE, "--request-id", "r")
    kill_at_hold(pool, scene, child, point="reply_written", call="host.call_plugin")
    assert KERNEL in files(pool, "B")
    done = lmflow("cancel", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (files(pool, "A"), files(pool, "B")) == ({KERNEL: "bits"}, {})
    assert kept_changes(scene) == [f"copy_file {KERNEL} undone"]
    assert pool.effects() == []
