"""Plugging and unplugging of PBDs."""

from __future__ import annotations

from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation
from lmflow.simulator.store import Store
from lmflow.simulator.values import NULL
from lmflow.simulator.xenops import Xenops

PLUG_SECONDS = 0.5


def _fail_if_told(ctx: Context, call: str) -> None:
    xenops = ctx.pool.part(Xenops)
    with xenops.lock:
        fault = next((f for f in xenops.phase_faults if f.phase == call), None)
        if fault is not None:
            xenops.phase_faults.remove(fault)
    if fault is not None:
        raise ApiFailure(*fault.error_for("", ""))


@operation("PBD.plug", effect=True)
def plug(ctx: Context, pbd_ref: str) -> str:
    """Join a host to its SR; a PBD that is plugged stays so."""
    store = ctx.store
    ctx.clock.wait(PLUG_SECONDS)
    _fail_if_told(ctx, "PBD.plug")
    store.update("PBD", pbd_ref, currently_attached=True)
    return ""


@operation("PBD.unplug", effect=True)
def unplug(ctx: Context, pbd_ref: str) -> str:
    """Part a host from its SR; VDI_IN_USE while a VM on that host uses one of its disks."""
    store = ctx.store
    ctx.clock.wait(PLUG_SECONDS)
    _fail_if_told(ctx, "PBD.unplug")
    with store.lock:
        used = _disks_in_use(store, pbd_ref)
        if used:
            raise ApiFailure("VDI_IN_USE", *used)
        store.update("PBD", pbd_ref, currently_attached=False)
    return ""


def _disks_in_use(store: Store, pbd_ref: str) -> list[str]:
    host_ref, sr_ref = store.value("PBD", pbd_ref, "host"), store.value("PBD", pbd_ref, "SR")
    if not store.exists("SR", sr_ref):
        return []
    used = []
    for vdi_ref in store.value("SR", sr_ref, "VDIs"):
        for vbd_ref in store.value("VDI", vdi_ref, "VBDs"):
            vm_ref = store.value("VBD", vbd_ref, "VM")
            places = {store.value("VM", vm_ref, field) for field in ("resident_on", "scheduled_to_be_resident_on")}
            if host_ref != NULL and host_ref in places:
                used.append(vdi_ref)
    return used
