"""Whether another host may be tried after one that turned out unfit: pure, over what the try has shown."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Final

from lmflow.models import Finding, Model, RunState, XapiError

VM_BOUND: Final = MappingProxyType(
    {
        "HOST_OFFLINE": "the host that it runs on is offline",
        "LICENCE_RESTRICTION": "the licence of the host that it runs on does not allow it",
        "OPERATION_BLOCKED": "the operation is blocked on the VM",
        "OPERATION_NOT_ALLOWED": "the operation is not allowed on the VM",
        "OTHER_OPERATION_IN_PROGRESS": "another operation goes on with the VM",
        "RBAC_PERMISSION_DENIED": "our role may not do that, on any host",
        "TOO_MANY_PENDING_TASKS": "too many operations wait for the VM",
        "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION": "a disk of the VM is reset when it starts",
        "VM_BAD_POWER_STATE": "the VM is not running",
        "VM_HAS_PCI_ATTACHED": "the VM has a PCI device of its host",
        "VM_HAS_VGPU": "the VM has a virtual GPU",
        "VM_HAS_VUSBS": "the VM has a USB device of its host",
        "VM_IS_IMMOBILE": "the VM may not move",
        "VM_IS_SNAPSHOT": "it is a snapshot",
        "VM_IS_TEMPLATE": "it is a template",
        "VM_LACKS_FEATURE": "the guest does not offer what a migration needs",
        "VM_MOVED": "the VM is no longer where it was",
        "VM_NON_SUSPENDABLE": "the guest cannot be suspended",
    }
)
"""Codes that name the VM, its present host or us: they would come again for every destination.

Source: the order of the checks in xapi's message_forwarding.ml and xapi_vm_lifecycle.ml; VM_MOVED is lmflow's own.
"""

_PREPARING: Final = frozenset({"connect_storage", "copy_kernel"})
_NONE_BETTER: Final = "no other host could do better"
_SUBMITTING: Final = frozenset({"submit_pool_migrate", "await_pool_migrate"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Model):
    """How a try ended, everything of it undone.

    ``findings`` are the reasons of a refusal; otherwise ``task`` is the step that failed, with XAPI's ``error`` if it
    gave one; ``ordered``: an error that XAPI gives before a migration begins; ``sent``: a migration may have begun;
    ``elsewhere``: the step did not say that no other host could do better. ``was_unknown``: at some time nobody could
    say what became of its submit. ``on_source``: the VM is Running where it was. ``retries_left`` is None where the
    destination was named.
    """

    state: RunState
    findings: tuple[Finding, ...] = ()
    task: str = ""
    error: XapiError | None = None
    ordered: bool = False
    sent: bool = True
    elsewhere: bool = True
    cancelled: bool = False
    was_unknown: bool = False
    on_source: bool = True
    retries_left: int | None = None


def find_objection(ended: Ended) -> str:
    """Return why no other host is tried, '' when one may be."""
    if ended.retries_left is None:
        return "the destination was named"
    if ended.state not in (RunState.REFUSED, RunState.FAILED):
        return "something of ours is left in the pool"
    if ended.cancelled:
        return "a cancel was asked for"
    if ended.was_unknown:
        return "for a time nobody could say what became of its submit"
    if not ended.on_source:
        return "the VM no longer runs on its source"
    return _find_reason(ended) or ("" if ended.retries_left > 0 else "no more hosts are to be tried")


def _find_reason(ended: Ended) -> str:
    """Return why what it failed of would come again elsewhere, or cannot be held against the host."""
    if ended.findings:
        return "" if any(_is_of_host(finding) for finding in ended.findings) else _NONE_BETTER
    if not ended.elsewhere:
        return _NONE_BETTER
    if ended.task in _PREPARING or (ended.task in _SUBMITTING and ended.ordered):
        return _find_bound(ended.error)
    if ended.task in _SUBMITTING and ended.sent:
        return "the migration was on its way"
    last_look = ended.task in _SUBMITTING and ended.error is None  # what was prepared there is no longer so
    return "" if last_look else "that says nothing about the host"


def _is_of_host(finding: Finding) -> bool:
    last_look = finding.rule == "submit"  # it looks at the VM
    return finding.elsewhere and not (last_look and finding.code in VM_BOUND)


def _find_bound(error: XapiError | None) -> str:
    """Return the reason of a code that would come again for every host; '' for others, and where there is none."""
    if error is None:
        return ""
    of = error.params[0].lower() if error.params else ""
    if error.code == "HANDLE_INVALID":
        return "the VM is gone" if of == "vm" else ""
    if error.code == "OTHER_OPERATION_IN_PROGRESS" and of == "host":
        return ""
    return VM_BOUND.get(error.code, "")
