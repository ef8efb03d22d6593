"""Everything that the rules need for some VMs and all hosts, in a number of calls that no pool makes larger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmflow.exceptions import XapiFailureError
from lmflow.models import VBD, VIF, VM, Overview
from lmflow.xapi import reads, records
from lmflow.xapi.connection import Connection

_FEW = 16
_IN_MEMORY = 'field "is_a_template" = "false" and field "is_a_snapshot" = "false"'
_PARTS = {"VBD": "VBDs", "VIF": "VIFs"}

Records = Mapping[str, Any]


def read_overview(conn: Connection, vm_uuids: Sequence[str], *, now: float) -> Overview:
    """Return the overview; ``now`` is written down as the time of it.

    8 calls for the pool, and for the disks, interfaces and guests of these VMs 4 more, or one each while they are
    few (at most 32). A template or snapshot among the VMs costs one call more.
    Raises XapiFailureError (UUID_INVALID) when the pool knows no such VM.
    """
    members = reads.read_members(conn)
    vms = _read_vms(conn, vm_uuids)
    uuids, wanted = dict(members.uuids), set(vm_uuids)
    srs, networks = (conn.read(f"{name}.get_all_records") for name in ("SR", "network"))
    for found in (srs, networks):
        uuids.update({ref: record["uuid"] for ref, record in found.items()})
    parts = _read_parts(conn, [record for record in vms.values() if record["uuid"] in wanted])
    return Overview(
        observed_at=now,
        pool=members.pool,
        hosts=members.hosts,
        vms=tuple(_make_vm(record, parts, uuids) for record in vms.values()),
        srs=tuple(records.make_sr(record) for record in srs.values()),
        pbds=tuple(records.make_pbd(record, uuids) for record in conn.read("PBD.get_all_records").values()),
        networks=tuple(records.make_network(record) for record in networks.values()),
        pifs=tuple(records.make_pif(record, uuids) for record in conn.read("PIF.get_all_records").values()),
    )


def _read_vms(conn: Connection, vm_uuids: Sequence[str]) -> Records:
    """Read the VMs that may take memory, control domains too, and those asked for, whatever they are."""
    try:
        found: Records = conn.read("VM.get_all_records_where", _IN_MEMORY)
    except XapiFailureError:
        found = {}  # the query is documented for internal use; a release may refuse it
    if not set(vm_uuids) <= {record["uuid"] for record in found.values()}:
        found = conn.read("VM.get_all_records")
    missing = sorted(set(vm_uuids) - {record["uuid"] for record in found.values()})
    if missing:
        raise XapiFailureError("UUID_INVALID", ("VM", missing[0]), call="VM.get_by_uuid")
    return found


def _read_parts(conn: Connection, vms: Sequence[Any]) -> dict[str, Records]:
    """Read disks, drives, interfaces and guest metrics of these VMs, by class and reference."""
    wanted = {name: [ref for vm in vms for ref in vm.get(field, ())] for name, field in _PARTS.items()}
    wanted["VM_guest_metrics"] = [vm.get("guest_metrics") for vm in vms]
    few = sum(map(len, wanted.values())) <= _FEW
    parts = {name: _read_some(conn, name, refs, few=few) for name, refs in wanted.items()}
    parts["VDI"] = _read_some(conn, "VDI", (vbd["VDI"] for vbd in parts["VBD"].values()), few=few)
    return parts


def _read_some(conn: Connection, class_name: str, references: Iterable[str], *, few: bool) -> Records:
    if few:
        return reads.read_each(conn, class_name, references)
    found = conn.read(f"{class_name}.get_all_records")
    return {ref: found[ref] for ref in references if ref in found}


def _make_vm(record: Any, parts: Mapping[str, Records], uuids: Mapping[str, str]) -> VM:
    vdis = parts["VDI"]
    held = [parts["VBD"][ref] for ref in record.get("VBDs", ()) if ref in parts["VBD"]]
    vbds: tuple[VBD, ...] = tuple(
        records.make_vbd(vbd, records.make_vdi(vdis[vbd["VDI"]], uuids) if vbd["VDI"] in vdis else None) for vbd in held
    )
    vifs: tuple[VIF, ...] = tuple(
        records.make_vif(parts["VIF"][ref], uuids) for ref in record.get("VIFs", ()) if ref in parts["VIF"]
    )
    guest_metrics = parts["VM_guest_metrics"].get(record.get("guest_metrics"))
    return records.make_vm(record, uuids, guest_metrics=guest_metrics, vbds=vbds, vifs=vifs)
