"""Appliances: several VMs that are started in their order, and ended in the reverse one.

Source: xapi_vm_appliance.ml; nobody watched it. VMs of the same order follow each other here, there they go at once.
"""

from __future__ import annotations

from collections.abc import Callable

from lmflow.simulator import gate
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.operations import vm_power
from lmflow.simulator.registry import operation


@operation("VM_appliance.start", effect=True)
def start(ctx: Context, appliance_ref: str, paused: bool) -> str:
    """Start the halted VMs, by their order, each after its start_delay. OPERATION_PARTIALLY_FAILED."""

    def begin(vm_ref: str) -> None:
        vm_power.start(ctx, vm_ref, paused, False)
        gate.pause(ctx, float(ctx.store.value("VM", vm_ref, "start_delay")))

    return _for_each(ctx, appliance_ref, "start", begin, frozenset({"Halted"}))


@operation("VM_appliance.clean_shutdown", effect=True)
def clean_shutdown(ctx: Context, appliance_ref: str) -> str:
    """Let the guests of the running VMs end them, the last to start first. OPERATION_PARTIALLY_FAILED."""
    return _end(ctx, appliance_ref, "clean_shutdown", vm_power.clean_shutdown, frozenset({"Running"}))


@operation("VM_appliance.hard_shutdown", effect=True)
def hard_shutdown(ctx: Context, appliance_ref: str) -> str:
    """End all VMs by force, the last to start first. OPERATION_PARTIALLY_FAILED."""
    states = frozenset({"Running", "Paused", "Suspended"})
    return _end(ctx, appliance_ref, "hard_shutdown", vm_power.hard_shutdown, states)


@operation("VM_appliance.shutdown", effect=True)
def shutdown(ctx: Context, appliance_ref: str) -> str:
    """End all VMs, by force where the guest does not do it. OPERATION_PARTIALLY_FAILED."""
    states = frozenset({"Running", "Paused", "Suspended"})
    return _end(ctx, appliance_ref, "shutdown", vm_power.shutdown, states)


def _end(
    ctx: Context, appliance_ref: str, name: str, act: Callable[[Context, str], str], states: frozenset[str]
) -> str:
    return _for_each(ctx, appliance_ref, name, lambda vm_ref: act(ctx, vm_ref), states, backwards=True)


def _for_each(
    ctx: Context,
    appliance_ref: str,
    name: str,
    act: Callable[[str], object],
    states: frozenset[str],
    *,
    backwards: bool = False,
) -> str:
    """Do something to the VMs in these power states; one that refuses does not hold up the others."""
    store = ctx.store
    vms = sorted(
        store.value("VM_appliance", appliance_ref, "VMs"), key=lambda ref: int(store.value("VM", ref, "order"))
    )
    failed = []
    for vm_ref in reversed(vms) if backwards else vms:
        if store.value("VM", vm_ref, "power_state") in states:
            try:
                act(vm_ref)
            except ApiFailure:
                failed.append(vm_ref)
    if failed:
        raise ApiFailure("OPERATION_PARTIALLY_FAILED", name, *failed)
    return ""
