"""Preparing the destination: storage that is known there and not plugged."""

from __future__ import annotations

from typing import Any

from lmflow import checks
from lmflow.models import PBD, Host, Snapshot, TaskView
from lmflow.tasks import changes
from lmflow.tasks.base import BaseTask
from lmflow.tasks.context import Context
from lmflow.tasks.verdicts import wait_for_verdict
from lmflow.verdict import Sent, VerdictKind
from lmflow.xapi import changes as pool_changes
from lmflow.xapi import reads, witness

PLUG = "plug_pbd"


class ConnectStorage(BaseTask):
    """Plug the destination's PBDs of the shared SRs that the VM's disks are on.

    Running it twice is safe: each plug is written down before it is sent, one that is plugged is left alone, and
    after a crash the pool's task with our mark says whether it was ours. Its revert unplugs exactly those that
    were proved to be our doing, and touches nothing at the destination unless the VM is proved not to be there.
    """

    NAME = "connect_storage"
    REQUIRES = ("snapshot",)

    def act(self, context: Context, **inputs: Any) -> dict[str, Any]:
        """Return the UUIDs of the PBDs that we plugged; MigrationFailedError when one cannot be plugged."""
        for pbd in checks.find_plugs(Snapshot.from_json(inputs["snapshot"])):
            _ensure_plugged(context, pbd)
        return {"plugged": [c.object_uuid for c in changes.list_changes(context) if c.step == "done"]}

    def undo(self, context: Context) -> None:
        """Unplug what is ours, last first."""
        plugs = [c for c in changes.list_changes(context) if c.kind == PLUG]
        for change in (c for c in plugs if c.step == "unproved"):
            _judge_unproved(context, change)
        ours = [c for c in plugs if c.step in ("intended", "done", "undoing")]
        if not ours or not _proved_absent(context):
            for change in ours:
                _leave(context, change, "the VM is not proved to be elsewhere than on the destination")
            return
        for change in reversed(ours):
            if change.step == "intended":
                change = _find_out(context, change)  # noqa: PLW2901 - the same change, after asking the pool
            if change.step == "unproved":
                _judge_unproved(context, change)
            if change.step in ("done", "undoing"):
                _ensure_unplugged(context, change)


def _ensure_plugged(context: Context, pbd: PBD) -> None:
    change = changes.find_change(context, PLUG, pbd.uuid)
    if change is not None and change.step == "intended":
        change = _find_out(context, change)
    if change is not None and change.step in ("done", "unproved"):
        return
    if _is_attached(context, pbd.uuid):
        return
    attempt_id = changes.make_attempt_id()
    changes.write(context, PLUG, pbd.uuid, "intended", attempt_id)
    context.say("message", f"plugging storage on {context.request.destination_name}")
    task = changes.send(
        context,
        attempt_id,
        lambda: pool_changes.plug_pbd(context.connection, pbd_uuid=pbd.uuid, attempt_id=attempt_id),
    )
    _settle_plug(context, pbd.uuid, attempt_id, task)
    if not _is_attached(context, pbd.uuid):
        raise changes.fail(task, f"plugging storage on {context.request.destination_name} failed")


def _find_out(context: Context, change: changes.Change) -> changes.Change:
    """After an interruption: ask the pool whether the plug that we intended was done, and by us."""
    task = changes.wait_for_end(context, attempt_id=change.attempt_id)
    return _settle_plug(context, change.object_uuid, change.attempt_id, task)


def _settle_plug(context: Context, pbd_uuid: str, attempt_id: str, task: TaskView | None) -> changes.Change:
    succeeded = task is not None and task.status == "success"
    attached = _watch_for_plug(context, pbd_uuid) if task is None else _is_attached(context, pbd_uuid)
    step = "done" if succeeded and attached else "unproved" if attached else "void"
    return changes.write(context, PLUG, pbd_uuid, step, attempt_id)


def _judge_unproved(context: Context, change: changes.Change) -> None:
    """Say that it is left, unless somebody has unplugged it meanwhile."""
    if _is_attached(context, change.object_uuid):
        _leave(context, change, "nothing shows that it was us who plugged it; unplug it by hand if nobody needs it")
    else:
        changes.write(context, PLUG, change.object_uuid, "void", change.attempt_id)


def _ensure_unplugged(context: Context, change: changes.Change) -> None:
    if change.step == "undoing" and not _judge_undoing(context, change):
        return
    pbd_uuid = change.object_uuid
    if _is_attached(context, pbd_uuid):
        attempt_id = changes.make_attempt_id()
        changes.write(context, PLUG, pbd_uuid, "undoing", attempt_id)
        task = changes.send(
            context,
            attempt_id,
            lambda: pool_changes.unplug_pbd(context.connection, pbd_uuid=pbd_uuid, attempt_id=attempt_id),
        )
        if _is_attached(context, pbd_uuid):
            if task is not None:  # it failed for certain: plugged by us, as before
                changes.write(context, PLUG, pbd_uuid, "done", change.attempt_id)
            raise changes.fail(task, f"unplugging storage on {context.request.destination_name} failed")
    changes.write(context, PLUG, pbd_uuid, "undone", change.attempt_id)


def _judge_undoing(context: Context, change: changes.Change) -> bool:
    """After an interruption: tell whether an unplug of ours still has to be sent."""
    task = changes.wait_for_end(context, attempt_id=change.attempt_id)
    if task is not None and task.status == "success":
        changes.write(context, PLUG, change.object_uuid, "undone", change.attempt_id)
        return False
    if task is None and _is_attached(context, change.object_uuid):
        unproved = changes.write(context, PLUG, change.object_uuid, "unproved", change.attempt_id)
        _judge_unproved(context, unproved)
        return False
    return True


def _is_attached(context: Context, pbd_uuid: str) -> bool:
    pbd = reads.read_pbd(context.connection, pbd_uuid)
    return pbd is not None and pbd.currently_attached


def _watch_for_plug(context: Context, pbd_uuid: str) -> bool:
    """Watch a PBD whose plug may still be at work, nobody knows where, for as long as a pool takes to settle."""
    began = context.clock()
    while not _is_attached(context, pbd_uuid):
        if context.clock() - began > context.waits.settle_seconds:
            return False
        context.pause(context.waits.poll_seconds)
    return True


def _proved_absent(context: Context) -> bool:
    """Tell whether the VM is proved not to be on the destination, nor on its way there, at this moment."""
    sight = wait_for_verdict(context)
    there = context.request.destination_uuid
    before = sight.evidence.sent is Sent.NOTHING and sight.verdict.kind is VerdictKind.REDO
    if not (before or sight.verdict.kind is VerdictKind.ROLL_BACK):
        return False
    if sight.evidence.decided and _is_said_to_be_there(context, sight.hosts):
        return False
    return sight.vm is None or there not in (sight.vm.resident_on_uuid, sight.vm.scheduled_to_be_resident_on_uuid)


def _is_said_to_be_there(context: Context, hosts: tuple[Host, ...]) -> bool:
    """Ask the destination itself, where only a person decided that the VM is elsewhere; no answer says nothing."""
    host = next((h for h in hosts if h.uuid == context.request.destination_uuid), None)
    if host is None or not context.connection.profile.use_witness:
        return False
    view = witness.ask(context.connection, host, context.request.vm_uuid)
    return view.answered and (view.power_state == "Running" or view.incoming)


def _leave(context: Context, change: changes.Change, why: str) -> None:
    text = f"PBD {change.object_uuid} on {context.request.destination_name} stays plugged: {why}"
    context.record("left", {"task": ConnectStorage.NAME, "text": text})
