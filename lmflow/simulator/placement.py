"""May this VM be on that host? The ordered checks of a real pool; each raises ApiFailure or returns nothing.

Source: message_forwarding.ml and vm_helpers.ml of xapi; codes and parameters as a real pool answered them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmflow.simulator import allowed, memory
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.store import Store
from lmflow.simulator.values import NULL

FEATURES_MISSING = "VM last booted on a CPU with features this host's CPU does not have."
OTHER_VENDOR = "VM last booted on a host which had a CPU from a different vendor."
NOT_ON_CONTROL_DOMAIN = "This operation is not allowed on a control domain"
_BUSY_HOST = frozenset({"evacuate", "reboot", "shutdown"})


def check_handles(store: Store, vm_ref: str, host_ref: str) -> None:
    """Refuse references that name nothing: HANDLE_INVALID."""
    for cls, ref in (("VM", vm_ref), ("host", host_ref)):
        if not store.exists(cls, ref):
            raise ApiFailure("HANDLE_INVALID", cls, ref)


def _words(features: str) -> list[int]:
    return [int(word, 16) for word in features.split("-") if word]


def has_features(needed: str, offered: str) -> bool:
    """Tell whether every feature bit of the first is in the second; words that are missing are zero."""
    wanted, present = _words(needed), _words(offered)
    present += [0] * (len(wanted) - len(present))
    return all(want & ~have == 0 for want, have in zip(wanted, present, strict=False))


def check_cpu(store: Store, vm_ref: str, host_ref: str) -> None:
    """Refuse a CPU that lacks what the VM booted with: VM_INCOMPATIBLE_WITH_THIS_HOST. Not for a halted VM."""
    if store.value("VM", vm_ref, "power_state") == "Halted":
        return
    flags = store.value("VM", vm_ref, "last_boot_CPU_flags")
    cpu = store.value("host", host_ref, "cpu_info")
    if not flags.get("features"):
        return
    if flags.get("vendor", cpu.get("vendor")) != cpu.get("vendor"):
        raise ApiFailure("VM_INCOMPATIBLE_WITH_THIS_HOST", vm_ref, host_ref, OTHER_VENDOR)
    offered = cpu.get("features_hvm") or cpu.get("features") or ""
    if not has_features(flags["features"], offered):
        raise ApiFailure("VM_INCOMPATIBLE_WITH_THIS_HOST", vm_ref, host_ref, FEATURES_MISSING)


def check_blocked(store: Store, vm_ref: str, operation: str) -> None:
    """Refuse what an administrator blocked: OPERATION_BLOCKED with the reason."""
    blocked = store.value("VM", vm_ref, "blocked_operations")
    if operation in blocked:
        raise ApiFailure("OPERATION_BLOCKED", vm_ref, blocked[operation])


def check_power_state(store: Store, vm_ref: str, *expected: str) -> None:
    """Refuse another power state than these: VM_BAD_POWER_STATE in lower case, as the database says it."""
    present = store.value("VM", vm_ref, "power_state")
    if present not in expected:
        raise ApiFailure("VM_BAD_POWER_STATE", vm_ref, ", ".join(expected).lower(), present.lower())


def check_not_control_domain(store: Store, vm_ref: str) -> None:
    """Refuse a control domain: OPERATION_NOT_ALLOWED."""
    if store.value("VM", vm_ref, "is_control_domain"):
        raise ApiFailure("OPERATION_NOT_ALLOWED", NOT_ON_CONTROL_DOMAIN)


def check_mobile(store: Store, vm_ref: str, *, force: bool) -> None:
    """Refuse a VM that cannot be moved while it runs; what stands before the waiting has been checked already."""
    vm = store.record("VM", vm_ref)
    if vm["is_a_template"]:
        raise ApiFailure("VM_IS_TEMPLATE", vm_ref)
    if vm["is_a_snapshot"]:
        raise ApiFailure("VM_IS_SNAPSHOT", vm_ref)
    if not force and allowed.is_immobile(store, vm):
        raise ApiFailure("VM_IS_IMMOBILE", vm_ref)
    check_not_control_domain(store, vm_ref)
    if not force and not allowed.has_feature(store, vm, "feature-suspend"):
        raise ApiFailure("VM_LACKS_FEATURE", vm_ref)
    _check_devices(store, vm_ref, vm)


def _check_devices(store: Store, vm_ref: str, vm: dict[str, Any]) -> None:
    for vdi_ref in _disks_of(store, vm):
        if store.value("VDI", vdi_ref, "on_boot") == "reset":
            raise ApiFailure("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION")
    for field, code in (
        ("attached_PCIs", "VM_HAS_PCI_ATTACHED"),
        ("VGPUs", "VM_HAS_VGPU"),
        ("VUSBs", "VM_HAS_VUSBS"),
    ):
        if vm[field]:
            raise ApiFailure(code, vm_ref)


def _version_of(store: Store, host_ref: str) -> list[int]:
    text = store.value("host", host_ref, "software_version").get("platform_version", "0")
    return [int(part) if part.isdigit() else 0 for part in text.split(".")]


def check_upgrade(store: Store, source_ref: str, destination_ref: str) -> None:
    """Refuse the way to an older host, but only during a rolling upgrade: NOT_SUPPORTED_DURING_UPGRADE."""
    upgrading = any(
        "rolling_upgrade_in_progress" in store.value("pool", ref, "other_config") for ref in store.refs("pool")
    )
    if upgrading and _version_of(store, destination_ref) < _version_of(store, source_ref):
        raise ApiFailure("NOT_SUPPORTED_DURING_UPGRADE")


def is_live(store: Store, host_ref: str) -> bool:
    """Tell whether the coordinator holds a host for alive."""
    metrics_ref = store.value("host", host_ref, "metrics")
    return store.exists("host_metrics", metrics_ref) and bool(store.value("host_metrics", metrics_ref, "live"))


def check_can_be_here(
    store: Store,
    vm_ref: str,
    host_ref: str,
    *,
    may_be_disabled: bool = False,
    with_cpu: bool = False,
    with_memory: bool = True,
    scheduled: memory.Scheduled | None = None,
) -> None:
    """Refuse a host where a VM cannot be, in XAPI's order: live, enabled, CPU if asked, storage, networks, memory.

    A VM that runs on this very host is counted as if it were to run there a second time.
    """
    if not store.exists("host", host_ref) or not is_live(store, host_ref):
        raise ApiFailure("HOST_NOT_LIVE")
    if not may_be_disabled and not store.value("host", host_ref, "enabled"):
        raise ApiFailure("HOST_DISABLED", host_ref)
    vm = store.record("VM", vm_ref)
    _check_platform(store, vm_ref, vm, host_ref)
    if with_cpu:
        check_cpu(store, vm_ref, host_ref)
    _check_storage(store, vm_ref, vm, host_ref)
    _check_networks(store, vm_ref, vm, host_ref)
    if with_memory:
        needed, free = memory.needed_by(store, vm_ref), memory.free_on(store, host_ref, scheduled)
        if needed > free:
            raise ApiFailure("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(free))
    present = len(store.value("host", host_ref, "host_CPUs"))
    if 0 < present < vm["VCPUs_max"] and "vcpu-unrestricted" not in vm["platform"]:
        raise ApiFailure("HOST_NOT_ENOUGH_PCPUS", str(vm["VCPUs_max"]), str(present))


def _check_platform(store: Store, vm_ref: str, vm: dict[str, Any], host_ref: str) -> None:
    known = store.value("host", host_ref, "virtual_hardware_platform_versions")
    wanted = vm["hardware_platform_version"]
    if known and wanted not in known:
        code = "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION"
        raise ApiFailure(code, host_ref, f"[{'; '.join(str(version) for version in known)}]", vm_ref, str(wanted))


def check_way(store: Store, host_ref: str, options: Mapping[str, str]) -> None:
    """Refuse a network option by which the destination cannot be reached."""
    network_ref = options.get("network")
    if not network_ref:
        return
    if not store.exists("network", network_ref):
        raise ApiFailure("HANDLE_INVALID", "network", network_ref)
    here = [ref for ref in store.value("network", network_ref, "PIFs") if store.value("PIF", ref, "host") == host_ref]
    if not here:
        raise ApiFailure("PIF_NOT_PRESENT", host_ref, network_ref)
    if not store.value("PIF", here[0], "currently_attached"):
        raise ApiFailure("REQUIRED_PIF_IS_UNPLUGGED", here[0])
    if not store.value("PIF", here[0], "IP"):
        raise ApiFailure("INTERFACE_HAS_NO_IP", here[0])


def _disks_of(store: Store, vm: dict[str, Any]) -> list[str]:
    disks = [store.value("VBD", ref, "VDI") for ref in vm["VBDs"]]
    return [ref for ref in disks if store.exists("VDI", ref)]


def _check_storage(store: Store, vm_ref: str, vm: dict[str, Any], host_ref: str) -> None:
    reached = {
        store.value("PBD", ref, "SR")
        for ref in store.value("host", host_ref, "PBDs")
        if store.value("PBD", ref, "currently_attached")
    }
    for vdi_ref in _disks_of(store, vm):
        sr_ref = store.value("VDI", vdi_ref, "SR")
        if sr_ref not in reached:
            raise ApiFailure("VM_REQUIRES_SR", vm_ref, sr_ref)


def _check_networks(store: Store, vm_ref: str, vm: dict[str, Any], host_ref: str) -> None:
    for vif_ref in vm["VIFs"]:
        network_ref = store.value("VIF", vif_ref, "network")
        if store.exists("network", network_ref) and not _network_reaches(store, network_ref, host_ref):
            raise ApiFailure("VM_REQUIRES_NETWORK", vm_ref, network_ref)


def _network_reaches(store: Store, network_ref: str, host_ref: str) -> bool:
    network = store.record("network", network_ref)
    if network["other_config"].get("assume_network_is_shared") == "true":
        return True
    if network["PIFs"]:
        return any(store.value("PIF", ref, "host") == host_ref for ref in network["PIFs"])
    # A network without wires is only on the hosts whose VMs use it now, and anywhere while none does.
    users = [store.value("VIF", ref, "VM") for ref in network["VIFs"] if store.value("VIF", ref, "currently_attached")]
    places = {store.value("VM", ref, "resident_on") for ref in users} - {NULL}
    return not places or host_ref in places


def check_host_is_free(store: Store, host_ref: str) -> None:
    """Refuse a host that is being emptied or taken down: OTHER_OPERATION_IN_PROGRESS, at once."""
    for task_ref, operation in store.value("host", host_ref, "current_operations").items():
        if operation in _BUSY_HOST:
            raise ApiFailure("OTHER_OPERATION_IN_PROGRESS", "host", host_ref, operation, task_ref)


def possible_hosts(store: Store, vm_ref: str) -> list[str]:
    """List the hosts where the VM can be, the CPU left out; while it is scheduled somewhere, only that host."""
    scheduled = store.value("VM", vm_ref, "scheduled_to_be_resident_on")
    if scheduled != NULL:
        return [scheduled]
    found = []
    on_their_way = memory.scheduled_vms(store)
    for host_ref in store.refs("host"):
        try:
            check_can_be_here(store, vm_ref, host_ref, scheduled=on_their_way)
        except ApiFailure:
            continue
        found.append(host_ref)
    return found
