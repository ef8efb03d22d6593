"""What may be done to a host, and with which refusal not; its allowed_operations are what is refused by nothing.

What brings VMs and what takes them away exclude each other; a host goes down only while it is disabled. Source:
xapi_host_helpers.ml; the lists and their order as a real pool showed them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lmflow.simulator import gate
from lmflow.simulator.context import Context
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import Value
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.rules import upgrade_order

SHOWN = (
    "vm_migrate",
    "provision",
    "vm_resume",
    "apply_updates",
    "enable",
    "reboot",
    "evacuate",
    "vm_start",
    "shutdown",
    "power_on",
)
"""The operations that allowed_operations may hold, in the order in which a real pool listed them."""

_BRING = frozenset({"provision", "vm_resume", "vm_migrate"})
_TAKE_AWAY = frozenset({"evacuate", "reboot", "shutdown"})
_GO_DOWN = frozenset({"reboot", "shutdown", "apply_updates"})
_DURING_UPGRADE = frozenset({"evacuate", "provision"})


def _is_in_the_way(operation: str, other: str) -> bool:
    if (operation in _BRING and other in _TAKE_AWAY) or (operation in _TAKE_AWAY and other in _BRING):
        return True
    return operation == other == "provision" or (operation != other and {operation, other} <= _GO_DOWN)


def find_refusal(store: Store, host_ref: str, operation: str) -> ApiFailure | None:
    """Find why an operation on a host would be refused now.

    OTHER_OPERATION_IN_PROGRESS, HOST_NOT_DISABLED, HOST_IS_LIVE, HOST_POWER_ON_MODE_DISABLED.
    """
    if operation != "power_on":
        for task_ref, other in store.value("host", host_ref, "current_operations").items():
            if _is_in_the_way(operation, other):
                return ApiFailure("OTHER_OPERATION_IN_PROGRESS", "host", host_ref, other, task_ref)
    if operation in _GO_DOWN and store.value("host", host_ref, "enabled"):
        return ApiFailure("HOST_NOT_DISABLED")
    if operation == "power_on":
        metrics_ref = store.value("host", host_ref, "metrics")
        if store.exists("host_metrics", metrics_ref) and store.value("host_metrics", metrics_ref, "live"):
            return ApiFailure("HOST_IS_LIVE", host_ref)
        if not store.value("host", host_ref, "power_on_mode"):
            return ApiFailure("HOST_POWER_ON_MODE_DISABLED")
    return None


def check_operation(store: Store, host_ref: str, operation: str) -> None:
    """Refuse an operation that is not possible on this host now."""
    refusal = find_refusal(store, host_ref, operation)
    if refusal is not None:
        raise refusal


def operations_of(store: Store, host_ref: str) -> list[str]:
    """List what a host shows as allowed, in XAPI's order; few of it while hosts are upgraded one by one."""
    upgrading = upgrade_order.is_in_progress(store)
    shown = [name for name in SHOWN if not upgrading or name in _DURING_UPGRADE]
    return [name for name in shown if find_refusal(store, host_ref, name) is None]


def update_host(store: Store, host_ref: str, **fields: Value) -> None:
    """Change a host's fields and its allowed_operations; a host that is gone is left alone."""
    with store.lock:
        if store.exists("host", host_ref):
            store.update("host", host_ref, **fields)
            store.update("host", host_ref, allowed_operations=operations_of(store, host_ref))


def enter(ctx: Context, host_ref: str, operation: str) -> None:
    """Show the task's operation on a host; the lock must be held. Refused at once where it is not possible."""
    check_operation(ctx.store, host_ref, operation)
    under_way = ctx.store.value("host", host_ref, "current_operations")
    update_host(ctx.store, host_ref, current_operations={**under_way, gate.task_of(ctx).ref: operation})


def leave(ctx: Context, host_ref: str) -> None:
    """Take the task's operation from a host again; the lock must be held."""
    if ctx.store.exists("host", host_ref):
        under_way = ctx.store.value("host", host_ref, "current_operations")
        under_way.pop(gate.task_of(ctx).ref, None)
        update_host(ctx.store, host_ref, current_operations=under_way)


@contextmanager
def host_operation(ctx: Context, host_ref: str, operation: str) -> Iterator[None]:
    """Show an operation on a host while the block runs; what is in its way is waited for, as on a VM."""
    _wait_and_enter(ctx, host_ref, operation)
    try:
        yield
    finally:
        with ctx.store.lock:
            if not gate.task_of(ctx).lost:
                leave(ctx, host_ref)


def _wait_and_enter(ctx: Context, host_ref: str, operation: str) -> None:
    store, task = ctx.store, gate.task_of(ctx)
    deadline = ctx.clock.now() + gate.PATIENCE_SECONDS

    def may_look_again() -> bool:
        if task.lost or task.cancelled.is_set() or not store.exists("host", host_ref):
            return True
        return find_refusal(store, host_ref, operation) is None

    while True:
        with gate.writing(ctx):
            try:
                enter(ctx, host_ref, operation)
            except ApiFailure as refusal:
                if refusal.code != "OTHER_OPERATION_IN_PROGRESS" or ctx.clock.now() > deadline:
                    raise
            else:
                return
        with store.changed:
            store.changed.wait_for(may_look_again, ctx.clock.real(gate.BACK_OFF_SECONDS[1]))
        task.raise_if_cancelled()
