"""Running the site's hooks once the VM is confirmed on its destination."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context


class HooksAfter(BaseTask):
    """Running the site's hooks once the VM is confirmed on its destination.

    Running it twice changes nothing more; there is nothing to revert yet.
    """

    NAME = "hooks_after"
    AFTER_SUBMIT = True

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Do nothing yet."""
        return {}
