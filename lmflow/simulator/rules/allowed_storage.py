"""Which operations VBDs, VIFs, VDIs and SRs show as allowed; the lists are what a real pool showed."""

from __future__ import annotations

from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL

_VDI_USED = ("clone", "snapshot")
_VDI_UNUSED = ("copy", "generate_config", "clone", "forget", "update", "resize", "snapshot", "destroy")
_SR_USED = (
    "vdi_enable_cbt",
    "vdi_list_changed_blocks",
    "unplug",
    "plug",
    "pbd_create",
    "vdi_disable_cbt",
    "update",
    "pbd_destroy",
    "vdi_resize",
    "vdi_clone",
    "vdi_data_destroy",
    "scan",
    "vdi_snapshot",
    "vdi_mirror",
    "vdi_create",
    "vdi_destroy",
    "vdi_set_on_boot",
)


def vbd_operations(store: Store, ref: str) -> list[str]:
    """List what a VBD shows as allowed; only a running VM's can be plugged, unplugged or given another disc."""
    vbd = store.record("VBD", ref)
    if vbd["current_operations"]:
        return []
    found = ["attach"]
    if not store.exists("VM", vbd["VM"]) or store.value("VM", vbd["VM"], "power_state") != "Running":
        return found + (["insert" if vbd["empty"] else "eject"] if vbd["type"] == "CD" else [])
    if vbd["type"] == "CD":
        return [*found, "insert" if vbd["empty"] else "eject"]
    if vbd["currently_attached"]:
        return [*found, "unpause", *(["unplug", "unplug_force"] if vbd["unpluggable"] else []), "pause"]
    return [*found, "plug"]


def vif_operations(store: Store, ref: str) -> list[str]:
    """List what a VIF shows as allowed."""
    vif = store.record("VIF", ref)
    if vif["current_operations"]:
        return []
    if not store.exists("VM", vif["VM"]) or store.value("VM", vif["VM"], "power_state") != "Running":
        return ["attach"]
    return ["attach", "unplug" if vif["currently_attached"] else "plug"]


def users_of(store: Store, vdi_ref: str) -> list[str]:
    """List the VMs that hold a disk: those to which it is attached, and those suspended with it."""
    found = []
    for vbd_ref in store.value("VDI", vdi_ref, "VBDs"):
        vm_ref = store.value("VBD", vbd_ref, "VM")
        if not store.exists("VM", vm_ref):
            continue
        suspended = store.value("VM", vm_ref, "power_state") == "Suspended"
        if suspended or store.value("VBD", vbd_ref, "currently_attached"):
            found.append(vm_ref)
    return found


def vdi_operations(store: Store, ref: str) -> list[str]:
    """List what a disk shows as allowed: little while a VM holds it."""
    if store.value("VDI", ref, "current_operations"):
        return []
    return list(_VDI_USED if users_of(store, ref) else _VDI_UNUSED)


def sr_operations(store: Store, ref: str) -> list[str]:
    """List what an SR shows as allowed: it goes away only when no host has it plugged."""
    pbds = store.value("SR", ref, "PBDs")
    if any(store.value("PBD", pbd_ref, "currently_attached") for pbd_ref in pbds):
        return list(_SR_USED)
    return [*_SR_USED, "forget", *(["destroy"] if pbds else [])]


_RULES = {"VBD": vbd_operations, "VIF": vif_operations, "VDI": vdi_operations, "SR": sr_operations}


def refresh(store: Store, cls: str, ref: str) -> None:
    """Write an object's allowed_operations anew; one that is gone is left alone."""
    with store.lock:
        if ref != NULL and store.exists(cls, ref):
            store.update(cls, ref, allowed_operations=_RULES[cls](store, ref))


def refresh_devices(store: Store, vm_ref: str) -> None:
    """Write the allowed_operations of a VM's VBDs, disks and VIFs anew."""
    with store.lock:
        for vbd_ref in store.value("VM", vm_ref, "VBDs"):
            refresh(store, "VBD", vbd_ref)
            refresh(store, "VDI", store.value("VBD", vbd_ref, "VDI"))
        for vif_ref in store.value("VM", vm_ref, "VIFs"):
            refresh(store, "VIF", vif_ref)
