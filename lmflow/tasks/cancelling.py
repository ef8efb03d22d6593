"""Serving a wish to cancel: before the submit by failing, while a task migrates by cancelling it, else by an answer."""

from __future__ import annotations

from lmflow.exceptions import CancelledError, SessionNotArmedError, XapiFailureError
from lmflow.tasks import limits
from lmflow.tasks.context import Context
from lmflow.tasks.steering import CancelWish
from lmflow.tasks.watch import Sight
from lmflow.xapi import async_tasks

TOO_LATE, NOT_NOW = "too_late", "not_now"
ANSWER = "cancel_answer"
SENT = "cancel_sent"


def check_cancel(context: Context) -> None:
    """Raise CancelledError when a cancel is wished for. Only where it is known that nothing was sent."""
    limits.watch(context)
    for wish in context.find_wishes():
        raise CancelledError(f"{wish.describe()} before anything was sent")


def serve_cancel(context: Context, sight: Sight) -> None:
    """Cancel our task in the pool once it can be cancelled, or answer why not.

    What becomes of the migration is judged as ever, from what is seen. Safe to repeat: cancelling a task twice, or one
    that has ended, has no effect. A task that shows no ``cancel`` is in its last phase only if it showed one before;
    a new one shows none either for a moment (source: a recorded xapi).
    """
    task, book = sight.evidence.task, context.cancelling
    pending = task is not None and task.status == "pending"
    limits.watch(context, task if pending else None)
    wishes = context.find_wishes()
    if not wishes or (book.sent_to and (not pending or book.sent_to == (task.uuid if task else ""))):
        return  # it was sent: what became of it is to be seen
    if task is not None and pending and task.cancellable:
        _send(context, wishes[0], task.uuid)
    elif pending and book.asked_of == (task.uuid if task else ""):
        return  # the reply was lost: it may have been taken, and that is why the task cannot be cancelled any more
    elif pending and book.seen_cancellable:
        answer(context, TOO_LATE, "the guest is being moved over: the migration goes on to its end")
    elif book.since is None:
        book.since = context.clock()
    elif context.clock() - book.since > context.waits.cancel_seconds:
        because = "the pool does not let its task be cancelled now" if pending else "it is under way without a task"
        answer(context, NOT_NOW, because)


def note_task(context: Context, sight: Sight) -> None:
    """Remember that the task could be cancelled: that it no longer can means something only then."""
    task = sight.evidence.task
    if task is not None and task.status == "pending" and task.cancellable:
        context.cancelling.seen_cancellable = True


def find_cancel(context: Context) -> CancelWish | None:
    """Return the wish for which a cancel was sent to the pool, by this owner or one before it."""
    sent = context.database.events.list(context.run_uuid, kind=SENT)
    return CancelWish(by=str(sent[-1].data["by"]), reason=str(sent[-1].data["reason"])) if sent else None


def _send(context: Context, wish: CancelWish, task_uuid: str) -> None:
    context.adopt_session()
    context.record(SENT, {"task_uuid": task_uuid, "by": wish.by, "reason": wish.reason})
    context.cancelling.asked_of = task_uuid
    try:
        taken = async_tasks.cancel_task(context.connection, task_uuid)
    except SessionNotArmedError:
        return  # the session was lost since the look: the next one has another
    except XapiFailureError as error:
        answer(context, NOT_NOW, f"the pool refused to cancel the task: {error.message}")
        return
    if taken:
        context.cancelling.sent_to = task_uuid
        context.say("message", f"pool_migrate: cancel sent ({wish.describe()})")


def answer(context: Context, word: str, because: str) -> None:
    """Record for whoever asked why the run goes on; from then on nothing is wished for any more.

    The end of a run is an answer by itself, and none is recorded then.
    """
    wishes = context.find_wishes()
    if not wishes:
        return
    number = max(wish.number for wish in wishes)
    data = {"answer": word, "because": because, "number": number, "by": wishes[0].by, "reason": wishes[0].reason}
    context.record(ANSWER, data)
    limits.note_answer(context, wishes, word)
    context.say("message", f"not cancelled: {because}")
    context.cancelling.answered += wishes
    context.cancelling.since = None
