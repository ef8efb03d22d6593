"""May this VM be on that host? The ordered checks of a real pool; each raises ApiFailure or returns nothing.

Source: message_forwarding.ml and vm_helpers.ml of xapi; codes and parameters as a real pool answered them.
"""

from __future__ import annotations

from typing import Any

from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.rules import device_rules, memory, network_rules
from lmflow.simulator.rules.allowed_vm import NOT_ON_CONTROL_DOMAIN
from lmflow.simulator.rules.cpu_rules import check_cpu

_YES = frozenset({"true", "1"})


def check_handles(store: Store, vm_ref: str, host_ref: str) -> None:
    """Refuse references that name nothing: HANDLE_INVALID."""
    for cls, ref in (("VM", vm_ref), ("host", host_ref)):
        if not store.exists(cls, ref):
            raise ApiFailure("HANDLE_INVALID", cls, ref)


def check_not_control_domain(store: Store, vm_ref: str) -> None:
    """Refuse a control domain: OPERATION_NOT_ALLOWED."""
    if store.value("VM", vm_ref, "is_control_domain"):
        raise ApiFailure("OPERATION_NOT_ALLOWED", NOT_ON_CONTROL_DOMAIN)


def is_live(store: Store, host_ref: str) -> bool:
    """Tell whether the coordinator holds a host for alive."""
    metrics_ref = store.value("host", host_ref, "metrics")
    return store.exists("host_metrics", metrics_ref) and bool(store.value("host_metrics", metrics_ref, "live"))


def check_can_be_here(
    store: Store,
    vm_ref: str,
    host_ref: str,
    *,
    with_cpu: bool = False,
    with_storage: bool = True,
    with_memory: bool = True,
    scheduled: memory.Scheduled | None = None,
) -> None:
    """Refuse a host where a VM cannot be, in XAPI's order.

    Parameters, live, enabled (not asked of the host where the VM runs), virtual hardware, CPU if asked, storage,
    networks, devices, kind of domain, memory, CPUs. A VM that runs on this very host is counted as if it were to run
    there a second time.
    """
    vm = store.record("VM", vm_ref)
    _check_parameters(vm)
    if not store.exists("host", host_ref) or not is_live(store, host_ref):
        raise ApiFailure("HOST_NOT_LIVE")
    stays = vm["power_state"] == "Running" and vm["resident_on"] == host_ref
    if not stays and not vm["is_control_domain"] and not store.value("host", host_ref, "enabled"):
        raise ApiFailure("HOST_DISABLED", host_ref)
    _check_platform(store, vm_ref, vm, host_ref)
    if with_cpu:
        check_cpu(store, vm_ref, host_ref)
    if with_storage:
        _check_storage(store, vm_ref, vm, host_ref)
    network_rules.check_networks(store, vm_ref, host_ref)
    device_rules.check_host_has(store, vm_ref, vm, host_ref)
    if with_memory:
        _check_memory(store, vm_ref, host_ref, scheduled)
    _check_cpus(store, vm, host_ref)


def _check_parameters(vm: dict[str, Any]) -> None:
    if vm["VCPUs_max"] < 1:
        raise ApiFailure("INVALID_VALUE", "VCPUs_max", vm["VCPUs_max"])
    if not 1 <= vm["VCPUs_at_startup"] <= vm["VCPUs_max"]:
        raise ApiFailure("INVALID_VALUE", "VCPUs_at_startup", vm["VCPUs_at_startup"])
    if vm["domain_type"] == "hvm" and vm["HVM_shadow_multiplier"] < 1.0:
        raise ApiFailure("INVALID_VALUE", "HVM_shadow_multiplier", vm["HVM_shadow_multiplier"])


def _check_platform(store: Store, vm_ref: str, vm: dict[str, Any], host_ref: str) -> None:
    known = store.value("host", host_ref, "virtual_hardware_platform_versions")
    wanted = vm["hardware_platform_version"]
    if known and wanted not in known:
        code = "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION"
        raise ApiFailure(code, host_ref, f"[{'; '.join(str(version) for version in known)}]", vm_ref, str(wanted))


def reached_srs(store: Store, host_ref: str) -> set[str]:
    """Give the SRs that a host can use now."""
    plugged = (r for r in store.value("host", host_ref, "PBDs") if store.value("PBD", r, "currently_attached"))
    return {store.value("PBD", ref, "SR") for ref in plugged}


def _check_storage(store: Store, vm_ref: str, vm: dict[str, Any], host_ref: str) -> None:
    reached = reached_srs(store, host_ref)
    disks = device_rules.disks_of(store, vm_ref)
    if vm["power_state"] == "Suspended" and store.exists("VDI", vm["suspend_VDI"]):
        disks.append(vm["suspend_VDI"])
    for vdi_ref in disks:
        sr_ref = store.value("VDI", vdi_ref, "SR")
        if sr_ref not in reached:
            raise ApiFailure("VM_REQUIRES_SR", vm_ref, sr_ref)


def _check_memory(store: Store, vm_ref: str, host_ref: str, scheduled: memory.Scheduled | None) -> None:
    needed = memory.needed_by(store, vm_ref)
    free = memory.free_on(store, host_ref, scheduled, leave_out=vm_ref)
    if needed > free:
        raise ApiFailure("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(free))


def _check_cpus(store: Store, vm: dict[str, Any], host_ref: str) -> None:
    counted = store.value("host", host_ref, "cpu_info").get("cpu_count", "")
    present = int(counted) if counted.isdigit() else len(store.value("host", host_ref, "host_CPUs"))
    if 0 < present < vm["VCPUs_max"] and vm["platform"].get("vcpu-unrestricted", "") not in _YES:
        raise ApiFailure("HOST_NOT_ENOUGH_PCPUS", str(vm["VCPUs_max"]), str(present))


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
