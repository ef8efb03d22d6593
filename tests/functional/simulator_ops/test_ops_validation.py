"""What VM.pool_migrate refuses, with the codes and parameters of a real pool, and what it does not refuse."""

from collections.abc import Callable
from typing import Any

import pytest

from lmflow.simulator.rules import memory
from tests.support.moves import NULL, Moves, world_with

WEAK_CPU = "0000000f-00000000"
GIB = 1024**3


def vm(name: str = "x", **changes: Any) -> dict[str, Any]:
    return {"name": name, "host": "h1", "memory": "512 MiB", "disks": [{"sr": "nfs"}], "vifs": ["lan"], **changes}


def halted(**changes: Any) -> dict[str, Any]:
    made = vm(**changes)
    del made["host"]
    return made


Make = Callable[..., Moves]


@pytest.mark.parametrize(
    ("described", "state"),
    [
        (halted(), "halted"),
        (halted(power_state="Suspended"), "suspended"),
        (vm(power_state="Paused"), "paused"),
        (halted(is_a_template=True), "halted"),
        (halted(is_a_snapshot=True), "halted"),
    ],
    ids=["halted", "suspended", "paused", "template", "snapshot"],
)
def test_a_vm_that_does_not_run(make_moves: Make, described: dict[str, Any], state: str) -> None:
    moves = make_moves(world_with(described))
    assert moves.refuse("x", "h2") == ["VM_BAD_POWER_STATE", moves.ref("VM", "x"), "running", state]


def test_a_control_domain(moves: Moves) -> None:
    refusal = ["OPERATION_NOT_ALLOWED", "This operation is not allowed on a control domain"]
    assert moves.refuse("Control domain on host: h1", "h2") == refusal


@pytest.mark.parametrize(
    ("changes", "sr"),
    [
        ({"disks": [{"sr": "disk-of-h1"}]}, "disk-of-h1"),
        ({"disks": [{"sr": "nfs"}, {"sr": "loose"}]}, "loose"),
        ({"cds": [{"iso": "rescue.iso", "sr": "disk-of-h1"}]}, "disk-of-h1"),
    ],
    ids=["local disk", "unplugged", "local iso"],
)
def test_storage_that_the_destination_lacks(make_moves: Make, changes: dict[str, Any], sr: str) -> None:
    moves = make_moves(world_with(vm(**changes)))
    refusal = ["VM_REQUIRES_SR", moves.ref("VM", "x"), moves.ref("SR", sr)]
    assert moves.refuse("x", "h2") == refusal
    assert moves.refuse("x", "h2", force="true") == refusal
    assert "pool_migrate" in moves.vm("x")["allowed_operations"], "which is why these are no check"


@pytest.mark.parametrize("network", ["only-h1", "inside"])
def test_a_network_that_the_destination_lacks(make_moves: Make, network: str) -> None:
    moves = make_moves(world_with(vm(vifs=["lan", network])))
    assert moves.refuse("x", "h2") == ["VM_REQUIRES_NETWORK", moves.ref("VM", "x"), moves.ref("network", network)]


@pytest.mark.parametrize(
    ("changes", "code"), [({"drivers": False}, "VM_LACKS_FEATURE"), ({"nomigrate": True}, "VM_IS_IMMOBILE")]
)
def test_a_guest_that_cannot_move_unless_forced(make_moves: Make, changes: dict[str, Any], code: str) -> None:
    moves = make_moves(world_with(vm(**changes)))
    moves.set_copy("x", 1)
    assert moves.refuse("x", "h2") == [code, moves.ref("VM", "x")]
    assert moves.finish("x", "h2", force="true")["status"] == "success"


def test_a_lesser_cpu_unless_forced(make_moves: Make) -> None:
    described = world_with(vm(memory="1 GiB"))
    described["hosts"][1]["cpu"] = {"features": WEAK_CPU}
    moves = make_moves(described)
    moves.set_copy("x", 1)
    why = "VM last booted on a CPU with features this host's CPU does not have."
    refusal = ["VM_INCOMPATIBLE_WITH_THIS_HOST", moves.ref("VM", "x"), moves.ref("host", "h2"), why]
    assert moves.refuse("x", "h2") == refusal
    assert moves.client.refuse("VM.assert_can_boot_here", moves.ref("VM", "x"), moves.ref("host", "h2")) == refusal
    assert moves.ref("host", "h2") in moves.client.call("VM.get_possible_hosts", moves.ref("VM", "x"))
    assert moves.finish("x", "h2", force="true")["status"] == "success"


def test_a_cpu_of_another_vendor_is_found_before_the_power_state(make_moves: Make) -> None:
    described = world_with(vm(power_state="Paused"))
    described["hosts"][1]["cpu"] = {"vendor": "AuthenticAMD"}
    moves = make_moves(described)
    assert moves.refuse("x", "h2")[0] == "VM_INCOMPATIBLE_WITH_THIS_HOST"


def test_a_disabled_destination_but_not_a_disabled_source(moves: Moves) -> None:
    moves.set_copy("v", 1)
    moves.client.call("host.disable", moves.ref("host", "h2"))
    assert moves.refuse("v", "h2") == ["HOST_DISABLED", moves.ref("host", "h2")]
    moves.client.call("host.enable", moves.ref("host", "h2"))
    moves.client.call("host.disable", moves.ref("host", "h1"))
    assert moves.finish("v", "h2")["status"] == "success"


def test_hosts_that_are_not_live(moves: Moves) -> None:
    def set_live(host: str, live: bool) -> None:
        metrics = moves.client.call("host.get_metrics", moves.ref("host", host))
        moves.pool.store.update("host_metrics", metrics, live=live)

    set_live("h2", False)
    assert moves.refuse("v", "h2") == ["HOST_NOT_LIVE"]
    assert moves.refuse("w", "h1") == ["HOST_OFFLINE", moves.ref("host", "h2")]
    assert moves.vm("w")["scheduled_to_be_resident_on"] == NULL
    assert moves.client.call("host.get_current_operations", moves.ref("host", "h1")) == {}


def test_memory_counts_residents_and_those_on_their_way(make_moves: Make) -> None:
    described = world_with(vm("big", memory="8 GiB"), vm("other", memory="3 GiB"), vm("third", memory="3 GiB"))
    described["hosts"][0]["memory"] = "32 GiB"
    moves = make_moves(described)
    moves.set_copy("big", 600)
    moves.start("big", "h2")
    moves.client.call("event.from", [f"task/{moves.task_ref}"], "", 1.0)
    store, h2 = moves.pool.store, moves.ref("host", "h2")
    w, big, third = (memory.needed_by(store, moves.ref("VM", name)) for name in ("w", "big", "third"))
    dom0 = 2 * GIB + memory.CONTROL_DOMAIN_OVERHEAD
    free = 16 * GIB - memory.HOST_OVERHEAD - dom0 - w - big
    moves.client.call("VM.assert_can_boot_here", moves.ref("VM", "other"), h2)
    moves.set_copy("other", 600)
    moves.start("other", "h2")
    moves.client.call("event.from", [f"task/{moves.task_ref}"], "", 1.0)
    other = memory.needed_by(store, moves.ref("VM", "other"))
    refusal = ["HOST_NOT_ENOUGH_FREE_MEMORY", str(third), str(free - other)]
    assert moves.refuse("third", "h2") == refusal
    assert moves.client.call("host.compute_free_memory", h2) == str(free - other)


def test_a_running_vm_is_counted_twice_on_its_own_host(make_moves: Make) -> None:
    moves = make_moves(world_with(vm("big", memory="8 GiB")))
    arguments = (moves.ref("VM", "big"), moves.ref("host", "h1"))
    assert moves.client.refuse("VM.assert_can_boot_here", *arguments)[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
    assert moves.client.call("VM.get_possible_hosts", arguments[0]) == [moves.ref("host", "h2")]


def test_a_blocked_operation(moves: Moves) -> None:
    ref = moves.ref("VM", "v")
    moves.client.call("VM.add_to_blocked_operations", ref, "pool_migrate", "because I say so")
    assert moves.refuse("v", "h2") == ["OPERATION_BLOCKED", ref, "because I say so"]
    assert "pool_migrate" not in moves.vm("v")["allowed_operations"]
    moves.client.call("VM.remove_from_blocked_operations", ref, "pool_migrate")
    assert "pool_migrate" in moves.vm("v")["allowed_operations"]


def test_an_older_destination_only_during_a_rolling_upgrade(make_moves: Make) -> None:
    described = world_with()
    described["hosts"][1]["version"] = {"platform_version": "2.9.9"}
    moves = make_moves(described)
    moves.set_copy("v", 1)
    pool_ref = moves.client.call("pool.get_all")[0]
    moves.client.call("pool.add_to_other_config", pool_ref, "rolling_upgrade_in_progress", "true")
    assert moves.refuse("v", "h2") == ["NOT_SUPPORTED_DURING_UPGRADE"]
    moves.client.call("pool.remove_from_other_config", pool_ref, "rolling_upgrade_in_progress")
    assert moves.finish("v", "h2")["status"] == "success"


def test_references_that_name_nothing(moves: Moves) -> None:
    vm_ref, host_ref = moves.ref("VM", "v"), moves.ref("host", "h2")
    call = "VM.pool_migrate"
    assert moves.client.refuse(call, "OpaqueRef:dead", host_ref, {}) == ["HANDLE_INVALID", "VM", "OpaqueRef:dead"]
    assert moves.client.refuse(call, vm_ref, "OpaqueRef:dead", {}) == ["HANDLE_INVALID", "host", "OpaqueRef:dead"]
    assert moves.client.refuse(call, vm_ref, NULL, {}) == ["HANDLE_INVALID", "host", NULL]
    assert moves.client.refuse("VM.assert_can_boot_here", vm_ref, "OpaqueRef:dead") == ["HOST_NOT_LIVE"]


@pytest.mark.parametrize(
    "options", [{}, {"live": "false"}, {"live": "maybe"}, {"compress": "perhaps", "colour": "red"}]
)
def test_options_that_make_no_difference(moves: Moves, options: dict[str, str]) -> None:
    moves.set_copy("v", 1)
    arguments = (moves.ref("VM", "v"), moves.ref("host", "h2"), options)
    assert moves.client.call("VM.pool_migrate", *arguments) == ""
    assert moves.runs_on("v") == ["h2"]


def test_a_destination_that_is_being_emptied(moves: Moves) -> None:
    host_ref = moves.ref("host", "h2")
    moves.pool.store.update("host", host_ref, current_operations={"OpaqueRef:t": "evacuate"})
    assert moves.refuse("v", "h2")[:3] == ["OTHER_OPERATION_IN_PROGRESS", "host", host_ref]


def test_what_is_refused_took_no_effect(moves: Moves) -> None:
    moves.client.call("host.disable", moves.ref("host", "h2"))
    moves.refuse("v", "h2")
    record = moves.finish("v", "h2")
    assert record["error_info"] == ["HOST_DISABLED", moves.ref("host", "h2")]
    entries = [entry for entry in moves.pool.audit.entries() if entry.method.endswith("VM.pool_migrate")]
    assert [entry.effect for entry in entries] == [False, False]


def test_a_network_without_wires_goes_where_its_users_are(make_moves: Make) -> None:
    here, there = vm("here", vifs=["inside"]), vm("there", host="h2", vifs=["inside"])
    alone = make_moves(world_with(here))
    assert alone.refuse("here", "h2")[0] == "VM_REQUIRES_NETWORK"
    together = make_moves(world_with(here, there))
    together.set_copy("here", 1)
    assert together.finish("here", "h2")["status"] == "success"


def test_hardware_that_the_destination_lacks(make_moves: Make) -> None:
    moves = make_moves(world_with(vm("many", vcpus=512), vm("new", fields={"hardware_platform_version": 99})))
    h2, new = moves.ref("host", "h2"), moves.ref("VM", "new")
    assert moves.refuse("many", "h2") == ["HOST_NOT_ENOUGH_PCPUS", "512", "16"]
    code = "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION"
    assert moves.refuse("new", "h2") == [code, h2, "[0; 1; 2]", new, "99"]


def test_a_way_that_does_not_lead_there(moves: Moves) -> None:
    h2, network = moves.ref("host", "h2"), moves.ref("network", "only-h1")
    assert moves.refuse("v", "h2", network=network) == ["PIF_NOT_PRESENT", h2, network]
    moves.set_copy("v", 1)
    assert moves.finish("v", "h2", network=moves.ref("network", "lan"))["status"] == "success"
