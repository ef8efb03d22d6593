"""Taking the mark of this run off the VM, once nothing more is done with it."""

from __future__ import annotations

from typing import Any

from lmflow import checks
from lmflow.exceptions import XapiFailureError
from lmflow.tasks import claim_vm
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.notes import warn


class ReleaseVM(BaseTask):
    """Take the mark of this run off the VM, so that runs of other databases may have it.

    Running it twice finds the mark gone. It has no revert, and a failure of it is a warning that says how the mark is
    taken off by hand: the VM is there, and stays.
    """

    NAME = "release_vm"
    AFTER_SUBMIT = True
    DURABLE = False

    def act(self, context: Context, **inputs: Any) -> None:
        """Remove it if it is ours."""
        try:
            claim_vm.release(context, self.NAME, claim_vm.RELEASED)
        except XapiFailureError as error:
            request = context.request
            told = f"{request.vm_name} keeps the mark of run {context.run_uuid}: {error.message}"
            warn(context, self.NAME, f"{told}; {checks.write_removal(request.vm_uuid)}")
