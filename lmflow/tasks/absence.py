"""The proof without which nothing at the destination is taken back."""

from __future__ import annotations

from typing import Final

from lmflow.models import Host
from lmflow.tasks.context import Context
from lmflow.tasks.verdicts import wait_for_verdict
from lmflow.verdict import Sent, VerdictKind
from lmflow.xapi import witness

NOT_PROVED: Final = "the VM is not proved to be elsewhere than on the destination"
"""What people are told where that proof is missing."""


def is_proved_absent(context: Context) -> bool:
    """Tell whether the VM is proved not to be on the destination, nor on its way there, at this moment. Blocks."""
    sight = wait_for_verdict(context)  # never parked: who asks is about to take back a change, or in the middle of it
    there = context.request.destination_uuid
    before = sight.evidence.sent is Sent.NOTHING and sight.verdict.kind is VerdictKind.REDO
    if not (before or sight.verdict.kind is VerdictKind.ROLL_BACK):
        return False
    if sight.evidence.decided and _is_said_to_be_there(context, sight.hosts):
        return False
    return sight.vm is None or there not in (sight.vm.resident_on_uuid, sight.vm.scheduled_to_be_resident_on_uuid)


def _is_said_to_be_there(context: Context, hosts: tuple[Host, ...]) -> bool:
    """Ask the destination itself, where only a person decided that the VM is elsewhere; no answer says nothing."""
    host = next((h for h in hosts if h.uuid == context.request.destination_uuid), None)
    if host is None or not context.connection.profile.use_witness:
        return False
    view = witness.ask(context.connection, host, context.request.vm_uuid)
    return view.answered and (view.power_state == "Running" or view.incoming)
