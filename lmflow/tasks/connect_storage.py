"""Preparing the destination: storage that it does not reach yet and can."""

from __future__ import annotations

from typing import Any

from lmflow import checks
from lmflow.exceptions import MigrationFailedError
from lmflow.models import Snapshot
from lmflow.tasks import effects
from lmflow.tasks.base import BaseTask
from lmflow.tasks.changes import Change, list_changes
from lmflow.tasks.context import Context
from lmflow.tasks.joining import CreatePBD, PlugPBD
from lmflow.xapi import storage


class ConnectStorage(BaseTask):
    """Join the destination to the shared SRs that the VM's disks are on, and plug its PBDs of them.

    Running it twice is safe: each change is written down before it is sent, what is there already is left alone, and
    after a crash the pool's task with our mark says whether it was ours. Its revert unplugs and destroys exactly what
    was proved to be our doing, and touches nothing at the destination unless the VM is proved not to be there.
    """

    NAME = "connect_storage"
    DURABLE = False
    REQUIRES = ("snapshot",)

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the UUIDs of the PBDs that we plugged; MigrationFailedError when one cannot be plugged."""
        snapshot = Snapshot.from_json(inputs["snapshot"])
        names = {sr.uuid: sr.name_label for sr in snapshot.srs}
        wanted = {pbd.sr_uuid: pbd.uuid for pbd in checks.find_plugs(snapshot)}
        for sr in checks.find_creations(snapshot):
            wanted[sr.uuid] = _ensure_joined(context, sr.uuid, sr.name_label)
        if not wanted:
            return {"plugged": []}
        for sr_uuid, pbd_uuid in wanted.items():
            change = Change(PlugPBD.KIND, pbd_uuid, "", "", names.get(sr_uuid, ""), {"sr_uuid": sr_uuid})
            effects.ensure_made(context, PlugPBD(), change)
        made = [c for c in list_changes(context) if c.kind == PlugPBD.KIND and c.step == "done"]
        return {"plugged": [c.object_uuid for c in made]}

    def undo(self, context: Context) -> None:
        """Unplug and destroy what is ours, last first."""
        effects.take_back(context, self.NAME, (CreatePBD(), PlugPBD()))


def _ensure_joined(context: Context, sr_uuid: str, name: str) -> str:
    """Return the UUID of the destination's PBD of that SR, ours or that of somebody who was faster."""
    effects.ensure_made(context, CreatePBD(), Change(CreatePBD.KIND, sr_uuid, "", "", name))
    join = storage.find_join(context.connection, sr_uuid, context.request.destination_uuid)
    if join is None:
        raise MigrationFailedError(f"{context.request.destination_name} has no PBD of SR {name} any more")
    return join.pbd_uuid
