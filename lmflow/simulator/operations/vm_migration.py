"""Calls about where a VM is and may be."""

from __future__ import annotations

from collections.abc import Mapping

from lmflow.simulator import migration, placement
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation


@operation("VM.pool_migrate", effect=True)
def pool_migrate(ctx: Context, vm_ref: str, host_ref: str, options: Mapping[str, str]) -> str:
    """Move a running VM to another host of the pool; took effect once its memory is being copied."""
    return migration.pool_migrate(ctx, vm_ref, host_ref, options)


@operation("VM.assert_can_boot_here")
def assert_can_boot_here(ctx: Context, vm_ref: str, host_ref: str) -> str:
    """Refuse a host where the VM cannot be; memory counts as for a second copy, a bad host is not live."""
    if not ctx.store.exists("VM", vm_ref):
        raise ApiFailure("HANDLE_INVALID", "VM", vm_ref)
    with ctx.store.lock:
        placement.check_can_be_here(ctx.store, vm_ref, host_ref, with_cpu=True)
    return ""


@operation("VM.get_possible_hosts")
def get_possible_hosts(ctx: Context, vm_ref: str) -> list[str]:
    """List the hosts where the VM can be; the CPU is not looked at."""
    if not ctx.store.exists("VM", vm_ref):
        raise ApiFailure("HANDLE_INVALID", "VM", vm_ref)
    with ctx.store.lock:
        return placement.possible_hosts(ctx.store, vm_ref)
