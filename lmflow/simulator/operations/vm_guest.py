"""Calls that reach into a guest, or ask what runs in it; a simulated guest does not answer, and offers nothing."""

from __future__ import annotations

from lmflow.simulator import gate
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed_vm

GUEST_PLUGIN = "guest-agent-operation"
"""The only plugin that XAPI knows in guests."""


@operation("VM.query_services")
def query_services(ctx: Context, vm_ref: str) -> dict[str, str]:
    """List the services that a VM offers to its pool: none."""
    ctx.store.value("VM", vm_ref, "uuid")
    return {}


@operation("VM.call_plugin")
def call_plugin(ctx: Context, vm_ref: str, plugin: str, function: str, _args: dict[str, str]) -> str:
    """Call a function inside a running guest: there is one plugin, and no simulated guest has a function for it.

    XENAPI_MISSING_PLUGIN, XENAPI_PLUGIN_FAILURE.
    """
    with ctx.store.lock:
        allowed_vm.check_operation(ctx.store, vm_ref, "call_plugin")
    if plugin != GUEST_PLUGIN:
        raise ApiFailure("XENAPI_MISSING_PLUGIN", plugin)
    text = f'The requested fn "{function}" could not be found in plugin "{plugin}".'
    raise ApiFailure("XENAPI_PLUGIN_FAILURE", "failed to find fn", text, text)


def _check_runs(ctx: Context, vm_ref: str, name: str) -> str:
    with gate.checked_operation(ctx, vm_ref, name):
        raise ApiFailure("NOT_IMPLEMENTED", name)


@operation("VM.send_sysrq")
def send_sysrq(ctx: Context, vm_ref: str, _key: str) -> str:
    """Refuse: NOT_IMPLEMENTED, as xapi does."""
    return _check_runs(ctx, vm_ref, "send_sysrq")


@operation("VM.send_trigger")
def send_trigger(ctx: Context, vm_ref: str, _trigger: str) -> str:
    """Refuse: NOT_IMPLEMENTED, as xapi does."""
    return _check_runs(ctx, vm_ref, "send_trigger")


@operation("VM.snapshot_with_quiesce")
def snapshot_with_quiesce(ctx: Context, vm_ref: str, _new_name: str) -> str:
    """Refuse: no guest can be asked to hold still any more."""
    ctx.store.value("VM", vm_ref, "uuid")
    raise ApiFailure("VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", vm_ref, "not supported")


@operation("VM.add_to_VCPUs_params_live", effect=True)
def add_to_vcpus_params_live(ctx: Context, vm_ref: str, key: str, value: str) -> str:
    """Set a parameter of a running VM's CPUs."""
    with gate.checked_operation(ctx, vm_ref, "changing_VCPUs_live"), gate.writing(ctx):
        params = ctx.store.value("VM", vm_ref, "VCPUs_params")
        ctx.store.update("VM", vm_ref, VCPUs_params={**params, key: value})
    return ""


@operation("VM.copy_bios_strings", effect=True)
def copy_bios_strings(ctx: Context, vm_ref: str, host_ref: str) -> str:
    """Let a VM read in its firmware what a host reads in its own."""
    with ctx.store.lock:
        strings = ctx.store.value("host", host_ref, "bios_strings")
        ctx.store.update("VM", vm_ref, bios_strings=strings)
    return ""


@operation("VM.restart_device_models", effect=True)
def restart_device_models(ctx: Context, vm_ref: str) -> str:
    """Give a running VM fresh device models, as a migration on the spot does."""
    with gate.checked_operation(ctx, vm_ref, "pool_migrate"):
        return ""
