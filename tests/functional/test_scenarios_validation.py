"""Acceptance scenarios about what is asked for: pool, destination, VM, storage. Numbers as in the product's list."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.invariants import Invariants
from tests.support.pool import SimulatedPool
from tests.support.scene import Scene
from tests.support.worlds import get_item, write_world

Start = Callable[..., SimulatedPool]
Lmflow = Callable[..., CompletedProcess[str]]


def assert_refused(pool: SimulatedPool, done: CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 3, done.stderr
    said = done.stdout + done.stderr
    for word in words:
        assert word in said
    assert pool.changing_calls() == []


def migrate(lmflow: Lmflow, vm: str = "v", to: str = "B", *options: str) -> CompletedProcess[str]:
    return lmflow("migrate", vm, "--to", to, *options)


def test_1_one_call_moves_it_and_nothing_else_changes(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    before = pool.get("VM", "v")
    done = lmflow("migrate", "v", "--to", "B", fresh=True)
    assert done.returncode == 0, done.stderr
    sent = pool.audit("VM.pool_migrate")
    assert len(sent) == 1
    assert sent[0]["effect"] is True
    assert sent[0]["params"][1:3] == [pool.find_ref("VM", "v"), pool.find_ref("host", "B")]
    after = pool.get("VM", "v")
    assert pool.resident_on("v") == "B"
    assert pool.runs_on("v") == ["B"]
    assert after["power_state"] == "Running"
    assert [after[f] for f in ("uuid", "VBDs", "VIFs")] == [before[f] for f in ("uuid", "VBDs", "VIFs")]


def test_1_the_answer_is_data_on_stdout(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    simulator(write_world(tmp_path / "p.json"))
    done = migrate(lmflow, "v", "B", "-f", "json", "--reason", "kernel update")
    answer = json.loads(done.stdout)
    assert answer["state"] == "success"
    assert answer["destination"] == "B"


@pytest.mark.parametrize(("vm", "to", "candidate"), [("v", "Bx", "B"), ("vx", "B", "v")])
def test_2_an_unknown_name_is_usage_with_candidates(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, vm: str, to: str, candidate: str
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    done = migrate(lmflow, vm, to)
    assert done.returncode == 2
    assert candidate in done.stderr
    assert pool.changing_calls() == []


def test_an_ambiguous_name_is_usage_with_uuids(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def two_of_a_kind(world: dict[str, Any]) -> None:
        twin = {**world["vms"][0], "name": "w"}
        world["vms"].append(twin)

    pool = simulator(write_world(tmp_path / "p.json", two_of_a_kind))
    pool.control("POST", "/vm", {"uuid": pool.uuid("VM", "w"), "fields": {"name_label": "v"}})
    done = migrate(lmflow)
    assert done.returncode == 2
    uuids = [r["uuid"] for r in pool.records("VM").values() if r["name_label"] == "v"]
    assert len(uuids) == 2
    assert all(uuid in done.stderr for uuid in uuids)


def test_4_already_there_is_done_with_nothing_sent(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    done = migrate(lmflow, "v", "A")
    assert done.returncode == 0
    assert "already" in done.stdout + done.stderr
    assert pool.changing_calls() == []
    v, a = pool.uuid("VM", "v"), pool.uuid("host", "A")
    refused = migrate(lmflow, "v", "A", "--strict", "-f", "json")
    assert_refused(pool, refused, "already")
    answer = json.loads(refused.stdout)
    assert (answer["vm_uuid"], answer["source_uuid"], answer["destination_uuid"]) == (v, a, a)
    (finding,) = answer["findings"]
    assert finding["code"] == "VM_ALREADY_THERE"
    assert v in finding["message"]
    assert a in finding["message"]


def test_5_a_host_of_another_configured_pool_is_refused(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def elsewhere(world: dict[str, Any]) -> None:
        world["name"] = "Q"
        world["vms"] = []
        for host in world["hosts"]:
            host["name"] = "Q" + host["name"]
        for sr in world["storage"]:
            sr["hosts"] = {"Q" + name: state for name, state in sr["hosts"].items()}

    pool = simulator(write_world(tmp_path / "p.json"), name="p")
    simulator(write_world(tmp_path / "q.json", elsewhere), name="q")
    assert_refused(pool, migrate(lmflow, "v", "QB"), "not in the same pool", "v")


def test_6_a_disabled_destination_is_refused(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def disable(world: dict[str, Any]) -> None:
        get_item(world, "hosts", "B")["enabled"] = False

    pool = simulator(write_world(tmp_path / "p.json", disable))
    assert_refused(pool, migrate(lmflow), "HOST_DISABLED", "B", "v")


def test_7_a_dead_destination_is_refused(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def kill(world: dict[str, Any]) -> None:
        get_item(world, "hosts", "B")["live"] = False

    pool = simulator(write_world(tmp_path / "p.json", kill))
    assert_refused(pool, migrate(lmflow), "HOST_NOT_LIVE", "B")


@pytest.mark.parametrize(("version", "accepted"), [("3.1.9", False), ("3.99.0", True)])
def test_9_an_older_destination_is_refused_a_newer_one_is_not(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, version: str, accepted: bool
) -> None:
    def change(world: dict[str, Any]) -> None:
        get_item(world, "hosts", "B")["version"] = {"platform_version": version}

    pool = simulator(write_world(tmp_path / "p.json", change))
    done = migrate(lmflow)
    if accepted:
        assert done.returncode == 0, done.stderr
    else:
        assert_refused(pool, done, "VM_HOST_INCOMPATIBLE_VERSION", version)


def test_11_too_little_memory_is_refused_with_both_figures(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def fill(world: dict[str, Any]) -> None:
        get_item(world, "hosts", "B")["memory"] = "6 GiB"
        get_item(world, "vms", "v")["memory"] = "8 GiB"

    pool = simulator(write_world(tmp_path / "p.json", fill))
    assert_refused(pool, migrate(lmflow), "HOST_NOT_ENOUGH_FREE_MEMORY", "needs", "available")


def test_13_an_address_of_a_member_leads_to_the_coordinator(
    simulator: Start, lmflow: Lmflow, scene: Scene, tmp_path: Path
) -> None:
    pool = simulator(write_world(tmp_path / "p.json"))
    scene.write_config(lab={"addresses": pool.ready["hosts"]["B"]})
    done = migrate(lmflow)
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["B"]


@pytest.mark.parametrize("power_state", ["Halted", "Suspended"])
def test_15_a_vm_that_does_not_run_is_refused(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, power_state: str
) -> None:
    def stop(world: dict[str, Any]) -> None:
        vm = get_item(world, "vms", "v")
        vm["power_state"] = power_state
        del vm["host"]

    pool = simulator(write_world(tmp_path / "p.json", stop))
    before = pool.get("VM", "v")
    assert_refused(pool, migrate(lmflow), "VM_BAD_POWER_STATE", power_state)
    assert pool.get("VM", "v") == before


def test_17_a_blocked_operation_is_refused_with_its_reason(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def block(world: dict[str, Any]) -> None:
        get_item(world, "vms", "v")["blocked_operations"] = {"pool_migrate": "licence server"}

    pool = simulator(write_world(tmp_path / "p.json", block))
    assert_refused(pool, migrate(lmflow), "OPERATION_BLOCKED", "licence server")


def test_22_a_disk_on_local_storage_is_refused_by_name(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def add_disk(world: dict[str, Any]) -> None:
        get_item(world, "vms", "v")["disks"].append({"name": "data", "sr": "local-A", "size": "1 GiB"})

    pool = simulator(write_world(tmp_path / "p.json", add_disk))
    assert_refused(pool, migrate(lmflow), "VM_REQUIRES_SR", "data", "local-A")


def unplug_b(world: dict[str, Any]) -> None:
    get_item(world, "storage", "S")["hosts"]["B"] = "unplugged"


def test_25_a_known_unplugged_pbd_is_plugged(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    done = migrate(lmflow)
    assert done.returncode == 0, done.stderr
    assert pool.runs_on("v") == ["B"]
    assert [m for m in pool.changing_calls() if "PBD" in m] == ["Async.PBD.plug"]


def test_28_a_plug_that_fails_keeps_its_reason_and_leaves_the_vm_alone(
    simulator: Start, lmflow: Lmflow, tmp_path: Path, invariants: Invariants
) -> None:
    pool = simulator(write_world(tmp_path / "p.json", unplug_b))
    pool.control("POST", "/phase_faults", {"phase": "PBD.plug", "kind": "fail"})
    done = migrate(lmflow)
    assert done.returncode == 4
    assert "SR_BACKEND_FAILURE_47" in done.stdout + done.stderr
    assert pool.effects() == []
    assert pool.runs_on("v") == ["A"]


def test_two_wrong_things_are_both_named(simulator: Start, lmflow: Lmflow, tmp_path: Path) -> None:
    def spoil(world: dict[str, Any]) -> None:
        get_item(world, "hosts", "B")["enabled"] = False
        get_item(world, "vms", "v")["disks"].append({"name": "data", "sr": "local-A", "size": "1 GiB"})

    pool = simulator(write_world(tmp_path / "p.json", spoil))
    assert_refused(pool, migrate(lmflow), "HOST_DISABLED", "VM_REQUIRES_SR")
