"""Waiting for a verdict that lasts."""

from __future__ import annotations

import dataclasses

from lmflow.exceptions import UnreachableError
from lmflow.tasks.cancelling import note_task, serve_cancel
from lmflow.tasks.context import Context
from lmflow.tasks.marks import keep_claim
from lmflow.tasks.watch import Sight, Watch
from lmflow.verdict import VerdictKind
from lmflow.xapi import async_tasks

_OPEN = (VerdictKind.WAIT, VerdictKind.ASK, VerdictKind.RE_ATTACH)


def wait_for_verdict(context: Context, *, until_task: bool = False) -> Sight:
    """Look until the verdict is conclude, roll back, redo or unknown, and return that look.

    With ``until_task`` a running task that is ours is enough. Blocks, stores the progress it sees, waits out a
    pool that does not answer. What is settled after the witness was asked has to be said twice, ``waits.quiet_seconds``
    apart: its two hosts are asked one after the other, and may be silent for a moment. FlowSuspended at the deadline or
    when told to stop.
    """
    watch, said, since = make_watch(context), "", context.clock()
    confirmed: VerdictKind | None = None
    while True:
        context.check_hold()
        context.check_deadline()
        try:
            context.adopt_session()
            sight = _keep_found(context, watch.look())
            since = context.clock()
            note_task(context, sight)
            if sight.evidence.restarted and sight.vm is not None:
                keep_claim(context, sight.vm)
            if is_final(sight, confirmed) or (until_task and _is_attached(sight)):
                return sight
            kind = sight.verdict.kind
            said = _tell(context, said, sight.verdict.because)
            confirmed = None if kind in _OPEN else kind
            if kind in _OPEN and sight.verdict.by:  # somebody says that it is under way
                serve_cancel(context, sight)
            _wait_for_more(context, sight)
        except UnreachableError as error:
            said, confirmed = _tell(context, said, error.message), None
            context.pause_for_pool(since, error)


def is_final(sight: Sight, confirmed: VerdictKind | None) -> bool:
    """Tell whether the verdict stands by itself, or was given at the look before too.

    Once the witnesses had to be asked it does not stand by itself: also a silence of theirs may be one of a moment.
    """
    kind, by = sight.verdict.kind, sight.verdict.by
    alone = by in ("xapi", "task", "later", "record") and sight.evidence.witness is None
    return kind not in _OPEN and (alone or confirmed is kind)


def _is_attached(sight: Sight) -> bool:
    return sight.verdict.kind is VerdictKind.RE_ATTACH and sight.evidence.task is not None


def make_watch(context: Context) -> Watch:
    """Return a new series of looks at the context's run."""
    return Watch(
        context.connection,
        context.database,
        run_uuid=context.run_uuid,
        request=context.request,
        waits=context.waits,
        clock=context.clock,
    )


def _keep_found(context: Context, sight: Sight) -> Sight:
    """Store a task that was found by its attempt id: after the next restart of the pool only we know it."""
    attempt, task = sight.attempt, sight.evidence.task
    if attempt is None or task is None or attempt.task_uuid == task.uuid:
        return sight
    context.database.attempts.accepted(context.fence, attempt.uuid, task.uuid, task.ref_digits)
    return dataclasses.replace(sight, attempt=context.database.attempts.latest(context.run_uuid))


def _wait_for_more(context: Context, sight: Sight) -> None:
    task = sight.evidence.task
    if task is not None and task.status == "pending":
        _keep_progress(context, sight)
        async_tasks.wait_for_change(
            context.connection,
            task_uuid=task.uuid,
            vm_uuid=context.request.vm_uuid,
            timeout_seconds=context.waits.event_seconds,
        )
        return
    settling = sight.verdict.kind not in _OPEN
    context.pause(context.waits.quiet_seconds if settling else context.waits.poll_seconds)


def _keep_progress(context: Context, sight: Sight) -> None:
    task, attempt = sight.evidence.task, sight.attempt
    if task is None or attempt is None or abs(task.progress - attempt.progress) < 0.01:
        return
    context.database.attempts.progress(context.fence, attempt.uuid, task.progress)
    late = "" if task.cancellable else ", no longer cancellable"
    context.say(
        "progress", f"pool_migrate {task.progress:.0%}{late}", atom="await_pool_migrate", progress=task.progress
    )


def _tell(context: Context, said: str, text: str) -> str:
    if text != said:
        context.say("evidence", text)
    return text
