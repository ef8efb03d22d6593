"""Acceptance scenarios 38 and 41: VMs that boot from files in their host's dom0, and what becomes of those files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.admin import as_admin
from tests.support.invariants import Invariants
from tests.support.kernels import BELOW, FILES, KERNEL, PLUGIN, RAMDISK, boot_from_a_kernel, boot_from_dom0, files
from tests.support.kills import kill_at_hold, query, wait_until
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]
World = dict[str, Any]

MOVE = ["migrate", "v", "--to", "B"]
COPY_CALLS = ["stat", "stat", "read", "write", "finish", "stat", "discard"]
"""What is asked of the plugins for one file of one piece."""


def asked(pool: SimulatedPool) -> list[str]:
    """The functions of the plugin that were called, in order."""
    return [str(entry["params"][3]) for entry in pool.audit("host.call_plugin")]


def kept_changes(scene: Scene) -> list[str]:
    """The book of changes: kind, object and last step, as the database has them."""
    fields = ("kind", "object_name", "step")
    chosen = ", ".join(f"json_extract(data, '$.{field}')" for field in fields)
    rows = query(scene, f"select {chosen} from lmflow_events where kind = 'change' order by sequence")  # noqa: S608
    return [f"{kind} {name} {step}" for (kind, name), step in {row[:2]: row[2] for row in rows}.items()]


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
        (have_another, ["VM_REQUIRES_KERNEL", "B has another file there", RAMDISK]),
        (lack_the_directory, ["VM_REQUIRES_KERNEL", "B has no directory"]),
    ],
)
def test_what_only_the_hosts_know_refuses_before_anything_is_written(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, spoil: Callable[[World], None], words: list[str]
) -> None:
    def change(world: World) -> None:
        boot_from_dom0(world)
        get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"
        spoil(world)

    pool = simulator(write_world(tmp_path / "p.json", change))
    before = files(pool, "A"), files(pool, "B")
    done = lmflow(*MOVE)
    assert done.returncode == 3, done.stdout + done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert [word for word in ["v", *words] if word not in said] == []
    assert (files(pool, "A"), files(pool, "B")) == before
    assert set(asked(pool)) == {"stat"}
    assert pool.audit("PBD.plug") + pool.audit("Async.PBD.plug") == [], "storage is not connected before"
    assert not any(entry["effect"] for entry in pool.audit("host.call_plugin"))


def test_a_file_missing_on_the_source_is_named(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_dom0))
    pool.control("POST", "/files", {"host": "A", "path": RAMDISK})
    done = lmflow(*MOVE)
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"v boots from {RAMDISK}, and A has no such file" in " ".join((done.stdout + done.stderr).split())


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
    pool.control("POST", "/hold", {"call": "host.call_plugin", "point": "request_read", "nth": 21})
    child = scene.popen(*MOVE, "--request-id", "r")
    kill_at_hold(pool, scene, child, point="request_read", call="host.call_plugin")
    assert asked(pool)[16:] == ["stat", "discard", "stat", "discard", "remove"]
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


def keep(world: World, *, name: str, **fields: Any) -> None:
    world["vms"].append({"name": name, "memory": "1 GiB", "domain_type": "pv", **fields})


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


def test_every_reply_of_a_copy_may_be_lost(simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", boot_from_a_kernel))
    for nth in (*range(1, 2 * len(COPY_CALLS), 2), 2 * len(COPY_CALLS) + 3):  # first replies, also the removal's
        pool.control("POST", "/faults", {"call": "host.call_plugin", "kind": "close_after", "nth": nth})
    done = lmflow(*MOVE)
    assert done.returncode == 0, done.stdout + done.stderr
    copied = [each for each in COPY_CALLS for _ in range(2)]
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
