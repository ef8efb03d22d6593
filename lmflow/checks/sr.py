"""Rules on storage, disk by disk: what matters is a PBD on the destination, not the pool's default SR."""

from __future__ import annotations

import enum
from collections.abc import Iterator

from lmflow.checks.answer import find_answer
from lmflow.checks.rule import Rule
from lmflow.models import PBD, SR, VBD, Finding, Snapshot


class _Way(enum.Enum):
    """How the destination comes to an SR."""

    PLUGGED = enum.auto()
    TO_PLUG = enum.auto()
    TO_CREATE = enum.auto()
    NONE = enum.auto()


def check_reach(snapshot: Snapshot) -> Iterator[Finding]:
    """Can the destination come to the SR of each disk and inserted disc? Empty drives pass.

    A shared SR's PBD is plugged, or created from the source's, before the submit, and a disc is ejected where that is
    asked for. Once all that is done, only a plugged PBD will do.
    """
    host = snapshot.host(snapshot.destination_uuid)
    if host is None:
        return
    names = {sr.uuid: sr.name_label for sr in snapshot.srs}
    terms = snapshot.terms
    ejected = find_ejections(snapshot) if terms.eject_local_iso and not terms.prepared else ()
    for vbd in snapshot.vm.vbds:
        if vbd.vdi is None or vbd in ejected:
            continue
        way = _find_way(snapshot, vbd.vdi.sr_uuid)
        if way is _Way.PLUGGED or (way is not _Way.NONE and not terms.prepared):
            continue
        thing, remedy = ("disc", _EJECT.format(vbd.uuid)) if vbd.type == "CD" else ("disk", "")
        if way is not _Way.NONE:
            remedy = _AGAIN
        name = names.get(vbd.vdi.sr_uuid, vbd.vdi.sr_uuid)
        what = f'{thing} "{vbd.vdi.name_label}" ({vbd.vdi.uuid}) is on SR "{name}" ({vbd.vdi.sr_uuid})'
        yield REACH.object_to(f"{what}, which {host.name_label} cannot reach", remedy=remedy)


def check_answer(snapshot: Snapshot) -> Iterator[Finding]:
    """Has XAPI an objection to an SR that is not met before the submit?"""
    host = snapshot.host(snapshot.destination_uuid)
    if host is None or find_answer(snapshot, "sr") is None or _is_prepared(snapshot):
        return
    yield ANSWER.object_to(f"XAPI says that {host.name_label} lacks storage of {snapshot.vm.name_label}")


def find_plugs(snapshot: Snapshot) -> tuple[PBD, ...]:
    """Return the destination's unplugged PBDs of the shared SRs that the VM's disks are on: what pre-migrate plugs."""
    pbds = (_find_pbd(snapshot, snapshot.destination_uuid, sr.uuid) for sr in _find_srs(snapshot, _Way.TO_PLUG))
    return tuple(pbd for pbd in pbds if pbd is not None)


def find_creations(snapshot: Snapshot) -> tuple[SR, ...]:
    """Return the shared SRs of the VM's disks for which the source has a PBD and the destination none."""
    return _find_srs(snapshot, _Way.TO_CREATE)


def find_ejections(snapshot: Snapshot) -> tuple[VBD, ...]:
    """Return the CD drives with a disc on an SR that the destination cannot come to."""
    drives = (vbd for vbd in snapshot.vm.vbds if vbd.type == "CD" and vbd.vdi is not None)
    return tuple(vbd for vbd in drives if vbd.vdi and _find_way(snapshot, vbd.vdi.sr_uuid) is _Way.NONE)


def _is_prepared(snapshot: Snapshot) -> bool:
    """Tell whether something is still to be done about storage before the submit: XAPI is asked again then."""
    if snapshot.terms.prepared:
        return False
    ejected = snapshot.terms.eject_local_iso and find_ejections(snapshot)
    return bool(find_plugs(snapshot) or find_creations(snapshot) or ejected)


def _find_srs(snapshot: Snapshot, way: _Way) -> tuple[SR, ...]:
    needed = {vbd.vdi.sr_uuid for vbd in snapshot.vm.vbds if vbd.vdi is not None}
    srs = sorted((sr for sr in snapshot.srs if sr.uuid in needed), key=lambda sr: sr.uuid)
    return tuple(sr for sr in srs if _find_way(snapshot, sr.uuid) is way)


def _find_way(snapshot: Snapshot, sr_uuid: str) -> _Way:
    shared = any(sr.shared for sr in snapshot.srs if sr.uuid == sr_uuid)
    there = _find_pbd(snapshot, snapshot.destination_uuid, sr_uuid)
    if there is not None and there.currently_attached:
        return _Way.PLUGGED
    if not shared:
        return _Way.NONE
    if there is not None:
        return _Way.TO_PLUG
    # A VM that is nowhere has no source to look at, and is refused for that.
    known = snapshot.source_uuid is None or _find_pbd(snapshot, snapshot.source_uuid, sr_uuid) is not None
    return _Way.TO_CREATE if known else _Way.NONE


def _find_pbd(snapshot: Snapshot, host_uuid: str | None, sr_uuid: str) -> PBD | None:
    mine = [p for p in snapshot.pbds if p.host_uuid == host_uuid and p.sr_uuid == sr_uuid]
    return next((p for p in mine if p.currently_attached), mine[0] if mine else None)


_AGAIN = "find out who took that host's PBD of the SR away meanwhile, then try again"
_EJECT = "eject it (xe vbd-eject uuid={}), or give --eject-local-iso"

REACH = Rule(
    name="sr.reach",
    group="sr",
    order=430,
    codes=("VM_REQUIRES_SR",),
    needs=("vm", "srs", "pbds", "terms"),
    remedy="move the disk to shared storage, or choose another host",
    check=check_reach,
)
ANSWER = Rule(
    name="sr.answer",
    group="sr",
    order=435,
    codes=("VM_REQUIRES_SR",),
    needs=("boot_check", "vm", "srs", "pbds", "terms"),
    remedy="plug the SR on that host, or choose another host",
    quiet_after=("sr.reach",),
    check=check_answer,
)
