"""The mark of our run on the VM while the run goes on: written down, sent, and put back when it is lost.

A coordinator that is killed forgets what XAPI had not yet written to its disk, and with it the mark.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from lmflow.exceptions import NoReplyError, SessionNotArmedError, UnreachableError, XapiFailureError
from lmflow.models import VM
from lmflow.tasks import changes
from lmflow.tasks.changes import Change
from lmflow.tasks.context import Context
from lmflow.tasks.notes import warn
from lmflow.xapi import changes as pool_changes

KIND: Final = "claim_vm"
MAX_SENDS: Final = 3
_MAX_RETURNS = 3
WHY_GONE: Final = "taken off by somebody, or forgotten by a coordinator that was killed"


def keep_claim(context: Context, vm: VM) -> bool:
    """Put our mark, which was there, back when it is gone, and warn of it. True when the VM is to be read anew.

    Our database holds the VM all the same and the run goes on, whatever becomes of this; so it is tried a few times in
    a run and no more. XAPI gives the key to nobody a second time: a run that was faster keeps it.
    """
    latest = None if vm.claimed_by else changes.find_change(context, KIND, vm.uuid)
    if latest is None or latest.step not in ("done", "intended"):
        return False
    warn(context, KIND, f"the mark of run {context.run_uuid} is no longer on {context.request.vm_name}: {WHY_GONE}")
    if _count_sends(context) >= MAX_SENDS + _MAX_RETURNS:
        return False
    doubtful = latest.step == "intended"
    if doubtful:
        changes.ensure_fenced(context, latest)
    change = begin(context, "intended")
    try:
        pool_changes.claim_vm(context.connection, vm_uuid=vm.uuid, run_uuid=context.run_uuid)
    except NoReplyError as error:  # it is found out at the end of the run at the latest
        context.say("message", error.message)
        context.fence_off()
        return True
    except (SessionNotArmedError, UnreachableError, XapiFailureError) as error:
        context.say("message", error.message)
        if doubtful:
            return True
    changes.note(context, change, "done")
    return True


def begin(context: Context, step: str) -> Change:
    """Write down what is sent next, and in which session."""
    context.adopt_session()
    made = dataclasses.replace(make_change(context), session_uuid=context.connection.session_uuid)
    return changes.note(context, made, step)


def make_change(context: Context) -> Change:
    """Return the book's entry of the mark, before its first word."""
    return Change(KIND, context.request.vm_uuid, "", "", context.request.vm_name)


def _count_sends(context: Context) -> int:
    words = (event.data for event in context.database.events.list(context.run_uuid, kind="change"))
    return sum(word["kind"] == KIND and word["step"] == "intended" for word in words)
