"""Last step: clear away our own traces and say how it ended."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.traces import remove_traces


class Conclude(BaseTask):
    """Destroy our finished task record, whose verdict is stored, and put the end in one sentence.

    Running it twice finds the record gone. It has no revert: nothing is left to take back.
    """

    NAME = "conclude"
    AFTER_SUBMIT = True
    REQUIRES = ("view", "traces")
    PROVIDES = "end"

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the summary."""
        remove_traces(context)
        view = inputs["view"]
        summary = str(view["place"])
        verdict = context.database.events.list(context.run_uuid, kind="verdict")[-1].data
        if verdict["by"] != "task":  # anything but the plain end of a task is worth a word
            summary += f" ({verdict['because']})"
        if view["repair"]:
            summary += f". To repair: {view['repair']}"
        return {"summary": summary}
