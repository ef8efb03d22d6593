"""After the arrival: the source's copy of a kernel and ramdisk that the VM boots from on the destination now."""

from __future__ import annotations

from typing import Any

from lmflow.exceptions import XapiFailureError
from lmflow.tasks import changes
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.guest_files import REMOVE, ask_patiently, describe_failure, list_copied, make_identity
from lmflow.tasks.notes import warn
from lmflow.xapi import guest_files, reads


class RemoveSourceKernel(BaseTask):
    """Remove the source's kernel and ramdisk where the destination is proved to have the same.

    That is asked by digest, of both hosts, now; whether we copied the file or found it there makes no difference. It
    stays with ``keep_source_kernel``, while any other VM, template or snapshot of the pool names the path, and when
    the VM is not on the destination any more. Running it twice finds the file gone. It has no revert, and nothing
    that goes wrong here fails the run: it is a warning. No reply is no verdict: it is asked again, behind the fence.
    """

    NAME = "remove_source_kernel"
    AFTER_SUBMIT = True
    DURABLE = False

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the paths that we removed."""
        if context.request.options.keep_source_kernel:
            return {"removed": []}
        for file in list_copied(context):
            path, digest = str(file["path"]), str(file["sha256"])
            try:
                reason = _find_reason(context, path, digest) or _remove(context, path, digest)
            except XapiFailureError as failure:
                reason = describe_failure(failure)
            _settle(context, path)
            if reason:
                warn(context, self.NAME, f"{path} stays on {context.request.source_name}: {reason}")
        removed = [c for c in changes.list_changes(context) if c.kind == REMOVE and c.step == "done"]
        return {"removed": [change.data["path"] for change in removed]}


def _find_reason(context: Context, path: str, digest: str) -> str:
    """Return why the source's file has to stay, '' for no reason."""
    request, conn = context.request, context.connection
    vm = reads.read_vm(conn, request.vm_uuid)
    if vm is None or vm.resident_on_uuid != request.destination_uuid:
        return f"{request.vm_name} is not shown on {request.destination_name}"
    others = [uuid for uuid in guest_files.find_users(conn, path) if uuid != request.vm_uuid]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        return f"VM, template or snapshot {others[0]}{more} names it"
    there = ask_patiently(context, lambda: guest_files.look_at(conn, request.destination_uuid, path))
    return "" if there.sha256 == digest else f"{request.destination_name} has not the same file there any more"


def _remove(context: Context, path: str, digest: str) -> str:
    """Remove the source's file if it still is the one that was copied; return why not, '' once it is gone."""
    source_uuid = context.request.source_uuid
    here = _look(context, path)
    if here.exists and here.sha256 != digest:
        return "it has changed since it was copied"
    if not here.exists:
        return ""
    change = changes.write(
        context,
        REMOVE,
        make_identity(source_uuid, path),
        "intended",
        changes.make_attempt_id(),
        object_name=path,
        data={"path": path, "host_uuid": source_uuid, "sha256": digest},
    )
    conn, why = context.connection, "the host did not remove it"
    try:
        ask_patiently(context, lambda: guest_files.remove(conn, source_uuid, path, sha256=digest))
    except XapiFailureError as failure:
        why = describe_failure(failure)
    if _look(context, path).exists:
        return why
    changes.note(context, change, "done")
    return ""


def _settle(context: Context, path: str) -> None:
    """Write down whether a removal that was intended came about, by what is there now; who asks is told nothing."""
    change = changes.find_change(context, REMOVE, make_identity(context.request.source_uuid, path))
    if change is None or change.step != "intended":
        return
    try:
        there = _look(context, path)
    except XapiFailureError:
        return  # nobody knows
    changes.note(context, change, "void" if there.exists else "done")


def _look(context: Context, path: str) -> guest_files.GuestFile:
    conn, source_uuid = context.connection, context.request.source_uuid
    return ask_patiently(context, lambda: guest_files.look_at(conn, source_uuid, path))
