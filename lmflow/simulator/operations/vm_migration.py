"""Calls about where a VM is and may be."""

from __future__ import annotations

from collections.abc import Mapping

from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.migrations import migration
from lmflow.simulator.operations.host import need_host
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import network_rules, placement, upgrade_order


def need_vm(ctx: Context, vm_ref: str) -> None:
    """Refuse a reference that names no VM: HANDLE_INVALID."""
    if not ctx.store.exists("VM", vm_ref):
        raise ApiFailure("HANDLE_INVALID", "VM", vm_ref)


@operation("VM.pool_migrate", effect=True)
def pool_migrate(ctx: Context, vm_ref: str, host_ref: str, options: Mapping[str, str]) -> str:
    """Move a running VM to another host of the pool; took effect once its memory is being copied."""
    return migration.pool_migrate(ctx, vm_ref, host_ref, options)


@operation("VM.assert_can_boot_here")
def assert_can_boot_here(ctx: Context, vm_ref: str, host_ref: str) -> str:
    """Refuse a host where the VM cannot be; memory counts as for a second copy, a bad host is not live."""
    need_vm(ctx, vm_ref)
    with ctx.store.lock:
        upgrade_order.check_like_coordinator(ctx.store, vm_ref, host_ref)
        placement.check_can_be_here(ctx.store, vm_ref, host_ref, with_cpu=True)
    return ""


@operation("VM.get_possible_hosts")
def get_possible_hosts(ctx: Context, vm_ref: str) -> list[str]:
    """List the hosts where the VM can be; the CPU is not looked at."""
    need_vm(ctx, vm_ref)
    with ctx.store.lock:
        return placement.possible_hosts(ctx.store, vm_ref)


@operation("host.migrate_receive", effect=True)
def migrate_receive(ctx: Context, host_ref: str, network_ref: str, _options: Mapping[str, str]) -> dict[str, str]:
    """Open a session for who is to send a VM to this host, and say where; the session is a secret."""
    need_host(ctx, host_ref)
    address = network_rules.address_of(ctx.store, network_ref, host_ref)
    master = ctx.pool.sessions.coordinator_address()
    session_ref = ctx.pool.sessions.copy(ctx.session_ref)
    return {
        "SM": f"http://{address}/services/SM?session_id={session_ref}",
        "host": host_ref,
        "xenops": f"http://{address}/services/xenops?session_id={session_ref}",
        "session_id": session_ref,
        "master": f"http://{master}",
    }
