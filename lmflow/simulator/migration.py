"""VM.pool_migrate as the coordinator's and the source's toolstack carry it out; the copying itself is ``transfer``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmflow.simulator import allowed, gate, messages, placement, resync
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure, TaskCancelled
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.phase_faults import PhaseFault
from lmflow.simulator.toolstack import Toolstack
from lmflow.simulator.transfer import Transfer
from lmflow.simulator.values import NULL, Value
from lmflow.simulator.xenops import Xenops

OPERATION = "pool_migrate"
STEP_SECONDS = 0.2
"""Between the last writes of a migration, as watched: place, host's operation, VM's operation."""
FAILURE_STEP_SECONDS = 0.15
DESTINATION_PATIENCE = 8.1
"""How long after its toolstack went down a destination is waited for. Measured."""
_LOOK_SECONDS = 0.2


def pool_migrate(ctx: Context, vm_ref: str, host_ref: str, options: Mapping[str, str]) -> str:
    """Move a running VM to a host of the pool; blocks until it is over. All that XAPI refuses is refused."""
    force = options.get("force") == "true"
    store = ctx.store
    with gate.writing(ctx):
        placement.check_handles(store, vm_ref, host_ref)
        if not force:
            placement.check_cpu(store, vm_ref, host_ref)

    def check(after_waiting: bool) -> None:
        if after_waiting:
            placement.check_mobile(store, vm_ref, force=force)
        else:
            placement.check_blocked(store, vm_ref, OPERATION)
            _check_running(ctx, vm_ref)

    leaving: dict[str, Value] = {"scheduled_to_be_resident_on": NULL}
    with gate.vm_operation(ctx, vm_ref, OPERATION, check, leaving):
        _migrate(ctx, vm_ref, host_ref, options, leaving)
    return ""


def _check_running(ctx: Context, vm_ref: str) -> None:
    if ctx.store.value("VM", vm_ref, "is_control_domain"):
        placement.check_not_control_domain(ctx.store, vm_ref)
    placement.check_power_state(ctx.store, vm_ref, "Running")


def _migrate(
    ctx: Context, vm_ref: str, destination_ref: str, options: Mapping[str, str], leaving: dict[str, Value]
) -> None:
    """Reserve, copy and write down; what else the end of the operation is to write goes into ``leaving``."""
    task = gate.task_of(ctx)
    source_ref = _reserve(ctx, vm_ref, destination_ref)
    try:
        if not placement.is_live(ctx.store, source_ref):
            raise ApiFailure("HOST_OFFLINE", source_ref)
        if not ctx.pool.part(Toolstack).is_ready(source_ref):
            raise ApiFailure("CANNOT_CONTACT_HOST", source_ref)
        task.set_resident_on(source_ref)
        placement.check_way(ctx.store, destination_ref, options)
        label = ctx.store.value("task", task.ref, "name_label")
        digits = task.ref.removeprefix("OpaqueRef:").replace("-", "")[:12]
        transfer = Transfer(
            ctx.pool, vm_ref, source_ref, destination_ref, dbg=f"{label} R:{digits}", began_to_copy=ctx.took_effect
        )
        transfer.start()
        _follow_to_the_end(ctx, transfer)
        _complete(ctx, transfer, leaving)
    except (ApiFailure, TaskCancelled):
        with gate.writing(ctx):
            gate.remove_operation(ctx, "host", destination_ref)
        gate.pause(ctx, FAILURE_STEP_SECONDS)
        raise


def _reserve(ctx: Context, vm_ref: str, destination_ref: str) -> str:
    """Check the destination and reserve it, in one step; returns the source."""
    store = ctx.store
    with gate.writing(ctx):
        source_ref = str(store.value("VM", vm_ref, "resident_on"))
        placement.check_upgrade(store, source_ref, destination_ref)
        placement.check_can_be_here(store, vm_ref, destination_ref, may_be_disabled=source_ref == destination_ref)
        placement.check_host_is_free(store, destination_ref)
        gate.add_operation(ctx, "host", destination_ref, "vm_migrate")
        store.update("VM", vm_ref, scheduled_to_be_resident_on=destination_ref)
    return source_ref


def _follow_to_the_end(ctx: Context, transfer: Transfer) -> None:
    """Show the transfer's progress on the task until it ends; leaves it to itself when a toolstack dies."""
    try:
        _follow(ctx, transfer)
    except (gate.AbandonedError, ApiFailure):
        transfer.orphaned = True
        raise


def _follow(ctx: Context, transfer: Transfer) -> None:
    task, toolstack = gate.task_of(ctx), ctx.pool.part(Toolstack)
    shown = -1.0
    while True:
        gate.check_not_abandoned(ctx)
        if transfer.toolstack_restarted(transfer.source_ref) and not toolstack.is_coordinator(transfer.source_ref):
            raise ApiFailure("CANNOT_CONTACT_HOST", transfer.source_ref)
        if task.cancellable and not transfer.cancellable:
            task.set_cancellable(False)
            task.add_to_other_config("debug_info:cancel_points_seen", "20")
        if transfer.progress != shown:
            shown = transfer.progress
            task.set_progress(shown)
        if transfer.done.is_set():
            return
        if task.cancelled.is_set():
            transfer.cancel()
        transfer.changed.clear()
        ctx.clock.wait(_LOOK_SECONDS, transfer.changed)


def _complete(ctx: Context, transfer: Transfer, leaving: dict[str, Value]) -> None:
    if transfer.cancelled:
        raise TaskCancelled
    if transfer.end == "destination":
        _write_place(ctx, transfer, leaving)
    elif transfer.end == "halted":
        with gate.writing(ctx):
            resync.force_halted(ctx.store, transfer.vm_ref)
    elif not transfer.copying.is_set():
        _refresh_ghost(ctx, transfer)
    if transfer.error:
        raise ApiFailure(*transfer.error)
    gate.pause(ctx, STEP_SECONDS)
    with gate.writing(ctx):
        gate.remove_operation(ctx, "host", transfer.destination_ref)
    gate.pause(ctx, STEP_SECONDS)
    with gate.writing(ctx):
        messages.announce_migration(ctx, transfer.vm_ref, transfer.source_ref, transfer.destination_ref)


def _write_place(ctx: Context, transfer: Transfer, leaving: dict[str, Value]) -> None:
    """Write that the VM is on its destination; a destination that does not answer is waited for, then given up.

    Given up, the place is still written with the end of the operation, if that comes before the destination's
    toolstack is back; a real pool was seen to win this race and to lose it.
    """
    toolstack, destination_ref = ctx.pool.part(Toolstack), transfer.destination_ref
    if not toolstack.is_ready(destination_ref):
        gave_up_at = toolstack.on(destination_ref).down_since + DESTINATION_PATIENCE
        gate.pause(ctx, max(0.0, gave_up_at - ctx.clock.now()))
        if toolstack.arrivals_survive:
            leaving["resident_on"] = destination_ref
        raise ApiFailure("CANNOT_CONTACT_HOST", destination_ref)
    with gate.writing(ctx):
        domain = ctx.pool.part(Xenops).find_running(destination_ref, transfer.vm_uuid)
        place = {"resident_on": destination_ref, "scheduled_to_be_resident_on": NULL}
        allowed.update_vm(ctx.store, transfer.vm_ref, **place, **({"domid": domain.domid} if domain else {}))


def _refresh_ghost(ctx: Context, transfer: Transfer) -> None:
    """Let the coordinator notice that a VM it has in its database has no domain with it; a member does not."""
    xenops = ctx.pool.part(Xenops)
    if not ctx.pool.part(Toolstack).is_coordinator(transfer.source_ref):
        return
    with gate.writing(ctx):
        if xenops.find_running(transfer.source_ref, transfer.vm_uuid) is None:
            xenops.destroy(transfer.source_ref, transfer.vm_uuid)
            resync.force_halted(ctx.store, transfer.vm_ref)


def set_copy_seconds(pool: Kernel, vm_uuid: str, seconds: float) -> None:
    """Set how many pool seconds the copy of a VM takes; ApiFailure for an unknown VM, ValueError for no time."""
    if seconds <= 0:
        raise ValueError(f"a copy takes time, not {seconds} seconds")
    pool.store.by_uuid("VM", vm_uuid)
    xenops = pool.part(Xenops)
    with xenops.lock:
        xenops.copy_seconds[vm_uuid] = float(seconds)


def add_phase_fault(pool: Kernel, data: Mapping[str, Any]) -> PhaseFault:
    """Let a fault befall the next migration (of ``vm``, if given); ValueError when it makes no sense."""
    fault = PhaseFault.make(data)
    if fault.host not in {"coordinator", "source", "destination"}:
        pool.find_host(fault.host)
    xenops = pool.part(Xenops)
    with xenops.lock:
        if fault.kind == "hold":
            xenops.released.clear()
        xenops.phase_faults.append(fault)
    return fault
