"""Running the site's hooks once the VM is confirmed on its destination."""

from __future__ import annotations

from typing import Any

from lmflow.exceptions import FlowSuspended
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.hooks import HookFailedError, run_hooks


class HooksAfter(BaseTask):
    """Run the site's hooks once the VM is confirmed on its destination.

    Running it twice runs only those hooks again that were cut short, or failed and are fatal. It has no revert: the VM
    stays, and with a fatal failure the run can be resumed at this step.
    """

    NAME = "hooks_after"
    AFTER_SUBMIT = True
    DURABLE = False

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the number of hooks; FlowSuspended when one failed that is fatal."""
        try:
            return {"hooks": run_hooks(context, "after", self.NAME)}
        except HookFailedError as error:
            place = f"{context.request.vm_name} runs on {context.request.destination_name}"
            raise FlowSuspended("error", f"{error.message}; {place}, and the run can be resumed here") from error
