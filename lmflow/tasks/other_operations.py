"""What others do with the VM: it is waited for, and then objected to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from lmflow.models import VM, Finding
from lmflow.tasks.cancelling import check_cancel
from lmflow.tasks.context import Context
from lmflow.xapi import attendance

T = TypeVar("T")
_LONGEST_SECONDS = 20.0


@dataclasses.dataclass(slots=True)
class _Busy:
    """What the wait remembers: since when it lasts, and how long the next pause is."""

    began: float
    delay_seconds: float


def wait_while_busy(context: Context, look: Callable[[], T], get_vm: Callable[[T], VM]) -> T:
    """Look until no operation goes on with the VM, or the time for that is over; return the last look.

    The calling step may be left here and begin anew: it must have changed nothing yet.
    """
    with context.keeping("busy", lambda: _Busy(context.clock(), context.waits.poll_seconds)) as waiting:
        while True:
            seen = look()
            busy = get_vm(seen).current_operations
            if not busy or context.clock() - waiting.began >= context.waits.operation_seconds:
                return seen
            check_cancel(context)
            context.say("message", f"{context.request.vm_name} is busy with {', '.join(busy)}: waiting")
            delay = waiting.delay_seconds
            waiting.delay_seconds = min(delay * 2, _LONGEST_SECONDS)
            context.wait(delay)


def find_changed(context: Context, vm: VM) -> tuple[Finding, ...]:
    """Object to what only matters at this moment: another operation, or a VM that is no longer where it was."""
    request, found = context.request, []
    if vm.current_operations:
        operation = attendance.find_operation(context.connection, vm.uuid) or vm.current_operations[0]
        found.append(("OTHER_OPERATION_IN_PROGRESS", f"{request.vm_name} is busy with {operation}"))
    if vm.power_state == "Running" and vm.resident_on_uuid != request.source_uuid:
        found.append(("VM_MOVED", f"{request.vm_name} is no longer on {request.source_name}"))
    remedy = "look at the VM, then ask again"
    return tuple(Finding(rule="submit", code=c, message=m, remedy=remedy, elsewhere=False) for c, m in found)
