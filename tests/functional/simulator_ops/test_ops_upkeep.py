"""Calls of an administrator beside migrations: agents, interfaces, appliances, single disks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmflow.simulator.database.availability import Way, list_calls
from lmflow.simulator.hosts.toolstack import READY, Toolstack
from tests.support.moves import NULL, TWO_HOSTS, Moves, world_with


def _vm(name: str, order: int) -> dict[str, Any]:
    return {"name": name, "memory": "256 MiB", "vifs": ["lan"], "fields": {"order": order}}


@pytest.fixture
def shop(make_moves: Callable[..., Moves]) -> tuple[Moves, str]:
    """A pool with an appliance of three halted VMs whose names do not follow their order."""
    moves = make_moves(world_with(_vm("last", 3), _vm("first", 1), _vm("second", 2)))
    appliance = moves.client.call("VM_appliance.create", {"name_label": "shop", "name_description": ""})
    for name in ("last", "first", "second"):
        moves.client.call("VM.set_appliance", moves.ref("VM", name), appliance)
    return moves, appliance


def _changes(moves: Moves, act: Callable[[], object]) -> list[str]:
    """List the VMs whose power state changes while something is done, in that order."""
    store, seen = moves.pool.store, []
    update = store.update

    def noting(cls: str, ref: str, /, **fields: Any) -> None:
        before = store.value("VM", ref, "power_state") if cls == "VM" else ""
        update(cls, ref, **fields)
        if cls == "VM" and store.value("VM", ref, "power_state") != before:
            seen.append(store.value("VM", ref, "name_label"))

    store.update = noting  # type: ignore[method-assign]
    act()
    return seen


def test_an_agent_restarts_after_its_answer(moves: Moves) -> None:
    h2, toolstack = moves.ref("host", "h2"), moves.pool.part(Toolstack)
    assert moves.client.call("host.restart_agent", h2) == ""
    with toolstack.changed:
        assert toolstack.changed.wait_for(lambda: toolstack.on(h2).deaths == 1, 30)
        assert toolstack.changed.wait_for(lambda: toolstack.on(h2).state == READY, 30)
    assert moves.client.call("VM.get_all")
    assert moves.client.refuse("host.restart_agent", "OpaqueRef:x") == ["HANDLE_INVALID", "host", "OpaqueRef:x"]


def test_an_interface_goes_down_and_up(moves: Moves) -> None:
    call, refuse, store = moves.client.call, moves.client.refuse, moves.pool.store
    (pif,) = store.find("PIF", network=moves.ref("network", "only-h1"))
    assert call("PIF.unplug", pif) == ""
    assert call("PIF.get_currently_attached", pif) is False
    assert call("PIF.plug", pif) == ""
    assert call("PIF.get_currently_attached", pif) is True
    store.update("PIF", pif, disallow_unplug=True)
    assert refuse("PIF.unplug", pif) == ["PIF_DOES_NOT_ALLOW_UNPLUG", pif]
    management = store.find("PIF", management=True)[0]
    assert refuse("PIF.unplug", management) == ["PIF_IS_MANAGEMENT_INTERFACE", management]
    assert call("PIF.get_currently_attached", management) is True


def test_an_appliance_starts_in_order_and_ends_in_the_reverse_one(shop: tuple[Moves, str]) -> None:
    moves, appliance = shop
    started = _changes(moves, lambda: moves.client.call("VM_appliance.start", appliance, False))
    assert started == ["first", "second", "last"]
    ended = _changes(moves, lambda: moves.client.call("VM_appliance.shutdown", appliance))
    assert ended == ["last", "second", "first"]
    assert not any(moves.runs_on(name) for name in started)


def test_an_appliance_goes_on_past_a_vm_that_refuses(shop: tuple[Moves, str]) -> None:
    moves, appliance = shop
    moves.client.call("VM.add_to_blocked_operations", moves.ref("VM", "second"), "start", "KEPT")
    failure = moves.client.refuse("VM_appliance.start", appliance, False)
    assert failure == ["OPERATION_PARTIALLY_FAILED", "start", moves.ref("VM", "second")]
    assert [bool(moves.runs_on(name)) for name in ("first", "second", "last")] == [True, False, True]


def test_a_disk_moves_while_its_vm_stays(make_moves: Callable[..., Moves]) -> None:
    second = {"name": "other", "shared": True, "hosts": ["h1", "h2"]}
    halted = {"name": "z", "memory": "256 MiB", "disks": [{"sr": "nfs"}]}
    moves = make_moves(world_with(halted, storage=[*TWO_HOSTS["storage"], second]))
    store, other = moves.pool.store, moves.ref("SR", "other")
    old = next(ref for ref in moves.pool.store.refs("VDI") if _owner(moves, ref) == "v")
    new = moves.client.call("VDI.pool_migrate", old, other, {})
    assert (store.value("VDI", new, "SR"), _owner(moves, new), store.exists("VDI", old)) == (other, "v", False)
    assert moves.runs_on("v") == ["h1"]
    asleep = next(ref for ref in store.refs("VDI") if _owner(moves, ref) == "z")
    assert moves.client.refuse("VDI.pool_migrate", asleep, other, {}) == ["VDI_NEEDS_VM_FOR_MIGRATE", asleep]


def _owner(moves: Moves, vdi_ref: str) -> str:
    store = moves.pool.store
    vms = [store.value("VBD", ref, "VM") for ref in store.value("VDI", vdi_ref, "VBDs")]
    return str(store.value("VM", vms[0], "name_label")) if vms and vms[0] != NULL else ""


def test_the_page_counts_the_calls_that_are_not_simulated(moves: Moves) -> None:
    ways = [way for _, way in list_calls(moves.pool.schema)]
    page = (Path(__file__).parents[3] / "doc" / "source" / "simulator.md").read_text("utf-8")
    assert f"Of the {len(ways):,} calls of the model, {ways.count(Way.NOT_SIMULATED)} lie outside" in page
