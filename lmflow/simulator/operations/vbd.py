"""Joining of disks to VMs."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.operations.vm_devices import free_vbd_devices
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed_storage
from lmflow.simulator.worlds import world_vm_defaults

_GIVEN = (
    "VM",
    "VDI",
    "device",
    "userdevice",
    "bootable",
    "mode",
    "type",
    "unpluggable",
    "empty",
    "other_config",
    "qos_algorithm_type",
    "qos_algorithm_params",
)


def _refresh(store: Store, vbd_ref: str) -> None:
    allowed_storage.refresh(store, "VBD", vbd_ref)
    allowed_storage.refresh(store, "VDI", store.value("VBD", vbd_ref, "VDI"))


def _choose_device(store: Store, vm_ref: str, wanted: str) -> str:
    free = free_vbd_devices(store, vm_ref)
    if wanted == "autodetect" and free:
        return free[0]
    number = wanted.removeprefix("xvd").removeprefix("hd")
    if number != wanted and len(number) == 1:
        number = str(ord(number) - ord("a"))
    if not number.isdigit():
        raise ApiFailure("INVALID_DEVICE", wanted)
    if number not in free:
        raise ApiFailure("DEVICE_ALREADY_EXISTS", wanted)
    return wanted


@operation("VBD.create", effect=True)
def create(ctx: Context, args: dict[str, Any]) -> str:
    """Join a disk, or an empty drive, to a VM: DEVICE_ALREADY_EXISTS when the place is taken."""
    store = ctx.store
    fields = {name: args[name] for name in _GIVEN if name in args}
    vm_ref, vdi_ref = str(fields.get("VM", NULL)), str(fields.get("VDI", NULL))
    empty = bool(fields.get("empty", False))
    with store.lock:
        if not store.exists("VM", vm_ref):
            raise ApiFailure("HANDLE_INVALID", "VM", vm_ref)
        if not empty and not store.exists("VDI", vdi_ref):
            raise ApiFailure("HANDLE_INVALID", "VDI", vdi_ref)
        if fields.get("type", "Disk") == "CD" and fields.get("mode", "RO") != "RO":
            raise ApiFailure("VBD_CDS_MUST_BE_READONLY")
        if empty and fields.get("type", "Disk") != "CD":
            raise ApiFailure("VBD_NOT_REMOVABLE_MEDIA", NULL)
        fields["userdevice"] = _choose_device(store, vm_ref, str(fields.get("userdevice", "autodetect")))
        fields |= {"VDI": NULL if empty else vdi_ref, "empty": empty, "device": ""}
        ref = store.create("VBD", {"unpluggable": True, **fields})
        _refresh(store, ref)
        return ref


def _check_running(store: Store, vbd_ref: str) -> None:
    vm_ref = store.value("VBD", vbd_ref, "VM")
    present = store.value("VM", vm_ref, "power_state")
    if present != "Running":
        raise ApiFailure("VM_BAD_POWER_STATE", vm_ref, "running", present.lower())


def _set_attached(store: Store, vbd_ref: str, *, attached: bool) -> None:
    changes: dict[str, Any] = {"currently_attached": attached}
    number = store.value("VBD", vbd_ref, "userdevice")
    if attached and number.isdigit():
        changes["device"] = world_vm_defaults.device_name(int(number))
    store.update("VBD", vbd_ref, **changes)
    _refresh(store, vbd_ref)


@operation("VBD.plug", effect=True)
def plug(ctx: Context, vbd_ref: str) -> str:
    """Give a running VM its disk: DEVICE_ALREADY_ATTACHED, VBD_IS_EMPTY, VDI_IN_USE."""
    store = ctx.store
    with store.lock:
        vbd = store.record("VBD", vbd_ref)
        _check_running(store, vbd_ref)
        if vbd["currently_attached"]:
            raise ApiFailure("DEVICE_ALREADY_ATTACHED", vbd_ref)
        if vbd["empty"]:
            raise ApiFailure("VBD_IS_EMPTY", vbd_ref)
        shared = store.value("VDI", vbd["VDI"], "sharable") or vbd["mode"] == "RO"
        if not shared and allowed_storage.users_of(store, vbd["VDI"]):
            raise ApiFailure("VDI_IN_USE", vbd["VDI"], "attach")
        _set_attached(store, vbd_ref, attached=True)
    return ""


def _unplug(ctx: Context, vbd_ref: str) -> str:
    store = ctx.store
    with store.lock:
        vbd = store.record("VBD", vbd_ref)
        _check_running(store, vbd_ref)
        if not vbd["currently_attached"]:
            raise ApiFailure("DEVICE_ALREADY_DETACHED", vbd_ref)
        if not vbd["unpluggable"]:
            raise ApiFailure("VBD_NOT_UNPLUGGABLE", vbd_ref)
        _set_attached(store, vbd_ref, attached=False)
    return ""


@operation("VBD.unplug", effect=True)
def unplug(ctx: Context, vbd_ref: str) -> str:
    """Take a disk from a running VM: DEVICE_ALREADY_DETACHED, VBD_NOT_UNPLUGGABLE."""
    return _unplug(ctx, vbd_ref)


@operation("VBD.unplug_force", effect=True)
def unplug_force(ctx: Context, vbd_ref: str) -> str:
    """Take a disk from a running VM, whatever it says to it."""
    return _unplug(ctx, vbd_ref)


def _check_removable(store: Store, vbd_ref: str) -> dict[str, Any]:
    vbd = store.record("VBD", vbd_ref)
    if vbd["type"] != "CD":
        raise ApiFailure("VBD_NOT_REMOVABLE_MEDIA", vbd_ref)
    return vbd


@operation("VBD.insert", effect=True)
def insert(ctx: Context, vbd_ref: str, vdi_ref: str) -> str:
    """Put a disc into an empty drive: VBD_NOT_EMPTY, VDI_IS_NOT_ISO."""
    store = ctx.store
    with store.lock:
        vbd = _check_removable(store, vbd_ref)
        if not vbd["empty"]:
            raise ApiFailure("VBD_NOT_EMPTY", vbd_ref)
        sr_ref = store.value("VDI", vdi_ref, "SR")
        content = store.value("SR", sr_ref, "content_type")
        if content != "iso":
            raise ApiFailure("VDI_IS_NOT_ISO", vdi_ref, content)
        live = store.value("VM", vbd["VM"], "power_state") in {"Running", "Paused"}
        store.update("VBD", vbd_ref, VDI=vdi_ref, empty=False, currently_attached=live)
        _refresh(store, vbd_ref)
    return ""


@operation("VBD.eject", effect=True)
def eject(ctx: Context, vbd_ref: str) -> str:
    """Take the disc out of a drive: VBD_IS_EMPTY."""
    store = ctx.store
    with store.lock:
        vbd = _check_removable(store, vbd_ref)
        if vbd["empty"]:
            raise ApiFailure("VBD_IS_EMPTY", vbd_ref)
        store.update("VBD", vbd_ref, VDI=NULL, empty=True, currently_attached=False)
        allowed_storage.refresh(store, "VBD", vbd_ref)
        allowed_storage.refresh(store, "VDI", vbd["VDI"])
    return ""


@operation("VBD.destroy", effect=True)
def destroy(ctx: Context, vbd_ref: str) -> str:
    """Part a disk from its VM for good; one that is attached is refused."""
    store = ctx.store
    with store.lock:
        vbd = store.record("VBD", vbd_ref)
        if vbd["currently_attached"] and store.value("VM", vbd["VM"], "power_state") != "Halted":
            raise ApiFailure("OPERATION_NOT_ALLOWED", f"VBD '{vbd['uuid']}' still attached to '{vbd['VM']}'")
        store.destroy("VBD", vbd_ref)
        allowed_storage.refresh(store, "VDI", vbd["VDI"])
    return ""


@operation("VBD.assert_attachable")
def assert_attachable(ctx: Context, vbd_ref: str) -> str:
    """Refuse a disk that cannot be attached now: VBD_IS_EMPTY, VDI_IN_USE."""
    vbd = ctx.store.record("VBD", vbd_ref)
    if vbd["empty"]:
        raise ApiFailure("VBD_IS_EMPTY", vbd_ref)
    others = set(allowed_storage.users_of(ctx.store, vbd["VDI"])) - {vbd["VM"]}
    if others and vbd["mode"] == "RW" and not ctx.store.value("VDI", vbd["VDI"], "sharable"):
        raise ApiFailure("VDI_IN_USE", vbd["VDI"], "attach")
    return ""


@operation("VBD.set_mode", effect=True)
def set_mode(ctx: Context, vbd_ref: str, mode: str) -> str:
    """Say whether a VM may write to a disk; only while the VM is halted."""
    store = ctx.store
    with store.lock:
        vm_ref = store.value("VBD", vbd_ref, "VM")
        present = store.value("VM", vm_ref, "power_state")
        if present != "Halted":
            raise ApiFailure("VM_BAD_POWER_STATE", vm_ref, "halted", present.lower())
        store.update("VBD", vbd_ref, mode=mode)
    return ""
