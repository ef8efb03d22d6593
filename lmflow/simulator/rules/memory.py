"""How much memory a VM takes on a host and how much a host has left.

The constants reproduce what a real pool answered for ``host.compute_free_memory`` and HOST_NOT_ENOUGH_FREE_MEMORY:
a running VM of 512 MiB took 520, one of 12,000 MiB needed 12,098.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL

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


def needed_by(store: Store, vm_ref: str, *, at_most: bool = False) -> int:
    """Give the bytes that a VM needs to be placed on a host: its dynamic minimum and its overhead.

    ``at_most`` counts what it may come to need, as the planning of failures does. A guest that cannot give memory
    back (pv_in_pvh) needs its maximum at once.
    """
    field = "memory_dynamic_min"
    if store.value("VM", vm_ref, "domain_type") == "pv_in_pvh":
        field = "memory_static_max"
    elif at_most:
        is_dom0 = store.value("VM", vm_ref, "is_control_domain")
        field = "memory_dynamic_max" if is_dom0 else "memory_static_max"
    guest = int(store.value("VM", vm_ref, field))
    return guest + int(store.value("VM", vm_ref, "memory_overhead") or overhead_of(guest))


def scheduled_vms(store: Store) -> list[tuple[str, str]]:
    """List (VM, host) of the VMs that are on their way to a host; one look at every VM."""
    places = ((ref, store.value("VM", ref, "scheduled_to_be_resident_on")) for ref in store.refs("VM"))
    return [(vm_ref, host_ref) for vm_ref, host_ref in places if host_ref != NULL]


def occupants_of(store: Store, host_ref: str, scheduled: Scheduled | None = None, leave_out: str = "") -> list[str]:
    """List the VMs that count on a host: those resident there and those scheduled to be, but one if told.

    Who asks for many hosts hands in ``scheduled_vms`` once.
    """
    coming = [vm for vm, host in (scheduled_vms(store) if scheduled is None else scheduled) if host == host_ref]
    return list(dict.fromkeys([*store.value("host", host_ref, "resident_VMs"), *(r for r in coming if r != leave_out)]))


def total_on(store: Store, host_ref: str) -> int:
    """Give the bytes of a host that guests and control domain share."""
    metrics_ref = store.value("host", host_ref, "metrics")
    total = int(store.value("host_metrics", metrics_ref, "memory_total")) if metrics_ref != NULL else 0
    return total - int(store.value("host", host_ref, "memory_overhead"))


def free_on(
    store: Store, host_ref: str, scheduled: Scheduled | None = None, *, leave_out: str = "", at_most: bool = False
) -> int:
    """Give the free bytes of a host as its database shows them, never less than 0.

    ``leave_out`` is a VM that does not count though it is scheduled to be there.
    """
    occupants = occupants_of(store, host_ref, scheduled, leave_out)
    return max(0, total_on(store, host_ref) - sum(needed_by(store, ref, at_most=at_most) for ref in occupants))
