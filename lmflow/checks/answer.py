"""What XAPI itself answered for the destination, given to the group whose subject it is."""

from __future__ import annotations

from typing import Final

from lmflow.models import Snapshot, XapiError

SUBJECT: Final[dict[str, str]] = {
    "HOST_CANNOT_ATTACH_NETWORK": "network",
    "HOST_NOT_ENOUGH_FREE_MEMORY": "memory",
    "HOST_NOT_ENOUGH_PCPUS": "cpu",
    "VM_HVM_REQUIRED": "cpu",
    "VM_INCOMPATIBLE_WITH_THIS_HOST": "cpu",
    "VM_REQUIRES_NETWORK": "network",
    "VM_REQUIRES_SR": "sr",
}
"""Which group explains a code of ``VM.assert_can_boot_here``; every other code is the host's."""


def find_answer(snapshot: Snapshot, group: str) -> XapiError | None:
    """Return XAPI's own objection if it belongs to this group. XAPI names one objection at a time."""
    answer = snapshot.boot_check
    if answer is None or SUBJECT.get(answer.code, "host") != group:
        return None
    return answer
