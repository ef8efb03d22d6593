"""The only calls of lmflow that change what a pool runs or mounts. Each is sent once, as Async, with its attempt id.

Each needs an armed session and raises what ``Connection.start`` raises.
"""

from __future__ import annotations

from typing import Any

from lmflow.models import StartedTask
from lmflow.xapi.connection import Connection
from lmflow.xapi.records import make_ref_digits


def migrate_vm(conn: Connection, *, vm_uuid: str, destination_uuid: str, attempt_id: str) -> StartedTask:
    """Start VM.pool_migrate to the destination; XAPI really migrates even to the VM's present host: look first."""
    vm_ref = conn.read("VM.get_by_uuid", vm_uuid)
    host_ref = conn.read("host.get_by_uuid", destination_uuid)
    return _start(conn, "VM.pool_migrate", vm_ref, host_ref, {"live": "true"}, attempt_id=attempt_id)


def plug_pbd(conn: Connection, *, pbd_uuid: str, attempt_id: str) -> StartedTask:
    """Start PBD.plug: attach the PBD's SR to its host."""
    return _start(conn, "PBD.plug", conn.read("PBD.get_by_uuid", pbd_uuid), attempt_id=attempt_id)


def unplug_pbd(conn: Connection, *, pbd_uuid: str, attempt_id: str) -> StartedTask:
    """Start PBD.unplug: detach the PBD's SR from its host."""
    return _start(conn, "PBD.unplug", conn.read("PBD.get_by_uuid", pbd_uuid), attempt_id=attempt_id)


def _start(conn: Connection, method: str, *args: Any, attempt_id: str) -> StartedTask:
    """Send the call; whatever becomes of reading the task's UUID, that it was accepted is not lost."""
    task_ref = conn.start(method, *args, attempt_id=attempt_id)
    task_uuid = conn.find_uuid("task", task_ref) or ""
    return StartedTask(task_uuid=task_uuid, ref_digits=make_ref_digits(task_ref))
