"""What XAPI itself answered for the destination, given to the group whose subject it is."""

from __future__ import annotations

from typing import Final

from lmflow.models import Snapshot, XapiError

SUBJECT: Final[dict[str, str]] = {
    "HOST_NOT_LIVE": "host",
    "HOST_DISABLED": "host",
    "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION": "host",
    "VM_INCOMPATIBLE_WITH_THIS_HOST": "cpu",
    "VM_REQUIRES_SR": "sr",
    "VM_REQUIRES_NETWORK": "network",
    "HOST_CANNOT_ATTACH_NETWORK": "network",
    "VM_REQUIRES_IOMMU": "host",
    "VM_REQUIRES_GPU": "host",
    "VM_REQUIRES_VGPU": "host",
    "VM_REQUIRES_VUSB": "host",
    "NETWORK_SRIOV_INSUFFICIENT_CAPACITY": "network",
    "VM_HVM_REQUIRED": "cpu",
    "HOST_NOT_ENOUGH_FREE_MEMORY": "memory",
    "HOST_NOT_ENOUGH_PCPUS": "cpu",
}
"""Which group explains a code of ``VM.assert_can_boot_here``, in the order in which it asks; others are the host's.

Source: vm_helpers.ml of xapi.
"""

_ORDER: Final = tuple(SUBJECT)


def find_answer(snapshot: Snapshot, group: str) -> XapiError | None:
    """Return XAPI's own objection if it belongs to this group. XAPI names one objection at a time."""
    answer = snapshot.boot_check
    if answer is None or SUBJECT.get(answer.code, "host") != group:
        return None
    return answer


def is_open(snapshot: Snapshot, code: str) -> bool:
    """Tell whether XAPI has not said that this code is no matter: it was not asked, or it stopped before that."""
    if not snapshot.boot_asked:
        return True
    answer = snapshot.boot_check
    return answer is not None and answer.code in _ORDER and _ORDER.index(answer.code) < _ORDER.index(code)
