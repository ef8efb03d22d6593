"""Making, plugging and removing of PBDs."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import forwarding
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed_storage, memory

PLUG_SECONDS = 0.5


def _fail_if_told(ctx: Context, call: str) -> None:
    xenops = ctx.pool.part(Xenops)
    with xenops.lock:
        fault = next((f for f in xenops.phase_faults if f.phase == call), None)
        if fault is not None:
            xenops.phase_faults.remove(fault)
    if fault is not None:
        raise ApiFailure(*fault.error_for("", ""))


def _reach_host(ctx: Context, pbd_ref: str) -> None:
    host_ref = ctx.store.value("PBD", pbd_ref, "host")
    if ctx.store.exists("host", host_ref):
        forwarding.reach(ctx, host_ref)


def _write(store: Store, pbd_ref: str, *, attached: bool) -> None:
    store.update("PBD", pbd_ref, currently_attached=attached)
    allowed_storage.refresh(store, "SR", store.value("PBD", pbd_ref, "SR"))


@operation("PBD.create", effect=True)
def create(ctx: Context, args: dict[str, Any]) -> str:
    """Say how a host reaches an SR: PBD_EXISTS when that is known; SR_NOT_SHARABLE for a second host of a local SR.

    It takes ``other_config`` and forgets it. Source: xapi_pbd.ml, create_common.
    """
    store = ctx.store
    host_ref, sr_ref = str(args.get("host", NULL)), str(args.get("SR", NULL))
    with store.lock:
        for cls, ref in (("host", host_ref), ("SR", sr_ref)):
            if not store.exists(cls, ref):
                raise ApiFailure("HANDLE_INVALID", cls, ref)
        for pbd_ref in store.value("SR", sr_ref, "PBDs"):
            if store.value("PBD", pbd_ref, "host") == host_ref:
                raise ApiFailure("PBD_EXISTS", sr_ref, host_ref, pbd_ref)
        if store.value("SR", sr_ref, "PBDs") and not store.value("SR", sr_ref, "shared"):
            raise ApiFailure("SR_NOT_SHARABLE", sr_ref, host_ref)
        config = dict(args.get("device_config") or {})
        ref = store.create("PBD", {"host": host_ref, "SR": sr_ref, "device_config": config})
        allowed_storage.refresh(store, "SR", sr_ref)
        return ref


@operation("PBD.destroy", effect=True)
def destroy(ctx: Context, pbd_ref: str) -> str:
    """Forget how a host reaches an SR; one that is plugged is refused."""
    store = ctx.store
    with store.lock:
        pbd = store.record("PBD", pbd_ref)
        if pbd["currently_attached"]:
            raise ApiFailure("OPERATION_NOT_ALLOWED", "PBD is currently attached; try unplugging it first")
        store.destroy("PBD", pbd_ref)
        allowed_storage.refresh(store, "SR", pbd["SR"])
    return ""


@operation("PBD.set_device_config", effect=True)
def set_device_config(ctx: Context, pbd_ref: str, value: dict[str, str]) -> str:
    """Change how a host reaches an SR."""
    ctx.store.update("PBD", pbd_ref, device_config=value)
    return ""


@operation("PBD.plug", effect=True)
def plug(ctx: Context, pbd_ref: str) -> str:
    """Join a host to its SR; a PBD that is plugged stays so."""
    store = ctx.store
    _reach_host(ctx, pbd_ref)
    ctx.clock.wait(PLUG_SECONDS)
    _fail_if_told(ctx, "PBD.plug")
    with store.lock:
        _write(store, pbd_ref, attached=True)
    return ""


@operation("PBD.unplug", effect=True)
def unplug(ctx: Context, pbd_ref: str) -> str:
    """Part a host from its SR; VDI_IN_USE while a VM on that host uses one of its disks."""
    store = ctx.store
    _reach_host(ctx, pbd_ref)
    ctx.clock.wait(PLUG_SECONDS)
    _fail_if_told(ctx, "PBD.unplug")
    with store.lock:
        used = _disks_in_use(store, pbd_ref)
        if used:
            raise ApiFailure("VDI_IN_USE", *used)
        _write(store, pbd_ref, attached=False)
    return ""


def _disks_in_use(store: Store, pbd_ref: str) -> list[str]:
    """List the disks on an SR that VMs on a host use, or are to use there; in the order in which the VMs came."""
    host_ref, sr_ref = store.value("PBD", pbd_ref, "host"), store.value("PBD", pbd_ref, "SR")
    if not (store.exists("SR", sr_ref) and store.exists("host", host_ref)):
        return []
    occupants = memory.occupants_of(store, host_ref)
    vbds = [vbd_ref for vm_ref in occupants for vbd_ref in store.value("VM", vm_ref, "VBDs")]
    disks = dict.fromkeys(store.value("VBD", ref, "VDI") for ref in vbds)
    return [ref for ref in disks if store.exists("VDI", ref) and store.value("VDI", ref, "SR") == sr_ref]
