"""Removing leftover base_mirror keys of the VM's disks."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context


class StripBaseMirror(BaseTask):
    """Removing leftover base_mirror keys of the VM's disks.

    Running it twice changes nothing more; there is nothing to revert yet.
    """

    NAME = "strip_base_mirror"
    AFTER_SUBMIT = True

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Do nothing yet."""
        return {}
