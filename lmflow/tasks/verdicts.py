"""Waiting for a verdict that lasts."""

from __future__ import annotations

import dataclasses

from lmflow.exceptions import UnreachableError
from lmflow.tasks import limits
from lmflow.tasks.cancelling import note_task, serve_cancel
from lmflow.tasks.context import Context
from lmflow.tasks.marks import keep_claim
from lmflow.tasks.watch import Sight, Watch
from lmflow.verdict import Looks, VerdictKind

_OPEN = (VerdictKind.WAIT, VerdictKind.ASK, VerdictKind.RE_ATTACH)


@dataclasses.dataclass(slots=True)
class Waiting:
    """What the wait for a verdict remembers from look to look.

    ``said``: what was told last. ``confirmed``: the verdict of the last look, where it has to come twice.
    ``silent_since``: when the pool stopped answering, None while it does. ``progress``: what was stored last.
    """

    progress: float = 0.0
    looks: Looks | None = None
    said: str = ""
    confirmed: VerdictKind | None = None
    silent_since: float | None = None


def wait_for_verdict(context: Context, *, until_task: bool = False, parks: bool = False) -> Sight:
    """Look until the verdict is conclude, roll back, redo or unknown, and return that look.

    With ``until_task`` a running task that is ours is enough. ``parks``: the calling step may be left here and begin
    anew, see ``Context.wait``; else it blocks. Stores the progress it sees, waits out a pool that does not answer.
    What is settled after the witness was asked has to be said twice, ``waits.quiet_seconds`` apart: its two hosts are
    asked one after the other, and may be silent for a moment. FlowSuspended at the deadline or when told to stop.
    """
    with context.keeping("verdict", Waiting) as waiting:
        return _wait(context, waiting, until_task=until_task, parks=parks)


def _wait(context: Context, waiting: Waiting, *, until_task: bool, parks: bool) -> Sight:
    watch = make_watch(context, waiting.looks)
    while True:
        context.check_hold()
        context.check_deadline()
        began = context.clock()
        try:
            sight = _look(context, watch)
            waiting.looks, waiting.silent_since = watch.looks, None
            if is_final(sight, waiting.confirmed) or (until_task and _is_attached(sight)):
                return sight
            kind = sight.verdict.kind
            waiting.said = _tell(context, waiting.said, sight.verdict.because)
            waiting.confirmed = None if kind in _OPEN else kind
            if kind in _OPEN and sight.verdict.by:  # somebody says that it is under way
                serve_cancel(context, sight)
            _wait_for_more(context, waiting, sight, parks=parks)
        except UnreachableError as error:
            waiting.said, waiting.confirmed = _tell(context, waiting.said, error.message), None
            if waiting.silent_since is None:
                waiting.silent_since = began
            context.pause_for_pool(waiting.silent_since, error, parks=parks)


def _look(context: Context, watch: Watch) -> Sight:
    context.adopt_session()
    attempt = watch.recall()
    if attempt is not None and attempt.task_uuid and attempt.state != "ended":
        context.watch(attempt.task_uuid, context.request.vm_uuid)  # before the look: what changes after it is heard
    sight = _keep_found(context, watch.look_at(attempt))
    note_task(context, sight)
    if sight.evidence.restarted and sight.vm is not None:
        keep_claim(context, sight.vm)
    return sight


def is_final(sight: Sight, confirmed: VerdictKind | None) -> bool:
    """Tell whether the verdict stands by itself, or was given at the look before too.

    Once the witnesses had to be asked it does not stand by itself: also a silence of theirs may be one of a moment.
    """
    kind, by = sight.verdict.kind, sight.verdict.by
    alone = by in ("xapi", "task", "later", "record") and sight.evidence.witness is None
    return kind not in _OPEN and (alone or confirmed is kind)


def _is_attached(sight: Sight) -> bool:
    return sight.verdict.kind is VerdictKind.RE_ATTACH and sight.evidence.task is not None


def make_watch(context: Context, looks: Looks | None = None) -> Watch:
    """Return a series of looks at the context's run, a new one or what goes on from ``looks``."""
    return Watch(
        context.connection,
        context.database,
        run_uuid=context.run_uuid,
        request=context.request,
        waits=context.waits,
        clock=context.clock,
        looks=looks,
    )


def _keep_found(context: Context, sight: Sight) -> Sight:
    """Store a task that was found by its attempt id: after the next restart of the pool only we know it."""
    attempt, task = sight.attempt, sight.evidence.task
    if attempt is None or task is None or attempt.task_uuid == task.uuid:
        return sight
    context.database.attempts.accepted(context.fence, attempt.uuid, task.uuid, task.ref_digits)
    return dataclasses.replace(sight, attempt=context.database.attempts.latest(context.run_uuid))


def _wait_for_more(context: Context, waiting: Waiting, sight: Sight, *, parks: bool) -> None:
    task, waits = sight.evidence.task, context.waits
    if task is None or task.status != "pending":
        context.wait(waits.poll_seconds if sight.verdict.kind in _OPEN else waits.quiet_seconds, parks=parks)
        return

    def keep_progress() -> None:
        progress = context.find_progress()
        if progress is not None:
            limits.note_progress(context, progress)
            _keep_progress(context, waiting, sight, progress)

    _keep_progress(context, waiting, sight, task.progress)
    context.wait(
        limits.find_next_seconds(context),
        task_uuid=task.uuid,
        vm_uuid=context.request.vm_uuid,
        meanwhile=keep_progress,
        parks=parks,
    )


def _keep_progress(context: Context, waiting: Waiting, sight: Sight, progress: float) -> None:
    task, attempt = sight.evidence.task, sight.attempt
    if task is None or attempt is None or abs(progress - max(waiting.progress, attempt.progress)) < 0.01:
        return
    context.database.attempts.progress(context.fence, attempt.uuid, progress)
    waiting.progress = progress
    late = "" if task.cancellable else ", no longer cancellable"
    context.say("progress", f"pool_migrate {progress:.0%}{late}", atom="await_pool_migrate", progress=progress)


def _tell(context: Context, said: str, text: str) -> str:
    if text != said:
        context.say("evidence", text)
    return text
