"""How an operation reaches the domain of a VM: the host that has it, and the refusals when it has not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lmflow.simulator import gate
from lmflow.simulator.context import Context
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.hosts import forwarding, resync
from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.hosts.xenops import Domain, Xenops

_LOOK_SECONDS = 0.25


def reach_domain(ctx: Context, vm_ref: str) -> tuple[str, Domain]:
    """Give the host that the database names, and the VM's domain there.

    HOST_OFFLINE, CANNOT_CONTACT_HOST when the host does not take calls; INTERNAL_ERROR when its xenopsd does not know
    the VM. The coordinator notices then that the VM is gone, and writes it down; a member does not.
    """
    host_ref = str(ctx.store.value("VM", vm_ref, "resident_on"))
    vm_uuid = ctx.store.value("VM", vm_ref, "uuid")
    if host_ref != NULL:
        forwarding.reach(ctx, host_ref)
        domain = ctx.pool.part(Xenops).find_running(host_ref, vm_uuid)
        if domain is not None:
            return host_ref, domain
        if ctx.pool.part(Toolstack).is_coordinator(host_ref):
            with gate.writing(ctx):
                resync.force_halted(ctx.store, vm_ref)
    raise ApiFailure("INTERNAL_ERROR", f"Object with type VM and id {vm_uuid}/config does not exist in xenopsd")


@contextmanager
def in_turn(ctx: Context, vm_ref: str) -> Iterator[None]:
    """Touch a VM's domain alone: behind a copy that nobody follows any more, as xenopsd's queue of the VM makes it.

    TaskCancelled, AbandonedError while it waits. The database must not be held.
    """
    queue = ctx.pool.part(Xenops).queue_of(str(ctx.store.value("VM", vm_ref, "uuid")))
    while not queue.acquire(timeout=max(0.001, ctx.clock.real(_LOOK_SECONDS))):
        gate.check_not_abandoned(ctx)
        gate.task_of(ctx).raise_if_cancelled()
    try:
        yield
    finally:
        queue.release()


@contextmanager
def held_domain(ctx: Context, vm_ref: str) -> Iterator[tuple[str, Domain]]:
    """Give the host and the domain of ``reach_domain``, which nobody else touches in the block."""
    reach_domain(ctx, vm_ref)
    with in_turn(ctx, vm_ref):
        yield reach_domain(ctx, vm_ref)


def let_build(ctx: Context, host_ref: str, seconds: float) -> None:
    """Let a host build a domain for so many pool seconds.

    CANNOT_CONTACT_HOST, once it is given up or back, when it lost its power meanwhile.
    """
    host = ctx.pool.part(Toolstack).on(host_ref)
    before = host.power_losses
    gate.pause(ctx, seconds)
    if host.power_losses != before:
        forwarding.wait_while_dark(ctx, host_ref)
        raise ApiFailure("CANNOT_CONTACT_HOST", host_ref)


def refuse_second(ctx: Context, vm_ref: str, host_ref: str) -> None:
    """Refuse to boot a VM where it runs already: VM_BAD_POWER_STATE; the database learns then that it does."""
    present = ctx.pool.part(Xenops).find_running(host_ref, ctx.store.value("VM", vm_ref, "uuid"))
    if present is None:
        return
    with gate.writing(ctx):
        before = ctx.store.value("VM", vm_ref, "power_state")
        resync.write_running(ctx.store, vm_ref, host_ref, present)
    raise ApiFailure("VM_BAD_POWER_STATE", vm_ref, before, present.power_state)


def cancel_others(ctx: Context, vm_ref: str, names: frozenset[str]) -> None:
    """Cancel these operations on a VM, as what is done by force does with what would only delay it."""
    own = gate.task_of(ctx).ref
    for task_ref, name in ctx.store.value("VM", vm_ref, "current_operations").items():
        if name in names and task_ref != own and ctx.store.exists("task", task_ref):
            ctx.pool.tasks.cancel(task_ref, f"DummyRef:|{ctx.store.make_uuid()}|task.cancel")
