"""The only calls of lmflow that change what a pool runs or mounts. Each is sent once, as Async, with its attempt id.

Each needs an armed session and raises what ``Connection.start`` raises. The keys of maps are the exception: XAPI has
no Async form for them. Files in dom0 are changed in ``guest_files``.
"""

from __future__ import annotations

from typing import Any

from lmflow.exceptions import XapiFailureError
from lmflow.models import MoveOptions, StartedTask, XapiError
from lmflow.xapi import records, storage
from lmflow.xapi.connection import Connection
from lmflow.xapi.records import make_ref_digits


def migrate_vm(
    conn: Connection, *, vm_uuid: str, destination_uuid: str, attempt_id: str, options: MoveOptions | None = None
) -> StartedTask:
    """Start VM.pool_migrate to the destination; XAPI really migrates even to the VM's present host: look first.

    XAPI reads three options; it takes ``force`` only as "true", and does not look at ``live``.
    """
    vm_ref = conn.read("VM.get_by_uuid", vm_uuid)
    host_ref = conn.read("host.get_by_uuid", destination_uuid)
    sent, options = {"live": "true"}, options or MoveOptions()
    if options.force:
        sent["force"] = "true"
    if options.network_uuid:
        sent["network"] = conn.read("network.get_by_uuid", options.network_uuid)
    if options.compress is not None:
        sent["compress"] = "true" if options.compress else "false"
    return _start(conn, "VM.pool_migrate", vm_ref, host_ref, sent, attempt_id=attempt_id)


def plug_pbd(conn: Connection, *, pbd_uuid: str, attempt_id: str) -> StartedTask:
    """Start PBD.plug: attach the PBD's SR to its host."""
    return _start(conn, "PBD.plug", conn.read("PBD.get_by_uuid", pbd_uuid), attempt_id=attempt_id)


def unplug_pbd(conn: Connection, *, pbd_uuid: str, attempt_id: str) -> StartedTask:
    """Start PBD.unplug: detach the PBD's SR from its host."""
    return _start(conn, "PBD.unplug", conn.read("PBD.get_by_uuid", pbd_uuid), attempt_id=attempt_id)


def create_pbd(
    conn: Connection, *, sr_uuid: str, source_uuid: str, destination_uuid: str, run_uuid: str, attempt_id: str
) -> StartedTask:
    """Start PBD.create: join the destination to the SR in the way in which the source is joined to it.

    XapiFailureError (UUID_INVALID) when the source is not joined to it any more. No failure that comes from here
    holds anything of the ``device_config``.
    """
    marks = {storage.RUN_KEY: run_uuid}
    arguments = storage.make_pbd_arguments(conn, sr_uuid, source_uuid, destination_uuid, marks)
    if arguments is None:
        raise XapiFailureError("UUID_INVALID", ("PBD", f"of SR {sr_uuid}"), call="PBD.create")
    try:
        return _start(conn, "PBD.create", arguments, attempt_id=attempt_id)
    except XapiFailureError as failure:
        said = storage.mask_values(XapiError(failure.xapi_code, failure.xapi_params), arguments["device_config"])
    raise XapiFailureError(said.code, said.params, call="PBD.create")


def destroy_pbd(conn: Connection, *, pbd_uuid: str, attempt_id: str) -> StartedTask:
    """Start PBD.destroy: XAPI forgets how a host is joined to an SR; it refuses one that is plugged."""
    return _start(conn, "PBD.destroy", conn.read("PBD.get_by_uuid", pbd_uuid), attempt_id=attempt_id)


def eject_disc(conn: Connection, *, vbd_uuid: str, attempt_id: str) -> StartedTask:
    """Start VBD.eject: take the disc out of a drive."""
    return _start(conn, "VBD.eject", conn.read("VBD.get_by_uuid", vbd_uuid), attempt_id=attempt_id)


def insert_disc(conn: Connection, *, vbd_uuid: str, vdi_uuid: str, attempt_id: str) -> StartedTask:
    """Start VBD.insert: put that disc into an empty drive."""
    vbd_ref, vdi_ref = conn.read("VBD.get_by_uuid", vbd_uuid), conn.read("VDI.get_by_uuid", vdi_uuid)
    return _start(conn, "VBD.insert", vbd_ref, vdi_ref, attempt_id=attempt_id)


def drop_key(conn: Connection, *, class_name: str, field: str, uuid: str, key: str) -> None:
    """Remove a key of an object's map, which XAPI offers as a short call only. Safe to repeat.

    Raises SessionNotArmedError or UnreachableError (not sent), NoReplyError, XapiFailureError.
    """
    conn.call_idempotent(f"{class_name}.remove_from_{field}", conn.read(f"{class_name}.get_by_uuid", uuid), key)


def add_key(conn: Connection, *, class_name: str, field: str, uuid: str, key: str, value: str) -> None:
    """Add a key to an object's map, as ``drop_key``; one that is there already stays as it is."""
    reference = conn.read(f"{class_name}.get_by_uuid", uuid)
    try:
        conn.call_idempotent(f"{class_name}.add_to_{field}", reference, key, value)
    except XapiFailureError as failure:
        if failure.xapi_code != "MAP_DUPLICATE_KEY":
            raise


def claim_vm(conn: Connection, *, vm_uuid: str, run_uuid: str) -> None:
    """Write on the VM which run holds it. XAPI gives that to one alone: XapiFailureError (MAP_DUPLICATE_KEY) otherwise.

    Raises SessionNotArmedError or UnreachableError (not sent), NoReplyError, XapiFailureError.
    """
    conn.call_idempotent("VM.add_to_other_config", conn.read("VM.get_by_uuid", vm_uuid), records.RUN_KEY, run_uuid)


def release_vm(conn: Connection, *, vm_uuid: str) -> None:
    """Remove from the VM which run holds it, whoever that is: look before. Raises what ``claim_vm`` raises."""
    drop_key(conn, class_name="VM", field="other_config", uuid=vm_uuid, key=records.RUN_KEY)


def _start(conn: Connection, method: str, *args: Any, attempt_id: str) -> StartedTask:
    """Send the call; whatever becomes of reading the task's UUID, that it was accepted is not lost."""
    task_ref = conn.start(method, *args, attempt_id=attempt_id)
    task_uuid = conn.find_uuid("task", task_ref) or ""
    return StartedTask(task_uuid=task_uuid, ref_digits=make_ref_digits(task_ref))
