"""How much memory a VM takes on a host and how much a host has left.

The constants reproduce what a real pool answered for ``host.compute_free_memory`` and HOST_NOT_ENOUGH_FREE_MEMORY:
a running VM of 512 MiB took 520, one of 12,000 MiB needed 12,098.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmflow.simulator.store import Store
from lmflow.simulator.values import NULL

MIB = 1024 * 1024
HOST_OVERHEAD = 320 * MIB
CONTROL_DOMAIN_OVERHEAD = 20 * MIB
_SHADOW_RATIO = 128
_FIXED_MIB = 4

Scheduled = Sequence[tuple[str, str]]


def overhead_of(memory_bytes: int) -> int:
    """Give the bytes that the hypervisor keeps beside a guest of so many bytes."""
    shadow_mib = -(-memory_bytes // (MIB * _SHADOW_RATIO))
    return (shadow_mib + _FIXED_MIB) * MIB


def needed_by(store: Store, vm_ref: str) -> int:
    """Give the bytes that a VM needs to be placed on a host: its dynamic minimum and its overhead."""
    guest = int(store.value("VM", vm_ref, "memory_dynamic_min"))
    return guest + int(store.value("VM", vm_ref, "memory_overhead") or overhead_of(guest))


def scheduled_vms(store: Store) -> list[tuple[str, str]]:
    """List (VM, host) of the VMs that are on their way to a host; one look at every VM."""
    places = ((ref, store.value("VM", ref, "scheduled_to_be_resident_on")) for ref in store.refs("VM"))
    return [(vm_ref, host_ref) for vm_ref, host_ref in places if host_ref != NULL]


def occupants_of(store: Store, host_ref: str, scheduled: Scheduled | None = None) -> list[str]:
    """List the VMs that count on a host: those resident there and those scheduled to be.

    Who asks for many hosts hands in ``scheduled_vms`` once.
    """
    coming = [vm for vm, host in (scheduled_vms(store) if scheduled is None else scheduled) if host == host_ref]
    return list(dict.fromkeys([*store.value("host", host_ref, "resident_VMs"), *coming]))


def free_on(store: Store, host_ref: str, scheduled: Scheduled | None = None) -> int:
    """Give the free bytes of a host as its database shows them, never less than 0."""
    metrics_ref = store.value("host", host_ref, "metrics")
    total = int(store.value("host_metrics", metrics_ref, "memory_total")) if metrics_ref != NULL else 0
    taken = sum(needed_by(store, vm_ref) for vm_ref in occupants_of(store, host_ref, scheduled))
    return max(0, total - int(store.value("host", host_ref, "memory_overhead")) - taken)
