"""What power operations do to a VM's domain and to all of its records, and what they refuse."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.moves import NULL, Moves, world_with

HALTED = {"name": "z", "memory": "256 MiB", "disks": [{"sr": "nfs"}], "vifs": ["lan"]}


@pytest.fixture
def lab(make_moves: Callable[..., Moves]) -> Moves:
    """Two hosts, ``v`` and ``w`` running, ``z`` halted, and a place for the images of suspended VMs."""
    moves = make_moves(world_with(HALTED))
    moves.client.call("pool.set_suspend_image_SR", moves.pool.pool_ref, moves.ref("SR", "nfs"))
    return moves


def of(moves: Moves, name: str, field: str) -> dict[str, Any]:
    """Give the metrics or the guest's metrics of a VM."""
    cls = {"metrics": "VM_metrics", "guest_metrics": "VM_guest_metrics"}[field]
    record = moves.client.call(f"{cls}.get_record", moves.vm(name)[field])
    assert isinstance(record, dict)
    return record


def devices(moves: Moves, name: str) -> list[tuple[str, str, bool, list[str]]]:
    vm, call = moves.vm(name), moves.client.call
    found = [("VBD", call("VBD.get_record", ref)) for ref in vm["VBDs"]]
    found += [("VIF", call("VIF.get_record", ref)) for ref in vm["VIFs"]]
    return [(cls, r["device"], r["currently_attached"], r["allowed_operations"]) for cls, r in found]


def titles(moves: Moves, name: str) -> list[tuple[str, str]]:
    """List the messages about a VM, oldest first, without its name."""
    records = [moves.client.call("message.get_record", ref) for ref in moves.pool.store.refs("message")]
    prefix = f"VM '{name}' (uuid: {moves.uuid(name)}) "
    return [(r["name"], r["body"].removeprefix(prefix)) for r in records if r["obj_uuid"] == moves.uuid(name)]


def test_from_start_to_shutdown_every_record_follows(lab: Moves) -> None:
    vm, host = lab.ref("VM", "z"), lab.ref("host", "h2")
    assert devices(lab, "z") == [("VBD", "", False, ["attach"]), ("VIF", "0", False, ["attach"])]
    before = lab.client.call("VBD.get_VDI", lab.vm("z")["VBDs"][0])
    assert "destroy" in lab.client.call("VDI.get_allowed_operations", before)
    lab.client.call("VM.start_on", vm, host, False, False)
    record = lab.vm("z")
    assert (record["power_state"], record["resident_on"], record["domid"]) == ("Running", host, "2")
    assert record["memory_target"] == record["memory_dynamic_max"]
    assert record["platform"]["device-model"] == "qemu-upstream-compat"
    assert record["scheduled_to_be_resident_on"] == NULL
    assert lab.client.call("host.get_current_operations", host) == {}
    assert of(lab, "z", "metrics")["VCPUs_number"] == "2"
    assert of(lab, "z", "guest_metrics")["other"]["feature-suspend"] == "1"
    live = ["attach", "unpause", "unplug", "unplug_force", "pause"]
    assert devices(lab, "z") == [("VBD", "xvda", True, live), ("VIF", "0", True, ["attach", "unplug"])]
    assert lab.client.call("VDI.get_allowed_operations", before) == ["clone", "snapshot"]
    lab.client.call("VM.clean_shutdown", vm)
    record = lab.vm("z")
    assert (record["power_state"], record["resident_on"], record["domid"]) == ("Halted", NULL, "-1")
    assert (record["memory_target"], record["last_boot_CPU_flags"]["features"]) == ("0", "")
    assert of(lab, "z", "metrics")["current_domain_type"] == "unspecified"
    assert devices(lab, "z") == [("VBD", "xvda", False, ["attach"]), ("VIF", "0", False, ["attach"])]
    started = f"started on host: h2 (uuid: {lab.client.call('host.get_uuid', host)})"
    assert titles(lab, "z") == [("VM_STARTED", started), ("VM_SHUTDOWN", "shutdown")]


def test_every_boot_has_a_new_domain_and_a_new_report_of_the_guest(lab: Moves) -> None:
    vm = lab.ref("VM", "v")
    first = lab.vm("v")
    lab.client.call("VM.clean_reboot", vm)
    second = lab.vm("v")
    lab.client.call("VM.hard_reboot", vm)
    third = lab.vm("v")
    assert len({int(record["domid"]) for record in (first, second, third)}) == 3
    assert len({record["guest_metrics"] for record in (first, second, third)}) == 3
    assert not lab.pool.store.exists("VM_guest_metrics", first["guest_metrics"])
    assert titles(lab, "v") == [("VM_REBOOTED", "rebooted"), ("VM_REBOOTED", "rebooted forcibly")]


def test_pause_and_what_is_allowed_then(lab: Moves) -> None:
    vm = lab.ref("VM", "v")
    lab.client.call("VM.pause", vm)
    paused = ["metadata_export", "hard_reboot", "hard_shutdown", "unpause", "checkpoint", "snapshot"]
    assert lab.vm("v")["allowed_operations"] == paused
    assert lab.client.refuse("VM.clean_shutdown", vm) == ["VM_BAD_POWER_STATE", vm, "running", "paused"]
    assert lab.client.refuse("VM.suspend", vm) == ["VM_BAD_POWER_STATE", vm, "running", "paused"]
    lab.client.call("VM.unpause", vm)
    assert lab.vm("v")["power_state"] == "Running"
    assert [name for name, _ in titles(lab, "v")] == ["VM_PAUSED", "VM_UNPAUSED"]


def test_suspend_and_resume_elsewhere(lab: Moves) -> None:
    vm, store = lab.ref("VM", "v"), lab.pool.store
    lab.client.call("VM.suspend", vm)
    record = lab.vm("v")
    assert (record["power_state"], record["resident_on"], record["domid"]) == ("Suspended", NULL, "-1")
    assert store.value("VDI", record["suspend_VDI"], "type") == "suspend"
    assert '"suspended":true' in record["last_booted_record"]
    assert lab.runs_on("v") == []
    lab.client.call("VM.resume_on", vm, lab.ref("host", "h2"), False, False)
    assert (lab.vm("v")["power_state"], lab.runs_on("v"), lab.vm("v")["suspend_VDI"]) == ("Running", ["h2"], NULL)
    assert not store.exists("VDI", record["suspend_VDI"])
    assert [name for name, _ in titles(lab, "v")] == ["VM_SUSPENDED", "VM_RESUMED"]


def test_a_suspended_vm_can_be_ended_and_its_image_goes(lab: Moves) -> None:
    vm = lab.ref("VM", "v")
    lab.client.call("VM.suspend", vm)
    image = lab.vm("v")["suspend_VDI"]
    lab.client.call("VM.hard_shutdown", vm)
    assert (lab.vm("v")["power_state"], lab.vm("v")["suspend_VDI"]) == ("Halted", NULL)
    assert not lab.pool.store.exists("VDI", image)
    assert titles(lab, "v")[-1] == ("VM_SHUTDOWN", "shutdown forcibly")


def test_without_a_place_for_its_image_a_vm_is_not_suspended(moves: Moves) -> None:
    vm = moves.ref("VM", "v")
    assert moves.client.refuse("VM.suspend", vm) == ["VM_NO_SUSPEND_SR", vm], "the default SR is none"


@pytest.mark.parametrize(
    ("call", "vm", "error"),
    [
        (("VM.start", False, False), "v", ["VM_BAD_POWER_STATE", "v", "halted", "running"]),
        (("VM.hard_shutdown",), "z", ["VM_BAD_POWER_STATE", "z", "paused, suspended, running", "halted"]),
        (("VM.hard_reboot",), "z", ["VM_BAD_POWER_STATE", "z", "paused, running", "halted"]),
        (("VM.unpause",), "v", ["VM_BAD_POWER_STATE", "v", "paused", "running"]),
        (("VM.resume", False, False), "v", ["VM_BAD_POWER_STATE", "v", "suspended", "running"]),
        (("VM.destroy",), "v", ["VM_BAD_POWER_STATE", "v", "halted, suspended", "running"]),
        (("VM.clone", "c"), "v", ["VM_BAD_POWER_STATE", "v", "halted", "running"]),
        (("VM.provision",), "z", ["PROVISION_ONLY_ALLOWED_ON_TEMPLATE"]),
        (("VM.revert",), "z", ["REVERT_ONLY_ALLOWED_ON_SNAPSHOT"]),
        (("VM.call_plugin", "p", "f", {}), "z", ["VM_BAD_POWER_STATE", "z", "running", "halted"]),
        (("VM.call_plugin", "p", "f", {}), "v", ["XENAPI_MISSING_PLUGIN", "p"]),
        (("VM.send_sysrq", "h"), "v", ["NOT_IMPLEMENTED", "send_sysrq"]),
        (("VM.set_VCPUs_max", "4"), "v", ["VM_BAD_POWER_STATE", "v", "halted", "running"]),
        (("VM.set_memory_dynamic_range", "1", "0"), "z", ["MEMORY_CONSTRAINT_VIOLATION_ORDER"]),
    ],
)
def test_refusals(lab: Moves, call: tuple[Any, ...], vm: str, error: list[str]) -> None:
    ref = lab.ref("VM", vm)
    expected = [ref if part == vm else part for part in error]
    assert lab.client.refuse(call[0], ref, *call[1:]) == expected
    assert lab.vm(vm)["current_operations"] == {}


@pytest.mark.parametrize("call", ["VM.start", "VM.pause", "VM.suspend", "VM.clone", "VM.destroy", "VM.hard_reboot"])
def test_no_such_vm(lab: Moves, call: str) -> None:
    more = {"VM.start": (False, False), "VM.clone": ("c",)}.get(call, ())
    assert lab.client.refuse(call, "OpaqueRef:dead", *more) == ["HANDLE_INVALID", "VM", "OpaqueRef:dead"]


def test_what_is_blocked_is_neither_done_nor_shown(lab: Moves) -> None:
    vm = lab.ref("VM", "v")
    lab.client.call("VM.add_to_blocked_operations", vm, "hard_shutdown", "no")
    assert lab.client.refuse("VM.hard_shutdown", vm) == ["OPERATION_BLOCKED", vm, "no"]
    assert lab.client.refuse("VM.assert_operation_valid", vm, "hard_shutdown") == ["OPERATION_BLOCKED", vm, "no"]
    assert "hard_shutdown" not in lab.vm("v")["allowed_operations"]


def test_a_guest_without_drivers_is_ended_only_by_force(make_moves: Callable[..., Moves]) -> None:
    moves = make_moves(world_with({"name": "bare", "host": "h1", "memory": "256 MiB", "drivers": False}))
    vm = moves.ref("VM", "bare")
    assert moves.client.refuse("VM.clean_shutdown", vm) == ["VM_LACKS_FEATURE", vm]
    moves.client.call("VM.hard_reboot", vm)
    assert moves.client.refuse("VM.clean_reboot", vm) == ["VM_LACKS_FEATURE", vm], "it has none after a boot either"
    moves.client.call("VM.shutdown", vm)
    assert titles(moves, "bare")[-1] == ("VM_SHUTDOWN", "shutdown forcibly")


def test_a_vm_prefers_the_host_it_is_affine_to(lab: Moves) -> None:
    vm = lab.ref("VM", "z")
    for host in ("h1", "h2", "h1", "h2"):
        lab.client.call("VM.set_affinity", vm, lab.ref("host", host))
        lab.client.call("VM.start", vm, False, False)
        assert lab.runs_on("z") == [host]
        lab.client.call("VM.hard_shutdown", vm)


def test_a_member_whose_toolstack_is_down_cannot_be_contacted(lab: Moves) -> None:
    host = lab.ref("host", "h2")
    lab.pool.toolstack.stop(host, "KILL")
    for call, vm in (("VM.clean_shutdown", "w"), ("VM.pause", "w"), ("VM.hard_reboot", "w")):
        assert lab.client.refuse(call, lab.ref("VM", vm)) == ["CANNOT_CONTACT_HOST", host]
    assert lab.client.refuse("VM.start_on", lab.ref("VM", "z"), host, False, False) == ["CANNOT_CONTACT_HOST", host]
    assert lab.vm("z")["scheduled_to_be_resident_on"] == NULL
    assert lab.client.call("host.get_current_operations", host) == {}


def test_a_template_becomes_a_vm_and_a_vm_a_template(lab: Moves) -> None:
    vm = lab.ref("VM", "z")
    lab.client.call("VM.set_is_a_template", vm, True)
    allowed = lab.vm("z")["allowed_operations"]
    assert ("provision" in allowed, "start" in allowed, "migrate_send" in allowed) == (True, False, True)
    assert lab.client.refuse("VM.start", vm, False, False) == ["VM_IS_TEMPLATE", vm, "start"]
    copy = lab.client.call("VM.clone", vm, "from template")
    assert lab.client.call("VM.get_is_a_template", copy)
    lab.client.call("VM.provision", copy)
    lab.client.call("VM.start", copy, False, False)
    assert lab.client.call("VM.get_power_state", copy) == "Running"
    running = lab.ref("VM", "v")
    refusal = ["VM_BAD_POWER_STATE", running, "halted", "running"]
    assert lab.client.refuse("VM.set_is_a_template", running, True) == refusal


def test_sizes_of_a_vm(lab: Moves) -> None:
    vm, mib = lab.ref("VM", "z"), 1024 * 1024
    lab.client.call("VM.set_memory_limits", vm, str(64 * mib), str(512 * mib), str(128 * mib), str(256 * mib))
    lab.client.call("VM.set_VCPUs_max", vm, "4")
    lab.client.call("VM.set_VCPUs_at_startup", vm, "3")
    assert lab.client.refuse("VM.set_VCPUs_at_startup", vm, "5")[0] == "INVALID_VALUE"
    lab.client.call("VM.start", vm, True, False)
    assert (lab.vm("z")["power_state"], lab.vm("z")["memory_target"]) == ("Paused", str(256 * mib))
    lab.client.call("VM.unpause", vm)
    lab.client.call("VM.set_memory_dynamic_range", vm, str(200 * mib), str(300 * mib))
    lab.client.call("VM.set_VCPUs_number_live", vm, "4")
    assert (lab.vm("z")["memory_target"], of(lab, "z", "metrics")["VCPUs_number"]) == (str(300 * mib), "4")
