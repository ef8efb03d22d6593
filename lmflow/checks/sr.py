"""Rules on storage, disk by disk: what matters is a PBD on the destination, not the pool's default SR."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.checks.answer import find_answer
from lmflow.models import PBD, Finding, Snapshot


def check_reach(snapshot: Snapshot) -> Iterator[Finding]:
    """Object to each disk, or inserted disc, on an SR that the destination cannot reach; empty drives pass."""
    host = snapshot.host(snapshot.destination_uuid)
    if host is None:
        return
    known = {sr.uuid: sr for sr in snapshot.srs}
    for vbd in snapshot.vm.vbds:
        if vbd.vdi is None:
            continue
        sr = known.get(vbd.vdi.sr_uuid)
        pbd = _find_pbd(snapshot, vbd.vdi.sr_uuid)
        if pbd is not None and (pbd.currently_attached or (sr is not None and sr.shared)):
            continue
        name = sr.name_label if sr else vbd.vdi.sr_uuid
        thing = "disc" if vbd.type == "CD" else "disk"
        yield Finding(
            rule="sr.reach",
            code="VM_REQUIRES_SR",
            message=f'{thing} "{vbd.vdi.name_label}" is on SR "{name}", which {host.name_label} cannot reach',
            remedy="eject the disc" if vbd.type == "CD" else "move the disk to shared storage, or choose another host",
        )


def check_answer(snapshot: Snapshot) -> Iterator[Finding]:
    """Pass on XAPI's objection to an SR, unless plugging a PBD of the destination will meet it."""
    host = snapshot.host(snapshot.destination_uuid)
    if host is None or find_answer(snapshot, "sr") is None or find_plugs(snapshot) or any(check_reach(snapshot)):
        return
    yield Finding(
        rule="sr.answer",
        code="VM_REQUIRES_SR",
        message=f"XAPI says that {host.name_label} lacks storage of {snapshot.vm.name_label}",
        remedy="plug the SR on that host, or choose another host",
    )


def find_plugs(snapshot: Snapshot) -> tuple[PBD, ...]:
    """Return the destination's unplugged PBDs of the shared SRs that the VM's disks are on: what pre-migrate plugs."""
    shared = {sr.uuid for sr in snapshot.srs if sr.shared}
    needed = {vbd.vdi.sr_uuid for vbd in snapshot.vm.vbds if vbd.vdi is not None} & shared
    pbds = (_find_pbd(snapshot, uuid) for uuid in sorted(needed))
    return tuple(p for p in pbds if p is not None and not p.currently_attached)


def _find_pbd(snapshot: Snapshot, sr_uuid: str) -> PBD | None:
    mine = [p for p in snapshot.pbds if p.host_uuid == snapshot.destination_uuid and p.sr_uuid == sr_uuid]
    return next((p for p in mine if p.currently_attached), mine[0] if mine else None)


RULES = (check_reach, check_answer)
