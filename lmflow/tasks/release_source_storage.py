"""Letting go of the source's connection to storage that nobody uses there any more."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context


class ReleaseSourceStorage(BaseTask):
    """Letting go of the source's connection to storage that nobody uses there any more.

    Running it twice changes nothing more; there is nothing to revert yet.
    """

    NAME = "release_source_storage"
    AFTER_SUBMIT = True

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Do nothing yet."""
        return {}
