"""What may be done to a VM, and with which refusal not; its allowed_operations are what is refused by nothing.

Source: xapi_vm_lifecycle.ml of xapi; the lists in every power state and during operations as a real pool showed them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lmflow.simulator.database.store import Store
from lmflow.simulator.database.values import NULL
from lmflow.simulator.failures import ApiFailure
from lmflow.simulator.rules import device_rules

Record = Mapping[str, Any]
Check = Callable[[Store, str, Record, str], "ApiFailure | None"]

NOT_ON_CONTROL_DOMAIN = "This operation is not allowed on a control domain"
SHOWN = (
    "sysprep",
    "create_vtpm",
    "destroy",
    "metadata_export",
    "export",
    "make_into_template",
    "changing_NVRAM",
    "changing_shadow_memory",
    "changing_VCPUs_live",
    "changing_static_range",
    "changing_dynamic_range",
    "migrate_send",
    "pool_migrate",
    "resume_on",
    "resume",
    "suspend",
    "hard_reboot",
    "hard_shutdown",
    "clean_reboot",
    "clean_shutdown",
    "unpause",
    "pause",
    "start_on",
    "start",
    "provision",
    "revert",
    "copy",
    "clone",
    "checkpoint",
    "snapshot",
)
"""The operations that allowed_operations may hold, in the order in which a real pool listed them."""

_ANY = ("Halted", "Paused", "Suspended", "Running")
_STATES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("metadata_export", "snapshot", "revert", "power_state_reset", "query_services"), _ANY),
    **dict.fromkeys(
        (
            "changing_VCPUs",
            "changing_static_range",
            "changing_memory_limits",
            "changing_shadow_memory",
            "changing_NVRAM",
            "make_into_template",
            "provision",
            "start",
            "start_on",
            "create_vtpm",
            "clone",
            "copy",
        ),
        ("Halted",),
    ),
    "unpause": ("Paused",),
    **dict.fromkeys(("resume", "resume_on"), ("Suspended",)),
    "changing_dynamic_range": ("Halted", "Running"),
    **dict.fromkeys(("destroy", "export"), ("Halted", "Suspended")),
    "hard_reboot": ("Paused", "Running"),
    **dict.fromkeys(("hard_shutdown", "shutdown", "checkpoint", "get_boot_record"), ("Paused", "Suspended", "Running")),
    "migrate_send": ("Halted", "Suspended", "Running"),
}
_TOGETHER = (frozenset({"clone", "copy", "export"}), frozenset({"snapshot", "checkpoint"}))
"""Operations of one of these sets go on beside each other."""
_NOT_BESIDE = {
    "hard_shutdown": frozenset({"hard_shutdown"}),
    "hard_reboot": frozenset({"hard_shutdown", "hard_reboot"}),
}
"""Operations that begin beside any other but these."""

_ON_TEMPLATE = frozenset(
    {"destroy", "metadata_export", "export", "changing_NVRAM", "changing_shadow_memory", "changing_static_range"}
    | {"changing_dynamic_range", "changing_VCPUs", "changing_memory_limits", "migrate_send", "provision", "copy"}
    | {"clone", "query_services", "power_state_reset"}
)
_ON_SNAPSHOT = frozenset({"destroy", "metadata_export", "export", "revert", "copy", "clone", "query_services"})
_ON_CONTROL_DOMAIN = frozenset({"metadata_export", "changing_static_range", "changing_dynamic_range", "query_services"})
_NEED_FEATURE = {
    "clean_shutdown": "feature-shutdown",
    "clean_reboot": "feature-reboot",
    "changing_VCPUs_live": "feature-vcpu-hotplug",
    **dict.fromkeys(("suspend", "checkpoint", "pool_migrate", "migrate_send"), "feature-suspend"),
}
_MOVE = frozenset({"migrate_send", "pool_migrate", "suspend", "checkpoint"})
_REASON_AGAINST_SUSPEND = "data-cant-suspend-reason"


def has_feature(store: Store, vm: Record, feature: str) -> bool:
    """Tell whether the guest said that it can do this; a paravirtualised guest needs not say so."""
    if vm["domain_type"] == "pv":
        return True
    metrics_ref = vm["guest_metrics"]
    if not store.exists("VM_guest_metrics", metrics_ref):
        return False
    return bool(store.value("VM_guest_metrics", metrics_ref, "other").get(feature) == "1")


def is_immobile(store: Store, vm: Record) -> bool:
    """Tell whether the domain was built so that it cannot move (nomigrate, nested virtualisation)."""
    metrics_ref = vm["metrics"]
    if not store.exists("VM_metrics", metrics_ref):
        return False
    return any(bool(store.value("VM_metrics", metrics_ref, field)) for field in ("nomigrate", "nested_virt"))


def may_begin_beside(operation: str, under_way: Iterable[str]) -> bool:
    """Tell whether an operation may begin while these go on; anything else waits for its turn."""
    others = set(under_way)
    if not others:
        return True
    if operation in _NOT_BESIDE:
        return not others & _NOT_BESIDE[operation]
    return any(operation in group and others <= group for group in _TOGETHER)


def _check_blocked(_: Store, ref: str, vm: Record, operation: str) -> ApiFailure | None:
    if operation in vm["blocked_operations"]:
        return ApiFailure("OPERATION_BLOCKED", ref, vm["blocked_operations"][operation])
    return None


def _states_for(vm: Record, operation: str) -> tuple[str, ...]:
    states = _STATES.get(operation, ("Running",))
    if operation in {"clone", "copy"} and vm["is_a_snapshot"]:
        return (*states, "Suspended")
    return (*states, "Running") if vm["is_control_domain"] and operation == "changing_static_range" else states


def _check_power_state(_: Store, ref: str, vm: Record, operation: str) -> ApiFailure | None:
    states = _states_for(vm, operation)
    if vm["power_state"] in states:
        return None
    return ApiFailure("VM_BAD_POWER_STATE", ref, ", ".join(states).lower(), vm["power_state"].lower())


def _check_nothing_beside(_: Store, ref: str, vm: Record, operation: str) -> ApiFailure | None:
    under_way = vm["current_operations"]
    if may_begin_beside(operation, under_way.values()):
        return None
    task_ref, other = next(iter(under_way.items()))
    return ApiFailure("OTHER_OPERATION_IN_PROGRESS", "VM", ref, other, task_ref)


def _check_kind(_: Store, ref: str, vm: Record, operation: str) -> ApiFailure | None:
    found = None
    if vm["is_a_snapshot"]:
        found = None if operation in _ON_SNAPSHOT else ApiFailure("VM_IS_SNAPSHOT", ref, operation)
    elif vm["is_a_template"]:
        found = None if operation in _ON_TEMPLATE else ApiFailure("VM_IS_TEMPLATE", ref, operation)
        if operation == "destroy" and vm["is_default_template"]:
            found = ApiFailure("VM_IS_TEMPLATE", ref, operation)
    if found is None and operation == "provision" and not vm["is_a_template"]:
        return ApiFailure("PROVISION_ONLY_ALLOWED_ON_TEMPLATE")
    if found is None and operation == "revert" and not vm["is_a_snapshot"]:
        return ApiFailure("REVERT_ONLY_ALLOWED_ON_SNAPSHOT")
    return found


def _check_mobile(store: Store, ref: str, vm: Record, operation: str) -> ApiFailure | None:
    if operation in _MOVE and vm["power_state"] == "Running" and is_immobile(store, vm):
        return ApiFailure("VM_IS_IMMOBILE", ref)
    return None


def _check_control_domain(_: Store, ref: str, vm: Record, operation: str) -> ApiFailure | None:
    if vm["is_control_domain"] and operation not in _ON_CONTROL_DOMAIN:
        return ApiFailure("OPERATION_NOT_ALLOWED", NOT_ON_CONTROL_DOMAIN)
    return None


def _check_feature(store: Store, ref: str, vm: Record, operation: str) -> ApiFailure | None:
    feature = _NEED_FEATURE.get(operation)
    if feature is None or vm["power_state"] != "Running":
        return None
    if feature == "feature-suspend" and store.exists("VM_guest_metrics", vm["guest_metrics"]):
        said = store.value("VM_guest_metrics", vm["guest_metrics"], "other")
        if _REASON_AGAINST_SUSPEND in said:
            return ApiFailure("VM_NON_SUSPENDABLE", ref, said[_REASON_AGAINST_SUSPEND])
    return None if has_feature(store, vm, feature) else ApiFailure("VM_LACKS_FEATURE", ref)


def _check_devices(store: Store, ref: str, vm: Record, operation: str) -> ApiFailure | None:
    if operation not in _MOVE or vm["power_state"] != "Running" or not store.exists("VM", ref):
        return None
    try:
        device_rules.check_can_leave(store, ref)
    except ApiFailure as refusal:
        return refusal
    return None


BEFORE_WAITING: tuple[Check, ...] = (_check_blocked, _check_power_state)
AFTER_WAITING: tuple[Check, ...] = (
    _check_kind,
    _check_mobile,
    _check_control_domain,
    _check_feature,
    _check_devices,
)
FORCED: tuple[Check, ...] = (_check_kind, _check_control_domain, _check_devices)
"""What remains of ``AFTER_WAITING`` when somebody forces the operation: the guest and its domain are not asked."""
_ALL = (*BEFORE_WAITING, _check_nothing_beside, *AFTER_WAITING)


def find_refusal(
    store: Store, ref: str, vm: Record, operation: str, checks: Iterable[Check] = _ALL
) -> ApiFailure | None:
    """Find why this operation would be refused now, by the first check that refuses it."""
    found = (check(store, ref, vm, operation) for check in checks)
    return next((refusal for refusal in found if refusal is not None), None)


def check_operation(store: Store, ref: str, operation: str, checks: Iterable[Check] = _ALL) -> None:
    """Refuse an operation that these checks forbid; HANDLE_INVALID when there is no such VM."""
    refusal = find_refusal(store, ref, store.record("VM", ref), operation, checks)
    if refusal is not None:
        raise refusal


def operations_of(store: Store, vm: Record, ref: str = NULL) -> list[str]:
    """List what a VM of this record shows as allowed, in XAPI's order."""
    return [name for name in SHOWN if find_refusal(store, ref, vm, name) is None]
