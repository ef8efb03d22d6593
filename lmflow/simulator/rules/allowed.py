"""Which operations a VM shows as allowed, written in the step that changes the VM; the rules are in ``allowed_vm``."""

from __future__ import annotations

from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import Value
from lmflow.simulator.rules import allowed_storage
from lmflow.simulator.rules.allowed_vm import has_feature, is_immobile, operations_of

__all__ = ["has_feature", "is_immobile", "operations_of", "update_vm"]


def update_vm(store: Store, vm_ref: str, **fields: Value) -> None:
    """Change a VM's fields and, in the same step, its allowed_operations; a VM that is gone is left alone.

    Its devices follow when its power state changes.
    """
    with store.lock:
        if not store.exists("VM", vm_ref):
            return
        vm = {**store.record("VM", vm_ref), **fields}
        changes_power = "power_state" in fields and fields["power_state"] != store.value("VM", vm_ref, "power_state")
        store.update("VM", vm_ref, **fields, allowed_operations=operations_of(store, vm, vm_ref))
        if changes_power:
            allowed_storage.refresh_devices(store, vm_ref)
