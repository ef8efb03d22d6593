"""After the point of no return: what XAPI shows of the VM that has arrived."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.xapi import reads


class VerifyOnDestination(BaseTask):
    """Read the VM again and compare XAPI's view with what was proved.

    Running it twice reads twice. There is no revert behind the point of no return. A view of XAPI that differs is
    reported with the step that repairs it, never repaired: lmflow starts no VM.
    """

    NAME = "verify_on_destination"
    PROVIDES = "view"

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return XAPI's view as power state and host, whether it is right, and the repair when it is not."""
        request = context.request
        vm = reads.read_vm(context.connection, request.vm_uuid)
        power_state = vm.power_state if vm else ""
        resident = vm.resident_on_uuid if vm else None
        right = power_state == "Running" and resident == request.destination_uuid
        repair = "" if right else make_repair(context, power_state)
        if repair:
            context.record("xapi_view", {"power_state": power_state, "resident_on_uuid": resident, "repair": repair})
        return {"power_state": power_state, "resident_on_uuid": resident, "right": right, "repair": repair}


def make_repair(context: Context, power_state: str) -> str:
    """Name the step that mends XAPI's view of a VM that runs on the destination; a person takes it, never we.

    Source: on a real xapi, starting such a VM on the host where it really runs starts nothing, answers
    VM_BAD_POWER_STATE [.., Halted, Running], and the record is right afterwards. On any other host it would run twice.
    """
    request = context.request
    start = f"xe vm-start uuid={request.vm_uuid} on={request.destination_name}"
    mend = f"{start} (it runs there already: nothing is started, XAPI answers VM_BAD_POWER_STATE and learns the truth)"
    if power_state == "Halted":
        return mend
    return f"xe-toolstack-restart on {request.source_name}, which makes XAPI show it as Halted; then {mend}"
