"""What may be done to a VM, and what its domain was made of."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.context import Context
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed, allowed_vm


@operation("VM.assert_operation_valid")
def assert_operation_valid(ctx: Context, vm_ref: str, name: str) -> str:
    """Refuse what would be refused now; nothing is waited for: OTHER_OPERATION_IN_PROGRESS."""
    with ctx.store.lock:
        allowed_vm.check_operation(ctx.store, vm_ref, name)
    return ""


@operation("VM.update_allowed_operations", effect=True)
def update_allowed_operations(ctx: Context, vm_ref: str) -> str:
    """Write anew what is allowed."""
    with ctx.store.lock:
        ctx.store.value("VM", vm_ref, "uuid")
        allowed.update_vm(ctx.store, vm_ref)
    return ""


@operation("VM.get_boot_record")
def get_boot_record(ctx: Context, vm_ref: str) -> dict[str, Any]:
    """Give a VM's record as its domain was made; since nothing of that can change meanwhile, as it is."""
    return ctx.store.record("VM", vm_ref)


@operation("VM.get_cooperative")
def get_cooperative(ctx: Context, vm_ref: str) -> bool:
    """Tell whether the guest gives back memory when asked; every simulated one does."""
    ctx.store.value("VM", vm_ref, "uuid")
    return True
