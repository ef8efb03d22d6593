"""Rules on the VM itself: what it is, what it allows, what it is doing."""

from __future__ import annotations

from collections.abc import Iterator

from lmflow.models import Finding, Snapshot


def check_kind(snapshot: Snapshot) -> Iterator[Finding]:
    """Object to what is no VM that can move."""
    vm = snapshot.vm
    for is_so, code, what in (
        (vm.is_a_snapshot, "VM_IS_SNAPSHOT", "a snapshot"),
        (vm.is_a_template and not vm.is_a_snapshot, "VM_IS_TEMPLATE", "a template"),
        (vm.is_control_domain, "OPERATION_NOT_ALLOWED", "a control domain"),
    ):
        if is_so:
            yield Finding(rule="vm.kind", code=code, message=f"{vm.name_label} is {what}", remedy="name another VM")


def check_power_state(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when it is not running; lmflow never starts one."""
    vm = snapshot.vm
    if vm.power_state != "Running" and not (vm.is_a_template or vm.is_a_snapshot):
        yield Finding(
            rule="vm.power_state",
            code="VM_BAD_POWER_STATE",
            message=f"{vm.name_label} is {vm.power_state}; only a running VM can be migrated live",
            remedy="a VM that is not running needs no live migration: start it where it is wanted",
        )


def check_blocked(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when somebody has blocked its migration, with the reason they left."""
    reason = snapshot.vm.blocked_operations.get("pool_migrate")
    if reason is not None:
        yield Finding(
            rule="vm.blocked",
            code="OPERATION_BLOCKED",
            message=f"its migration is blocked: {reason}",
            remedy=f"xe vm-param-remove uuid={snapshot.vm.uuid} param-name=blocked-operations param-key=pool_migrate",
        )


def check_suspend(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when its guest cannot be suspended, which the last step of a migration does."""
    vm = snapshot.vm
    if vm.power_state == "Running" and vm.can_suspend is False:
        yield Finding(
            rule="vm.suspend",
            code="VM_LACKS_FEATURE",
            message=f"the guest of {vm.name_label} shows no drivers that can suspend it",
            remedy="install or start the guest tools",
        )


def check_allowed(snapshot: Snapshot) -> Iterator[Finding]:
    """Object when XAPI does not list the operation and no other rule, nor another operation, says why."""
    vm = snapshot.vm
    explained = vm.current_operations or any(
        any(rule(snapshot)) for rule in (check_kind, check_power_state, check_blocked, check_suspend)
    )
    if "pool_migrate" not in vm.allowed_operations and not explained:
        yield Finding(
            rule="vm.allowed",
            code="OPERATION_NOT_ALLOWED",
            message=f"XAPI does not allow pool_migrate on {vm.name_label} now",
            remedy=f"xe vm-param-get uuid={vm.uuid} param-name=allowed-operations, then try again",
        )


def check_kernel(snapshot: Snapshot) -> Iterator[Finding]:
    """Object to a kernel kept in the source's dom0: the guest would arrive, and not survive its next reboot."""
    vm = snapshot.vm
    if (vm.pv_kernel or vm.pv_ramdisk) and not vm.pv_bootloader:
        yield Finding(
            rule="vm.kernel",
            code="VM_REQUIRES_KERNEL",
            message=f"{vm.name_label} boots from files in its host's dom0 ({vm.pv_kernel or vm.pv_ramdisk})",
            remedy="let it boot from its disk (PV-bootloader), or move it while it is shut down",
        )


RULES = (check_kind, check_power_state, check_blocked, check_suspend, check_allowed, check_kernel)
