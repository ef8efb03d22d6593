"""After the move: what is still to be seen to on the destination's side."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.xapi import reads


class AwaitSettled(BaseTask):
    """Wait until the pool has cleared its own marks of the migration from the VM.

    Running it twice waits twice. It changes nothing and has no revert: the VM is there, and stays. Marks that do
    not go away (ghost operations are known in the field) are recorded and do not hold up the run.
    """

    NAME = "await_settled"
    AFTER_SUBMIT = True
    REQUIRES = ("view",)
    PROVIDES = "traces"

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the operations that the VM still shows, normally none."""
        began = context.clock()
        while True:
            vm = reads.read_vm(context.connection, context.request.vm_uuid)
            ghosts = [o for o in vm.current_operations if o == "pool_migrate"] if vm else []
            if not ghosts or context.clock() - began > context.waits.settle_seconds:
                return {"operations": ghosts}
            context.pause(context.waits.poll_seconds)
