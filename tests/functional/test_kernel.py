"""Acceptance scenarios 38 and 41: VMs that boot from files in their host's dom0, and what becomes of those files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.admin import as_admin
from tests.support.kernels import (
    BELOW,
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
from tests.support.kills import wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]
World = dict[str, Any]

MOVE = ["migrate", "v", "--to", "B"]


def find_late_effects(pool: SimulatedPool) -> Iterator[str]:
    """The plugin's functions that changed something after pool_migrate was sent."""
    methods = [entry["method"] for entry in pool.audit()]
    for entry in pool.audit()[methods.index("Async.VM.pool_migrate") :]:
        if entry["method"] == "host.call_plugin" and entry["effect"]:
            yield str(entry["params"][3])


def test_38_the_files_go_before_the_vm_and_leave_the_source_after_it(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_dom0))
    pool.control("POST", "/hold", {"call": "VM.pool_migrate", "point": "request_read"})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "the submit")
    assert (files(pool, "A"), files(pool, "B")) == (FILES, FILES), "and no partial is left"
    pool.control("POST", "/release", {})
    assert child.wait(60) == 0, scene.read_output(child)
    assert (files(pool, "A"), files(pool, "B")) == ({}, FILES)
    assert list(find_late_effects(pool)) == ["remove", "remove"]
    assert kept_changes(scene) == [
        f"copy_file {KERNEL} done",
        f"copy_file {RAMDISK} done",
        f"remove_file {KERNEL} done",
        f"remove_file {RAMDISK} done",
    ]
    (run,) = scene.runs()
    shown = scene.rows("run", "show", str(run["run"]), "--objects")
    told = [(each["kind"], each["name"], each["fate"]) for each in shown["objects"] if "file" in each["kind"]]
    assert told == [
        ("file copied", KERNEL, "done"),
        ("file copied", RAMDISK, "done"),
        ("file removed", KERNEL, "released"),
        ("file removed", RAMDISK, "released"),
    ]
    with as_admin(pool) as call:
        call("VM.clean_reboot", call("VM.get_by_uuid", pool.uuid("VM", "v")))
    assert pool.runs_on("v") == ["B"]


def test_38_the_same_file_is_there_already(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    def put(world: World) -> None:
        boot_from_dom0(world)
        get_item(world, "hosts", "B")["files"] = FILES

    pool = simulator(write_world(tmp_path / "p.json", put))
    assert lmflow(*MOVE).returncode == 0
    assert (files(pool, "A"), files(pool, "B")) == ({}, FILES)
    assert {"read", "write", "finish", "discard"}.isdisjoint(asked(pool))


@pytest.mark.parametrize(
    "fields", [{"pv_kernel": "", "pv_ramdisk": ""}, {"pv_bootloader": "pygrub"}], ids=["no files", "a boot loader"]
)
def test_41_no_files_of_its_own_no_plugin_call(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, fields: dict[str, str]
) -> None:
    def change(world: World) -> None:
        boot_from_dom0(world)
        get_item(world, "vms", "v").update(fields)

    pool = simulator(write_world(tmp_path / "p.json", change))
    done = lmflow(*MOVE)
    assert done.returncode == 0, done.stderr
    assert pool.audit("host.call_plugin") == []
    assert files(pool, "A") == FILES


def test_without_the_plugin_it_is_refused_with_a_remedy(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def change(world: World) -> None:
        boot_from_dom0(world)
        get_item(world, "hosts", "B")["plugins"] = []

    pool = simulator(write_world(tmp_path / "p.json", change))
    done = lmflow(*MOVE)
    assert done.returncode == 3, done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "VM_REQUIRES_KERNEL" in said
    assert "B has not lmflow's plugin" in said
    assert PLUGIN in said
    assert pool.changing_calls() == []


def lack_the_plugin(world: World) -> None:
    get_item(world, "hosts", "B").update(plugins=[], other_config={PLUGIN: "1"})


def have_another(world: World) -> None:
    get_item(world, "hosts", "B")["files"] = {RAMDISK: "another"}


def lack_the_directory(world: World) -> None:
    path = f"{BELOW}/linux/vmlinuz"
    get_item(world, "vms", "v")["pv_kernel"] = path
    get_item(world, "hosts", "A")["files"] = {**FILES, path: "bits"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lack_the_plugin, ["XENAPI_MISSING_PLUGIN", "B lacks the plugin", KERNEL]),
        (have_another, ["B has another file there", RAMDISK]),
        (lack_the_directory, ["B has no directory"]),
    ],
)
def test_what_only_the_hosts_know_fails_before_anything_is_written(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, spoil: Callable[[World], None], words: list[str]
) -> None:
    """It is no refusal: XAPI counts a look of the plugin as a change."""

    def change(world: World) -> None:
        boot_from_dom0(world)
        get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"
        spoil(world)

    pool = simulator(write_world(tmp_path / "p.json", change))
    before = files(pool, "A"), files(pool, "B")
    done = lmflow(*MOVE)
    assert done.returncode == 4, done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert [word for word in ["v", *words] if word not in said] == []
    assert (files(pool, "A"), files(pool, "B")) == before
    assert set(asked(pool)) == {"stat"}
    assert pool.audit("PBD.plug") + pool.audit("Async.PBD.plug") == [], "storage is not connected before"
    assert not any(entry["effect"] for entry in pool.audit("host.call_plugin"))


def test_a_refusal_asks_nothing_of_the_control_domains(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def disable(world: World) -> None:
        boot_from_dom0(world)
        get_item(world, "hosts", "B")["enabled"] = False

    pool = simulator(write_world(tmp_path / "p.json", disable))
    done = lmflow(*MOVE)
    assert done.returncode == 3, done.stdout + done.stderr
    assert asked(pool) == []
    assert pool.changing_calls() == []


def test_a_file_missing_on_the_source_is_named_and_no_other_host_is_tried(
    simulator: Start, lmflow: Lmflow, tmp_path: Path
) -> None:
    def give_all(world: World) -> None:
        boot_from_dom0(world)
        get_item(world, "hosts", "C").update(plugins=[PLUGIN])

    pool = simulator(write_world(tmp_path / "p.json", give_all))
    pool.control("POST", "/files", {"host": "A", "path": RAMDISK})
    checked = lmflow("check", "v")
    assert (checked.returncode, asked(pool)) == (0, []), "a check asks no control domain"
    done = lmflow("migrate", "v")
    assert done.returncode == 4, done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert f"v boots from {RAMDISK}, and A has no such file" in said
    assert "no other host could do better" in said
    assert files(pool, "B") == files(pool, "C") == {}
    assert pool.effects() == []


@pytest.mark.parametrize(
    ("host", "text", "words"),
    [("B", None, "B has that file no more"), ("A", "newer", "A has another file there by now")],
)
def test_the_files_are_looked_at_once_more_before_the_submit(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, host: str, text: str | None, words: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_a_kernel))
    pool.control("POST", "/hold", {"call": "VM.assert_can_boot_here", "point": "request_read", "nth": 2})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "the last look")
    assert files(pool, "B") == {KERNEL: "bits"}
    pool.control("POST", "/files", {"host": host, "path": KERNEL} | ({"text": text} if text else {}))
    pool.control("POST", "/release", {})
    assert child.wait(60) == 4, scene.read_output(child)
    assert f"v boots from {KERNEL}, and {words}" in " ".join("".join(scene.read_output(child)).split())
    assert (files(pool, "A"), files(pool, "B")) == ({KERNEL: text or "bits"}, {})
    assert pool.audit("VM.pool_migrate") == []


def by_a_halted_vm_and_a_snapshot(world: World) -> None:
    keep(world, name="w", pv_kernel=KERNEL)
    keep(world, name="x", snapshot_of="v", pv_kernel=RAMDISK)


def by_a_template_in_another_spelling(world: World) -> None:
    path = f"{BELOW}/../guest/"
    keep(world, name="w", is_a_template=True, pv_kernel=f"{path}vmlinuz", pv_ramdisk=f"{path}initrd.img")


@pytest.mark.parametrize("named", [by_a_halted_vm_and_a_snapshot, by_a_template_in_another_spelling])
def test_the_source_keeps_what_another_names(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, named: Callable[[World], None]
) -> None:
    def change(world: World) -> None:
        boot_from_dom0(world)
        named(world)

    pool = simulator(write_world(tmp_path / "p.json", change))
    done = lmflow(*MOVE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (files(pool, "A"), files(pool, "B")) == (FILES, FILES)
    assert pool.uuid("VM", "w") in done.stdout + done.stderr


def test_the_source_keeps_its_files_on_request(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_dom0))
    assert lmflow(*MOVE, "--keep-source-kernel").returncode == 0
    assert (files(pool, "A"), files(pool, "B")) == (FILES, FILES)


@pytest.mark.parametrize("where", ["A", "B"])
def test_the_source_keeps_its_file_when_one_of_the_two_has_changed_since(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path, where: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_a_kernel))
    pool.control("POST", "/hold", {"call": "VM.pool_migrate", "point": "request_read"})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "the submit")
    pool.control("POST", "/files", {"host": where, "path": KERNEL, "text": "a newer one"})
    pool.control("POST", "/release", {})
    assert child.wait(60) == 0, scene.read_output(child)
    assert {host: files(pool, host)[KERNEL] for host in "AB"} == {"A": "bits", "B": "bits"} | {where: "a newer one"}
    assert f"{KERNEL} stays on A" in "".join(scene.read_output(child))


def test_a_copy_that_another_vm_there_has_come_to_boot_from_stays(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    def add_w(world: World) -> None:
        boot_from_a_kernel(world)
        world["vms"].append({"name": "w", "memory": "1 GiB", "host": "B", "domain_type": "pv"})

    pool = simulator(write_world(tmp_path / "p.json", add_w))
    pool.control("POST", "/phase_faults", {"phase": "copy", "kind": "fail"})
    pool.control("POST", "/hold", {"call": "VM.pool_migrate", "point": "request_read"})
    child = scene.popen(*MOVE)
    assert wait_until(lambda: any(h["reached"] for h in pool.control("GET", "/hold")), child, "the submit")
    with as_admin(pool) as call:
        call("VM.set_PV_kernel", call("VM.get_by_uuid", pool.uuid("VM", "w")), KERNEL)
    pool.control("POST", "/release", {})
    assert child.wait(60) == 11, scene.read_output(child)
    assert files(pool, "B") == {KERNEL: "bits"}
