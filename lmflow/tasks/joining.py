"""Joining a host to an SR and parting it again: the two effects on a PBD, each a change of its own."""

from __future__ import annotations

import dataclasses

from lmflow.models import RunState, StartedTask, TaskView
from lmflow.tasks.changes import Change
from lmflow.tasks.context import Context
from lmflow.tasks.effects import Effect, Words
from lmflow.xapi import changes as pool_changes
from lmflow.xapi import storage

_OPEN = frozenset(state for state in RunState if not state.is_terminal)


class CreatePBD(Effect):
    """Tell the pool how the destination reaches a shared SR, as the source does.

    The change is on the SR, whose UUID is known before; ``data`` names the SR's PBD of ours as ``pbd_uuid`` once it is
    there. What the source's PBD holds is read for the call and forgotten with it.
    """

    KIND = "create_pbd"

    def describe(self, context: Context, change: Change) -> Words:
        """Return the words; the PBD's UUID where it is known."""
        name, there = change.object_name, context.request.destination_name
        return Words(
            making=f"joining {there} to SR {name}",
            unmaking=f"parting {there} from SR {name}",
            left=f"PBD {change.data.get('pbd_uuid', '')} of SR {name} ({change.object_uuid}) on {there} stays",
            by_hand="destroy it by hand if nobody needs it",
        )

    def is_made(self, context: Context, change: Change) -> bool:
        """Look for our PBD; before it is known, for any PBD of that SR on the destination."""
        return _find(context, change) is not None

    def judge(self, context: Context, change: Change, task: TaskView | None) -> Change:
        """It is ours if the task that made it is ours, or if it carries the mark of this run."""
        if task is None:
            self.watch_for(context, change)
        join = _find(context, change)
        if join is None:
            return dataclasses.replace(change, step="void")
        succeeded = task is not None and task.status == "success"
        created = storage.find_created(context.connection, task.uuid) if task is not None and succeeded else ""
        known = dataclasses.replace(change, data={**change.data, "pbd_uuid": join.pbd_uuid})
        if join.run_uuid == context.run_uuid or created == join.pbd_uuid:
            return dataclasses.replace(known, step="done")
        if task is not None and task.status == "failure":
            return dataclasses.replace(change, step="void")  # somebody else was faster
        return dataclasses.replace(known, step="unproved")

    def make(self, context: Context, change: Change) -> StartedTask:
        """Send PBD.create."""
        return pool_changes.create_pbd(
            context.connection,
            sr_uuid=change.object_uuid,
            source_uuid=context.request.source_uuid,
            destination_uuid=context.request.destination_uuid,
            run_uuid=context.run_uuid,
            attempt_id=change.attempt_id,
        )

    def unmake(self, context: Context, change: Change) -> StartedTask:
        """Send PBD.destroy for exactly the one that we made."""
        return pool_changes.destroy_pbd(
            context.connection, pbd_uuid=change.data["pbd_uuid"], attempt_id=change.attempt_id
        )

    def find_objection(self, context: Context, change: Change) -> str:
        """Object while it is plugged, for whomever, and when somebody else has marked it as theirs."""
        join = _find(context, change)
        if join is not None and join.currently_attached:
            return "it is still plugged"
        if join is not None and (join.run_uuid not in ("", context.run_uuid) or join.introduced_for):
            return "it is marked as another's"
        return _find_relying(context, change.object_uuid)

    def find_sr(self, change: Change) -> str:
        """Return the SR, which the change is on."""
        return change.object_uuid


class PlugPBD(Effect):
    """Plug a PBD of the destination. The change is on the PBD; ``data`` names the SR as ``sr_uuid``."""

    KIND = "plug_pbd"

    def describe(self, context: Context, change: Change) -> Words:
        """Return the words."""
        there = context.request.destination_name
        of_sr = f" of SR {change.object_name}" if change.object_name else ""
        return Words(
            making=f"plugging storage on {there} ({change.object_name})",
            unmaking=f"unplugging storage on {there} ({change.object_name})",
            left=f"PBD {change.object_uuid}{of_sr} on {there} stays plugged",
            by_hand="unplug it by hand if nobody needs it",
        )

    def is_made(self, context: Context, change: Change) -> bool:
        """Look whether it is plugged."""
        join = storage.read_join(context.connection, change.object_uuid)
        return join is not None and join.currently_attached

    def make(self, context: Context, change: Change) -> StartedTask:
        """Send PBD.plug."""
        return pool_changes.plug_pbd(context.connection, pbd_uuid=change.object_uuid, attempt_id=change.attempt_id)

    def unmake(self, context: Context, change: Change) -> StartedTask:
        """Send PBD.unplug."""
        return pool_changes.unplug_pbd(context.connection, pbd_uuid=change.object_uuid, attempt_id=change.attempt_id)

    def find_objection(self, context: Context, change: Change) -> str:
        """Object while VMs on the destination, or on their way there, have disks on that SR."""
        sr_uuid = self.find_sr(change)
        users = storage.list_users(context.connection, sr_uuid, context.request.destination_uuid)
        return f"used by {', '.join(users)}" if users else _find_relying(context, sr_uuid)


def _find(context: Context, change: Change) -> storage.Join | None:
    pbd_uuid = change.data.get("pbd_uuid", "")
    if pbd_uuid:
        return storage.read_join(context.connection, pbd_uuid)
    return storage.find_join(context.connection, change.object_uuid, context.request.destination_uuid)


def _find_relying(context: Context, sr_uuid: str) -> str:
    """Return what speaks of another run that is to bring a VM with a disk on that SR to the destination, '' for none.

    Until it has submitted its migration, the pool does not show that the VM needs the SR there.
    """
    for run in context.database.runs.list(states=_OPEN, limit=None):
        request = run.request
        if run.uuid == context.run_uuid or request.destination_uuid != context.request.destination_uuid:
            continue
        if any(disk.sr_uuid == sr_uuid for disk in storage.list_disks(context.connection, request.vm_uuid)):
            return f"the migration of {request.vm_name}, which is under way, needs it"
    return ""
