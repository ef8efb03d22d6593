"""Moving of one disk of a running VM to another SR: the VM is sent to its own host, and its other disks stay.

Source: xapi_vdi.ml; nobody watched it.
"""

from __future__ import annotations

from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.migrations import storage_motion
from lmflow.simulator.operations.migrate_send import migrate_send
from lmflow.simulator.registry import operation


@operation("VDI.pool_migrate", effect=True, own_effect=True)
def pool_migrate(ctx: Context, vdi_ref: str, sr_ref: str, options: dict[str, str]) -> str:
    """Move a disk; returns the new one. VDI_NEEDS_VM_FOR_MIGRATE when no running VM has it, VM.migrate_send's own."""
    store = ctx.store
    with store.lock:
        vbd_ref = _find_used(ctx, vdi_ref)
        vm_ref = store.value("VBD", vbd_ref, "VM")
        host_ref = str(store.value("VM", vm_ref, "resident_on"))
        vdi_map = {ref: str(store.value("VDI", ref, "SR")) for ref in storage_motion.disks_of(store, vm_ref)}
        address = store.value("host", host_ref, "address")
    dest = {"host": host_ref, "master": f"http://{address}", "xenops": "", "SM": "", "session_id": ctx.session_ref}
    migrate_send(ctx, vm_ref, dest, True, vdi_map | {vdi_ref: sr_ref}, {}, options)
    return str(store.value("VBD", vbd_ref, "VDI"))


def _find_used(ctx: Context, vdi_ref: str) -> str:
    """Find the device by which a running VM has a disk."""
    for vbd_ref in ctx.store.value("VDI", vdi_ref, "VBDs"):
        vbd = ctx.store.record("VBD", vbd_ref)
        if vbd["currently_attached"] and ctx.store.value("VM", vbd["VM"], "power_state") == "Running":
            return str(vbd_ref)
    raise ApiFailure("VDI_NEEDS_VM_FOR_MIGRATE", vdi_ref)
