"""One operation at a time on a VM: who comes second waits, and is not refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from lmflow.simulator.context import Context
from lmflow.simulator.database.values import Value
from lmflow.simulator.failures import ApiFailure, ConnectionDrop
from lmflow.simulator.rules import allowed, allowed_vm
from lmflow.simulator.tasks import TaskHandle
from lmflow.simulator.turns import Turns

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


def _wait_for_turn(ctx: Context, vm_ref: str, name: str, task: TaskHandle) -> None:
    """Wait for the next try: the back-off, or less when the other operation ends. Who of many is next is chance."""
    store, turns = ctx.store, ctx.pool.part(Turns)

    def is_over() -> bool:
        if task.lost or task.cancelled.is_set() or not store.exists("VM", vm_ref):
            return True
        return _may_begin(ctx, turns, vm_ref, name)

    with store.changed:
        store.changed.wait_for(is_over, ctx.clock.real(store.chance.uniform(*BACK_OFF_SECONDS)))
    task.raise_if_cancelled()


def _may_begin(ctx: Context, turns: Turns, vm_ref: str, name: str) -> bool:
    busy = ctx.store.value("VM", vm_ref, "current_operations")
    return allowed_vm.may_begin_beside(name, busy.values()) and turns.may_begin(vm_ref, name)


def _enter(ctx: Context, vm_ref: str, name: str, check: Callable[[bool], None]) -> None:
    task, store, turns = task_of(ctx), ctx.store, ctx.pool.part(Turns)
    deadline = ctx.clock.now() + PATIENCE_SECONDS
    is_first = True
    task.show_cancel()
    with store.lock:
        turns.enter(vm_ref, name)
    try:
        while True:
            with writing(ctx):
                check(False)
                busy = store.value("VM", vm_ref, "current_operations")
                if _may_begin(ctx, turns, vm_ref, name):
                    check(True)
                    allowed.update_vm(store, vm_ref, current_operations={**busy, task.ref: name})
                    return
            if busy and ctx.clock.now() > deadline:
                other_ref, other = next(iter(busy.items()))
                raise ApiFailure("OTHER_OPERATION_IN_PROGRESS", "VM", vm_ref, other, other_ref)
            if is_first:
                turns.check_room()
            is_first = False
            _wait_for_turn(ctx, vm_ref, name, task)
    finally:
        with store.lock:
            turns.leave(vm_ref, name)


@contextmanager
def vm_operation(
    ctx: Context, vm_ref: str, name: str, check: Callable[[bool], None], leaving: Mapping[str, Value] | None = None
) -> Iterator[None]:
    """Enter ``name`` into the VM's operations, after ``check`` and when nothing goes on that it cannot stand beside.

    ``check(False)`` holds what is checked before the waiting, ``check(True)`` what comes after; both run under the
    lock, again at each try. ``leaving`` is written in the step that takes the operation out again. Waiting ends
    early when the task is cancelled (TaskCancelled) or lost (AbandonedError), and after two hours with
    OTHER_OPERATION_IN_PROGRESS.
    """
    task, store = task_of(ctx), ctx.store
    _enter(ctx, vm_ref, name, check)
    try:
        yield
    finally:
        with store.lock:
            if not task.lost and store.exists("VM", vm_ref):
                operations = store.value("VM", vm_ref, "current_operations")
                operations.pop(task.ref, None)
                allowed.update_vm(store, vm_ref, current_operations=operations, **(leaving or {}))


@contextmanager
def checked_operation(
    ctx: Context, vm_ref: str, name: str, leaving: Mapping[str, Value] | None = None
) -> Iterator[None]:
    """Like ``vm_operation``, with XAPI's own checks of that operation; HANDLE_INVALID when there is no such VM."""

    def check(after_waiting: bool) -> None:
        checks = allowed_vm.AFTER_WAITING if after_waiting else allowed_vm.BEFORE_WAITING
        allowed_vm.check_operation(ctx.store, vm_ref, name, checks)

    if not ctx.store.exists("VM", vm_ref):
        raise ApiFailure("HANDLE_INVALID", "VM", vm_ref)
    with vm_operation(ctx, vm_ref, name, check, leaving):
        yield


@contextmanager
def checked_moment(ctx: Context, vm_ref: str, name: str) -> Iterator[None]:
    """Hold the database for an operation that takes no time, with XAPI's checks and its waiting.

    A call without a task, as many setters are, waits too, but is not shown among the operations; it ends with
    AbandonedError when its coordinator does.
    """
    if ctx.task is not None:
        with checked_operation(ctx, vm_ref, name), writing(ctx):
            yield
        return
    store, tasks = ctx.store, ctx.pool.tasks
    with store.changed:
        losses = tasks.losses
        allowed_vm.check_operation(store, vm_ref, name, allowed_vm.BEFORE_WAITING)

        def is_over() -> bool:
            return tasks.losses != losses or ctx.pool.stopped.is_set() or not _is_busy(ctx, vm_ref)

        store.changed.wait_for(is_over, ctx.clock.real(PATIENCE_SECONDS))
        if tasks.losses != losses or ctx.pool.stopped.is_set():
            raise AbandonedError
        allowed_vm.check_operation(store, vm_ref, name)
        yield


def _is_busy(ctx: Context, vm_ref: str) -> bool:
    return ctx.store.exists("VM", vm_ref) and bool(ctx.store.value("VM", vm_ref, "current_operations"))


def wait_until_alone(ctx: Context, vm_ref: str) -> None:
    """Wait until every other operation on a VM has ended; those that may begin beside others still act after them."""
    task, store = task_of(ctx), ctx.store

    def is_alone() -> bool:
        others = set(store.value("VM", vm_ref, "current_operations")) - {task.ref}
        return task.lost or task.cancelled.is_set() or not others

    with store.changed:
        store.changed.wait_for(is_alone)
    check_not_abandoned(ctx)
    task.raise_if_cancelled()
