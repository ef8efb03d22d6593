"""Taking a disc out that cannot follow."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context


class EjectLocalISO(BaseTask):
    """Taking a disc out that cannot follow.

    Running it twice changes nothing more; there is nothing to revert yet.
    """

    NAME = "eject_local_iso"

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Do nothing yet."""
        return {}
