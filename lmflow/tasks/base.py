"""The one subclass of TaskFlow's task: what every step of a migration has in common."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, ClassVar

from taskflow import task

from lmflow.exceptions import (
    CancelledError,
    FlowSuspended,
    LmflowError,
    MigrationFailedError,
    RefusedError,
    UnreachableError,
    XapiFailureError,
)
from lmflow.tasks.cancelling import check_cancel
from lmflow.tasks.context import Context

LOG = logging.getLogger(__name__)

MAX_RESULT_BYTES = 16 * 1024
"""Of most steps: their results are written often. What is observed of a VM grows with its disks."""


class BaseTask(task.Task):
    """A step: ``act`` does it, ``undo`` takes back what it did. Both look at the pool first and may run twice.

    ``NAME`` is persisted and must never change. ``AFTER_SUBMIT`` marks the steps from the submit on: there an
    unexpected error must not revert anything, it leaves the flow as a crash would, to be executed again. (An atom
    that failed under ``never_resolve`` would not be: the next run of its flow only marks it reverted.)

    ``DURABLE``: before the step begins, what the steps before it have left to be written is on disk. A step can do
    without that which changes nothing, or which writes down each change just before it is sent: what was left to be
    written is in the same transaction. A step that is parked (see ``Context.wait``) is executed again from its
    beginning, in the same process and with the same context, as a resume does in another one.
    """

    NAME: ClassVar[str]
    REQUIRES: ClassVar[tuple[str, ...]] = ()
    PROVIDES: ClassVar[str | None] = None
    AFTER_SUBMIT: ClassVar[bool] = False
    DURABLE: ClassVar[bool] = True
    RESULT_BYTES: ClassVar[int] = MAX_RESULT_BYTES

    def __init__(self) -> None:
        super().__init__(name=self.NAME, provides=self.PROVIDES, requires=("context", *self.REQUIRES))

    def execute(self, context: Context, **inputs: Any) -> Any:
        """Do the step and return strict JSON of at most ``RESULT_BYTES``."""
        context.check_hold()
        try:
            if not self.AFTER_SUBMIT:
                check_cancel(context)
            result = _with_patience(context, self.NAME, lambda: self.act(context, **inputs))
            return make_strict(self.NAME, result, self.RESULT_BYTES)
        except RefusedError:
            raise
        except MigrationFailedError as error:
            self._record_failure(context, error)
            raise
        except XapiFailureError as error:
            self._suspend_if_sent(error)
            self._record_failure(context, error)
            raise MigrationFailedError(
                f"{self.NAME}: {error.message}", xapi_code=error.xapi_code, xapi_params=error.xapi_params
            ) from error
        except Exception as error:
            self._suspend_if_sent(error)
            if not isinstance(error, UnreachableError):  # of the database: there is nothing to write it to
                self._record_unexpected(context, error)
            raise

    def revert(self, context: Context, result: Any = None, flow_failures: Any = None, **kwargs: Any) -> None:
        """Undo the step; never raises for a failure of its own: what could not be undone is recorded as left."""
        context.check_hold()
        try:
            _with_patience(context, self.NAME, lambda: self.undo(context))
        except Exception as error:  # a revert that raises would stop all the others
            told = {"run_uuid": context.run_uuid}
            LOG.warning("revert of %s in run %s: %s", self.NAME, context.run_uuid, error, extra=told)
            text = _describe(error)
            try:
                context.record("left", {"task": self.NAME, "text": text})
            except UnreachableError as lost:
                raise FlowSuspended("unreachable", lost.message) from error

    def act(self, context: Context, **inputs: Any) -> Any:
        """Do the step; what it needs comes by the names in ``REQUIRES``."""
        raise NotImplementedError

    def undo(self, context: Context) -> None:
        """Take back what this step did to the pool, by our own records; nothing by default."""

    def _record_failure(self, context: Context, error: MigrationFailedError | XapiFailureError) -> None:
        """Keep the reason in our own words and XAPI's: TaskFlow's failures are for its own eyes."""
        code = {"code": error.xapi_code, "params": list(error.xapi_params)} if error.xapi_code else None
        data: dict[str, Any] = {"task": self.NAME, "text": error.message, "error": code}
        if isinstance(error, MigrationFailedError) and not error.elsewhere:
            data["elsewhere"] = False
        context.record("failure", data | ({"cancelled": True} if isinstance(error, CancelledError) else {}))

    def _record_unexpected(self, context: Context, error: Exception) -> None:
        """Keep the reason also of what nobody has foreseen; it says nothing about the host."""
        data = {"task": self.NAME, "text": f"{self.NAME}: {_describe(error)}", "error": None, "unexpected": True}
        context.record("failure", data)

    def _suspend_if_sent(self, error: Exception) -> None:
        if self.AFTER_SUBMIT:
            LOG.warning("%s stopped by %s: %s", self.NAME, type(error).__name__, error)
            raise FlowSuspended("error", f"{self.NAME}: {error}") from error


def _describe(error: Exception) -> str:
    return error.message if isinstance(error, LmflowError) else f"{type(error).__name__}: {error}"


def make_strict(name: str, result: Any, max_bytes: int = MAX_RESULT_BYTES) -> Any:
    """Return the result as it will come back from any database; ValueError when it would not come back equal."""
    text = json.dumps(result, allow_nan=False)
    if len(text.encode()) > max_bytes:
        raise ValueError(f"the result of {name} has {len(text)} bytes, more than {max_bytes}")
    strict = json.loads(text)
    if strict != result:
        raise ValueError(f"the result of {name} is not strict JSON")
    return strict


def _with_patience(context: Context, name: str, work: Callable[[], Any]) -> Any:
    """Do the work, again and again while nobody answers; the step may be left in between.

    It begins anew either way: here in a loop, parked or after a crash by being executed again.
    """
    key = f"{name}: unreachable since"
    while True:
        since: float | None = context.kept.pop(key, None)
        began = context.clock()
        try:
            return work()
        except UnreachableError as error:
            if not error.retryable:
                raise FlowSuspended("unreachable", error.message) from error
            context.say("message", f"the pool does not answer: {error.message}")
            if since is None or context.clock() - began > context.waits.pool_seconds:
                since = context.clock()  # it has answered for a long time since the last failure
            context.kept[key] = since
            context.pause_for_pool(since, error, parks=True)
