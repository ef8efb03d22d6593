"""Our own book of changes to the pool: written before each change, so that only ours is ever undone.

A change goes ``intended`` -> ``done`` -> ``undoing`` -> ``undone``, or ends as ``void`` (it never happened, or others
have overtaken it) or ``unproved`` (it is as intended, and nothing shows that it was us). Only what is ``done`` is
undone. The records of finished tasks stay in the pool until the run ends (see ``traces``): until then they are
evidence.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Mapping

from lmflow.exceptions import (
    FlowSuspended,
    MigrationFailedError,
    NoReplyError,
    SessionNotArmedError,
    UnreachableError,
    XapiFailureError,
)
from lmflow.models import StartedTask, TaskView
from lmflow.tasks.context import Context
from lmflow.xapi import async_tasks
from lmflow.xapi.failures import CURED_BY_LOGIN


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """The latest word on one change. ``attempt_id`` marks the call that makes it, in the pool's own task.

    ``object_uuid`` is its identity within its kind; ``object_name`` is for people; ``data`` is what its undoing needs.
    ``session_uuid`` is the session in which the call is sent, '' for one that is not kept.
    """

    kind: str
    object_uuid: str
    step: str
    attempt_id: str
    object_name: str = ""
    data: Mapping[str, str] = dataclasses.field(default_factory=dict)
    session_uuid: str = ""


def list_changes(context: Context) -> tuple[Change, ...]:
    """Return the latest word on each change of the run, in the order in which they were first intended."""
    latest: dict[tuple[str, str], Change] = {}
    for event in context.database.events.list(context.run_uuid, kind="change"):
        change = Change(**{f.name: event.data[f.name] for f in dataclasses.fields(Change) if f.name in event.data})
        latest[change.kind, change.object_uuid] = change
    return tuple(latest.values())


def find_change(context: Context, kind: str, object_uuid: str) -> Change | None:
    """Return the latest word on that change, None when it was never intended."""
    return next((c for c in list_changes(context) if (c.kind, c.object_uuid) == (kind, object_uuid)), None)


def write(
    context: Context,
    kind: str,
    object_uuid: str,
    step: str,
    attempt_id: str,
    *,
    object_name: str = "",
    data: Mapping[str, str] | None = None,
) -> Change:
    """Append a word on a change, durably. ``data`` may hold no secret."""
    return note(context, Change(kind, object_uuid, step, attempt_id, object_name, data or {}))


def note(context: Context, change: Change, step: str = "", attempt_id: str = "", *, later: bool = False) -> Change:
    """Append the next word on a change, durably; what is not given stays as it is.

    ``later``: with the run's next write, for a result that the pool itself proves whenever it is asked again.
    """
    following = dataclasses.replace(change, step=step or change.step, attempt_id=attempt_id or change.attempt_id)
    record = context.record_later if later else context.record
    record("change", {**dataclasses.asdict(following), "data": dict(following.data)})
    return following


def begin(context: Context, change: Change, step: str) -> Change:
    """Append the word that comes before a call: under a new mark, and with the session in which it will be sent."""
    context.adopt_session()
    return note(
        context, dataclasses.replace(change, session_uuid=context.connection.session_uuid), step, make_attempt_id()
    )


def ensure_fenced(context: Context, change: Change) -> None:
    """End the session in which that call may have been sent: what has not begun yet can then never begin."""
    context.connection.end_session(change.session_uuid)


def make_attempt_id() -> str:
    """Return a new id for one call."""
    return str(uuid.uuid4())


def send(context: Context, attempt_id: str, start: Callable[[], StartedTask]) -> TaskView | None:
    """Send one changing call, after ``begin``, and wait for its task's end; None when no task of ours is to be found.

    No reply is no verdict: our session is ended, so that the call can no longer begin, and the pool is asked
    for a task with our mark. UnreachableError when it was not taken, and may simply be made again.
    """
    task_uuid = ""
    try:
        task_uuid = start().task_uuid
    except SessionNotArmedError as error:
        raise UnreachableError(error.message) from error
    except NoReplyError as error:
        context.say("message", error.message)
        context.fence_off()
    except XapiFailureError as failure:
        if failure.xapi_code not in CURED_BY_LOGIN:
            raise
        context.fence_off()
        raise UnreachableError(failure.message) from failure
    return wait_for_end(context, task_uuid=task_uuid, attempt_id=attempt_id)


def wait_for_end(context: Context, *, task_uuid: str = "", attempt_id: str) -> TaskView | None:
    """Wait until that task has ended and return its last state; None when there is none."""
    began = context.clock()
    while True:
        task = async_tasks.find_task(context.connection, task_uuid=task_uuid, attempt_id=attempt_id)
        if task is None or task.status != "pending":
            return task
        if context.clock() - began > context.waits.operation_seconds:
            raise FlowSuspended("deadline", f"{task.name_label} has not ended in {context.waits.operation_seconds:g} s")
        context.pause(min(0.2, context.waits.poll_seconds))


def fail(task: TaskView | None, what: str) -> MigrationFailedError:
    """Make the error for a change that did not succeed, with XAPI's code when it gave one."""
    if task is None or task.error is None:
        return MigrationFailedError(f"{what}: no task of ours is to be found, and it is not done")
    return MigrationFailedError(
        f"{what}: {task.error.code} {list(task.error.params)}",
        xapi_code=task.error.code,
        xapi_params=task.error.params,
    )
