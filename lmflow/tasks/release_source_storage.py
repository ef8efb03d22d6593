"""Letting go of the source's connection to storage that was introduced for this VM alone."""

from __future__ import annotations

from typing import Any

from lmflow.exceptions import MigrationFailedError, NoReplyError, XapiFailureError
from lmflow.models import StartedTask
from lmflow.tasks import effects
from lmflow.tasks.base import BaseTask
from lmflow.tasks.changes import Change, list_changes
from lmflow.tasks.context import Context
from lmflow.tasks.effects import Effect, Words
from lmflow.tasks.eject_local_iso import EjectDisc
from lmflow.tasks.joining import CreatePBD
from lmflow.tasks.keys import Key, ensure_added, ensure_dropped
from lmflow.tasks.notes import warn
from lmflow.xapi import changes as pool_changes
from lmflow.xapi import reads, storage

MARK, UNMARK = "mark_pbd", "unmark_pbd"


class ReleasePBD(Effect):
    """Unplug a PBD of the source, for good. The change is on the PBD."""

    KIND = "release_pbd"

    def describe(self, context: Context, change: Change) -> Words:
        """Return the words."""
        return Words(making=f"releasing SR {change.object_name} on {context.request.source_name}")

    def is_made(self, context: Context, change: Change) -> bool:
        """Look whether it is unplugged."""
        join = storage.read_join(context.connection, change.object_uuid)
        return join is None or not join.currently_attached

    def make(self, context: Context, change: Change) -> StartedTask:
        """Send PBD.unplug."""
        return pool_changes.unplug_pbd(context.connection, pbd_uuid=change.object_uuid, attempt_id=change.attempt_id)


class DestroyPBD(Effect):
    """Destroy an unplugged PBD of the source that lmflow made for this VM. The change is on the PBD."""

    KIND = "destroy_pbd"

    def describe(self, context: Context, change: Change) -> Words:
        """Return the words."""
        return Words(making=f"parting {context.request.source_name} from SR {change.object_name}")

    def is_made(self, context: Context, change: Change) -> bool:
        """Look whether it is gone."""
        return storage.read_join(context.connection, change.object_uuid) is None

    def make(self, context: Context, change: Change) -> StartedTask:
        """Send PBD.destroy."""
        return pool_changes.destroy_pbd(context.connection, pbd_uuid=change.object_uuid, attempt_id=change.attempt_id)


class ReleaseSourceStorage(BaseTask):
    """Unplug the source's PBD of each SR that was introduced for this VM alone, and destroy it if lmflow made it so.

    Whose it is, is said by the key ``lmflow-introduced-for`` in other_config of the SR or of the PBD; the PBDs that
    this run has made get it here, unless another VM has a disk on the SR. An SR on which any other VM has a disk,
    running or not, stays connected, and the PBD's key is taken off: it is nobody's own any more. Running it twice is
    safe: what was sent is found out first. It has no revert, and a failure of it is a warning: the VM is there, and
    stays.
    """

    NAME = "release_source_storage"
    AFTER_SUBMIT = True
    DURABLE = False

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the UUIDs of the source's PBDs that are released."""
        self._say_ejected(context)
        self._mark_created(context)
        effects.find_out(context, (ReleasePBD(), DestroyPBD()))
        disks = storage.list_disks(context.connection, context.request.vm_uuid)
        for sr_uuid, name in {disk.sr_uuid: disk.sr_name for disk in disks}.items():
            try:
                _release(context, sr_uuid, name)
            except (MigrationFailedError, NoReplyError, XapiFailureError) as error:
                warn(context, self.NAME, f"SR {name} stays connected to {context.request.source_name}: {error.message}")
        released = [c for c in list_changes(context) if c.kind == ReleasePBD.KIND and c.step == "done"]
        return {"released": [c.object_uuid for c in released]}

    def _mark_created(self, context: Context) -> None:
        """Take the mark of this run off the PBDs that it made; mark those of this VM's own SRs as introduced for it."""
        for change in list_changes(context):
            pbd_uuid = change.data.get("pbd_uuid", "") if change.kind == CreatePBD.KIND else ""
            if change.step != "done" or not storage.read_join(context.connection, pbd_uuid):
                continue
            of_run = Key("PBD", "other_config", pbd_uuid, storage.RUN_KEY)
            of_vm = Key("PBD", "other_config", pbd_uuid, storage.INTRODUCED_KEY)
            try:
                if not storage.list_sharers(context.connection, change.object_uuid, context.request.vm_uuid):
                    ensure_added(context, MARK, of_vm, change.object_name, context.request.vm_uuid)
                ensure_dropped(context, UNMARK, of_run, change.object_name)
            except (NoReplyError, XapiFailureError) as error:
                warn(context, self.NAME, f"the marks of PBD {pbd_uuid} are not as they should be: {error.message}")

    def _say_ejected(self, context: Context) -> None:
        for change in list_changes(context):
            if change.kind == EjectDisc.KIND and change.step in ("done", "unproved"):
                request = context.request
                text = f'disc "{change.object_name}" ({change.data["vdi_uuid"]}) was taken out of {request.vm_name}:'
                warn(context, self.NAME, f"{text} {request.destination_name} cannot reach its SR")


def _release(context: Context, sr_uuid: str, name: str) -> None:
    """Release the source's PBD of that SR if it is this VM's own, nobody uses it, and the destination has the SR."""
    request = context.request
    source = storage.find_join(context.connection, sr_uuid, request.source_uuid)
    there = storage.find_join(context.connection, sr_uuid, request.destination_uuid)
    if source is None or there is None or not there.currently_attached:
        return
    is_made_for_it = source.introduced_for == request.vm_uuid
    if not is_made_for_it and storage.read_owner(context.connection, sr_uuid) != request.vm_uuid:
        return
    if not _is_shown_there(context):
        raise MigrationFailedError(f"XAPI does not show {request.vm_name} running on {request.destination_name}")
    users = storage.list_users(context.connection, sr_uuid, request.source_uuid)
    sharers = storage.list_sharers(context.connection, sr_uuid, request.vm_uuid)
    if users or sharers:
        told = ", ".join(sorted({*users, *sharers}))
        context.say("message", f"SR {name} stays connected to {request.source_name}: used by {told}")
        if is_made_for_it and sharers:
            ensure_dropped(context, UNMARK, Key("PBD", "other_config", source.pbd_uuid, storage.INTRODUCED_KEY), name)
        return
    data = {"sr_uuid": sr_uuid}
    effects.ensure_made(context, ReleasePBD(), Change(ReleasePBD.KIND, source.pbd_uuid, "", "", name, data))
    if is_made_for_it:
        effects.ensure_made(context, DestroyPBD(), Change(DestroyPBD.KIND, source.pbd_uuid, "", "", name, data))


def _is_shown_there(context: Context) -> bool:
    """Look whether XAPI shows the VM running on the destination now: nothing less lets go of the source's storage."""
    vm = reads.read_vm(context.connection, context.request.vm_uuid)
    return vm is not None and (vm.power_state, vm.resident_on_uuid) == ("Running", context.request.destination_uuid)
