"""What of ours would stay behind in the pool."""

from __future__ import annotations

from lmflow.tasks.context import Context
from lmflow.xapi import async_tasks


def remove_traces(context: Context) -> None:
    """Destroy the finished task records of every attempt of the run; the verdict on them is stored before.

    Safe to repeat: a record that is gone is no error. A pending one is left alone.
    """
    for attempt in context.database.attempts.list(context.run_uuid):
        task = async_tasks.find_task(context.connection, task_uuid=attempt.task_uuid, attempt_id=attempt.uuid)
        if task is not None and task.status != "pending":
            async_tasks.destroy_task(context.connection, task.uuid)
