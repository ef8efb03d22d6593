"""What goes on with a VM, and what of it is there: operations with their tasks, devices, the guest's own word."""

from __future__ import annotations

import dataclasses
from typing import Any

from lmflow.exceptions import XapiFailureError
from lmflow.xapi import records
from lmflow.xapi.connection import Connection
from lmflow.xapi.failures import GONE
from lmflow.xapi.fetch import read_each


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """An operation that a VM shows. ``pending``: a task stands behind it that has not ended, that of ``task_uuid``.

    ``attempt_id`` is the mark that one of ours bears, '' for another's. A task that our role may not read is none.
    """

    name: str
    pending: bool
    task_uuid: str
    attempt_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Attendance:
    """A VM at one moment, on the host of ``resident_on_uuid``, '' for none.

    ``operations`` are those that it shows. ``devices`` says by UUID what each interface and each drive with something
    in it is called; ``attached`` are those of them that are. ``guest_live``: XAPI shows the guest's agent as live;
    None when the guest never reported.
    """

    power_state: str
    domid: int
    resident_on_uuid: str
    operations: tuple[Operation, ...]
    devices: dict[str, str]
    attached: frozenset[str]
    guest_live: bool | None


def read_attendance(conn: Connection, vm_uuid: str, *, guest: bool = True) -> Attendance | None:
    """Return what is shown of the VM now; None when the pool does not know it. Its guest is read only if asked for."""
    with conn.look():
        return _read(conn, vm_uuid, guest=guest)


def _read(conn: Connection, vm_uuid: str, *, guest: bool) -> Attendance | None:
    try:
        vm = conn.read("VM.get_record", conn.read("VM.get_by_uuid", vm_uuid))
    except XapiFailureError as failure:
        if failure.xapi_code in GONE:
            return None
        raise
    cards = read_each(conn, "VIF", vm.get("VIFs", ())).values()
    drives = [each for each in read_each(conn, "VBD", vm.get("VBDs", ())).values() if not each.get("empty")]
    agents = read_each(conn, "VM_guest_metrics", [vm.get("guest_metrics", "")] if guest else ())
    devices = {card["uuid"]: f"interface {card.get('device', '')}" for card in cards}
    devices |= {drive["uuid"]: f"{drive.get('type', 'Disk')} {drive.get('userdevice', '')}" for drive in drives}
    hosts = {ref: record["uuid"] for ref, record in read_each(conn, "host", [vm.get("resident_on", "")]).items()}
    made = records.make_vm(vm, hosts)
    shown = (vm.get("current_operations") or {}).items()
    return Attendance(
        power_state=made.power_state,
        domid=made.domid,
        resident_on_uuid=made.resident_on_uuid or "",
        operations=tuple(_make_operation(str(name), _find_task(conn, task_ref)) for task_ref, name in shown),
        devices=devices,
        attached=frozenset(each["uuid"] for each in (*cards, *drives) if each.get("currently_attached")),
        guest_live=next((bool(record.get("live")) for record in agents.values()), None),
    )


def find_operation(conn: Connection, vm_uuid: str) -> str:
    """Return the operation under way on the VM and the task that does it, in words; '' when there is none.

    The task is named by its UUID; one that has gone, or that our role may not read, is left out.
    """
    record = conn.read("VM.get_record", conn.read("VM.get_by_uuid", vm_uuid))
    for task_ref, operation in (record.get("current_operations") or {}).items():
        task = _find_task(conn, task_ref)
        return f"{operation} (task {task['name_label']}, {task['uuid']})" if task else str(operation)
    return ""


def _make_operation(name: str, task: Any) -> Operation:
    if not task:
        return Operation(name, pending=False, task_uuid="", attempt_id="")
    mark = (task.get("other_config") or {}).get(records.ATTEMPT_KEY, "")
    return Operation(name, pending=task["status"] in ("pending", "cancelling"), task_uuid=task["uuid"], attempt_id=mark)


def _find_task(conn: Connection, task_ref: str) -> Any:
    try:
        return conn.read("task.get_record", task_ref)
    except XapiFailureError:  # it has ended, or is not ours to see: the operation is named all the same
        return None
