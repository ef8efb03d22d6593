"""Rules about what hosts and VMs are joined to: storage and networks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from lmflow.simulator.database.values import NULL
from lmflow.simulator.worlds.world_rules_values import Database, Record, name_of

_PLACED = frozenset({"Running", "Paused"})


def check_devices(database: Database) -> Iterator[str]:
    """Find joins that cannot be."""
    yield from _check_pbds(database)
    yield from _check_vbds(database)
    yield from _check_writers(database)
    yield from _check_reach(database)
    yield from _check_pifs(database)
    yield from _check_vifs(database)


def _named(database: Database, cls: str, ref: str) -> str:
    record = database.get(cls, {}).get(ref)
    return name_of(cls, record) if record is not None else f"unknown {cls}"


def _twice(keys: Any) -> list[Any]:
    return [key for key, count in Counter(keys).items() if count > 1]


def _check_pbds(database: Database) -> Iterator[str]:
    pbds = database.get("PBD", {}).values()
    for host_ref, sr_ref in _twice((pbd["host"], pbd["SR"]) for pbd in pbds):
        yield f"{_named(database, 'host', host_ref)} is joined to {_named(database, 'SR', sr_ref)} twice."
    for sr in database.get("SR", {}).values():
        if not sr["shared"] and len(sr["PBDs"]) > 1:
            yield f"{name_of('SR', sr)} is local and yet joined to {len(sr['PBDs'])} hosts."


def _check_vbds(database: Database) -> Iterator[str]:
    vbds, vdis = database.get("VBD", {}).values(), database.get("VDI", {})
    for vm_ref, position in _twice((vbd["VM"], vbd["userdevice"]) for vbd in vbds if vbd["userdevice"]):
        yield f"{_named(database, 'VM', vm_ref)} has two disks at position {position}."
    for vbd in vbds:
        where = f"A {vbd['type']} drive of {_named(database, 'VM', vbd['VM'])}"
        if vbd["empty"] != (vbd["VDI"] == NULL):
            yield f"{where} is {'' if vbd['empty'] else 'not '}empty and yet has {'a' if vbd['empty'] else 'no'} disk."
        if vbd["type"] != "CD" and vbd["empty"]:
            yield f"{where} is empty, which only a CD drive can be."
        if vbd["type"] == "CD" and vbd["mode"] != "RO":
            yield f"{where} is for writing."
        vdi = vdi_of(vdis, vbd)
        if vdi is not None and vdi["read_only"] and vbd["mode"] == "RW":
            yield f"{where} is for writing on {name_of('VDI', vdi)}, which is read-only."


def vdi_of(vdis: Any, vbd: Record) -> Record | None:
    """Find the disk of a join; None for an empty drive."""
    found: Record | None = vdis.get(vbd["VDI"])
    return found


def _check_writers(database: Database) -> Iterator[str]:
    """A disk is attached for writing once, or for reading only, unless it is sharable."""
    attached = defaultdict(list)
    for vbd in database.get("VBD", {}).values():
        if vbd["currently_attached"]:
            attached[vbd["VDI"]].append(vbd)
    vdis = database.get("VDI", {})
    for vdi_ref, vbds in attached.items():
        if len(vbds) < 2 or vdi_ref not in vdis or vdis[vdi_ref]["sharable"]:
            continue
        if any(vbd["mode"] == "RW" for vbd in vbds):
            users = " and ".join(_named(database, "VM", vbd["VM"]) for vbd in vbds)
            yield f"{name_of('VDI', vdis[vdi_ref])} is written to and yet attached to {users}."


def _check_reach(database: Database) -> Iterator[str]:
    """A VM's host reaches the disks of the VM."""
    hosts, pbds, vbds, vdis = (database.get(cls, {}) for cls in ("host", "PBD", "VBD", "VDI"))
    reached = defaultdict(set)
    for pbd in pbds.values():
        if pbd["currently_attached"]:
            reached[pbd["host"]].add(pbd["SR"])
    for vm in database.get("VM", {}).values():
        host_ref = vm["resident_on"]
        if vm["power_state"] not in _PLACED or host_ref not in hosts:
            continue
        for vbd_ref in vm["VBDs"]:
            vdi = vdi_of(vdis, vbds[vbd_ref])
            if vdi is not None and vdi["SR"] not in reached[host_ref]:
                place = f"{name_of('VM', vm)} runs on {hosts[host_ref]['name_label']}"
                yield f"{place}, which has no plugged PBD for its disk's {_named(database, 'SR', vdi['SR'])}."


def _check_pifs(database: Database) -> Iterator[str]:
    pifs = database.get("PIF", {}).values()
    for host_ref in _twice(pif["host"] for pif in pifs if pif["management"]):
        yield f"{_named(database, 'host', host_ref)} has two management interfaces."
    for host_ref, network_ref in _twice((pif["host"], pif["network"]) for pif in pifs):
        yield f"{_named(database, 'host', host_ref)} is on {_named(database, 'network', network_ref)} twice."
    for host_ref, device, vlan in _twice((pif["host"], pif["device"], pif["VLAN"]) for pif in pifs):
        yield f"{_named(database, 'host', host_ref)} has {device} with the VLAN {vlan} twice."
    for pif in pifs:
        if (pif["VLAN"] >= 0) != (pif["VLAN_master_of"] != NULL):
            yield f"The interface {pif['device']} of {_named(database, 'host', pif['host'])} is half a VLAN."


def _check_vifs(database: Database) -> Iterator[str]:
    """XAPI takes the same address twice, but draws none twice; two that are attached at once are a mistake."""
    vifs = database.get("VIF", {}).values()
    for vm_ref, device in _twice((vif["VM"], vif["device"]) for vif in vifs):
        yield f"{_named(database, 'VM', vm_ref)} has two interfaces at position {device}."
    live = [vif for vif in vifs if vif["currently_attached"]]
    for network_ref, mac in _twice((vif["network"], vif["MAC"].lower()) for vif in live):
        yield f"Two interfaces on {_named(database, 'network', network_ref)} have the address {mac}."
