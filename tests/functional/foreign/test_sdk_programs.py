"""Ten programs written from the SDK's documentation, with nothing but XenAPI, in a simulated pool."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.foreign.clients import HERE, Desk
from tests.support.invariants import Invariants

SitDown = Callable[..., Desk]

PROGRAMS = sorted((HERE / "programs").glob("*.py"))
FAILED = "Async.VM.pool_migrate: failure, progress 1.0, result ''"
INVENTORY = """\
host xcp-a: live, 16 CPUs, * of 65536 MiB free
host xcp-b: live, 16 CPUs, * of 65536 MiB free
host xcp-c: live, 16 CPUs, * of 32768 MiB free
guest batch-01: Halted -
guest build-01: Running xcp-c
guest cache-01: Running xcp-b
guest db-01: Running xcp-a
guest mail-01: Running xcp-c
guest old-01: Halted -
guest web-01: Running xcp-a
guest web-02: Running xcp-a
guest web-03: Running xcp-b
coordinator xcp-a, API 2.23"""


def test_there_are_ten_and_they_are_short() -> None:
    assert len(PROGRAMS) == 10
    assert not [p.name for p in PROGRAMS if len(p.read_text(encoding="utf-8").splitlines()) >= 60]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_imports_nothing_but_the_sdk(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    froms = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    foreign = {name.split(".")[0] for name in froms | plain} - sys.stdlib_module_names
    assert foreign == {"XenAPI"}


def test_the_inventory_of_hosts_and_guests(sit_down: SitDown) -> None:
    lines = "\n".join(sit_down().run_program("inventory"))
    free = [int(found) for found in re.findall(r"(\d+) of \d+ MiB", lines)]
    assert re.sub(r"\d+ of", "* of", lines) == INVENTORY
    # What the guests use (2 + 2 + 16, 2 + 8 and 4 + 8 GiB) is not free, and dom0 uses some too.
    assert 0 < free[0] < 65536 - 20480
    assert 0 < free[1] < 65536 - 10240
    assert 0 < free[2] < 32768 - 12288


def test_a_guest_moves_and_its_task_is_followed(sit_down: SitDown, invariants: Invariants) -> None:
    invariants.foreign_migrations["web-01"] = 1
    desk = sit_down()
    assert desk.run_program("migrate_vm", "web-01", "xcp-b") == [
        "Async.VM.pool_migrate: success, progress 1.0, result '<value></value>'",
        "web-01 Running on xcp-b",
    ]
    assert desk.pool.runs_on("web-01") == ["xcp-b"]


def test_a_refused_migration_says_why(sit_down: SitDown) -> None:
    desk = sit_down()
    halted = desk.start_program("migrate_vm", "old-01", "xcp-b").read_all(code=1)
    assert halted == [FAILED, str(["VM_BAD_POWER_STATE", desk.pool.find_ref("VM", "old-01"), "running", "halted"])]
    newer = desk.start_program("migrate_vm", "db-01", "xcp-c").read_all(code=1)
    refs = [desk.pool.find_ref("VM", "db-01"), desk.pool.find_ref("host", "xcp-c")]
    why = "VM last booted on a CPU with features this host's CPU does not have."
    assert newer == [FAILED, str(["VM_INCOMPATIBLE_WITH_THIS_HOST", *refs, why])]
    assert desk.pool.runs_on("db-01") == ["xcp-a"]


def test_all_events_are_seen_while_a_guest_halts(sit_down: SitDown, invariants: Invariants) -> None:
    invariants.lost.add("web-01")
    desk = sit_down()
    watching = desk.start_program("watch_events", "web-01")
    watching.wait_for("watching 12 VMs on 3 hosts")
    desk.run_program("power_cycle", "web-01", "xcp-a")
    seen = watching.read_all()
    assert seen[-1] == "web-01 has halted"
    assert {"vm mod web-01", "vm_metrics mod", "pool mod lab"} <= set(seen)


def test_events_the_old_way(sit_down: SitDown) -> None:
    lines = sit_down().run_program("register_events", "web-02")
    assert lines[:2] == ["SESSION_NOT_REGISTERED", "task Async.VM.clean_reboot: pending"]
    assert lines[-1] == "task Async.VM.clean_reboot: success"


def test_a_host_is_emptied_and_works_again(sit_down: SitDown, invariants: Invariants) -> None:
    invariants.foreign_migrations.update(("cache-01", "web-03"))
    desk = sit_down()
    assert desk.run_program("evacuate_host", "xcp-b") == [
        "before: ['cache-01', 'web-03']",
        "enabled: False",
        "evacuate: success",
        "after: []",
        "enabled: True",
    ]
    assert {desk.pool.resident_on(name) for name in ("cache-01", "web-03")} <= {"xcp-a", "xcp-c"}


def test_a_host_that_cannot_be_emptied_says_which_guest_stays(sit_down: SitDown) -> None:
    desk = sit_down()
    lines = desk.start_program("evacuate_host", "xcp-a").read_all(code=1)
    assert lines[0] == "before: ['db-01', 'web-01', 'web-02']"
    assert lines[1].startswith("db-01 cannot leave: ['VM_INCOMPATIBLE_WITH_THIS_HOST', ")


def test_a_member_sends_to_its_coordinator(sit_down: SitDown) -> None:
    desk = sit_down()
    address = desk.pool.ready["coordinator"]
    arrived = "talking to xcp-a, the coordinator: True"
    assert desk.run_program("reach_coordinator", host="xcp-c") == [f"a member, its coordinator is {address}", arrived]
    assert desk.run_program("reach_coordinator") == [arrived]


def test_a_guest_goes_through_its_power_states(sit_down: SitDown, invariants: Invariants) -> None:
    invariants.lost.add("web-01")
    desk = sit_down()
    assert desk.run_program("power_cycle", "web-01", "xcp-b") == [
        "clean_reboot: Running",
        "pause: Paused",
        "unpause: Running",
        "suspend: Suspended",
        "resume_on: Running",
        "clean_shutdown: Halted",
        "start_on: Running",
        "hard_reboot: Running",
        "hard_shutdown: Halted",
        "VM_BAD_POWER_STATE ['running', 'halted']",
    ]


def test_a_snapshot_and_a_clone_come_and_go(sit_down: SitDown) -> None:
    desk = sit_down()
    before = (len(desk.pool.records("VM")), len(desk.pool.records("VDI")))
    assert desk.run_program("snapshot_and_clone", "web-01") == [
        "web-01 before the upgrade: Halted, snapshot True",
        "of web-01",
        "1 snapshot(s)",
        "web-01 copy: template True",
        "clone Running",
        "destroyed with 1 disk(s)",
        "destroyed with 1 disk(s)",
        "0 snapshot(s)",
    ]
    assert (len(desk.pool.records("VM")), len(desk.pool.records("VDI"))) == before


def test_a_client_keeps_a_task_of_its_own(sit_down: SitDown) -> None:
    assert sit_down().run_program("own_task") == [
        "Nightly backup: pending",
        "MAP_DUPLICATE_KEY",
        "[('job', '4711'), ('step', 'verify')]",
        "0.25",
        "0.5",
        "1.0",
        "success, <none/>",
        "found True",
        "['HANDLE_INVALID', 'task']",
    ]


def test_devices_are_attached_and_taken_away(sit_down: SitDown) -> None:
    desk = sit_down()
    before = {name: len(desk.pool.records(name)) for name in ("VBD", "VDI", "VIF")}
    assert desk.run_program("attach_devices", "web-02") == [
        "disk attached True, 1073741824 bytes",
        "card attached True, MAC made True",
        "CD inserted: guest-tools.iso",
        "CD ejected: empty True",
    ]
    assert {name: len(desk.pool.records(name)) for name in ("VBD", "VDI", "VIF")} == before
