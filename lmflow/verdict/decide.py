"""The one function that says what became of a migration, and what may follow."""

from __future__ import annotations

import dataclasses
import enum

from lmflow.models import Model, TaskView, WitnessView, XapiError
from lmflow.verdict.evidence import Evidence, Sent

ORDERED_CODES = frozenset(
    {
        "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN",
        "HOST_CANNOT_ATTACH_NETWORK",
        "HOST_DISABLED",
        "HOST_NOT_ENOUGH_FREE_MEMORY",
        "HOST_NOT_ENOUGH_PCPUS",
        "HOST_NOT_LIVE",
        "HOST_OFFLINE",
        "INTERFACE_HAS_NO_IP",
        "LICENCE_RESTRICTION",
        "NOT_SUPPORTED_DURING_UPGRADE",
        "OPERATION_BLOCKED",
        "OPERATION_NOT_ALLOWED",
        "OTHER_OPERATION_IN_PROGRESS",
        "PIF_NOT_PRESENT",
        "RBAC_PERMISSION_DENIED",
        "REQUIRED_PIF_IS_UNPLUGGED",
        "TOO_MANY_PENDING_TASKS",
        "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION",
        "VM_HAS_PCI_ATTACHED",
        "VM_HAS_VGPU",
        "VM_HAS_VUSBS",
        "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION",
        "VM_HVM_REQUIRED",
        "VM_INCOMPATIBLE_WITH_THIS_HOST",
        "VM_IS_IMMOBILE",
        "VM_IS_SNAPSHOT",
        "VM_IS_TEMPLATE",
        "VM_LACKS_FEATURE",
        "VM_NON_SUSPENDABLE",
        "VM_REQUIRES_GPU",
        "VM_REQUIRES_IOMMU",
        "VM_REQUIRES_NETWORK",
        "VM_REQUIRES_SR",
        "VM_REQUIRES_VGPU",
        "VM_REQUIRES_VUSB",
    }
)
"""Codes that ``VM.pool_migrate`` gives before anything has begun.

Source: xapi's message_forwarding.ml and xapi_vm_lifecycle.ml; tried on a running xapi, row by row.
"""


class VerdictKind(enum.StrEnum):
    """What follows from the evidence.

    ``conclude``: it runs on the destination. ``roll_back``: it is verified not to be there and nothing of ours is
    under way. ``redo``: it never began, and may. ``re_attach``: it is under way. ``wait``: look again.
    ``ask``: look again, with the witness. ``unknown``: a person must decide.
    """

    CONCLUDE = "conclude"
    ROLL_BACK = "roll_back"
    REDO = "redo"
    RE_ATTACH = "re_attach"
    WAIT = "wait"
    ASK = "ask"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict(Model):
    """A verdict with its reason in words; ``by`` names what settled it.

    ``xapi``, ``task``, ``witness``, ``record``, ``later`` (the task, and something came after it), or ''.
    """

    kind: VerdictKind
    because: str
    by: str = ""


def is_ordered(error: XapiError | None) -> bool:
    """Tell whether the error is one of the checks that XAPI makes before anything begins.

    ``VM_BAD_POWER_STATE`` counts only in lower case: capitalised, it comes from xenopsd, where something did begin.
    """
    if error is None:
        return False
    if error.code == "VM_BAD_POWER_STATE":
        return len(error.params) >= 3 and all(p == p.lower() for p in error.params[1:3])
    if error.code == "HANDLE_INVALID":
        return bool(error.params) and error.params[0] in ("VM", "host")
    return error.code in ORDERED_CODES


def decide(seen: Evidence) -> Verdict:
    """Weigh the evidence. Pure and total: every combination has a verdict, and none starts or stops a VM.

    XAPI's own view settles only where nothing was sent, where the task ended in success or cancelled or was
    refused by an ordered check (and no toolstack restarted since), or where the VM is shown on a destination whose
    toolstack has not restarted. Everything else is for the witness of both hosts, once the pool has settled.
    """
    if seen.sent is Sent.NOTHING:
        return _decide_before(seen)
    if seen.sent in (Sent.MOVED, Sent.STAYED):
        return _decide_by_record(seen)
    if seen.task is not None and seen.task.status == "pending":
        return Verdict(VerdictKind.RE_ATTACH, f"the task is still migrating ({seen.task.progress:.0%})", "task")
    if seen.task is not None:
        ended = _decide_by_task(seen, seen.task)
        if ended is not None:
            return ended
    return _decide_after_loss(seen)


def _decide_before(seen: Evidence) -> Verdict:
    if seen.runs_on(seen.destination_uuid):
        return Verdict(VerdictKind.CONCLUDE, "nothing was sent, and it runs on the destination already", "xapi")
    if seen.runs_on(seen.source_uuid):
        return Verdict(VerdictKind.REDO, "nothing was sent, and it runs on the source", "xapi")
    place = seen.power_state or "no longer in the pool"
    return Verdict(VerdictKind.ROLL_BACK, f"nothing was sent, and the VM is {place}, not on the source", "xapi")


def _decide_by_record(seen: Evidence) -> Verdict:
    how = "a person decided that it is" if seen.decided else "it was verified to be"
    if seen.sent is Sent.MOVED:
        return Verdict(VerdictKind.CONCLUDE, f"{how} on the destination", "record")
    return Verdict(VerdictKind.ROLL_BACK, f"{how} elsewhere than on the destination", "record")


def _decide_by_task(seen: Evidence, task: TaskView) -> Verdict | None:
    arrived = seen.runs_on(seen.destination_uuid)
    if task.status == "success" and arrived:
        return Verdict(VerdictKind.CONCLUDE, "the task succeeded and it runs on the destination", "task")
    if task.status == "success" and not seen.restarted and not seen.runs_on(seen.source_uuid):
        return Verdict(VerdictKind.CONCLUDE, f"the task succeeded; the VM is {_place(seen)} since", "later")
    definite = task.status in ("success", "cancelled") or is_ordered(task.error)
    if not definite or seen.restarted or not seen.power_state:
        return None
    if arrived:
        return Verdict(VerdictKind.CONCLUDE, f"the task ended {task.status}, and it runs on the destination", "task")
    return Verdict(VerdictKind.ROLL_BACK, f"the task ended: {_word(task)}; the VM is {_place(seen)}", "task")


def _decide_after_loss(seen: Evidence) -> Verdict:
    lost = f"the task ended: {_word(seen.task)}" if seen.task else "the task is gone or was never seen"
    if not seen.settled and seen.overdue:
        return Verdict(VerdictKind.UNKNOWN, f"{lost}, and the pool has not settled in its time")
    if not seen.settled:
        return Verdict(VerdictKind.WAIT, f"{lost}; the pool is settling")
    return _decide_settled(seen, lost)


def _decide_settled(seen: Evidence, lost: str) -> Verdict:
    if seen.witness is None:
        return Verdict(VerdictKind.ASK, f"{lost}; the pool has settled, the witness is to be asked")
    source, destination = seen.testimony(seen.source_uuid), seen.testimony(seen.destination_uuid)
    if _is_in_flight(seen, source, destination):
        return Verdict(VerdictKind.RE_ATTACH, "the witness shows a copy in flight", "witness")
    if seen.rivals and not seen.restarted and seen.sent is Sent.MAYBE:
        return Verdict(VerdictKind.RE_ATTACH, "a pending migration may be ours", "task")
    if source is None or destination is None:
        return _decide_without_witness(seen, lost)
    return _decide_by_witness(seen, source, destination, lost)


def _decide_without_witness(seen: Evidence, lost: str) -> Verdict:
    if seen.runs_on(seen.destination_uuid) and seen.destination_uuid not in seen.restarted:
        return Verdict(VerdictKind.CONCLUDE, f"{lost}, but it runs on the destination, which did not restart", "xapi")
    return Verdict(
        VerdictKind.UNKNOWN, f"{lost}; XAPI shows it {_place(seen)}, and no witness of both hosts confirms it"
    )


def _decide_by_witness(seen: Evidence, source: WitnessView, destination: WitnessView, lost: str) -> Verdict:
    there, here = destination.power_state == "Running", source.power_state == "Running"
    odd = [w.power_state for w in (source, destination) if w.power_state not in ("Running", "Halted", None)]
    if there and here:
        return Verdict(VerdictKind.UNKNOWN, f"{lost}, and BOTH hosts say that it runs there", "witness")
    if odd or not (there or here):
        what = f"in state {odd[0]}" if odd else "running on neither host"
        return Verdict(VerdictKind.UNKNOWN, f"{lost}, and the witness shows it {what}", "witness")
    if there:
        return Verdict(VerdictKind.CONCLUDE, f"{lost}, but the witness shows it on the destination only", "witness")
    if seen.sent is Sent.MAYBE and seen.task is None and not seen.restarted and seen.traceable:
        return Verdict(
            VerdictKind.REDO, "no migration began: no task, and the witness shows it on the source only", "witness"
        )
    return Verdict(VerdictKind.ROLL_BACK, f"{lost}, and the witness shows it on the source only", "witness")


def _is_in_flight(seen: Evidence, source: WitnessView | None, destination: WitnessView | None) -> bool:
    if destination is not None and destination.incoming:
        return True
    if not seen.ref_digits:
        return False
    views = [w for w in (source, destination) if w is not None]
    return any(t.ref_digits == seen.ref_digits and t.state == "Pending" for w in views for t in w.tasks)


def _word(task: TaskView) -> str:
    return task.error.code if task.error else task.status


def _place(seen: Evidence) -> str:
    if seen.runs_on(seen.source_uuid):
        return "Running on the source"
    if seen.runs_on(seen.destination_uuid):
        return "Running on the destination"
    if seen.power_state == "Running" and seen.resident_on_uuid:
        return "Running on a third host"
    return seen.power_state or "no longer in the pool"
