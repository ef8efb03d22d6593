"""The one step that asks the pool to move the VM, behind an interface that other kinds of moves can take."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final

from lmflow import checks
from lmflow.exceptions import (
    CancelledError,
    FlowSuspended,
    MigrationFailedError,
    NoReplyError,
    SessionNotArmedError,
    UnreachableError,
    XapiFailureError,
)
from lmflow.models import Attempt, Finding, Snapshot, StartedTask, TaskView, XapiError
from lmflow.tasks.base import BaseTask
from lmflow.tasks.cancelling import check_cancel, find_cancel
from lmflow.tasks.context import Context
from lmflow.tasks.guest_files import check_copied
from lmflow.tasks.marks import keep_claim
from lmflow.tasks.other_operations import find_changed, wait_while_busy
from lmflow.tasks.terms import make_terms
from lmflow.tasks.validate import refuse, weigh
from lmflow.tasks.verdicts import wait_for_verdict
from lmflow.verdict import Sent, VerdictKind
from lmflow.xapi import changes as pool_changes
from lmflow.xapi import reads

MAX_SENDS: Final = 5
DEVICES: Final = "devices"

NOT_TAKEN: Final = frozenset(
    {
        "HOST_HAS_NO_MANAGEMENT_IP",
        "HOST_IS_SLAVE",
        "HOST_MASTER_CANNOT_TALK_BACK",
        "HOST_STILL_BOOTING",
        "HOST_UNKNOWN_TO_MASTER",
        "SESSION_INVALID",
    }
)
"""Refusals of the door, not of the migration: XAPI gives them before it reads what is asked of it."""


class SubmitPoolMigrate(BaseTask):
    """Send ``pool_migrate`` once: look, commit the intent, send, commit the task.

    Running it twice is safe: an attempt that may have been sent is first judged by what the pool and its
    witnesses say now, behind the fence; only a verdict that it never began allows another one. There is nothing to
    revert here: a migration that was sent is never taken back, it is awaited.
    """

    NAME = "submit_pool_migrate"
    AFTER_SUBMIT = True
    DURABLE = False

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return whether a migration of ours is under way; RefusedError when the last look finds a reason."""
        with context.keeping(self.NAME, _Sending) as sending:
            return self._bring_under_way(context, sending)

    def _bring_under_way(self, context: Context, sending: _Sending) -> dict[str, Any]:
        while sending.number < MAX_SENDS:
            _ensure_fenced(context, sending)
            sight = wait_for_verdict(context, until_task=True, parks=True)
            kind = sight.verdict.kind
            if kind is VerdictKind.UNKNOWN:
                suspend_unknown(context, sight.verdict.because)
            if kind is VerdictKind.ROLL_BACK and sight.evidence.sent is not Sent.NOTHING:
                fail_stayed(context, sight.verdict.because, sight.attempt, sight.evidence.task)
            if kind in (VerdictKind.CONCLUDE, VerdictKind.RE_ATTACH):
                return {"sent": sight.attempt is not None}
            if sight.attempt is not None and sight.attempt.state != "ended":
                context.database.attempts.ended(context.fence, sight.attempt.uuid, "never began")
            check_cancel(context)
            snapshot = _look_before(context)
            check_copied(context, snapshot.vm)
            sending.number += 1
            if self._send(context, snapshot):
                return {"sent": True}
        raise FlowSuspended("unreachable", f"{MAX_SENDS} submits in a row did not reach the pool")

    def submit(self, context: Context, attempt_uuid: str) -> StartedTask:
        """Make the call that moves the VM; what a subclass for another kind of move replaces."""
        request = context.request
        return pool_changes.migrate_vm(
            context.connection,
            vm_uuid=request.vm_uuid,
            destination_uuid=request.destination_uuid,
            attempt_id=attempt_uuid,
            options=request.options,
        )

    def _send(self, context: Context, snapshot: Snapshot) -> bool:
        """Send once. False when it surely had no effect, or when it must be found out whether it had."""
        attempt = _begin(context, snapshot)
        if not _is_as_seen(context, snapshot):
            context.database.attempts.ended(context.fence, attempt.uuid, "not sent")
            return False
        try:
            started = self.submit(context, attempt.uuid)
        except NoReplyError as error:
            context.say("message", error.message)
            return False
        except (UnreachableError, SessionNotArmedError) as error:
            context.database.attempts.ended(context.fence, attempt.uuid, "not sent")
            context.say("message", error.message)
            context.pause(context.waits.poll_seconds)
            return False
        except XapiFailureError as error:
            context.database.attempts.ended(context.fence, attempt.uuid, f"refused: {error.xapi_code}")
            if error.xapi_code in NOT_TAKEN:
                return False
            raise MigrationFailedError(
                error.message, xapi_code=error.xapi_code, xapi_params=error.xapi_params
            ) from error
        context.database.attempts.accepted(context.fence, attempt.uuid, started.task_uuid, started.ref_digits)
        context.say(
            "message", f"pool_migrate accepted: {context.request.vm_name} -> {context.request.destination_name}"
        )
        return True


def _is_as_seen(context: Context, snapshot: Snapshot) -> bool:
    """Look at the VM once more: the commit of the intent may have waited long for the database."""
    vm = reads.read_vm(context.connection, context.request.vm_uuid)
    if vm is None or vm.current_operations:
        return False
    seen = snapshot.vm
    now, then = ((each.power_state, each.resident_on_uuid, each.domid, each.claimed_by) for each in (vm, seen))
    return now == then


@dataclasses.dataclass(slots=True)
class _Sending:
    """What the step remembers while it waits: how often it has sent, and behind which attempt the fence stands."""

    number: int = 0
    fenced_uuid: str = ""


def _ensure_fenced(context: Context, sending: _Sending) -> None:
    """End the session that an attempt without a reply was sent in: what has not begun yet can then never begin."""
    attempt = context.database.attempts.latest(context.run_uuid)
    if attempt is None or attempt.state != "intended" or attempt.uuid == sending.fenced_uuid:
        return
    context.connection.end_session(attempt.session_uuid)
    sending.fenced_uuid = attempt.uuid


def _look_before(context: Context) -> Snapshot:
    """Read VM and destination once more, wait for another operation on the VM, and ask every rule again."""
    snapshot = wait_while_busy(context, lambda: _read(context), lambda seen: seen.vm)
    if keep_claim(context, snapshot.vm):
        snapshot = wait_while_busy(context, lambda: _read(context), lambda seen: seen.vm)
    found = (*checks.check_all(snapshot, context.site), *find_changed(context, snapshot.vm))
    # Whatever rules a site has switched off: a VM that another run holds is not moved.
    weigh(context, SubmitPoolMigrate.NAME, tuple(dict.fromkeys((*found, *checks.check_claimed(snapshot)))))
    return snapshot


def _read(context: Context) -> Snapshot:
    request = context.request
    try:
        return reads.read_snapshot(
            context.connection,
            request.vm_uuid,
            request.destination_uuid,
            now=time.time(),
            terms=make_terms(
                request.options, context.site, (request.vm_uuid,), run_uuid=context.run_uuid, prepared=True
            ),
        )
    except XapiFailureError as error:
        message = f"the last look before the submit failed: {error.message}"
        remedy = f"see whether {request.vm_name} still exists"
        refuse(context, (Finding(rule="submit", code=error.xapi_code, message=message, remedy=remedy),))
        raise


def _begin(context: Context, snapshot: Snapshot) -> Attempt:
    """Commit the intent, with the toolstacks' start times by which a restart is seen later.

    What is attached to the VM now is kept as well: it is to be attached when the VM has arrived.
    """
    context.adopt_session()
    drives = [vbd.uuid for vbd in snapshot.vm.vbds if vbd.currently_attached and not vbd.empty]
    cards = [vif.uuid for vif in snapshot.vm.vifs if vif.currently_attached]
    context.record_later(DEVICES, {"attached": drives + cards})  # in one transaction with the attempt
    context.check_hold()
    starts = {h.uuid: h.agent_start_time for h in snapshot.hosts}
    return context.database.attempts.begin(
        context.fence,
        attempt_uuid=str(uuid.uuid4()),
        session_uuid=context.connection.session_uuid,
        starts=starts,
        disabled=tuple(h.uuid for h in snapshot.hosts if not h.enabled),
        domid=snapshot.vm.domid,
    )


def suspend_unknown(context: Context, because: str) -> None:
    """Record that a person must decide, and leave the flow as a crash would: nothing is reverted."""
    context.record("verdict", {"kind": VerdictKind.UNKNOWN.value, "because": because})
    raise FlowSuspended("unknown", because)


def fail_stayed(context: Context, because: str, attempt: Attempt | None, task: TaskView | None) -> None:
    """Record that the VM is verified not to be on the destination, then fail, so that the flow reverts.

    An attempt that was found to have stayed before fails for the reason that was recorded then.
    """
    if attempt is not None and attempt.state == "ended":
        data: Mapping[str, Any] = _find_roll_back(context) or {"because": because}
    else:
        wish = find_cancel(context) if task is not None and task.status == "cancelled" else None
        error = task.error if task is not None else None
        data = {
            "kind": VerdictKind.ROLL_BACK.value,
            "because": f"{wish.describe()}; {because}" if wish is not None else because,
            "error": error.to_json() if error else None,
            "cancelled": wish is not None,
        }
        context.record_later("verdict", data)  # in one transaction with what follows, or with the failure's reason
        if attempt is not None:
            context.database.attempts.ended(context.fence, attempt.uuid, "stayed")
    if data.get("cancelled"):
        raise CancelledError(data["because"])
    failed = XapiError.from_json(data["error"]) if data.get("error") else XapiError("")
    raise MigrationFailedError(data["because"], xapi_code=failed.code, xapi_params=failed.params)


def _find_roll_back(context: Context) -> Mapping[str, Any] | None:
    verdicts = context.database.events.list(context.run_uuid, kind="verdict")
    return next((e.data for e in reversed(verdicts) if e.data["kind"] == VerdictKind.ROLL_BACK.value), None)
