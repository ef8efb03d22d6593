"""A place on a host for a VM that is about to start or wake there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lmflow.simulator import allowed_host, gate
from lmflow.simulator.context import Context
from lmflow.simulator.hosts import forwarding
from lmflow.simulator.rules import failover, placement, upgrade_order


def reserve(ctx: Context, vm_ref: str, host_ref: str, operation: str, *, with_cpu: bool = False) -> None:
    """Check a host and reserve it for a VM, in one step; the lock must be held. Raises what XAPI refuses with."""
    upgrade_order.check_like_coordinator(ctx.store, vm_ref, host_ref)
    placement.check_can_be_here(ctx.store, vm_ref, host_ref, with_cpu=with_cpu)
    failover.check_preserves_plan(ctx.store, failover.Change(arriving=((vm_ref, host_ref),)))
    allowed_host.enter(ctx, host_ref, operation)
    ctx.store.update("VM", vm_ref, scheduled_to_be_resident_on=host_ref)


@contextmanager
def held(ctx: Context, host_ref: str) -> Iterator[None]:
    """Work on the reserved host; its operation ends with the block. HOST_OFFLINE, CANNOT_CONTACT_HOST."""
    try:
        forwarding.reach(ctx, host_ref)
        gate.task_of(ctx).show_cancel()
        yield
    finally:
        with ctx.store.lock:
            if not gate.task_of(ctx).lost:
                allowed_host.leave(ctx, host_ref)
