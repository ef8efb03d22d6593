"""The failures by which XAPI says that nothing has begun."""

from __future__ import annotations

from lmflow.models import XapiError

ORDERED_CODES = frozenset(
    {
        "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN",
        "HOST_CANNOT_ATTACH_NETWORK",
        "HOST_DISABLED",
        "HOST_NOT_ENOUGH_FREE_MEMORY",
        "HOST_NOT_ENOUGH_PCPUS",
        "HOST_NOT_LIVE",
        "HOST_OFFLINE",
        "INTERFACE_HAS_NO_IP",
        "LICENCE_RESTRICTION",
        "NOT_SUPPORTED_DURING_UPGRADE",
        "OPERATION_BLOCKED",
        "OPERATION_NOT_ALLOWED",
        "OTHER_OPERATION_IN_PROGRESS",
        "PIF_NOT_PRESENT",
        "RBAC_PERMISSION_DENIED",
        "REQUIRED_PIF_IS_UNPLUGGED",
        "TOO_MANY_PENDING_TASKS",
        "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION",
        "VM_HAS_PCI_ATTACHED",
        "VM_HAS_VGPU",
        "VM_HAS_VUSBS",
        "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION",
        "VM_HVM_REQUIRED",
        "VM_INCOMPATIBLE_WITH_THIS_HOST",
        "VM_IS_IMMOBILE",
        "VM_IS_SNAPSHOT",
        "VM_IS_TEMPLATE",
        "VM_LACKS_FEATURE",
        "VM_NON_SUSPENDABLE",
        "VM_REQUIRES_GPU",
        "VM_REQUIRES_IOMMU",
        "VM_REQUIRES_NETWORK",
        "VM_REQUIRES_SR",
        "VM_REQUIRES_VGPU",
        "VM_REQUIRES_VUSB",
    }
)
"""Codes that ``VM.pool_migrate`` gives before anything has begun.

Source: xapi's message_forwarding.ml and xapi_vm_lifecycle.ml; tried on a running xapi, row by row.
"""


def is_ordered(error: XapiError | None) -> bool:
    """Tell whether the error is one of the checks that XAPI makes before anything begins.

    ``VM_BAD_POWER_STATE`` counts only in lower case: capitalised, it comes from xenopsd, where something did begin.
    """
    if error is None:
        return False
    if error.code == "VM_BAD_POWER_STATE":
        return len(error.params) >= 3 and all(p == p.lower() for p in error.params[1:3])
    if error.code == "HANDLE_INVALID":
        return bool(error.params) and error.params[0] in ("VM", "host")
    return error.code in ORDERED_CODES
