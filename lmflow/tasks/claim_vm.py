"""Writing on the VM itself that this run holds it: our database's lock is not seen from another database.

The mark's value, the run's UUID, is the proof of whose it is. XAPI gives the key to one alone. It has no call that
removes a key only with a certain value, so the mark is looked at before, and a removal that may still be under way is
waited out before another one is sent.
"""

from __future__ import annotations

from typing import Any

from lmflow import checks
from lmflow.exceptions import NoReplyError, SessionNotArmedError, UnreachableError, XapiFailureError
from lmflow.models import VM, Finding
from lmflow.tasks import changes
from lmflow.tasks.base import BaseTask
from lmflow.tasks.changes import Change
from lmflow.tasks.context import Context
from lmflow.tasks.effects import watch
from lmflow.tasks.marks import KIND, MAX_SENDS, WHY_GONE, begin, make_change
from lmflow.tasks.notes import warn
from lmflow.tasks.other_operations import find_changed, wait_while_busy
from lmflow.tasks.validate import refuse
from lmflow.xapi import changes as pool_changes
from lmflow.xapi import reads
from lmflow.xapi.failures import CURED_BY_LOGIN, GONE

UNDONE, RELEASED = "undone", "released"


class ClaimVM(BaseTask):
    """Write on the VM which run holds it, before anything is changed for it; refuse one that another run holds.

    Another operation on the VM is waited for before, so that a refusal for it leaves nothing behind. Running it twice
    is safe: a mark with our run's UUID is ours, whatever became of the reply. Its revert removes that mark, and never
    another's.
    """

    NAME = "claim_vm"
    DURABLE = False

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the UUID of the VM that is ours now; RefusedError when another run holds it."""
        change = changes.find_change(context, KIND, context.request.vm_uuid)
        if change is None:
            vm = wait_while_busy(context, lambda: _read_vm(context), lambda vm: vm)
            refuse(context, find_changed(context, vm))
        for _ in range(MAX_SENDS):
            if _ensure_claimed(context):
                return {"claimed": context.request.vm_uuid}
        raise UnreachableError(f"{context.request.vm_name} could not be marked as held by this run yet")

    def undo(self, context: Context) -> None:
        """Remove our mark."""
        release(context, self.NAME, UNDONE)


def release(context: Context, task: str, word: str) -> None:
    """Remove our mark, if it is there, and record that as ``word``; a mark that is not ours stays, with a warning.

    Raises XapiFailureError when the pool refuses it, UnreachableError when it may simply be tried again.
    """
    change = changes.find_change(context, KIND, context.request.vm_uuid)
    if change is not None and change.step == "intended":
        change = _find_out(context, change)
    if change is not None and change.step == "undoing":
        changes.ensure_fenced(context, change)
        if watch(context, lambda: _find_holder(context) != context.run_uuid):  # none of ours can come any more
            changes.note(context, change, word)
            return
    if change is None or change.step not in ("done", "undoing"):
        return
    holder = _find_holder(context)
    if holder == context.run_uuid:
        _remove(context, change, word)
        return
    changes.note(context, change, "void")
    name, mine = context.request.vm_name, f"the mark of run {context.run_uuid}"
    if holder:
        warn(context, task, f"{name} carries the mark of run {holder} in place of {mine}: it stays")
    else:
        warn(context, task, f"{mine} is no longer on {name}: {WHY_GONE}")


def _read_vm(context: Context) -> VM:
    vm = reads.read_vm(context.connection, context.request.vm_uuid)
    if vm is None:
        message, remedy = f"the pool no longer knows {context.request.vm_name}", "see whether it still exists"
        refuse(context, (Finding(rule="submit", code="UUID_INVALID", message=message, remedy=remedy, elsewhere=False),))
        raise AssertionError("a finding of that kind refuses")
    return vm


def _find_holder(context: Context) -> str:
    """Return whose run holds the VM, '' for none, and where there is no such VM any more."""
    return reads.find_claim(context.connection, context.request.vm_uuid)


def _ensure_claimed(context: Context) -> bool:
    """Send it once unless it is there. False when it must be looked again; RefusedError when another was faster.

    A call without a reply is behind the fence; one that XAPI had begun before may still take effect. Until that is
    found out, at the end of the run at the latest, it is not written down as void.
    """
    request = context.request
    change = changes.find_change(context, KIND, request.vm_uuid)
    doubtful = change is not None and change.step == "intended"
    if change is not None and doubtful:
        changes.ensure_fenced(context, change)
    holder = _find_holder(context)
    if holder == context.run_uuid:
        if change is None or change.step != "done":
            changes.note(context, change or make_change(context), "done")
        return True
    if holder:
        _refuse(context, holder)
    context.say("message", f"marking {request.vm_name} as held by this run")
    change = begin(context, "intended")
    try:
        pool_changes.claim_vm(context.connection, vm_uuid=request.vm_uuid, run_uuid=context.run_uuid)
    except NoReplyError as error:
        context.say("message", error.message)
        context.fence_off()
        return False
    except (SessionNotArmedError, UnreachableError, XapiFailureError) as error:
        if not doubtful:
            changes.note(context, change, "void")
        if isinstance(error, XapiFailureError) and error.xapi_code == "MAP_DUPLICATE_KEY":
            return False
        _raise_again(context, error)
    changes.note(context, change, "done", later=True)  # the mark's value is the proof
    return True


def _refuse(context: Context, holder: str) -> None:
    request = context.request
    refuse(context, (checks.object_to_claim(request.vm_name, request.vm_uuid, holder),))


def _find_out(context: Context, change: Change) -> Change:
    """After an interruption: watch, as long as a pool takes to settle, whether what we intended comes to be so."""
    changes.ensure_fenced(context, change)
    claimed = watch(context, lambda: _find_holder(context) == context.run_uuid)
    return changes.note(context, change, "done" if claimed else "void")


def _remove(context: Context, change: Change, word: str) -> None:
    change = begin(context, "undoing")
    try:
        pool_changes.release_vm(context.connection, vm_uuid=context.request.vm_uuid)
    except NoReplyError as error:
        context.fence_off()
        raise UnreachableError(error.message) from error  # it is waited out, and looked at again
    except (SessionNotArmedError, UnreachableError, XapiFailureError) as error:
        gone = isinstance(error, XapiFailureError) and error.xapi_code in GONE
        changes.note(context, change, "void" if gone else "done")
        if not gone:
            _raise_again(context, error)
        return
    changes.note(context, change, word, later=True)


def _raise_again(context: Context, error: SessionNotArmedError | UnreachableError | XapiFailureError) -> None:
    """Raise it; as UnreachableError, after a new login, where that may cure it."""
    if isinstance(error, XapiFailureError):
        if error.xapi_code not in CURED_BY_LOGIN:
            raise error
        context.fence_off()
    raise UnreachableError(error.message) from error
