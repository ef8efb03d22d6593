"""What a VM's devices say against its leaving a host, and against another host.

Source: xapi_vm_lifecycle.ml, xapi_vm_helpers.ml; no such device was in the pool that was watched.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.rules.network_rules import pifs_on

_MOVABLE_VGPUS = frozenset({"nvidia", "nvidia_sriov"})


def disks_of(store: Store, vm_ref: str) -> list[str]:
    """List the disks and CDs in a VM's drives, in their order; empty drives have none."""
    disks = [store.value("VBD", ref, "VDI") for ref in store.value("VM", vm_ref, "VBDs")]
    return [ref for ref in disks if store.exists("VDI", ref)]


def check_can_leave(store: Store, vm_ref: str) -> None:
    """Refuse to move a VM whose devices hold it.

    VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION for a disk that is reset at boot and cached on its host;
    VM_HAS_PCI_ATTACHED, VM_HAS_VGPU, VM_HAS_VUSBS.
    """
    for vdi_ref in disks_of(store, vm_ref):
        config = store.value("VDI", vdi_ref, "sm_config")
        if config.get("on_boot") == "reset" and config.get("caching", "").lower() == "true":
            raise ApiFailure("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION")
    if store.value("VM", vm_ref, "attached_PCIs"):
        raise ApiFailure("VM_HAS_PCI_ATTACHED", vm_ref)
    if any(_implementation(store, ref) not in _MOVABLE_VGPUS for ref in store.value("VM", vm_ref, "VGPUs")):
        raise ApiFailure("VM_HAS_VGPU", vm_ref)
    if store.value("VM", vm_ref, "VUSBs"):
        raise ApiFailure("VM_HAS_VUSBS", vm_ref)


def _implementation(store: Store, vgpu_ref: str) -> str:
    type_ref = store.value("VGPU", vgpu_ref, "type")
    return str(store.value("VGPU_type", type_ref, "implementation")) if store.exists("VGPU_type", type_ref) else ""


def check_host_has(store: Store, vm_ref: str, vm: dict[str, Any], host_ref: str) -> None:
    """Refuse a host that lacks what the VM's devices or its kind of domain need, in XAPI's order.

    VM_REQUIRES_IOMMU, VM_REQUIRES_GPU or VM_REQUIRES_VGPU, OPERATION_NOT_ALLOWED for a USB device elsewhere,
    NETWORK_SRIOV_INSUFFICIENT_CAPACITY, VM_HVM_REQUIRED.
    """
    passed_through = any(_implementation(store, ref) == "passthrough" for ref in vm["VGPUs"])
    if passed_through and store.value("host", host_ref, "chipset_info").get("iommu") != "true":
        raise ApiFailure("VM_REQUIRES_IOMMU", host_ref)
    for vgpu_ref in vm["VGPUs"]:
        _check_gpu(store, vm_ref, vgpu_ref, host_ref)
    for vusb_ref in vm["VUSBs"]:
        _check_usb(store, vusb_ref, host_ref)
    _check_virtual_functions(store, vm, host_ref)
    if vm["domain_type"] != "pv":
        capabilities = store.value("host", host_ref, "capabilities")
        if not any("hvm" in name for name in capabilities):
            raise ApiFailure("VM_HVM_REQUIRED", vm_ref)


def _check_gpu(store: Store, vm_ref: str, vgpu_ref: str, host_ref: str) -> None:
    vgpu = store.record("VGPU", vgpu_ref)
    group_ref, type_ref = vgpu["GPU_group"], vgpu["type"]
    found = store.value("GPU_group", group_ref, "PGPUs") if store.exists("GPU_group", group_ref) else []
    here = [ref for ref in found if store.value("PGPU", ref, "host") == host_ref]
    if not here:
        raise ApiFailure("VM_REQUIRES_GPU", vm_ref, group_ref)
    if not any(type_ref in store.value("PGPU", ref, "enabled_VGPU_types") for ref in here):
        raise ApiFailure("VM_REQUIRES_VGPU", vm_ref, group_ref, type_ref)


def _check_usb(store: Store, vusb_ref: str, host_ref: str) -> None:
    group_ref = store.value("VUSB", vusb_ref, "USB_group")
    found = store.value("USB_group", group_ref, "PUSBs") if store.exists("USB_group", group_ref) else []
    if not found or store.value("PUSB", found[0], "host") != host_ref:
        raise ApiFailure("OPERATION_NOT_ALLOWED", f"VUSB {vusb_ref} is not available on Host {host_ref}")


def _check_virtual_functions(store: Store, vm: dict[str, Any], host_ref: str) -> None:
    """Count the virtual functions: PCI devices that depend on the wire's own and belong to no VM."""
    wanted = Counter(store.value("VIF", ref, "network") for ref in vm["VIFs"])
    for network_ref, count in wanted.items():
        if not store.exists("network", network_ref):
            continue
        for pif_ref in pifs_on(store, network_ref, host_ref):
            sriov_refs = store.value("PIF", pif_ref, "sriov_logical_PIF_of")
            if sriov_refs and _idle_functions(store, sriov_refs[0]) < count:
                raise ApiFailure("NETWORK_SRIOV_INSUFFICIENT_CAPACITY", network_ref)


def _idle_functions(store: Store, sriov_ref: str) -> int:
    physical_ref = store.value("network_sriov", sriov_ref, "physical_PIF")
    device_ref = store.value("PIF", physical_ref, "PCI") if store.exists("PIF", physical_ref) else NULL
    functions = [ref for ref in store.refs("PCI") if device_ref in store.value("PCI", ref, "dependencies")]
    taken = {ref for vm_ref in store.refs("VM") for ref in store.value("VM", vm_ref, "attached_PCIs")}
    return len(set(functions) - taken)
