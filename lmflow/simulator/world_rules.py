"""What no pool's database can show; each rule is a generator of sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lmflow.simulator import memory
from lmflow.simulator.store import Store
from lmflow.simulator.values import NULL

_PLACED = frozenset({"Running", "Paused"})
_LOOKED_AT = (
    "name_label",
    "power_state",
    "resident_on",
    "is_control_domain",
    "is_a_template",
    "is_a_snapshot",
    "VBDs",
    "VIFs",
)


class ImpossibleWorldError(ValueError):
    """A world that the real thing could never produce; the text says why, in sentences."""


def check_store(store: Store) -> None:
    """Refuse a database that no pool could have: ImpossibleWorldError with everything that was found."""
    with store.lock:
        found = [*_check_pool(store), *_check_disks(store), *_check_vms(store), *_check_memory(store)]
    if found:
        raise ImpossibleWorldError(" ".join(found))


def _name(store: Store, cls: str, ref: str) -> str:
    return str(store.value(cls, ref, "name_label")) if store.exists(cls, ref) else f"unknown {cls} {ref}"


def _check_pool(store: Store) -> Iterator[str]:
    pools = store.refs("pool")
    if len(pools) != 1:
        yield f"A pool database has one pool, not {len(pools)}."
    for pool_ref in pools:
        if not store.exists("host", store.value("pool", pool_ref, "master")):
            yield "The pool has no coordinator."
    addresses = [store.value("host", ref, "address") for ref in store.refs("host")]
    for address in sorted({a for a in addresses if addresses.count(a) > 1}):
        yield f"Two hosts have the address {address}."


def _check_disks(store: Store) -> Iterator[str]:
    for ref in store.refs("VDI"):
        if not store.exists("SR", store.value("VDI", ref, "SR")):
            yield f"Disk {_name(store, 'VDI', ref)} is on an unknown SR."
    for ref in store.refs("PBD"):
        pbd = store.record("PBD", ref)
        if not (store.exists("host", pbd["host"]) and store.exists("SR", pbd["SR"])):
            yield f"PBD {pbd['uuid']} joins a host or an SR that is not there."
    for ref in store.refs("VBD"):
        vm_ref, vdi_ref = store.value("VBD", ref, "VM"), store.value("VBD", ref, "VDI")
        if not store.exists("VM", vm_ref) or (vdi_ref != NULL and not store.exists("VDI", vdi_ref)):
            yield f"VBD {store.value('VBD', ref, 'uuid')} joins a VM or a disk that is not there."


def _check_vms(store: Store) -> Iterator[str]:
    for vm_ref in store.refs("VM"):
        vm = {name: store.value("VM", vm_ref, name) for name in _LOOKED_AT}
        if vm["is_control_domain"]:
            continue
        name, host_ref = vm["name_label"], vm["resident_on"]
        if vm["power_state"] not in _PLACED:
            if host_ref != NULL:
                yield f"VM {name} is {vm['power_state']} and yet resident on {_name(store, 'host', host_ref)}."
        elif vm["is_a_template"] or vm["is_a_snapshot"]:
            yield f"VM {name} is a template or snapshot and cannot be {vm['power_state']}."
        elif host_ref == NULL:
            yield f"VM {name} is {vm['power_state']} but resident on no host."
        elif not store.exists("host", host_ref):
            yield f"VM {name} is {vm['power_state']} on an unknown host."
        else:
            yield from _check_reach(store, vm, host_ref)


def _check_reach(store: Store, vm: dict[str, Any], host_ref: str) -> Iterator[str]:
    reached = {
        store.value("PBD", ref, "SR")
        for ref in store.value("host", host_ref, "PBDs")
        if store.value("PBD", ref, "currently_attached")
    }
    for vbd_ref in vm["VBDs"]:
        vdi_ref = store.value("VBD", vbd_ref, "VDI")
        if vdi_ref != NULL and store.exists("VDI", vdi_ref) and store.value("VDI", vdi_ref, "SR") not in reached:
            sr_name = _name(store, "SR", store.value("VDI", vdi_ref, "SR"))
            host_name = _name(store, "host", host_ref)
            yield f"VM {vm['name_label']} runs on {host_name}, which has no plugged PBD for its disk's SR {sr_name}."
    for vif_ref in vm["VIFs"]:
        if not store.exists("network", store.value("VIF", vif_ref, "network")):
            yield f"VM {vm['name_label']} has an interface on an unknown network."


def _check_memory(store: Store) -> Iterator[str]:
    scheduled = memory.scheduled_vms(store)
    for host_ref in store.refs("host"):
        metrics_ref = store.value("host", host_ref, "metrics")
        if not store.exists("host_metrics", metrics_ref):
            yield f"Host {_name(store, 'host', host_ref)} has no metrics."
            continue
        total = store.value("host_metrics", metrics_ref, "memory_total")
        taken = sum(memory.needed_by(store, ref) for ref in memory.occupants_of(store, host_ref, scheduled))
        if taken + store.value("host", host_ref, "memory_overhead") > total:
            yield f"The VMs on {_name(store, 'host', host_ref)} need more memory than the host has."
