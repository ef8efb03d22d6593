"""One operation at a time on a VM: who comes second waits, and is not refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from lmflow.simulator import allowed
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure, ConnectionDrop
from lmflow.simulator.tasks import TaskHandle
from lmflow.simulator.values import Value

BACK_OFF_SECONDS = (1.0, 20.0)
PATIENCE_SECONDS = 7200.0
"""How long an operation waits behind others. Source: helpers.ml, and six calls measured that waited 239 s."""
_LOOK_SECONDS = 0.25


class AbandonedError(ConnectionDrop):
    """The coordinator's toolstack ended under this operation; nobody is there to write or to answer."""


def task_of(ctx: Context) -> TaskHandle:
    """Give the task of a call that always has one."""
    if ctx.task is None:
        raise ApiFailure("INTERNAL_ERROR", "this operation needs a task")
    return ctx.task


def check_not_abandoned(ctx: Context) -> None:
    """Stop an operation whose coordinator is gone: AbandonedError."""
    if task_of(ctx).lost:
        raise AbandonedError


@contextmanager
def writing(ctx: Context) -> Iterator[None]:
    """Hold the database; AbandonedError if the coordinator that would write is gone."""
    with ctx.store.lock:
        check_not_abandoned(ctx)
        yield


def pause(ctx: Context, seconds: float) -> None:
    """Wait so many pool seconds; AbandonedError as soon as the coordinator is gone."""
    until = ctx.clock.now() + seconds
    while (left := until - ctx.clock.now()) > 0:
        check_not_abandoned(ctx)
        ctx.clock.wait(min(left, _LOOK_SECONDS))
    check_not_abandoned(ctx)


def add_operation(ctx: Context, cls: str, ref: str, name: str) -> None:
    """Show the task's operation in an object's current_operations; the lock must be held."""
    operations = ctx.store.value(cls, ref, "current_operations")
    ctx.store.update(cls, ref, current_operations={**operations, task_of(ctx).ref: name})


def remove_operation(ctx: Context, cls: str, ref: str) -> None:
    """Take the task's operation out of an object's current_operations; the lock must be held."""
    if ctx.store.exists(cls, ref):
        operations = ctx.store.value(cls, ref, "current_operations")
        operations.pop(task_of(ctx).ref, None)
        ctx.store.update(cls, ref, current_operations=operations)


def _wait_for_turn(ctx: Context, vm_ref: str, task: TaskHandle) -> None:
    """Wait for the next try: the back-off, or less when the other operation ends. Who of many is next is chance."""
    store = ctx.store

    def is_over() -> bool:
        return task.lost or task.cancelled.is_set() or not store.value("VM", vm_ref, "current_operations")

    with store.changed:
        store.changed.wait_for(is_over, ctx.clock.real(store.random.uniform(*BACK_OFF_SECONDS)))
    task.raise_if_cancelled()


@contextmanager
def vm_operation(
    ctx: Context, vm_ref: str, name: str, check: Callable[[bool], None], leaving: Mapping[str, Value] | None = None
) -> Iterator[None]:
    """Enter ``name`` into the VM's operations, after ``check`` and after every other operation has ended.

    ``check(False)`` holds what is checked before the waiting, ``check(True)`` what comes after; both run under the
    lock, again at each try. ``leaving`` is written in the step that takes the operation out again. Waiting ends
    early when the task is cancelled (TaskCancelled) or lost (AbandonedError), and after two hours with
    OTHER_OPERATION_IN_PROGRESS.
    """
    task, store = task_of(ctx), ctx.store
    deadline = ctx.clock.now() + PATIENCE_SECONDS
    while True:
        with writing(ctx):
            check(False)
            busy = store.value("VM", vm_ref, "current_operations")
            if not busy:
                check(True)
                allowed.update_vm(store, vm_ref, current_operations={task.ref: name})
                break
        if ctx.clock.now() > deadline:
            other_ref, other = next(iter(busy.items()))
            raise ApiFailure("OTHER_OPERATION_IN_PROGRESS", "VM", vm_ref, other, other_ref)
        _wait_for_turn(ctx, vm_ref, task)
    try:
        yield
    finally:
        with store.lock:
            if not task.lost and store.exists("VM", vm_ref):
                operations = store.value("VM", vm_ref, "current_operations")
                operations.pop(task.ref, None)
                allowed.update_vm(store, vm_ref, current_operations=operations, **(leaving or {}))
