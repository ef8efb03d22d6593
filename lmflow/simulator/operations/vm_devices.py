"""Where in a VM there is room for another disk or interface."""

from __future__ import annotations

from lmflow.simulator.context import Context
from lmflow.simulator.database.store import Store
from lmflow.simulator.registry import operation

_DISKS = 255
_INTERFACES = 7
"""How many a guest may have. Source: xapi_vm_helpers.ml."""


def free_vbd_devices(store: Store, vm_ref: str) -> list[str]:
    """List the numbers at which a disk can be joined to a VM."""
    taken = {store.value("VBD", ref, "userdevice") for ref in store.value("VM", vm_ref, "VBDs")}
    return [str(number) for number in range(_DISKS) if str(number) not in taken]


def free_vif_devices(store: Store, vm_ref: str) -> list[str]:
    """List the numbers at which an interface can be joined to a VM."""
    taken = {store.value("VIF", ref, "device") for ref in store.value("VM", vm_ref, "VIFs")}
    return [str(number) for number in range(_INTERFACES) if str(number) not in taken]


@operation("VM.get_allowed_VBD_devices")
def get_allowed_vbd_devices(ctx: Context, vm_ref: str) -> list[str]:
    """List the numbers at which a disk can be joined to a VM."""
    return free_vbd_devices(ctx.store, vm_ref)


@operation("VM.get_allowed_VIF_devices")
def get_allowed_vif_devices(ctx: Context, vm_ref: str) -> list[str]:
    """List the numbers at which an interface can be joined to a VM."""
    return free_vif_devices(ctx.store, vm_ref)
