"""Which operations a VM shows as allowed; the lists and their order are what a real pool showed."""

from __future__ import annotations

from typing import Any

from lmflow.simulator.store import Store
from lmflow.simulator.values import Value

WHILE_MIGRATING = ["hard_reboot", "hard_shutdown"]

_CONTROL_DOMAIN = ["metadata_export", "changing_static_range", "changing_dynamic_range"]
_SNAPSHOT = ["destroy", "metadata_export", "export", "revert", "copy", "clone"]
_TEMPLATE = [
    "destroy",
    "metadata_export",
    "export",
    "changing_NVRAM",
    "changing_shadow_memory",
    "changing_static_range",
    "changing_dynamic_range",
    "provision",
    "copy",
    "clone",
]
_BY_POWER_STATE = {
    "Running": [
        "sysprep",
        "metadata_export",
        "changing_VCPUs_live",
        "changing_dynamic_range",
        "migrate_send",
        "pool_migrate",
        "suspend",
        "hard_reboot",
        "hard_shutdown",
        "clean_reboot",
        "clean_shutdown",
        "pause",
        "checkpoint",
        "snapshot",
    ],
    "Paused": ["metadata_export", "hard_reboot", "hard_shutdown", "unpause", "checkpoint", "snapshot"],
    "Suspended": [
        "destroy",
        "metadata_export",
        "export",
        "migrate_send",
        "resume_on",
        "resume",
        "hard_shutdown",
        "checkpoint",
        "snapshot",
    ],
    "Halted": [
        "create_vtpm",
        "destroy",
        "metadata_export",
        "export",
        "make_into_template",
        "changing_NVRAM",
        "changing_shadow_memory",
        "changing_static_range",
        "changing_dynamic_range",
        "migrate_send",
        "start_on",
        "start",
        "copy",
        "clone",
        "snapshot",
    ],
}
_NEED_DRIVERS = frozenset(
    {"migrate_send", "pool_migrate", "suspend", "clean_reboot", "clean_shutdown", "checkpoint", "changing_VCPUs_live"}
)
_NEED_MOBILITY = frozenset({"migrate_send", "pool_migrate", "suspend", "checkpoint"})


def has_feature(store: Store, vm: dict[str, Any], feature: str) -> bool:
    """Tell whether the guest said that it can do this; a paravirtualised guest needs not say so."""
    if vm["domain_type"] == "pv":
        return True
    metrics_ref = vm["guest_metrics"]
    if not store.exists("VM_guest_metrics", metrics_ref):
        return False
    return bool(store.value("VM_guest_metrics", metrics_ref, "other").get(feature) == "1")


def is_immobile(store: Store, vm: dict[str, Any]) -> bool:
    """Tell whether the domain was built so that it cannot move (nomigrate, nested virtualisation)."""
    metrics_ref = vm["metrics"]
    if not store.exists("VM_metrics", metrics_ref):
        return False
    metrics = store.record("VM_metrics", metrics_ref)
    return bool(metrics["nomigrate"] or metrics["nested_virt"])


def operations_of(store: Store, vm: dict[str, Any]) -> list[str]:
    """List what a VM of this record shows as allowed, in XAPI's order."""
    if vm["is_control_domain"]:
        return list(_CONTROL_DOMAIN)
    if vm["is_a_snapshot"]:
        return list(_SNAPSHOT)
    if vm["is_a_template"]:
        return list(_TEMPLATE)
    if vm["current_operations"]:
        return list(WHILE_MIGRATING) if vm["power_state"] == "Running" else []
    hidden = set(vm["blocked_operations"])
    if vm["power_state"] == "Running":
        if not has_feature(store, vm, "feature-suspend"):
            hidden |= _NEED_DRIVERS
        if is_immobile(store, vm):
            hidden |= _NEED_MOBILITY
    return [name for name in _BY_POWER_STATE[vm["power_state"]] if name not in hidden]


def update_vm(store: Store, vm_ref: str, **fields: Value) -> None:
    """Change a VM's fields and, in the same step, its allowed_operations; a VM that is gone is left alone."""
    with store.lock:
        if store.exists("VM", vm_ref):
            vm = {**store.record("VM", vm_ref), **fields}
            store.update("VM", vm_ref, **fields, allowed_operations=operations_of(store, vm))
