"""Copying an external kernel and ramdisk to the destination."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context


class CopyKernel(BaseTask):
    """Copying an external kernel and ramdisk to the destination.

    Running it twice changes nothing more; there is nothing to revert yet.
    """

    NAME = "copy_kernel"

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Do nothing yet."""
        return {}
