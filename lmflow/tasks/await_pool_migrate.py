"""Waiting for the end of the migration, and for the truth about it."""

from __future__ import annotations

from typing import Any

from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.submit_pool_migrate import fail_stayed, suspend_unknown
from lmflow.tasks.verdicts import wait_for_verdict
from lmflow.verdict import VerdictKind


class AwaitPoolMigrate(BaseTask):
    """Watch the task, then weigh task, pool and witnesses until it is known where the VM runs.

    Running it twice watches again: what was concluded before is stored and stands. It fails, and so lets the flow
    revert, only when the VM is verified not to be on the destination. It has nothing of its own to revert.
    """

    NAME = "await_pool_migrate"
    DURABLE = False
    PROVIDES = "arrival"
    AFTER_SUBMIT = True

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the evidence that the VM runs on the destination."""
        sight = wait_for_verdict(context, parks=True)
        kind, because = sight.verdict.kind, sight.verdict.because
        if kind in (VerdictKind.ROLL_BACK, VerdictKind.REDO):  # redo here: others moved it there and back again
            fail_stayed(context, because, sight.attempt, sight.evidence.task)
        if kind is not VerdictKind.CONCLUDE:
            suspend_unknown(context, because)
        arrival = {"kind": kind.value, "because": because, "by": sight.verdict.by, "evidence": sight.evidence.to_json()}
        if sight.verdict.by != "record":  # else it stands there already, with what settled it
            context.record_later("verdict", arrival)
        if sight.attempt is not None and sight.attempt.state != "ended":
            context.database.attempts.ended(context.fence, sight.attempt.uuid, "moved")  # and the verdict with it
        return {"because": because, "by": sight.verdict.by}
