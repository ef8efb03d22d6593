"""Removing leftover base_mirror keys of the VM's disks."""

from __future__ import annotations

from typing import Any

from lmflow.exceptions import NoReplyError, XapiFailureError
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.keys import Key, ensure_dropped
from lmflow.tasks.notes import warn
from lmflow.xapi import reads, storage

KIND = "strip_base_mirror"


class StripBaseMirror(BaseTask):
    """Remove the key ``base_mirror``, which an interrupted storage migration leaves behind, from the VM's disks.

    A disk with which something goes on now, such as a mirror, is left alone. Running it twice finds the keys gone. It
    has no revert, and a failure of it is a warning: the VM is there, and stays.
    """

    NAME = "strip_base_mirror"
    AFTER_SUBMIT = True
    DURABLE = False

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the UUIDs of the disks whose key is gone."""
        vm = reads.read_vm(context.connection, context.request.vm_uuid)
        if vm is None or "migrate_send" in vm.current_operations:
            return {"stripped": []}
        stripped = []
        for disk in storage.list_disks(context.connection, vm.uuid):
            if storage.MIRROR_KEY not in disk.sm_config or disk.current_operations:
                continue
            key = Key("VDI", "sm_config", disk.vdi_uuid, storage.MIRROR_KEY)
            try:
                ensure_dropped(context, KIND, key, disk.name_label)
                stripped.append(disk.vdi_uuid)
            except (NoReplyError, XapiFailureError) as error:
                warn(context, self.NAME, f'disk "{disk.name_label}" keeps its base_mirror: {error.message}')
        return {"stripped": stripped}
