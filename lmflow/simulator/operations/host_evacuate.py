"""Emptying of hosts: the plan, what is in its way, and the moves."""

from __future__ import annotations

from lmflow.simulator import allowed_host, gate
from lmflow.simulator.context import Context
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure, TaskCancelled
from lmflow.simulator.migrations import migration, subtasks
from lmflow.simulator.operations.host import need_host
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import evacuation
from lmflow.simulator.tasks import RUNNING, TaskHandle

WINDOW = 10
"""How many VMs are on their way at a time unless the call says otherwise. Source: xapi_globs.ml."""
_LOOK_SECONDS = 1.0


@operation("host.get_vms_which_prevent_evacuation")
def get_vms_which_prevent_evacuation(ctx: Context, host_ref: str) -> dict[str, list[str]]:
    """Give, for each VM that has no other place, the failure that says why."""
    need_host(ctx, host_ref)
    with ctx.store.lock:
        plan = evacuation.make_plan(ctx.store, host_ref)
    return {vm_ref: failure.description for _, vm_ref, failure in plan.obstacles}


@operation("host.get_uncooperative_resident_VMs")
def get_uncooperative_resident_vms(ctx: Context, host_ref: str) -> list[str]:
    """List the VMs that have no other place."""
    return list(get_vms_which_prevent_evacuation(ctx, host_ref))


@operation("host.assert_can_evacuate")
def assert_can_evacuate(ctx: Context, host_ref: str) -> str:
    """Refuse a host that cannot be emptied: CANNOT_EVACUATE_HOST with all that is in the way in one text."""
    need_host(ctx, host_ref)
    with ctx.store.lock:
        plan = evacuation.make_plan(ctx.store, host_ref)
    if plan.obstacles:
        found = [",".join(failure.description) for _, _, failure in reversed(plan.obstacles)]
        raise ApiFailure("CANNOT_EVACUATE_HOST", "|".join(found))
    return ""


@operation("host.evacuate", effect=True, own_effect=True)
def evacuate(ctx: Context, host_ref: str, network_ref: str, batch_size: int) -> str:
    """Move every VM off a host; the first obstacle is raised and nothing moves. The host stays enabled if it was.

    Each move is a task below this one and its record goes when it has ended. One that fails ends the call, unless its
    VM has stopped meanwhile; the moves that have begun go on. INTERNAL_ERROR when VMs are left. Took effect once the
    first move copies memory.
    """
    need_host(ctx, host_ref)
    options = {"live": "true"} | ({} if network_ref == NULL else {"network": network_ref})
    with allowed_host.host_operation(ctx, host_ref, "evacuate"):
        with gate.writing(ctx):
            gate.task_of(ctx).show_cancel()
            plan = evacuation.make_plan(ctx.store, host_ref)
        for _, _, failure in plan.obstacles:
            raise failure
        _move_all(ctx, plan.moves, options, batch_size or WINDOW)
        with gate.writing(ctx):
            left = len(evacuation.guests_of(ctx.store, host_ref))
        if left:
            raise ApiFailure("INTERNAL_ERROR", f"evacuate: {left} VMs are still resident on {host_ref}")
    return ""


def _start_move(ctx: Context, vm_ref: str, host_ref: str, options: dict[str, str]) -> TaskHandle:
    return subtasks.start(
        ctx,
        "Async.VM.pool_migrate",
        [vm_ref, host_ref, options],
        lambda own: migration.pool_migrate(own, vm_ref, host_ref, options),
    )


def _move_all(ctx: Context, moves: dict[str, str], options: dict[str, str], window: int) -> None:
    """Keep so many moves under way until all have ended."""
    waiting, under_way, done = list(moves.items()), list[TaskHandle](), 0
    while waiting or under_way:
        while waiting and len(under_way) < window:
            under_way.append(_start_move(ctx, *waiting.pop(0), options))
        try:
            done += _wait_for_any(ctx, under_way)
        except (ApiFailure, TaskCancelled):
            _destroy_records(ctx, under_way)
            raise
        gate.task_of(ctx).set_progress(done / len(moves))


def _wait_for_any(ctx: Context, under_way: list[TaskHandle]) -> int:
    """Wait until some moves have ended, and take them from the list; the failure of one is raised."""
    store, task = ctx.store, gate.task_of(ctx)

    def some_ended() -> bool:
        return task.lost or task.cancelled.is_set() or any(_has_ended(ctx, handle) for handle in under_way)

    with store.changed:
        while not store.changed.wait_for(some_ended, ctx.clock.real(_LOOK_SECONDS)):
            pass
        gate.check_not_abandoned(ctx)
        if task.cancelled.is_set():
            for handle in under_way:
                if not _has_ended(ctx, handle):
                    ctx.pool.tasks.cancel(handle.ref, f"DummyRef:|{store.make_uuid()}|task.cancel")
            task.raise_if_cancelled()
        ended = [handle for handle in under_way if _has_ended(ctx, handle)]
        failures = [error for handle in ended if (error := _error_of(ctx, handle))]
        for handle in ended:
            under_way.remove(handle)
            if store.exists("task", handle.ref):
                ctx.pool.tasks.destroy(handle.ref)
    for code, *params in failures:
        if code != "VM_BAD_POWER_STATE":
            raise ApiFailure(code, *params)
    return len(ended)


def _has_ended(ctx: Context, handle: TaskHandle) -> bool:
    exists = ctx.store.exists("task", handle.ref)
    return not exists or ctx.store.value("task", handle.ref, "status") != RUNNING


def _error_of(ctx: Context, handle: TaskHandle) -> list[str]:
    if not ctx.store.exists("task", handle.ref):
        return []
    if ctx.store.value("task", handle.ref, "status") == "cancelled":
        return ["TASK_CANCELLED", handle.ref]
    return list(ctx.store.value("task", handle.ref, "error_info"))


def _destroy_records(ctx: Context, handles: list[TaskHandle]) -> None:
    """Remove the records of moves that nobody waits for any longer; those still under way are marked and go on."""
    for handle in handles:
        with ctx.store.lock:
            if ctx.store.exists("task", handle.ref):
                ctx.pool.tasks.destroy(handle.ref)
