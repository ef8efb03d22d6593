"""When another host is tried, and when not."""

from __future__ import annotations

import dataclasses

import pytest

from lmflow.models import Finding, RunState, XapiError
from lmflow.planner import VM_BOUND, Ended, find_objection
from lmflow.verdict import ORDERED_CODES

FULL = XapiError("HOST_NOT_ENOUGH_FREE_MEMORY", ("2", "1"))
OF_HOST = Finding("host.enabled", "HOST_DISABLED", "B is disabled", "enable it")
OF_VM = Finding("vm.may_move", "VM_IS_IMMOBILE", "v may not move", "", elsewhere=False)
SUBMIT = Ended(state=RunState.FAILED, task="submit_pool_migrate", error=FULL, ordered=True, retries_left=1)
REFUSED = Ended(state=RunState.REFUSED, findings=(OF_HOST,), retries_left=1)


@pytest.mark.parametrize(
    "ended",
    [
        SUBMIT,
        REFUSED,
        dataclasses.replace(SUBMIT, task="await_pool_migrate"),
        dataclasses.replace(SUBMIT, task="connect_storage", error=XapiError("SR_BACKEND_FAILURE_47"), ordered=False),
        dataclasses.replace(SUBMIT, task="copy_kernel", error=None, ordered=False),
        dataclasses.replace(SUBMIT, error=None, ordered=False, sent=False),  # what was prepared there is gone
        dataclasses.replace(REFUSED, state=RunState.FAILED),
        dataclasses.replace(REFUSED, findings=(OF_VM, OF_HOST)),
        dataclasses.replace(SUBMIT, error=XapiError("HANDLE_INVALID", ("host", "x"))),
        dataclasses.replace(SUBMIT, error=XapiError("OTHER_OPERATION_IN_PROGRESS", ("host", "x"))),
        dataclasses.replace(
            REFUSED, findings=(Finding("host.free", "OTHER_OPERATION_IN_PROGRESS", "B is being emptied", ""),)
        ),
    ],
)
def test_another_host_may_do_better(ended: Ended) -> None:
    assert find_objection(ended) == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"retries_left": None}, "was named"),
        ({"retries_left": 0}, "no more hosts"),
        ({"state": RunState.DIRTY}, "is left"),
        ({"cancelled": True}, "cancel"),
        ({"was_unknown": True}, "nobody could say"),
        ({"on_source": False}, "no longer runs on its source"),
        ({"findings": (OF_VM,)}, "no other host could do better"),
        ({"findings": (Finding("submit", "VM_MOVED", "v is elsewhere", ""),)}, "no other host could do better"),
        ({"ordered": False}, "on its way"),
        ({"ordered": False, "sent": False, "error": XapiError("MESSAGE_METHOD_UNKNOWN")}, "nothing about the host"),
        ({"task": "copy_kernel", "error": None, "elsewhere": False}, "no other host could do better"),
        ({"task": "hooks_before"}, "nothing about the host"),
        ({"task": ""}, "nothing about the host"),
        ({"error": XapiError("OPERATION_BLOCKED", ("VM", "x"))}, "blocked on the VM"),
        ({"error": XapiError("OTHER_OPERATION_IN_PROGRESS", ("VM", "x", "clone"))}, "another operation"),
        ({"error": XapiError("HANDLE_INVALID", ("VM", "x"))}, "the VM is gone"),
        ({"task": "copy_kernel", "error": XapiError("RBAC_PERMISSION_DENIED")}, "our role"),
    ],
)
def test_no_other_host_is_tried(changes: dict[str, object], why: str) -> None:
    assert why in find_objection(dataclasses.replace(SUBMIT, **changes))  # type: ignore[arg-type]


def test_what_is_bound_to_the_vm_is_refused_before_anything_begins() -> None:
    ours_or_read_with_care = {"VM_MOVED", "VM_BAD_POWER_STATE"}
    assert set(VM_BOUND) - ours_or_read_with_care <= ORDERED_CODES
    assert all(VM_BOUND.values())
