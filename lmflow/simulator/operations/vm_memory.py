"""How much memory and how many CPUs a VM has."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from lmflow.simulator import gate
from lmflow.simulator.context import Context
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.operations.vm_create import check_memory_order, check_vcpus
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed
from lmflow.simulator.rules.memory import MIB

_MIB_PER_SHADOW_MIB = 128
_BESIDE_MIB = 3
"""What a domain takes beside its shadow memory. It fits the VMs that were recorded, of 512 and 12,000 MiB."""


def overhead_bytes(vm: Mapping[str, Any]) -> int:
    """Give what the hypervisor keeps beside a guest: a MiB a CPU, one for each 128 of its memory, and a few."""
    static_mib = int(vm["memory_static_max"]) / MIB
    shadow = math.ceil(int(vm["VCPUs_max"]) + static_mib / _MIB_PER_SHADOW_MIB)
    return (math.ceil(shadow * float(vm["HVM_shadow_multiplier"])) + _BESIDE_MIB) * MIB


def _change(
    ctx: Context, vm_ref: str, name: str, changes: Mapping[str, Any], check: Callable[[Mapping[str, Any]], None]
) -> str:
    with gate.checked_moment(ctx, vm_ref, name):
        vm = {**ctx.store.record("VM", vm_ref), **changes}
        check(vm)
        live = vm["power_state"] == "Running"
        more = {"memory_target": int(vm["memory_dynamic_max"])} if live else {"memory_overhead": overhead_bytes(vm)}
        allowed.update_vm(ctx.store, vm_ref, **changes, **more)
    return ""


@operation("VM.set_memory_dynamic_range", effect=True)
def set_memory_dynamic_range(ctx: Context, vm_ref: str, least_bytes: int, most_bytes: int) -> str:
    """Set between what a guest's memory may go while it runs."""
    changes = {"memory_dynamic_min": least_bytes, "memory_dynamic_max": most_bytes}
    return _change(ctx, vm_ref, "changing_dynamic_range", changes, check_memory_order)


@operation("VM.set_memory_dynamic_min", effect=True)
def set_memory_dynamic_min(ctx: Context, vm_ref: str, value: int) -> str:
    """Set the least memory of a guest that runs."""
    return _change(ctx, vm_ref, "changing_dynamic_range", {"memory_dynamic_min": value}, check_memory_order)


@operation("VM.set_memory_dynamic_max", effect=True)
def set_memory_dynamic_max(ctx: Context, vm_ref: str, value: int) -> str:
    """Set the most memory of a guest that runs."""
    return _change(ctx, vm_ref, "changing_dynamic_range", {"memory_dynamic_max": value}, check_memory_order)


@operation("VM.set_memory_static_range", effect=True)
def set_memory_static_range(ctx: Context, vm_ref: str, least_bytes: int, most_bytes: int) -> str:
    """Set the bounds with which a VM boots."""
    changes = {"memory_static_min": least_bytes, "memory_static_max": most_bytes}
    return _change(ctx, vm_ref, "changing_static_range", changes, check_memory_order)


@operation("VM.set_memory_static_min", effect=True)
def set_memory_static_min(ctx: Context, vm_ref: str, value: int) -> str:
    """Set the lower bound with which a VM boots."""
    return _change(ctx, vm_ref, "changing_static_range", {"memory_static_min": value}, check_memory_order)


@operation("VM.set_memory_static_max", effect=True)
def set_memory_static_max(ctx: Context, vm_ref: str, value: int) -> str:
    """Set the upper bound with which a VM boots."""
    return _change(ctx, vm_ref, "changing_static_range", {"memory_static_max": value}, check_memory_order)


@operation("VM.set_memory_limits", effect=True)
def set_memory_limits(ctx: Context, vm_ref: str, *amounts: int) -> str:
    """Set all four bounds at once: static_min, static_max, dynamic_min, dynamic_max."""
    names = ("static_min", "static_max", "dynamic_min", "dynamic_max")
    changes = {f"memory_{name}": amount for name, amount in zip(names, amounts, strict=True)}
    return _change(ctx, vm_ref, "changing_memory_limits", changes, check_memory_order)


@operation("VM.set_memory", effect=True)
def set_memory(ctx: Context, vm_ref: str, value: int) -> str:
    """Give a VM exactly so much memory."""
    changes = dict.fromkeys(("memory_static_max", "memory_dynamic_min", "memory_dynamic_max"), value)
    return _change(ctx, vm_ref, "changing_memory_limits", changes, check_memory_order)


@operation("VM.set_memory_target_live", effect=True)
def set_memory_target_live(ctx: Context, vm_ref: str, _target: int) -> str:
    """Do nothing: the call is kept for old clients."""
    ctx.store.value("VM", vm_ref, "uuid")
    return ""


@operation("VM.wait_memory_target_live")
def wait_memory_target_live(ctx: Context, vm_ref: str) -> str:
    """Wait until a guest has reached its target; a simulated guest has at once."""
    ctx.store.value("VM", vm_ref, "uuid")
    return ""


# -- CPUs


def _check_vcpus(vm: Mapping[str, Any]) -> None:
    check_vcpus(int(vm["VCPUs_at_startup"]), int(vm["VCPUs_max"]))


@operation("VM.set_VCPUs_max", effect=True)
def set_vcpus_max(ctx: Context, vm_ref: str, value: int) -> str:
    """Set how many CPUs a VM can have."""
    return _change(ctx, vm_ref, "changing_VCPUs", {"VCPUs_max": value}, _check_vcpus)


@operation("VM.set_VCPUs_at_startup", effect=True)
def set_vcpus_at_startup(ctx: Context, vm_ref: str, value: int) -> str:
    """Set with how many CPUs a VM boots."""
    return _change(ctx, vm_ref, "changing_VCPUs", {"VCPUs_at_startup": value}, _check_vcpus)


@operation("VM.set_VCPUs_number_live", effect=True)
def set_vcpus_number_live(ctx: Context, vm_ref: str, number: int) -> str:
    """Give a running guest more CPUs or fewer, up to its maximum."""
    store = ctx.store
    with gate.checked_operation(ctx, vm_ref, "changing_VCPUs_live"), gate.writing(ctx):
        vm = store.record("VM", vm_ref)
        check_vcpus(number, int(vm["VCPUs_max"]))
        store.update("VM", vm_ref, VCPUs_at_startup=number)
        if store.exists("VM_metrics", vm["metrics"]):
            store.update("VM_metrics", vm["metrics"], VCPUs_number=number)
    return ""


def _check_shadow(vm: Mapping[str, Any]) -> None:
    if float(vm["HVM_shadow_multiplier"]) < 1.0:
        raise ApiFailure("INVALID_VALUE", "multiplier", f"{float(vm['HVM_shadow_multiplier']):f}")


@operation("VM.set_HVM_shadow_multiplier", effect=True)
def set_hvm_shadow_multiplier(ctx: Context, vm_ref: str, value: float) -> str:
    """Set how much more shadow memory than usual a VM boots with."""
    return _change(ctx, vm_ref, "changing_shadow_memory", {"HVM_shadow_multiplier": value}, _check_shadow)


@operation("VM.set_shadow_multiplier_live", effect=True)
def set_shadow_multiplier_live(ctx: Context, vm_ref: str, value: float) -> str:
    """Set how much more shadow memory than usual a running VM has."""
    return _change(ctx, vm_ref, "changing_shadow_memory_live", {"HVM_shadow_multiplier": value}, _check_shadow)
