"""Making and removing of VMs' records; templates that become VMs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmflow.simulator import gate
from lmflow.simulator.context import Context
from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL, Value
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.registry import operation
from lmflow.simulator.rules import allowed, allowed_storage, allowed_vm, memory
from lmflow.simulator.worlds import world_vm_defaults

PROVISION_SECONDS = 0.1


def check_memory_order(vm: Mapping[str, Any]) -> None:
    """Refuse amounts that are not 0 < static_min <= dynamic_min <= dynamic_max <= static_max."""
    names = ("static_min", "dynamic_min", "dynamic_max", "static_max")
    amounts = [int(vm[f"memory_{name}"]) for name in names]
    if amounts[0] < 0 or amounts != sorted(amounts):
        raise ApiFailure("MEMORY_CONSTRAINT_VIOLATION_ORDER")


def check_vcpus(at_startup: int, most: int) -> None:
    """Refuse numbers that are not 0 < at_startup <= max: INVALID_VALUE."""
    if not 0 < at_startup <= most:
        raise ApiFailure("INVALID_VALUE", "VCPUs values must satisfy: 0 < VCPUs_at_startup \u2264 VCPUs_max", str(most))


@operation("VM.create", effect=True)
def create(ctx: Context, args: dict[str, Any]) -> str:
    """Make a halted VM without disks and interfaces."""
    store = ctx.store
    check_memory_order(args)
    check_vcpus(int(args["VCPUs_at_startup"]), int(args["VCPUs_max"]))
    fields = {**args, "power_state": "Halted", "suspend_VDI": NULL, "memory_target": 0}
    if fields.get("domain_type", "unspecified") == "unspecified":
        fields["domain_type"] = "hvm" if fields["HVM_boot_policy"] else "pv"
    fields["memory_overhead"] = memory.overhead_of(int(fields["memory_static_max"]))
    fields["bios_strings"] = _make_bios_strings()
    fields["domid"] = -1
    fields.setdefault("hardware_platform_version", 0)
    with store.lock:
        fields["other_config"] = {"mac_seed": store.make_uuid(), **fields["other_config"]}
        fields["metrics"] = store.create("VM_metrics", {"current_domain_type": "unspecified"})
        ref = store.create("VM", fields)
        allowed.update_vm(store, ref)
        return ref


def _make_bios_strings() -> Value:
    """Make what a guest reads of its firmware when nobody chose it."""
    amounts = dict.fromkeys(world_vm_defaults.MEMORY_KINDS, 0)
    return world_vm_defaults.vm_fields({"name": ""}, amounts, "Halted", "")["bios_strings"]


def remove_devices(store: Store, vm_ref: str, *, with_disks: bool = False) -> None:
    """Remove what joins a VM to disks and networks, and the disks themselves if told; the lock must be held."""
    for vbd_ref in store.value("VM", vm_ref, "VBDs"):
        vbd = store.record("VBD", vbd_ref)
        store.destroy("VBD", vbd_ref)
        if vbd["VDI"] == NULL or not store.exists("VDI", vbd["VDI"]):
            continue
        if with_disks and vbd["type"] != "CD":
            store.destroy("VDI", vbd["VDI"])
        else:
            allowed_storage.refresh(store, "VDI", vbd["VDI"])
    for cls, field in (("VIF", "VIFs"), ("console", "consoles")):
        for ref in store.value("VM", vm_ref, field):
            store.destroy(cls, ref)


def remove_records(store: Store, vm_ref: str) -> None:
    """Remove a VM with all that is only its own; its snapshots move up in their tree. The lock must be held."""
    vm = store.record("VM", vm_ref)
    remove_devices(store, vm_ref)
    for cls, field in (("VM_metrics", "metrics"), ("VM_guest_metrics", "guest_metrics"), ("VDI", "suspend_VDI")):
        if store.exists(cls, vm[field]):
            store.destroy(cls, vm[field])
    for child_ref in vm["children"]:
        store.update("VM", child_ref, parent=vm["parent"])
    store.destroy("VM", vm_ref)


@operation("VM.provision", effect=True)
def provision(ctx: Context, vm_ref: str) -> str:
    """Make a VM of a template."""
    with gate.checked_operation(ctx, vm_ref, "provision"):
        gate.pause(ctx, PROVISION_SECONDS)
        with gate.writing(ctx):
            allowed.update_vm(ctx.store, vm_ref, is_a_template=False)
    return ""


@operation("VM.set_is_a_template", effect=True)
def set_is_a_template(ctx: Context, vm_ref: str, value: bool) -> str:
    """Make a template of a halted VM, or a VM of a template."""
    store = ctx.store
    with store.lock:
        vm = store.record("VM", vm_ref)
        if value and not vm["is_a_template"]:
            allowed_vm.check_operation(store, vm_ref, "make_into_template")
        if not value and vm["is_a_snapshot"]:
            raise ApiFailure("VM_IS_SNAPSHOT", vm_ref, "make_into_template")
        allowed.update_vm(store, vm_ref, is_a_template=value)
    return ""
