"""What of ours would stay behind in the pool."""

from __future__ import annotations

from lmflow.tasks.context import Context
from lmflow.xapi import async_tasks


def remove_traces(context: Context) -> None:
    """Destroy the finished task records of every attempt and change of the run; their verdicts are stored before.

    Safe to repeat: a record that is gone is no error. A pending one is left alone.
    """
    marks = [(a.task_uuid, a.uuid) for a in context.database.attempts.list(context.run_uuid)]
    changed = context.database.events.list(context.run_uuid, kind="change")
    marks += [("", mark) for mark in dict.fromkeys(str(e.data["attempt_id"]) for e in changed)]
    for known_uuid, attempt_id in marks:
        task_uuid = known_uuid
        if not known_uuid:
            with context.connection.look():
                task = async_tasks.find_task(context.connection, attempt_id=attempt_id)
            task_uuid = task.uuid if task is not None and task.status != "pending" else ""
        # Once more where the reply was lost, and it is still there.
        if task_uuid and not async_tasks.destroy_task(context.connection, task_uuid):
            async_tasks.destroy_task(context.connection, task_uuid)
