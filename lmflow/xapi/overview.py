"""Everything that the rules need for some VMs and all hosts, in a number of calls that no pool makes larger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmflow.exceptions import XapiFailureError
from lmflow.models import VBD, VIF, VM, Overview, Terms
from lmflow.xapi import reads, records
from lmflow.xapi.connection import Connection
from lmflow.xapi.fetch import find_by_uuid, read_each, read_where
from lmflow.xapi.role import find_denied, find_may_migrate

_FEW = 16
_IN_MEMORY = 'field "is_a_template" = "false" and field "is_a_snapshot" = "false"'
_PARTS = {"VBD": "VBDs", "VIF": "VIFs", "VGPU": "VGPUs"}
_METRICS = {"VM_metrics": "metrics", "VM_guest_metrics": "guest_metrics"}
_NAMES = {"VDI": ("VBD", "VDI"), "VGPU_type": ("VGPU", "type")}
"""What the parts themselves name: by class, the class that names it and the field."""

Records = Mapping[str, Any]


def read_overview(
    conn: Connection,
    vm_uuids: Sequence[str],
    *,
    now: float,
    terms: Terms = Terms(),  # noqa: B008 - frozen
) -> Overview:
    """Return the overview; ``now`` is written down as the time of it.

    9 calls for the pool, and once in a connection one for our role. For the disks, interfaces, virtual GPUs, guests and
    domains of these VMs up to 7 more, or one each while they are few (at most 32). A template or snapshot among the
    VMs costs two calls more while there are few of them, else one.
    Raises XapiFailureError (UUID_INVALID) when the pool knows no such VM.
    """
    members = reads.read_members(conn)
    vms = _read_vms(conn, vm_uuids)
    uuids, wanted = dict(members.uuids), set(vm_uuids)
    srs, networks = (conn.read(f"{name}.get_all_records") for name in ("SR", "network"))
    groups = _read_groups(conn)
    for found in (srs, networks, groups):
        uuids.update({ref: record["uuid"] for ref, record in found.items()})
    parts = _read_parts(conn, [record for record in vms.values() if record["uuid"] in wanted])
    return Overview(
        observed_at=now,
        pool=members.pool,
        hosts=members.hosts,
        vms=tuple(
            _make_vm(record, parts, uuids) if record["uuid"] in wanted else records.make_resident(record, uuids)
            for record in vms.values()
        ),
        srs=tuple(records.make_sr(record) for record in srs.values()),
        pbds=tuple(records.make_pbd(record, uuids) for record in conn.read("PBD.get_all_records").values()),
        networks=tuple(records.make_network(record) for record in networks.values()),
        pifs=tuple(records.make_pif(record, uuids) for record in conn.read("PIF.get_all_records").values()),
        groups=tuple(records.make_group(record) for record in groups.values()),
        may_migrate=find_may_migrate(conn),
        denied=find_denied(conn),
        terms=terms,
    )


def _read_vms(conn: Connection, vm_uuids: Sequence[str]) -> Records:
    """Read the VMs that may take memory, control domains too, and those asked for, whatever they are."""
    found = read_where(conn, "VM", _IN_MEMORY)
    if found is None:
        found = conn.read("VM.get_all_records")
    missing = _find_missing(found, vm_uuids)
    if len(missing) > _FEW:
        found = conn.read("VM.get_all_records")
    else:
        found |= dict(each for uuid in missing if (each := find_by_uuid(conn, "VM", uuid)) is not None)
    missing = _find_missing(found, vm_uuids)
    if missing:
        raise XapiFailureError("UUID_INVALID", ("VM", missing[0]), call="VM.get_by_uuid")
    return found


def _find_missing(found: Records, vm_uuids: Sequence[str]) -> list[str]:
    return sorted(set(vm_uuids) - {record["uuid"] for record in found.values()})


def _read_groups(conn: Connection) -> Records:
    try:
        found: Records = conn.read("VM_group.get_all_records")
    except XapiFailureError as failure:
        if failure.xapi_code == "MESSAGE_METHOD_UNKNOWN":
            return {}  # a release that has no VM groups
        raise
    return found


def _read_parts(conn: Connection, vms: Sequence[Any]) -> dict[str, Records]:
    """Read what belongs to these VMs, by class and reference."""
    wanted = {name: [ref for vm in vms for ref in vm.get(field) or ()] for name, field in _PARTS.items()}
    wanted |= {name: [vm.get(field) for vm in vms] for name, field in _METRICS.items()}
    few = sum(map(len, wanted.values())) <= _FEW
    parts = {name: _read_some(conn, name, refs, few=few) for name, refs in wanted.items()}
    for name, (owner, field) in _NAMES.items():
        parts[name] = _read_some(conn, name, (record[field] for record in parts[owner].values()), few=few)
    return parts


def _read_some(conn: Connection, class_name: str, references: Iterable[str], *, few: bool) -> Records:
    wanted = [ref for ref in references if not records.is_null(ref)]
    if few or not wanted:
        return read_each(conn, class_name, wanted)
    found = conn.read(f"{class_name}.get_all_records")
    return {ref: found[ref] for ref in wanted if ref in found}


def _make_vm(record: Any, parts: Mapping[str, Records], uuids: Mapping[str, str]) -> VM:
    vdis = parts["VDI"]
    held = {name: [parts[name][r] for r in record.get(f) or () if r in parts[name]] for name, f in _PARTS.items()}
    vbds: tuple[VBD, ...] = tuple(
        records.make_vbd(vbd, records.make_vdi(vdis[vbd["VDI"]], uuids) if vbd["VDI"] in vdis else None)
        for vbd in held["VBD"]
    )
    vifs: tuple[VIF, ...] = tuple(records.make_vif(vif, uuids) for vif in held["VIF"])
    metrics, guest_metrics = (parts[name].get(record.get(field)) for name, field in _METRICS.items())
    vgpus = records.list_implementations(held["VGPU"], parts["VGPU_type"])
    return records.make_vm(
        record, uuids, metrics=metrics, guest_metrics=guest_metrics, vgpus=vgpus, vbds=vbds, vifs=vifs
    )
