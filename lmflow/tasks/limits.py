"""What the request says of a run's time: when it has passed, the run's own cancel is wished for, as by a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from lmflow.models import TaskView
from lmflow.tasks.context import Context
from lmflow.tasks.steering import CancelWish, Standing

LIMIT: Final = "limit"
BY: Final = "lmflow"


def watch(context: Context, task: TaskView | None = None) -> None:
    """Wish for a cancel when a limit of the run has passed: once for each limit, whoever owns the run then.

    ``task`` is our migration while it is under way: only then can it stand still. Safe to repeat.
    """
    options, book = context.request.options, context.cancelling
    if options.deadline_seconds is None and options.no_progress_seconds is None:
        return
    with book.lock:
        standing = book.standing
        if standing is None:
            standing = book.standing = _recall(context)
        _note_progress(context, standing, None if task is None else task.progress)
        for limit, reason in _find_passed(context, standing):
            if limit not in standing.passed:
                context.record(LIMIT, {"limit": limit, "text": reason})
                context.say("message", f"{reason}: its cancel is asked for")
                standing.passed.add(limit)
                book.limit = CancelWish(BY, reason, limit=limit)


def note_progress(context: Context, progress: float) -> None:
    """Note what was heard of our migration's progress between two looks: that it stands still is then known in time."""
    book = context.cancelling
    with book.lock:
        if book.standing is not None:
            _note_progress(context, book.standing, progress)


def find_next_seconds(context: Context) -> float:
    """Return how long the wait for our migration may last without a look, because something else is due by then.

    That is one of the run's limits, the end of our own patience, or the answer to a wish to cancel.
    """
    options, waits, book, now = context.request.options, context.waits, context.cancelling, context.clock()
    due = [waits.look_seconds, context.started_at + waits.deadline_seconds - now]
    if book.since is not None and not book.sent_to and context.find_wishes():
        due.append(book.since + waits.cancel_seconds - now)
    if book.standing is not None:
        with book.lock:
            due += [limit - now for limit in _find_limits(context, book.standing)]
    if options.no_progress_seconds is not None:  # what moves while nobody hears of it is seen by a look only
        due.append(options.no_progress_seconds / 4)
    return max(min(due), waits.poll_seconds)


def note_answer(context: Context, wishes: Sequence[CancelWish], word: str) -> None:
    """Record that a limit's wish was answered: the next owner of the run does not ask again."""
    for wish in wishes:
        if wish.limit:
            context.record(LIMIT, {"limit": wish.limit, "answer": word})


def _recall(context: Context) -> Standing:
    """Take over what owners before this one have wished for, and what they were not answered."""
    created_at = context.clock() - context.database.runs.get_age_seconds(context.run_uuid)
    asked: dict[str, str] = {}
    for event in context.database.events.list(context.run_uuid, kind=LIMIT):
        asked[str(event.data["limit"])] = "" if event.data.get("answer") else str(event.data["text"])
    for limit, reason in asked.items():
        if reason:
            context.cancelling.limit = CancelWish(BY, reason, limit=limit)
    return Standing(created_at=created_at, passed=set(asked))


def _note_progress(context: Context, standing: Standing, progress: float | None) -> None:
    if progress is None:
        standing.moved_at = None
    elif standing.moved_at is None or progress != standing.progress:
        standing.progress, standing.moved_at = progress, context.clock()


def _find_passed(context: Context, standing: Standing) -> Iterator[tuple[str, str]]:
    options, now = context.request.options, context.clock()
    deadline, still = options.deadline_seconds, options.no_progress_seconds
    if deadline is not None and now - standing.created_at >= deadline:
        yield "deadline", f"deadline of {deadline:g} s passed"
    if still is not None and standing.moved_at is not None and now - standing.moved_at >= still:
        yield "no_progress", f"no progress for {still:g} s"


def _find_limits(context: Context, standing: Standing) -> Iterator[float]:
    """Yield when the limits are reached that have not passed yet, by the context's clock."""
    options = context.request.options
    if options.deadline_seconds is not None and "deadline" not in standing.passed:
        yield standing.created_at + options.deadline_seconds
    still, moved_at = options.no_progress_seconds, standing.moved_at
    if still is not None and moved_at is not None and "no_progress" not in standing.passed:
        yield moved_at + still
