"""Moving of VMs as the coordinator's and the source's toolstack carry it out; the copying itself is ``transfer``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from lmflow.simulator import allowed_host, gate, messages
from lmflow.simulator.context import Context
from lmflow.simulator.database.values import NULL, Value
from lmflow.simulator.failures import ApiFailure, TaskCancelled
from lmflow.simulator.hosts import boot_files, forwarding, resync
from lmflow.simulator.hosts.toolstack import Toolstack
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.kernel import Kernel
from lmflow.simulator.migrations import subtasks
from lmflow.simulator.migrations.phase_faults import PhaseFault
from lmflow.simulator.migrations.transfer import Transfer
from lmflow.simulator.rules import allowed, allowed_vm, failover, network_rules, placement, upgrade_order
from lmflow.simulator.rules.cpu_rules import check_cpu

OPERATION = "pool_migrate"
STEP_SECONDS = 0.2
SHORT_STEP_SECONDS = 0.05
"""Between the last writes of a migration, as watched: place, host's operation, VM's operation. Short from a member."""
FAILURE_STEP_SECONDS = 0.15
DESTINATION_PATIENCE = 8.1
"""How long after its toolstack went down a destination is waited for. Measured."""
_LOOK_SECONDS = 0.2


def _do_nothing(_source_ref: str = "") -> None:
    pass


@dataclass(slots=True)
class Journey:
    """One VM on its way to a host.

    ``leaving``: what the end of the operation is to write besides taking it out. ``prepare(source)`` is done on the
    source before the memory goes, ``arrived()`` in the step that writes the new place, under the lock.
    """

    vm_ref: str
    destination_ref: str
    options: Mapping[str, str]
    leaving: dict[str, Value] = field(default_factory=lambda: {"scheduled_to_be_resident_on": NULL})
    with_storage: bool = True
    prepare: Callable[[str], None] = _do_nothing
    arrived: Callable[[], None] = _do_nothing

    @property
    def is_forced(self) -> bool:
        """Whether the guest and the CPU are not asked; only this word says so."""
        return self.options.get("force") == "true"


def pool_migrate(ctx: Context, vm_ref: str, host_ref: str, options: Mapping[str, str]) -> str:
    """Move a running VM to a host of the pool; blocks until it is over. All that XAPI refuses is refused."""
    journey = Journey(vm_ref, host_ref, options)
    with gate.writing(ctx):
        placement.check_handles(ctx.store, vm_ref, host_ref)
        if not journey.is_forced:
            check_cpu(ctx.store, vm_ref, host_ref)
    with gate.vm_operation(ctx, vm_ref, OPERATION, life_cycle_checks(ctx, journey, OPERATION), journey.leaving):
        move(ctx, journey)
    return ""


def life_cycle_checks(ctx: Context, journey: Journey, operation: str) -> Callable[[bool], None]:
    """Give XAPI's checks of a VM that is to move, in the form that ``gate.vm_operation`` wants."""
    late = allowed_vm.FORCED if journey.is_forced else allowed_vm.AFTER_WAITING

    def check(after_waiting: bool) -> None:
        checks = late if after_waiting else allowed_vm.BEFORE_WAITING
        allowed_vm.check_operation(ctx.store, journey.vm_ref, operation, checks)

    return check


def move(ctx: Context, journey: Journey) -> None:
    """Reserve, copy and write down; the VM's operation must have been entered."""
    task = gate.task_of(ctx)
    source_ref = _reserve(ctx, journey)
    with ExitStack() as at_failure:
        at_failure.callback(_give_back, ctx, journey)
        forwarding.reach(ctx, source_ref)
        task.set_resident_on(source_ref)
        _check_licence(ctx)
        network_rules.check_way(ctx.store, journey.destination_ref, journey.options)
        journey.prepare(source_ref)
        label = ctx.store.value("task", task.ref, "name_label")
        digits = task.ref.removeprefix("OpaqueRef:").replace("-", "")[:12]
        transfer = Transfer(
            ctx.pool,
            journey.vm_ref,
            source_ref,
            journey.destination_ref,
            dbg=f"{label} R:{digits}",
            began_to_copy=ctx.took_effect,
        )
        transfer.start()
        _follow_to_the_end(ctx, transfer)
        _complete(ctx, journey, transfer)
        at_failure.pop_all()


def _give_back(ctx: Context, journey: Journey) -> None:
    """Take the reservation off the destination, whatever went wrong; AbandonedError when nobody is left to do so."""
    with gate.writing(ctx):
        allowed_host.leave(ctx, journey.destination_ref)
    gate.pause(ctx, FAILURE_STEP_SECONDS)


def _check_licence(ctx: Context) -> None:
    if ctx.store.value("pool", ctx.pool.pool_ref, "restrictions").get("restrict_xen_motion") == "true":
        raise ApiFailure("LICENCE_RESTRICTION", "Live_migration")


def _reserve(ctx: Context, journey: Journey) -> str:
    """Check the destination and reserve it, in one step; returns the source."""
    store, vm_ref, destination_ref = ctx.store, journey.vm_ref, journey.destination_ref
    with gate.writing(ctx):
        source_ref = str(store.value("VM", vm_ref, "resident_on"))
        upgrade_order.check_way(store, source_ref, destination_ref)
        placement.check_can_be_here(store, vm_ref, destination_ref, with_storage=journey.with_storage)
        # Until it has gone, the VM counts on both hosts.
        failover.check_preserves_plan(store, failover.Change(arriving=((vm_ref, destination_ref),)))
        allowed_host.enter(ctx, destination_ref, "vm_migrate")
        store.update("VM", vm_ref, scheduled_to_be_resident_on=destination_ref)
    return source_ref


def _follow_to_the_end(ctx: Context, transfer: Transfer) -> None:
    """Show the transfer's progress on the task until it ends; leaves it to itself when a toolstack dies."""
    try:
        _follow(ctx, transfer)
    finally:
        transfer.orphaned = not transfer.done.is_set()


def _follow(ctx: Context, transfer: Transfer) -> None:
    task, toolstack = gate.task_of(ctx), ctx.pool.part(Toolstack)
    while True:
        gate.check_not_abandoned(ctx)
        if transfer.toolstack_restarted(transfer.source_ref) and not toolstack.is_coordinator(transfer.source_ref):
            forwarding.wait_while_dark(ctx, transfer.source_ref)
            raise ApiFailure("CANNOT_CONTACT_HOST", transfer.source_ref)
        if task.cancellable and not transfer.cancellable:
            task.set_cancellable(False)
        has_ended = transfer.done.is_set()
        while transfer.steps:
            step = transfer.steps.popleft()
            if step == 1.0:  # only of a guest that was suspended; recorded tasks that failed before have no such key
                task.add_to_other_config("debug_info:cancel_points_seen", "20")
            task.set_progress(step)
        if has_ended:
            return
        if task.cancelled.is_set():
            transfer.cancel()
        transfer.changed.clear()
        ctx.clock.wait(_LOOK_SECONDS, transfer.changed)


def _complete(ctx: Context, journey: Journey, transfer: Transfer) -> None:
    if transfer.cancelled:
        raise TaskCancelled
    if transfer.end == "destination":
        with subtasks.shown(ctx, "VM.pool_migrate_complete"):
            _write_place(ctx, journey, transfer)
            # Its memory needed no kernel; the destination looks for one only now that the VM is there.
            boot_files.check_kernel(ctx.pool, journey.vm_ref, journey.destination_ref)
            if not transfer.error:
                gate.pause(ctx, _step_seconds(ctx, transfer))
    elif transfer.end == "halted":
        with gate.writing(ctx):
            resync.force_halted(ctx.store, transfer.vm_ref)
    elif not transfer.copying.is_set():
        _refresh_ghost(ctx, transfer)
    if transfer.error:
        raise ApiFailure(*transfer.error)
    with gate.writing(ctx):
        allowed_host.leave(ctx, transfer.destination_ref)
    gate.pause(ctx, _step_seconds(ctx, transfer))
    with gate.writing(ctx):
        messages.announce_migration(ctx, transfer.vm_ref, transfer.source_ref, transfer.destination_ref)


def _step_seconds(ctx: Context, transfer: Transfer) -> float:
    is_local = ctx.pool.part(Toolstack).is_coordinator(transfer.source_ref)
    return STEP_SECONDS if is_local else SHORT_STEP_SECONDS


def _write_place(ctx: Context, journey: Journey, transfer: Transfer) -> None:
    """Write that the VM is on its destination; a destination that does not answer is waited for, then given up.

    Given up, the place is still written with the end of the operation, if that comes before the destination's
    toolstack is back; a real pool was seen to win this race and to lose it.
    """
    toolstack, destination_ref = ctx.pool.part(Toolstack), transfer.destination_ref
    if not toolstack.is_ready(destination_ref):
        forwarding.wait_while_dark(ctx, destination_ref)
        gave_up_at = toolstack.on(destination_ref).down_since + DESTINATION_PATIENCE
        gate.pause(ctx, max(0.0, gave_up_at - ctx.clock.now()))
        if toolstack.arrivals_survive:
            journey.leaving["resident_on"] = destination_ref
        raise ApiFailure("CANNOT_CONTACT_HOST", destination_ref)
    with gate.writing(ctx):
        domain = ctx.pool.part(Xenops).find_running(destination_ref, transfer.vm_uuid)
        place = {"resident_on": destination_ref, "scheduled_to_be_resident_on": NULL}
        allowed.update_vm(ctx.store, transfer.vm_ref, **place, **({"domid": domain.domid} if domain else {}))
        journey.arrived()


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
