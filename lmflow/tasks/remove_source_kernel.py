"""Removing the source's copy of an external kernel and ramdisk."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context


class RemoveSourceKernel(BaseTask):
    """Removing the source's copy of an external kernel and ramdisk.

    Running it twice changes nothing more; there is nothing to revert yet.
    """

    NAME = "remove_source_kernel"
    AFTER_SUBMIT = True

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Do nothing yet."""
        return {}
