"""Taking a disc out that cannot follow, where that was asked for."""

from __future__ import annotations

from typing import Any

from lmflow import checks
from lmflow.models import VBD, Snapshot, StartedTask
from lmflow.tasks import effects
from lmflow.tasks.base import BaseTask
from lmflow.tasks.changes import Change, list_changes
from lmflow.tasks.context import Context
from lmflow.tasks.effects import Effect, Words
from lmflow.xapi import changes as pool_changes
from lmflow.xapi import storage


class EjectDisc(Effect):
    """Take the disc out of a drive. The change is on the drive's VBD; ``data`` names the disc as ``vdi_uuid``."""

    KIND = "eject_disc"

    def describe(self, context: Context, change: Change) -> Words:
        """Return the words."""
        disc, vm = f'disc "{change.object_name}"', context.request.vm_name
        return Words(
            making=f"taking {disc} out of {vm}",
            unmaking=f"putting {disc} into {vm} again",
            left=f"{disc} ({change.data['vdi_uuid']}) is out of drive {change.object_uuid} of {vm}",
            by_hand="insert it by hand if it is needed",
        )

    def is_made(self, context: Context, change: Change) -> bool:
        """Look whether the drive is empty."""
        drive = storage.read_drive(context.connection, change.object_uuid)
        return drive is not None and drive.empty

    def make(self, context: Context, change: Change) -> StartedTask:
        """Send VBD.eject."""
        return pool_changes.eject_disc(context.connection, vbd_uuid=change.object_uuid, attempt_id=change.attempt_id)

    def unmake(self, context: Context, change: Change) -> StartedTask:
        """Send VBD.insert of the same disc."""
        return pool_changes.insert_disc(
            context.connection,
            vbd_uuid=change.object_uuid,
            vdi_uuid=change.data["vdi_uuid"],
            attempt_id=change.attempt_id,
        )

    def is_overtaken(self, context: Context, change: Change) -> bool:
        """Tell whether the drive is gone, or holds another disc than ours."""
        return _read_disc(context, change.object_uuid) != change.data["vdi_uuid"]


class EjectLocalISO(BaseTask):
    """Take out the discs on storage that the destination cannot reach, if the request allows it.

    Running it twice is safe: each disc is written down before, and an empty drive is left alone. Its revert puts the
    same disc into the drive again if that is still empty.
    """

    NAME = "eject_local_iso"
    DURABLE = False
    REQUIRES = ("snapshot",)

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the UUIDs of the drives that we emptied; MigrationFailedError when one keeps its disc."""
        if not context.request.options.eject_local_iso:
            return {"ejected": []}
        for vbd in checks.find_ejections(Snapshot.from_json(inputs["snapshot"])):
            _ensure_ejected(context, vbd)
        made = [c for c in list_changes(context) if c.kind == EjectDisc.KIND and c.step == "done"]
        return {"ejected": [c.object_uuid for c in made]}

    def undo(self, context: Context) -> None:
        """Put the discs in again."""
        effects.take_back(context, self.NAME, (EjectDisc(),))


def _ensure_ejected(context: Context, vbd: VBD) -> None:
    """Eject the disc that was seen; another one that was put in since is for the last look before the submit."""
    if vbd.vdi is None or _read_disc(context, vbd.uuid) not in ("", vbd.vdi.uuid):
        return
    data = {"vdi_uuid": vbd.vdi.uuid, "sr_uuid": vbd.vdi.sr_uuid}
    effects.ensure_made(context, EjectDisc(), Change(EjectDisc.KIND, vbd.uuid, "", "", vbd.vdi.name_label, data))


def _read_disc(context: Context, vbd_uuid: str) -> str:
    """Return the UUID of the disc in a drive, '' for none."""
    drive = storage.read_drive(context.connection, vbd_uuid)
    return drive.vdi.uuid if drive is not None and drive.vdi is not None and not drive.empty else ""
