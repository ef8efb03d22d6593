"""Emptying of hosts: the window, the obstacles, and what becomes of the moves when the call ends early."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.moves import Moves, world_with
from tests.support.twins import Twin, raise_twin

GUESTS = [f"g{number}" for number in range(14)]
Make = Callable[..., Moves]


@pytest.fixture
def twin() -> Iterator[Twin]:
    with raise_twin("first") as twin:
        yield twin


def full(**changes: Any) -> dict[str, Any]:
    guests = [
        {"name": name, "host": "h1", "memory": "128 MiB", "disks": [{"sr": "nfs"}], "vifs": ["lan"], "copy_seconds": 3}
        for name in GUESTS
    ]
    return world_with(*guests, **changes)


def test_ten_are_on_their_way_at_a_time(make_moves: Make) -> None:
    moves = make_moves(full())
    moves.set_copy("v", 3)
    store, most, seen = moves.pool.store, 0, []
    task = str(moves.client.call("Async.host.evacuate", moves.ref("host", "h1")))
    with store.changed:
        while store.value("task", task, "status") == "pending":
            most = max(most, len(store.value("task", task, "subtasks")))
            seen.append(store.value("task", task, "progress"))
            assert store.changed.wait(30)
    assert most == 10
    assert seen == sorted(seen), "it counts the moves that have ended"
    assert store.value("task", task, "status") == "success"
    assert not [ref for ref in store.refs("task") if ref != task]
    assert store.value("host", moves.ref("host", "h1"), "current_operations") == {}
    assert [vm for vm in GUESTS if moves.runs_on(vm) != ["h2"]] == []


def test_the_caller_chooses_another_window(make_moves: Make) -> None:
    moves = make_moves(full())
    store, most = moves.pool.store, 0
    task = str(moves.client.call("Async.host.evacuate", moves.ref("host", "h1"), "OpaqueRef:NULL", "2"))
    with store.changed:
        while store.value("task", task, "status") == "pending":
            most = max(most, len(store.value("task", task, "subtasks")))
            assert store.changed.wait(30)
    assert most == 2


def test_a_move_that_fails_ends_the_call(twin: Twin) -> None:
    refusal = ["PIF_NOT_PRESENT", twin.host("src"), twin.ref("network", "hidden")]
    assert twin.refuse("host.evacuate", twin.host(), twin.ref("network", "hidden"), "0") == refusal
    assert twin.call("VM.get_resident_on", twin.vm("guest")) == twin.host()
    assert twin.call("host.get_current_operations", twin.host()) == {}


def test_a_cancel_reaches_the_moves(twin: Twin) -> None:
    twin.set_copy("guest", 4000)
    task = twin.start("host.evacuate", twin.host())
    twin.wait(lambda: bool(twin.pool.store.value("VM", twin.vm("guest"), "current_operations")))
    twin.call("task.cancel", task)
    assert twin.end(task)["status"] == "cancelled"
    twin.wait(lambda: not twin.pool.store.value("VM", twin.vm("guest"), "current_operations"))
    assert twin.call("VM.get_resident_on", twin.vm("guest")) == twin.host()


def test_older_hosts_are_no_place(twin: Twin) -> None:
    src, guest = twin.host("src"), twin.vm("guest")
    older = {**twin.call("host.get_software_version", src), "platform_version": "2.0.0"}
    with twin.edited("host", src, software_version=older):
        refusal = {guest: ["NO_HOSTS_AVAILABLE", guest]}
        assert twin.call("host.get_vms_which_prevent_evacuation", twin.host()) == refusal


def test_every_other_host_must_be_a_place(make_moves: Make) -> None:
    described = world_with()
    described["hosts"].append({"name": "h3", "networks": ["lan"]})
    moves = make_moves(described)
    h2, w = moves.ref("host", "h2"), moves.ref("VM", "w")
    found = moves.client.call("host.get_vms_which_prevent_evacuation", h2)
    assert found == {w: ["VM_REQUIRES_SR", w, moves.ref("SR", "nfs")]}, "h1 alone would have been one"
    moves.client.call("host.disable", moves.ref("host", "h3"))
    assert moves.client.call("host.get_vms_which_prevent_evacuation", h2) == {}


def test_a_paused_vm_stays(twin: Twin) -> None:
    guest = twin.vm("guest")
    twin.call("VM.pause", guest)
    found = {guest: ["VM_BAD_POWER_STATE", guest, "running", "paused"]}
    assert twin.call("host.get_vms_which_prevent_evacuation", twin.host()) == found


def test_with_high_availability_only_protected_vms_move(twin: Twin) -> None:
    guest = twin.vm("guest")
    twin.call("pool.enable_ha", [], {})
    assert twin.refuse("host.evacuate", twin.host()) == ["HOST_EVACUATE_VM_NOT_HA_PROTECTED", guest]
    twin.call("VM.set_ha_restart_priority", guest, "restart")
    twin.call("host.evacuate", twin.host())
    assert twin.call("VM.get_resident_on", guest) == twin.host("src")
