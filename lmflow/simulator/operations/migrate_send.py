"""Moving of a VM with its disks to other SRs of the pool. Another pool is no destination here."""

from __future__ import annotations

from collections.abc import Mapping

from lmflow.simulator import gate
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure, TaskCancelled
from lmflow.simulator.hosts.xenops import Xenops
from lmflow.simulator.migrations import migration, storage_motion
from lmflow.simulator.migrations.storage_motion import Disks, StorageMotion, Target, Wish
from lmflow.simulator.operations.vm_migration import need_vm
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import upgrade_order

OPERATION = "migrate_send"
Map = Mapping[str, str]
_POWER_STATE_CHANGED = "The VM changed its power state during migration"


@operation("VM.assert_can_migrate")
def assert_can_migrate(ctx: Context, vm_ref: str, dest: Map, _live: bool, *maps: Map) -> str:
    """Refuse a move with disks that is not possible; every disk must be in the map, a shared one too.

    ``maps``: disks, interfaces, options, virtual GPUs.
    """
    need_vm(ctx, vm_ref)
    with ctx.store.lock:
        storage_motion.check(ctx.store, vm_ref, storage_motion.read_target(dest), Wish(*maps[:3]))
    return ""


@operation("VM.migrate_send", effect=True, own_effect=True)
def migrate_send(ctx: Context, vm_ref: str, dest: Map, _live: bool, *maps: Map) -> str:
    """Move a VM and its disks inside the pool; returns the VM, which stays the same.

    ``maps``: disks, interfaces, options, virtual GPUs, formats. Disks that go to another SR are new objects
    afterwards, with references and UUIDs of their own. TOO_MANY_STORAGE_MIGRATES when its host carries out three
    already; VM_MIGRATE_FAILED when the guest stopped.
    """
    need_vm(ctx, vm_ref)
    target, wish = storage_motion.read_target(dest), Wish(*maps[:3])
    journey = migration.Journey(vm_ref, target.host_ref, wish.options, with_storage=False)
    checks = migration.life_cycle_checks(ctx, journey, OPERATION)

    def check(after_waiting: bool) -> None:
        checks(after_waiting)
        if after_waiting and upgrade_order.is_in_progress(ctx.store):
            raise ApiFailure("NOT_SUPPORTED_DURING_UPGRADE")

    with gate.vm_operation(ctx, vm_ref, OPERATION, check, journey.leaving):
        with gate.writing(ctx):
            storage_motion.check(ctx.store, vm_ref, target, wish)
            storage_motion.check_reached(ctx.store, target.host_ref, wish.vdi_map)
            is_running = ctx.store.value("VM", vm_ref, "power_state") == "Running"
        move = _move_running if is_running else _move_stopped
        move(ctx, journey, target, wish.vdi_map)
    return vm_ref


def _check_and_plan(ctx: Context, journey: migration.Journey, vdi_map: Map) -> Disks:
    if journey.options.get("copy") == "true":
        raise ApiFailure("OPERATION_NOT_ALLOWED", storage_motion.NO_COPY)
    with gate.writing(ctx):
        return storage_motion.plan_disks(ctx.store, journey.vm_ref, vdi_map)


def _copy(ctx: Context, disks: Disks) -> None:
    """Copy what is to be copied; without disks the call takes effect when the memory goes, if it does."""
    if disks.own or disks.older:
        ctx.took_effect()
    storage_motion.copy(ctx, disks)


def _move_stopped(ctx: Context, journey: migration.Journey, target: Target, vdi_map: Map) -> None:
    """Copy the disks of a VM that does not run; nothing else moves."""
    with ctx.pool.part(StorageMotion).on(target.host_ref):
        disks = _check_and_plan(ctx, journey, vdi_map)
        _copy(ctx, disks)
        with gate.writing(ctx):
            storage_motion.switch(ctx.store, disks, vdi_map)


def _move_running(ctx: Context, journey: migration.Journey, target: Target, vdi_map: Map) -> None:
    """Copy the disks while the guest runs, then move it; the new disks are its own from the moment it arrives."""
    source_ref = str(ctx.store.value("VM", journey.vm_ref, "resident_on"))
    disks = Disks(journey.vm_ref, {})

    def prepare(_source_ref: str) -> None:
        planned = _check_and_plan(ctx, journey, vdi_map)
        disks.own, disks.older = planned.own, planned.older
        _copy(ctx, disks)

    def arrived() -> None:
        storage_motion.switch(ctx.store, disks, vdi_map)
        disks.made.clear()

    journey.prepare, journey.arrived = prepare, arrived
    with ctx.pool.part(StorageMotion).on(source_ref):
        try:
            migration.move(ctx, journey)
        except (ApiFailure, TaskCancelled) as failure:
            storage_motion.drop(ctx, disks)
            _check_guest_runs(ctx, journey, source_ref, failure)
            raise


def _check_guest_runs(
    ctx: Context, journey: migration.Journey, source_ref: str, failure: ApiFailure | TaskCancelled
) -> None:
    """Say so when the guest stopped by itself in the middle: VM_MIGRATE_FAILED."""
    store = ctx.store
    vm_uuid = store.value("VM", journey.vm_ref, "uuid")
    runs = ctx.pool.part(Xenops).find_running(source_ref, vm_uuid) is not None
    is_halted = store.value("VM", journey.vm_ref, "power_state") == "Halted"
    if isinstance(failure, ApiFailure) and failure.code == "INTERNAL_ERROR" and is_halted and not runs:
        places = [store.value("host", ref, "uuid") for ref in (source_ref, journey.destination_ref)]
        raise ApiFailure("VM_MIGRATE_FAILED", vm_uuid, *places, _POWER_STATE_CHANGED)
