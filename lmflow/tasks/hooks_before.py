"""Running the site's hooks before anything is changed."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context


class HooksBefore(BaseTask):
    """Running the site's hooks before anything is changed.

    Running it twice changes nothing more; there is nothing to revert yet.
    """

    NAME = "hooks_before"

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Do nothing yet."""
        return {}
