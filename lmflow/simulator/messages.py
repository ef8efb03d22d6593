"""The messages that operations leave in the pool."""

from __future__ import annotations

from lmflow.simulator.context import Context

NOTICE_PRIORITY = 5


def announce(ctx: Context, name: str, vm_ref: str, body: str) -> None:
    """Create a message about a VM."""
    fields = {
        "name": name,
        "priority": NOTICE_PRIORITY,
        "cls": "VM",
        "obj_uuid": ctx.store.value("VM", vm_ref, "uuid"),
        "timestamp": ctx.clock.stamp(),
        "body": body,
    }
    ctx.store.create("message", fields)


def _titled(ctx: Context, cls: str, ref: str) -> str:
    name, uuid = ctx.store.value(cls, ref, "name_label"), ctx.store.value(cls, ref, "uuid")
    return f"'{name}' (uuid: {uuid})"


def announce_migration(ctx: Context, vm_ref: str, source_ref: str, destination_ref: str) -> None:
    """Say that a VM has moved: VM_MIGRATED."""
    way = f"from host {_titled(ctx, 'host', source_ref)} to host {_titled(ctx, 'host', destination_ref)}"
    announce(ctx, "VM_MIGRATED", vm_ref, f"VM {_titled(ctx, 'VM', vm_ref)} migrated {way}")


def announce_start(ctx: Context, vm_ref: str, host_ref: str) -> None:
    """Say that a VM was started: VM_STARTED."""
    host = f"{ctx.store.value('host', host_ref, 'name_label')} (uuid: {ctx.store.value('host', host_ref, 'uuid')})"
    announce(ctx, "VM_STARTED", vm_ref, f"VM {_titled(ctx, 'VM', vm_ref)} started on host: {host}")


def announce_resume(ctx: Context, vm_ref: str, host_ref: str) -> None:
    """Say that a VM was resumed: VM_RESUMED. The text is assumed, after that of VM_STARTED."""
    host = f"{ctx.store.value('host', host_ref, 'name_label')} (uuid: {ctx.store.value('host', host_ref, 'uuid')})"
    announce(ctx, "VM_RESUMED", vm_ref, f"VM {_titled(ctx, 'VM', vm_ref)} resumed on host: {host}")


def announce_done(ctx: Context, name: str, vm_ref: str, words: str) -> None:
    """Say in a few words what was done to a VM, for example VM_SHUTDOWN ``shutdown forcibly``."""
    announce(ctx, name, vm_ref, f"VM {_titled(ctx, 'VM', vm_ref)} {words}")
