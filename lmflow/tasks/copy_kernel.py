"""Preparing the destination: the kernel and ramdisk in dom0 that a VM boots from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from lmflow.exceptions import LmflowError, MigrationFailedError, UnreachableError, XapiFailureError
from lmflow.models import RunState, Snapshot
from lmflow.tasks import changes
from lmflow.tasks.absence import NOT_PROVED, is_proved_absent
from lmflow.tasks.base import BaseTask
from lmflow.tasks.cancelling import check_cancel
from lmflow.tasks.changes import Change
from lmflow.tasks.context import Context
from lmflow.tasks.guest_files import COPY, ask_patiently, describe_failure, find_paths, make_identity
from lmflow.xapi import guest_files
from lmflow.xapi.guest_files import MISSING_PLUGIN, PLUGIN, GuestFile

_OURS = ("intended", "done", "undoing")
_INSTALL = f"install the plugin {PLUGIN} on every host, or take the key {PLUGIN} out of the host's other_config"


@dataclasses.dataclass(frozen=True, slots=True)
class _Pair:
    """One path as both hosts show it; ``change`` is our own last word on the destination's file."""

    path: str
    source: GuestFile
    there: GuestFile
    change: Change | None


class CopyKernel(BaseTask):
    """Copy the VM's external kernel and ramdisk to the same paths on the destination, and compare the digests.

    Running it twice is safe: each copy is written down before it begins, goes into a partial file of its own, and is
    shown by the host to be ours until that is recorded. A file that is there is never replaced, and with the same
    content it is left alone. Its revert removes the partials and exactly the files that were proved to be our doing,
    and nothing at the destination unless the VM is proved not to be there. A VM without such files costs no call.
    What only the hosts know is asked here first, of all files, and before storage is connected. It is no refusal: XAPI
    counts each look of the plugin as a change.
    """

    NAME = "copy_kernel"
    DURABLE = False
    REQUIRES = ("snapshot",)

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the files with size, digest and whether we copied them.

        MigrationFailedError where a file is missing on the source, another one is on the destination, or a host lacks
        the plugin: with every reason, and then nothing was copied. It says whether another host could do better.
        """
        pairs: list[_Pair] = []
        obstacles: list[MigrationFailedError] = []
        for path in find_paths(Snapshot.from_json(inputs["snapshot"]).vm):
            try:
                pairs.append(_look(context, path))
            except MigrationFailedError as obstacle:
                obstacles.append(obstacle)
        if obstacles:
            raise _join(obstacles)
        return {"files": [_ensure_copied(context, pair) for pair in pairs]}

    def undo(self, context: Context) -> None:
        """Remove what is ours, last first. What stays is recorded at the end, once all of it is known."""
        ours = [c for c in changes.list_changes(context) if c.kind == COPY and c.step in _OURS]
        absent = bool(ours) and is_proved_absent(context)
        left = []
        for change in reversed(ours):
            try:
                why = _take_back(context, change) if absent else NOT_PROVED
            except UnreachableError:
                raise  # it is waited for, and all of this is done again
            except XapiFailureError as failure:
                why = describe_failure(failure)
            except LmflowError as error:
                why = error.message
            if why:
                left.append(f"the file {change.object_name} on {context.request.destination_name} stays: {why}")
        for text in left:
            context.record("left", {"task": self.NAME, "text": text})


def _look(context: Context, path: str) -> _Pair:
    """Look at the file on both hosts; MigrationFailedError says why it cannot be copied."""
    request, conn = context.request, context.connection
    change = changes.find_change(context, COPY, make_identity(request.destination_uuid, path))
    part = change.attempt_id if change else ""
    looking, elsewhere = request.source_name, False
    try:
        source = ask_patiently(context, lambda: guest_files.look_at(conn, request.source_uuid, path))
        looking, elsewhere = request.destination_name, True
        there = ask_patiently(context, lambda: guest_files.look_at(conn, request.destination_uuid, path, part=part))
    except XapiFailureError as failure:
        if failure.xapi_code == MISSING_PLUGIN:
            why = f"{looking} lacks the plugin {PLUGIN}: {_INSTALL}"
        else:
            why = f"{looking} says {describe_failure(failure)}"
        raise _object(context, path, why, failure, elsewhere=elsewhere) from failure
    if not source.exists:
        why = f"{request.source_name} has no such file: put it back, without it the VM cannot be rebooted"
        raise _object(context, path, why, elsewhere=False)
    if there.exists and (there.size_bytes, there.sha256) != (source.size_bytes, source.sha256):
        why = f"{request.destination_name} has another file there, which is not replaced: move one of the two away"
        raise _object(context, path, why)
    if not there.has_directory:
        raise _object(context, path, f"{request.destination_name} has no directory for it: make it")
    return _Pair(path, source, there, change)


def _object(
    context: Context, path: str, why: str, failure: XapiFailureError | None = None, *, elsewhere: bool = True
) -> MigrationFailedError:
    """Make the error; ``elsewhere``: another destination could do better."""
    return MigrationFailedError(
        f"{context.request.vm_name} boots from {path}, and {why}",
        xapi_code=failure.xapi_code if failure else "",
        xapi_params=failure.xapi_params if failure else (),
        elsewhere=elsewhere,
    )


def _join(obstacles: Sequence[MigrationFailedError]) -> MigrationFailedError:
    """Make one error that says all of it; XAPI's code is that of the first which has one."""
    said = next((each for each in obstacles if each.xapi_code), obstacles[0])
    return MigrationFailedError(
        "; ".join(each.message for each in obstacles),
        xapi_code=said.xapi_code,
        xapi_params=said.xapi_params,
        elsewhere=all(each.elsewhere for each in obstacles),
    )


def _ensure_copied(context: Context, pair: _Pair) -> dict[str, Any]:
    """Copy the file unless it is there; return what ``act`` tells of it."""
    source, change = pair.source, pair.change
    if change is not None and change.step == "intended":
        if pair.there.is_ours:
            change = changes.note(context, change, "done")
        else:
            _discard(context, change)
            change = changes.note(context, change, "void")
    if not pair.there.exists:
        change = _copy(context, pair.path, source)
    ours = change is not None and change.step == "done"
    if change is not None and ours:
        _discard(context, change)
    return {"path": pair.path, "size": source.size_bytes, "sha256": source.sha256, "copied": ours}


def _copy(context: Context, path: str, source: GuestFile) -> Change:
    """Copy a file that is not there, and return the word on it once it is there with the same content.

    Somebody else may put the same content there meanwhile: then it is there, and not ours.
    """
    request = context.request
    part, there = changes.make_attempt_id(), request.destination_uuid
    data = {"path": path, "host_uuid": there, "size": str(source.size_bytes), "sha256": source.sha256}
    change = changes.write(
        context,
        COPY,
        make_identity(there, path),
        "intended",
        part,
        object_name=path,
        data=data,
    )
    try:
        _send_pieces(context, path, source.size_bytes, part)
        _finish(context, change)
        made = _look_again(context, change)
    except XapiFailureError as failure:
        if _is_put_by_another(context, change):
            _discard(context, change)
            return changes.note(context, change, "void")
        raise MigrationFailedError(
            f"copying {path} to {request.destination_name} failed: {describe_failure(failure)}",
            xapi_code=failure.xapi_code,
            xapi_params=failure.xapi_params,
        ) from failure
    if not made.is_ours or (made.size_bytes, made.sha256) != (source.size_bytes, source.sha256):
        raise MigrationFailedError(f"{path} on {request.destination_name} is not what was copied there")
    return changes.note(context, change, "done")


def _is_put_by_another(context: Context, change: Change) -> bool:
    """Tell whether the path has the content that we were to put there, and not from us; no answer says nothing."""
    try:
        there = _look_again(context, change)
    except XapiFailureError:
        return False
    wanted = (int(change.data["size"]), change.data["sha256"])
    return there.exists and not there.is_ours and (there.size_bytes, there.sha256) == wanted


def _send_pieces(context: Context, path: str, size_bytes: int, part: str) -> None:
    """Carry the file over, piece by piece; an empty file is one piece."""
    offset, quarters, to = 0, 0, context.request.destination_name
    context.say("message", f"copying {path} to {to}")
    while True:
        check_cancel(context)
        context.check_deadline()
        moved = _send_piece(context, path, part, offset)
        offset += moved
        if offset >= size_bytes:
            return
        if not moved:
            raise MigrationFailedError(f"{path} on {context.request.source_name} became shorter while it was copied")
        if 4 * offset // size_bytes > quarters:
            quarters = 4 * offset // size_bytes
            context.say("message", f"copying {path} to {to}: {25 * quarters} % of {size_bytes} bytes")


def _send_piece(context: Context, path: str, part: str, offset: int) -> int:
    request, conn = context.request, context.connection
    data = ask_patiently(context, lambda: guest_files.read_piece(conn, request.source_uuid, path, offset))
    there = request.destination_uuid
    ask_patiently(context, lambda: guest_files.write_piece(conn, there, path, part, offset=offset, data=data))
    return len(data)


def _finish(context: Context, change: Change) -> None:
    size_bytes, digest = int(change.data["size"]), change.data["sha256"]
    ask_patiently(
        context,
        lambda: guest_files.finish(
            context.connection,
            change.data["host_uuid"],
            change.data["path"],
            change.attempt_id,
            size_bytes=size_bytes,
            sha256=digest,
        ),
    )


def _look_again(context: Context, change: Change) -> GuestFile:
    host_uuid, path = change.data["host_uuid"], change.data["path"]
    return ask_patiently(
        context, lambda: guest_files.look_at(context.connection, host_uuid, path, part=change.attempt_id)
    )


def _discard(context: Context, change: Change) -> None:
    host_uuid, path = change.data["host_uuid"], change.data["path"]
    ask_patiently(context, lambda: guest_files.discard(context.connection, host_uuid, path, change.attempt_id))


def _take_back(context: Context, change: Change) -> str:
    """Remove the partial, and the file if it is ours and nobody else needs it; return why it stays, '' if not."""
    host_uuid, path, digest = change.data["host_uuid"], change.data["path"], change.data["sha256"]
    there = _look_again(context, change)
    if change.step == "intended" and there.is_ours:
        change = changes.note(context, change, "done")
    _discard(context, change)
    if change.step == "intended":
        changes.note(context, change, "void")
        return ""
    if there.exists and there.sha256 != digest:
        changes.note(context, change, "void")  # ours is gone, somebody has put another file there
        return ""
    if there.exists:
        why = _find_objection(context, host_uuid, path)
        if why:
            return why
        change = changes.note(context, change, "undoing")
        ask_patiently(context, lambda: guest_files.remove(context.connection, host_uuid, path, sha256=digest))
        if _look_again(context, change).exists:
            return "the host did not remove it"
    changes.note(context, change, "undone")
    return ""


def _find_objection(context: Context, host_uuid: str, path: str) -> str:
    """Return which other VM needs the file: one that is there or on its way, or that an open run is to bring there."""
    conn, mine = context.connection, context.request.vm_uuid
    others = [uuid for uuid in guest_files.find_users(conn, path, host_uuid=host_uuid) if uuid != mine]
    if others:
        return f"VM {others[0]} there boots from it"
    open_runs = context.database.runs.list(states=[state for state in RunState if not state.is_terminal], limit=None)
    coming = {r.request.vm_uuid: r.uuid for r in open_runs if r.request.destination_uuid == host_uuid}
    coming.pop(mine, None)
    wanted = [uuid for uuid in guest_files.find_users(conn, path) if uuid in coming] if coming else []
    return f"run {coming[wanted[0]]} is to bring VM {wanted[0]} there, which boots from it" if wanted else ""
