"""What is worth knowing of a run and neither ends it nor holds it up."""

from __future__ import annotations

from typing import Final

from lmflow.tasks.context import Context

WARNING: Final = "warning"


def warn(context: Context, task: str, text: str) -> None:
    """Record a warning, once in a run, and tell whoever watches; the run's outcome has it."""
    if all(event.data["text"] != text for event in context.database.events.list(context.run_uuid, kind=WARNING)):
        context.record(WARNING, {"task": task, "text": text})
        context.say("message", f"warning: {text}")
