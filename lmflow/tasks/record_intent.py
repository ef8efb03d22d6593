"""First step: say what will be tried, before anything is looked at."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context


class RecordIntent(BaseTask):
    """Write who wants which VM where.

    Running it twice adds nothing: an intent that stands is kept. Its revert is the last of all and says that
    everything before it was undone, or names what is left.
    """

    NAME = "record_intent"
    DURABLE = False

    def act(self, context: Context, **inputs: Any) -> None:
        """Append the intent once."""
        if not context.database.events.list(context.run_uuid, kind="intent"):
            context.record_later("intent", context.request.to_json())

    def undo(self, context: Context) -> None:
        """Append that the reverts are through."""
        left = context.database.events.list(context.run_uuid, kind="left")
        context.record("reverted", {"left": len(left)})
