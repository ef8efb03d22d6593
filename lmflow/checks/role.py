"""Rules on our role in the pool: what a migration needs of it, and what only its tidying up needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from lmflow.checks.kernel import find_files
from lmflow.checks.rule import Rule
from lmflow.checks.sr import find_creations, find_ejections, find_plugs
from lmflow.models import Finding, Snapshot


def check_role(snapshot: Snapshot) -> Iterator[Finding]:
    """Is our role in the pool allowed to migrate VMs, and to do for this one, and take back, what is needed before?

    A role that could not be read is no obstacle. What the VM itself needs, no other host can do without.
    """
    user, vm, files = _name_user(snapshot), snapshot.vm, find_files(snapshot.vm)
    if snapshot.may_migrate is False:
        yield _say_everywhere(ROLE.object_to(f"{user} may not migrate VMs"))
    elif _lacks(snapshot, _MARKING):
        yield _say_everywhere(ROLE.object_to(f"{user} may not mark {vm.name_label} as being moved"))
    if files and _lacks(snapshot, ("host.call_plugin",)):
        objection = f"{user} may not call plugins, and {vm.name_label} boots from {files[0]} in dom0"
        yield _say_everywhere(ROLE.object_to(objection, remedy=_GIVE.format("pool-admin")))
    yield from _object_to_storage(snapshot, user)


def _object_to_storage(snapshot: Snapshot, user: str) -> Iterator[Finding]:
    """Object to what is to be ejected or connected for this destination, and cannot be."""
    ejections = find_ejections(snapshot) if snapshot.terms.eject_local_iso else ()
    if ejections and _lacks(snapshot, _EJECTING):
        objection = f"{user} may not take the disc out of drive {ejections[0].uuid} of {snapshot.vm.name_label}"
        yield ROLE.object_to(objection, remedy=f"{_GIVE.format('vm-operator')}, or take it out by hand")
    created, plugged = find_creations(snapshot), find_plugs(snapshot)
    needed = ("pbd.create", "pbd.destroy", *_PLUGGING) if created else _PLUGGING
    if (created or plugged) and _lacks(snapshot, needed):
        uuid = created[0].uuid if created else plugged[0].sr_uuid
        objection = f"{user} may not connect hosts to storage, and the destination is not connected to SR {uuid}"
        yield ROLE.object_to(objection, remedy=f"{_GIVE.format('pool-operator')}, or let another plug the SR there")


def check_tidying(snapshot: Snapshot) -> Iterator[Finding]:
    """Is our role allowed to cancel, and to clean up after the arrival? Without it the VM is moved all the same.

    Storage that was introduced for this VM alone is released on the source; leftover keys of its disks are removed.
    """
    user, vm = _name_user(snapshot), snapshot.vm
    if snapshot.may_migrate is False:
        return  # refused: there will be nothing to tidy up
    if _lacks(snapshot, ("task.cancel",)):
        yield TIDYING.object_to(f"{user} may not cancel tasks: a cancel would not stop the migration")
    if _lacks(snapshot, ("task.destroy",)):
        yield TIDYING.object_to(f"{user} may not destroy tasks: finished ones stay until XAPI forgets them")
    own = _find_own_storage(snapshot)
    if own and _lacks(snapshot, _RELEASING):
        objection = f"{user} may not disconnect hosts from storage: SR {own[0]} will stay connected to the source"
        yield TIDYING.object_to(objection, remedy=_GIVE.format("pool-operator"))
    disks = [vbd.vdi for vbd in vm.vbds if vbd.vdi is not None and "base_mirror" in vbd.vdi.sm_config]
    if disks and _lacks(snapshot, ("vdi.remove_from_sm_config",)):
        objection = f"{user} may not change disks: {disks[0].name_label} ({disks[0].uuid}) will keep its base_mirror"
        yield TIDYING.object_to(objection, remedy=_GIVE.format("vm-admin"))


def _find_own_storage(snapshot: Snapshot) -> tuple[str, ...]:
    """Return the UUIDs of the VM's SRs that were introduced for it alone, as the SR or the source's PBD says."""
    vm_uuid = snapshot.vm.uuid
    joined = {p.sr_uuid for p in snapshot.pbds if p.host_uuid == snapshot.source_uuid and p.introduced_for == vm_uuid}
    used = {vbd.vdi.sr_uuid for vbd in snapshot.vm.vbds if vbd.vdi is not None}
    own = joined | {sr.uuid for sr in snapshot.srs if sr.introduced_for == vm_uuid}
    return tuple(sorted(own & used))


def _lacks(snapshot: Snapshot, needed: Sequence[str]) -> bool:
    return any(name in snapshot.denied for name in needed)


def _name_user(snapshot: Snapshot) -> str:
    return f"our user of pool {snapshot.pool.name_label}"


def _say_everywhere(finding: Finding) -> Finding:
    return dataclasses.replace(finding, elsewhere=False)


_GIVE = "give the user the role {}"
_MARKING = ("vm.add_to_other_config", "vm.remove_from_other_config")
_EJECTING = ("vbd.eject", "vbd.insert")
_PLUGGING = ("pbd.plug", "pbd.unplug")
_RELEASING = ("pbd.unplug", "pbd.destroy")

ROLE = Rule(
    name="pool.role",
    group="pool",
    order=10,
    codes=("RBAC_PERMISSION_DENIED",),
    needs=("may_migrate", "denied", "vm", "srs", "pbds", "terms"),
    remedy=_GIVE.format("vm-power-admin"),
    check=check_role,
)
TIDYING = Rule(
    name="pool.tidying",
    group="pool",
    order=15,
    codes=("RBAC_PERMISSION_DENIED",),
    needs=("may_migrate", "denied", "vm", "srs", "pbds"),
    remedy=_GIVE.format("vm-power-admin"),
    elsewhere=False,
    warning=True,
    check=check_tidying,
)
