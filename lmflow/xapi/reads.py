"""Typed facts read from the pool. Number of calls and size of replies are bounded by the VM, not by the pool.

The one exception is ``list_vms``, which people's names are resolved with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from lmflow.exceptions import XapiFailureError
from lmflow.models import PBD, PIF, SR, VBD, VDI, VIF, VM, Host, Network, Pool, Snapshot, Terms, XapiError
from lmflow.xapi import records
from lmflow.xapi.connection import Connection
from lmflow.xapi.failures import CURED_BY_LOGIN
from lmflow.xapi.fetch import find_by_uuid, find_record, read_each, read_where
from lmflow.xapi.role import find_denied, find_may_migrate

_MANAGING = 'field "management" = "true"'
_LISTED = 'field "is_a_template" = "false" and field "is_control_domain" = "false" and field "is_a_snapshot" = "false"'


def list_vms(conn: Connection) -> tuple[VM, ...]:
    """Return the pool's VMs without templates, snapshots and control domains; without disks and interfaces."""
    found = read_where(conn, "VM", _LISTED)
    if found is None:
        found = conn.read("VM.get_all_records")
    uuids = {ref: record["uuid"] for ref, record in conn.read("host.get_all_records").items()}
    vms = (records.make_vm(record, uuids) for record in found.values())
    return tuple(vm for vm in vms if not (vm.is_a_template or vm.is_a_snapshot or vm.is_control_domain))


def list_hosts(conn: Connection) -> tuple[Host, ...]:
    """Return the pool's hosts, for names."""
    return read_hosts(conn)


def read_vm(conn: Connection, vm_uuid: str, *, guest: bool = True) -> VM | None:
    """Return the VM with its guest's features, without disks and interfaces; None when the pool does not know it.

    Without ``guest`` what the guest reported is not read: ``can_suspend`` is None then where that decides.
    """
    found = find_by_uuid(conn, "VM", vm_uuid)
    if found is None:
        return None
    record = found[1]
    host_refs = {record.get("resident_on", ""), record.get("scheduled_to_be_resident_on", "")}
    uuids = {ref: conn.read("host.get_uuid", ref) for ref in sorted(host_refs) if not records.is_null(ref)}
    guest_metrics = _find_named(conn, record, "VM_guest_metrics") if guest else None
    return records.make_vm(record, uuids, guest_metrics=guest_metrics)


def find_claim(conn: Connection, vm_uuid: str) -> str:
    """Return the UUID of the run of lmflow that holds the VM, as the VM says; '' for none, and for no such VM."""
    found = find_by_uuid(conn, "VM", vm_uuid)
    return records.make_claim(found[1]) if found else ""


def read_pool(conn: Connection) -> Pool:
    """Return the pool."""
    pool = next(iter(conn.read("pool.get_all_records").values()))
    return records.make_pool(pool, {pool["master"]: conn.read("host.get_uuid", pool["master"])})


def read_hosts(conn: Connection) -> tuple[Host, ...]:
    """Return the pool's hosts, each with its metrics."""
    return read_members(conn).hosts


def read_pbd(conn: Connection, pbd_uuid: str) -> PBD | None:
    """Return the PBD, or None when the pool does not know it."""
    found = find_by_uuid(conn, "PBD", pbd_uuid)
    if found is None:
        return None
    record = found[1]
    uuids = {record["SR"]: conn.read("SR.get_uuid", record["SR"])}
    uuids[record["host"]] = conn.read("host.get_uuid", record["host"])
    return records.make_pbd(record, uuids)


def ask_boot(conn: Connection, vm_uuid: str, host_uuid: str) -> XapiError | None:
    """Ask XAPI whether the VM could be on that host; None for yes. Not for its present host: see ``read_snapshot``.

    Raises XapiFailureError (UUID_INVALID) when the pool knows no such VM or host.
    """
    return _check_boot(conn, conn.read("VM.get_by_uuid", vm_uuid), conn.read("host.get_by_uuid", host_uuid))


def read_snapshot(
    conn: Connection,
    vm_uuid: str,
    destination_uuid: str,
    *,
    now: float,
    terms: Terms = Terms(),  # noqa: B008 - frozen
) -> Snapshot:
    """Return what the rules need for one VM and one destination; ``now`` is written down as the time of it.

    ``boot_check`` is not asked when the destination is the VM's present host: XAPI would count its memory twice.
    Raises XapiFailureError (UUID_INVALID) when the pool knows no such VM or host.
    """
    pool = read_members(conn)
    vm_ref = conn.read("VM.get_by_uuid", vm_uuid)
    record = conn.read("VM.get_record", vm_ref)
    destination_ref = next((ref for ref, uuid in pool.uuids.items() if uuid == destination_uuid), None)
    if destination_ref is None:
        raise XapiFailureError("UUID_INVALID", ("host", destination_uuid), call="host.get_by_uuid")
    disks = _read_disks(conn, record)
    cards = _read_cards(conn, record, terms.network_uuid)
    vm = _read_whole(conn, record, pool, disks, cards)
    near = [ref for ref, uuid in pool.uuids.items() if uuid in (vm.resident_on_uuid, destination_uuid)]
    kept = {vm.resident_on_uuid, destination_uuid, pool.pool.coordinator_uuid}
    return Snapshot(
        observed_at=now,
        pool=pool.pool,
        vm=vm,
        source_uuid=vm.resident_on_uuid,
        destination_uuid=destination_uuid,
        hosts=tuple(host for host in pool.hosts if host.uuid in kept),
        srs=disks.srs,
        pbds=_read_pbds(conn, pool, disks, near),
        networks=cards.networks,
        pifs=_read_pifs(conn, pool, cards, near),
        boot_check=None if destination_uuid == vm.resident_on_uuid else _check_boot(conn, vm_ref, destination_ref),
        may_migrate=find_may_migrate(conn),
        denied=find_denied(conn),
        reserved_by=_read_reservations(conn, destination_ref),
        terms=terms,
    )


@dataclasses.dataclass(frozen=True)
class Members:
    """The pool and its hosts; records and UUIDs by host reference. Local to this room."""

    pool: Pool
    hosts: tuple[Host, ...]
    records: dict[str, Any]
    uuids: dict[str, str]


@dataclasses.dataclass(frozen=True)
class _Disks:
    vbds: tuple[VBD, ...]
    srs: tuple[SR, ...]
    sr_records: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Cards:
    vifs: tuple[VIF, ...]
    networks: tuple[Network, ...]
    network_records: dict[str, Any]


def read_members(conn: Connection) -> Members:
    """Read the pool, all hosts and their metrics, in three calls."""
    pool_record = next(iter(conn.read("pool.get_all_records").values()))
    host_records = conn.read("host.get_all_records")
    metrics = conn.read("host_metrics.get_all_records")
    uuids = {ref: record["uuid"] for ref, record in host_records.items()}
    hosts = tuple(
        records.make_host(record, metrics.get(record.get("metrics", "")), is_coordinator=ref == pool_record["master"])
        for ref, record in host_records.items()
    )
    return Members(records.make_pool(pool_record, uuids), hosts, host_records, uuids)


def _read_whole(conn: Connection, record: records.Record, pool: Members, disks: _Disks, cards: _Cards) -> VM:
    """Read what else belongs to the VM: its domain's and its guest's metrics, virtual GPUs, groups."""
    groups = read_each(conn, "VM_group", record.get("groups") or ())
    vgpus = read_each(conn, "VGPU", record.get("VGPUs") or ())
    types = read_each(conn, "VGPU_type", (vgpu["type"] for vgpu in vgpus.values()))
    return records.make_vm(
        record,
        {**pool.uuids, **{ref: group["uuid"] for ref, group in groups.items()}},
        metrics=_find_named(conn, record, "VM_metrics"),
        guest_metrics=_find_named(conn, record, "VM_guest_metrics"),
        vgpus=records.list_implementations(vgpus.values(), types),
        vbds=disks.vbds,
        vifs=cards.vifs,
    )


def _read_disks(conn: Connection, vm_record: records.Record) -> _Disks:
    vbd_records = list(read_each(conn, "VBD", vm_record.get("VBDs", ())).values())
    vdi_records = read_each(conn, "VDI", (vbd["VDI"] for vbd in vbd_records))
    sr_records = read_each(conn, "SR", (vdi["SR"] for vdi in vdi_records.values()))
    uuids = {ref: sr["uuid"] for ref, sr in sr_records.items()}
    vdis: dict[str, VDI] = {ref: records.make_vdi(vdi, uuids) for ref, vdi in vdi_records.items()}
    vbds = tuple(records.make_vbd(vbd, vdis.get(vbd["VDI"])) for vbd in vbd_records)
    return _Disks(vbds, tuple(records.make_sr(sr) for sr in sr_records.values()), sr_records)


def _read_cards(conn: Connection, vm_record: records.Record, network_uuid: str) -> _Cards:
    """Read the VM's interfaces and their networks, and the network that is to carry its migration."""
    vif_records = list(read_each(conn, "VIF", vm_record.get("VIFs", ())).values())
    network_records = read_each(conn, "network", (vif["network"] for vif in vif_records))
    carrying = find_by_uuid(conn, "network", network_uuid) if network_uuid else None
    if carrying is not None:
        network_records[carrying[0]] = carrying[1]
    uuids = {ref: network["uuid"] for ref, network in network_records.items()}
    vifs = tuple(records.make_vif(vif, uuids) for vif in vif_records)
    return _Cards(vifs, tuple(records.make_network(network) for network in network_records.values()), network_records)


def _read_pbds(conn: Connection, pool: Members, disks: _Disks, host_refs: list[str]) -> tuple[PBD, ...]:
    """Read the PBDs that join one of these hosts to one of these SRs."""
    on_hosts = {ref for host in host_refs for ref in pool.records[host].get("PBDs", ())}
    uuids = {**pool.uuids, **{ref: sr["uuid"] for ref, sr in disks.sr_records.items()}}
    wanted = (ref for sr in disks.sr_records.values() for ref in sr.get("PBDs", ()) if ref in on_hosts)
    return tuple(records.make_pbd(record, uuids) for record in read_each(conn, "PBD", wanted).values())


def _read_pifs(conn: Connection, pool: Members, cards: _Cards, host_refs: Sequence[str]) -> tuple[PIF, ...]:
    """Read the PIFs that join one of these hosts to one of these networks, and those by which they are managed."""
    on_hosts = {ref for host in host_refs for ref in pool.records[host].get("PIFs", ())}
    managing = read_where(conn, "PIF", _MANAGING)
    known = {} if managing is None else {ref: record for ref, record in managing.items() if ref in on_hosts}
    wanted = {ref for network in cards.network_records.values() for ref in network.get("PIFs", ())} & on_hosts
    wanted |= on_hosts if managing is None else set()
    known |= read_each(conn, "PIF", sorted(wanted - set(known)))
    networks = dict(cards.network_records)
    networks |= read_each(conn, "network", (pif["network"] for pif in known.values() if pif["network"] not in networks))
    uuids = {**pool.uuids, **{ref: network["uuid"] for ref, network in networks.items()}}
    kept = (pif for pif in known.values() if pif["network"] in cards.network_records or pif.get("management"))
    return tuple(records.make_pif(record, uuids) for record in kept)


def _read_reservations(conn: Connection, host_ref: str) -> tuple[str, ...]:
    """Read who is scheduled to be on a host without an operation that brings it there; none when that is refused."""
    found = read_where(conn, "VM", f'field "scheduled_to_be_resident_on" = "{host_ref}"')
    left = (vm for vm in (found or {}).values() if not vm.get("current_operations"))
    return tuple(sorted(vm["name_label"] for vm in left))


def _find_named(conn: Connection, vm_record: records.Record, class_name: str) -> Any:
    """Return the record of the VM's metrics or guest metrics; None when it has none."""
    ref = vm_record.get("metrics" if class_name == "VM_metrics" else "guest_metrics")
    return None if records.is_null(ref) else find_record(conn, class_name, str(ref))


def _check_boot(conn: Connection, vm_ref: str, host_ref: str) -> XapiError | None:
    try:
        conn.read("VM.assert_can_boot_here", vm_ref, host_ref)
    except XapiFailureError as failure:
        if failure.xapi_code in CURED_BY_LOGIN:
            raise  # that is about our session, not about this VM
        return XapiError(failure.xapi_code, failure.xapi_params)
    return None
