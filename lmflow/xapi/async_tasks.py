"""The pool's task records: find them, wait for them, forget them. They are lost when the coordinator restarts."""

from __future__ import annotations

from typing import Any

from lmflow.exceptions import NoReplyError, XapiFailureError
from lmflow.models import TaskView
from lmflow.xapi import records
from lmflow.xapi.connection import Connection
from lmflow.xapi.failures import GONE

MIGRATION_LABELS = frozenset({"Async.VM.pool_migrate", "VM.pool_migrate"})

_IN_MIGRATION = 'not (field "scheduled_to_be_resident_on" = "OpaqueRef:NULL")'


def find_task(conn: Connection, *, task_uuid: str = "", attempt_id: str = "") -> TaskView | None:
    """Return the task of that UUID, else the one stamped with that attempt id; None: the pool has no such record.

    None proves nothing about what the task was doing: records are lost with the coordinator.
    """
    if task_uuid:
        ref = _find_ref(conn, "task", task_uuid)
        record = _find_record(conn, ref) if ref is not None else None
        if ref is not None and record is not None:
            return _make_view(conn, ref, record)
    if attempt_id:
        stamped = {
            ref: record
            for ref, record in conn.read("task.get_all_records").items()
            if (record.get("other_config") or {}).get(records.ATTEMPT_KEY) == attempt_id
        }
        for ref, record in sorted(stamped.items(), key=lambda item: not _is_pending(item[1])):
            return _make_view(conn, ref, record)
    return None


def list_pending_migrations(conn: Connection, *, vm_uuid: str) -> tuple[TaskView, ...]:
    """Return the pending migrations that may be of this VM: those that do not stand with another VM.

    A migration stands with its VM (``current_operations``) once XAPI has admitted it; one that still queues stands
    with none. Near its beginning and end a migration of another VM can be listed here too, for a moment.
    """
    pending = {
        ref: record
        for ref, record in conn.read("task.get_all_records").items()
        if record.get("name_label") in MIGRATION_LABELS and _is_pending(record)
    }
    if not pending:
        return ()
    try:
        moving = conn.read("VM.get_all_records_where", _IN_MIGRATION)
    except XapiFailureError:
        moving = conn.read("VM.get_all_records")  # a release may refuse the query
    elsewhere = {
        ref
        for record in moving.values()
        if record.get("uuid") != vm_uuid
        for ref in record.get("current_operations") or ()
    }
    return tuple(_make_view(conn, ref, record) for ref, record in pending.items() if ref not in elsewhere)


def wait_for_change(conn: Connection, *, task_uuid: str, vm_uuid: str, timeout_seconds: float) -> None:
    """Block until the task or the VM changed, at most that long; the caller reads everything again afterwards.

    The first call for a task and VM returns at once, and so does one while the pool or its session is lost.
    """
    conn.wait_for_change(task_uuid=task_uuid, vm_uuid=vm_uuid, timeout_seconds=timeout_seconds)


def destroy_task(conn: Connection, task_uuid: str) -> bool:
    """Destroy the record of a finished task; True when it is gone, False while it is pending.

    Destroying a pending task would only mark it. Safe to repeat: a record that is gone stays gone.
    """
    with conn.look():
        ref = _find_ref(conn, "task", task_uuid)
        record = _find_record(conn, ref) if ref is not None else None
    if record is None:
        return True
    if _is_pending(record):
        return False
    try:
        conn.call_once("task.destroy", ref)
    except NoReplyError:
        return _find_ref(conn, "task", task_uuid) is None
    except XapiFailureError as failure:
        if failure.xapi_code in GONE:
            return True
        if failure.xapi_code == "SESSION_INVALID":
            return _find_ref(conn, "task", task_uuid) is None
        raise
    return True


def cancel_task(conn: Connection, task_uuid: str) -> bool:
    """Ask the pool once to cancel a task; True when it took the request, False when it may not have.

    XAPI takes it silently also where it has no effect: in the last phase of a migration, or after its end. Only the
    task's end tells. Raises SessionNotArmedError or UnreachableError (not sent), XapiFailureError.
    """
    ref = _find_ref(conn, "task", task_uuid)
    if ref is None:
        return False
    try:
        conn.call_once("task.cancel", ref, armed=True)
    except NoReplyError:
        return False
    except XapiFailureError as failure:
        if failure.xapi_code in GONE or failure.xapi_code == "SESSION_INVALID":
            return False
        raise
    return True


def _find_ref(conn: Connection, class_name: str, uuid: str) -> str | None:
    try:
        return str(conn.read(f"{class_name}.get_by_uuid", uuid))
    except XapiFailureError as failure:
        if failure.xapi_code in GONE:
            return None
        raise


def _find_record(conn: Connection, ref: str) -> records.Record | None:
    try:
        record: records.Record = conn.read("task.get_record", ref)
    except XapiFailureError as failure:
        if failure.xapi_code in GONE:
            return None
        raise
    return record


def _is_pending(record: records.Record) -> bool:
    return record.get("status") in ("pending", "cancelling")


def _make_view(conn: Connection, ref: str, record: records.Record) -> TaskView:
    info: Any = record.get("error_info")
    return records.make_task(ref, record, conn.name_failure(info) if info else None)
