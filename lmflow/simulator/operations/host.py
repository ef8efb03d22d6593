"""Calls about hosts."""

from __future__ import annotations

from lmflow.simulator import allowed, memory, placement
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation

_WHEN_ENABLED = ["vm_migrate", "provision", "vm_resume", "enable", "evacuate", "vm_start"]
_WHEN_DISABLED = [
    "vm_migrate",
    "provision",
    "vm_resume",
    "apply_updates",
    "enable",
    "reboot",
    "evacuate",
    "vm_start",
    "shutdown",
]


def _set_enabled(ctx: Context, host_ref: str, *, enabled: bool) -> str:
    operations = _WHEN_ENABLED if enabled else _WHEN_DISABLED
    ctx.store.update("host", host_ref, enabled=enabled, allowed_operations=list(operations))
    return ""


@operation("host.disable", effect=True)
def disable(ctx: Context, host_ref: str, _auto_enable: bool) -> str:
    """Keep new VMs off a host; those that run there, or are on their way, stay."""
    return _set_enabled(ctx, host_ref, enabled=False)


@operation("host.enable", effect=True)
def enable(ctx: Context, host_ref: str) -> str:
    """Let a host take VMs again."""
    return _set_enabled(ctx, host_ref, enabled=True)


@operation("host.compute_free_memory")
def compute_free_memory(ctx: Context, host_ref: str) -> int:
    """Give the free bytes of a host, by the database."""
    return memory.free_on(ctx.store, host_ref)


@operation("host.get_vms_which_prevent_evacuation")
def get_vms_which_prevent_evacuation(ctx: Context, host_ref: str) -> dict[str, list[str]]:
    """Give, for each VM that has no other place, the failure that says why."""
    store = ctx.store
    with store.lock:
        others = [ref for ref in store.refs("host") if ref != host_ref and store.value("host", ref, "enabled")]
        found: dict[str, list[str]] = {}
        for vm_ref in store.value("host", host_ref, "resident_VMs"):
            vm = store.record("VM", vm_ref)
            if vm["is_control_domain"]:
                continue
            try:
                if not allowed.has_feature(store, vm, "feature-suspend"):
                    raise ApiFailure("VM_LACKS_FEATURE", vm_ref)
                for other in others:
                    placement.check_can_be_here(store, vm_ref, other, with_cpu=True, with_memory=False)
            except ApiFailure as failure:
                found[vm_ref] = failure.description
        return found
