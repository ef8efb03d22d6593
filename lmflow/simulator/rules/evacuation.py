"""Where the VMs of a host could go, or what keeps each of them. Source: xapi_host.ml, xapi_ha_vm_failover.ml."""

from __future__ import annotations

from dataclasses import dataclass, field

from lmflow.simulator.database.store import Store
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.rules import allowed_vm, failover, memory, placement, upgrade_order

_CHECKS = (*allowed_vm.BEFORE_WAITING, *allowed_vm.AFTER_WAITING)
_LIFE_CYCLE = "life cycle"
_STEPS = (
    _LIFE_CYCLE,
    "HOST_EVACUATE_VM_NOT_HA_PROTECTED",
    "HOST_NOT_LIVE",
    "HOST_DISABLED",
    "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION",
    "VM_INCOMPATIBLE_WITH_THIS_HOST",
    "VM_REQUIRES_SR",
    "VM_REQUIRES_NETWORK",
    "HOST_CANNOT_ATTACH_NETWORK",
)
"""Obstacles are told in the order of the checks that find them. XAPI's order is that of a hash table."""


@dataclass(slots=True)
class Plan:
    """``moves``: VM -> host; ``obstacles``: (step, VM, why not), the first step first."""

    moves: dict[str, str] = field(default_factory=dict)
    obstacles: list[tuple[str, str, ApiFailure]] = field(default_factory=list)

    def add_obstacle(self, vm_ref: str, failure: ApiFailure, step: str = "") -> None:
        """Note what keeps a VM."""
        self.obstacles.append((step or failure.code, vm_ref, failure))
        self.obstacles.sort(key=lambda item: _STEPS.index(item[0]) if item[0] in _STEPS else len(_STEPS))


def guests_of(store: Store, host_ref: str) -> list[str]:
    """List the VMs on a host, its control domain left out."""
    return [r for r in store.value("host", host_ref, "resident_VMs") if not store.value("VM", r, "is_control_domain")]


def make_plan(store: Store, host_ref: str) -> Plan:
    """Plan where each VM of a host goes; the lock must be held.

    A VM may move when *every* enabled other host, not older than this one, could have it, memory left aside.
    """
    plan = Plan()
    others = [r for r in store.refs("host") if r != host_ref and store.value("host", r, "enabled")]
    others = [ref for ref in others if not upgrade_order.is_older(store, ref, host_ref)]
    movable = []
    for vm_ref in guests_of(store, host_ref):
        if not others:
            plan.add_obstacle(vm_ref, ApiFailure("NO_HOSTS_AVAILABLE", vm_ref))
            continue
        # What goes on with a VM is waited for: two evacuations of one host were watched to go on side by side.
        refusal = allowed_vm.find_refusal(store, vm_ref, store.record("VM", vm_ref), "pool_migrate", _CHECKS)
        obstacle = refusal or _find_obstacle(store, vm_ref, others)
        if obstacle is None:
            movable.append(vm_ref)
        else:
            plan.add_obstacle(vm_ref, obstacle, _LIFE_CYCLE if refusal else "")
    _place(store, plan, movable, others)
    return plan


def _find_obstacle(store: Store, vm_ref: str, others: list[str]) -> ApiFailure | None:
    if failover.is_on(store) and not failover.is_protected(store, vm_ref):
        return ApiFailure("HOST_EVACUATE_VM_NOT_HA_PROTECTED", vm_ref)
    try:
        for other_ref in others:
            placement.check_can_be_here(store, vm_ref, other_ref, with_cpu=True, with_memory=False)
    except ApiFailure as failure:
        return failure
    return None


def _place(store: Store, plan: Plan, movable: list[str], others: list[str]) -> None:
    scheduled = memory.scheduled_vms(store)
    room = {ref: memory.free_on(store, ref, scheduled) for ref in others}
    plan.moves, _ = failover.place({ref: memory.needed_by(store, ref) for ref in movable}, room)
    for vm_ref in movable:
        if vm_ref not in plan.moves:
            plan.add_obstacle(vm_ref, ApiFailure("HOST_NOT_ENOUGH_FREE_MEMORY", vm_ref))
